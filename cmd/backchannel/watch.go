package main

import (
	"context"
	"reflect"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
)

var errNoMessage = channel.ErrNoMessage

// watchEvery is how often a watch looks. Looking is no command: screens lock all
// the same.
const watchEvery = 500 * time.Millisecond

// watchStatus shows how the node stands, and what changes, until Ctrl-C or until
// the node stops. With --json each line is a whole status.
func (a *app) watchStatus(cmd *cobra.Command) error {
	var last control.StatusAnswer
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		var s control.StatusAnswer
		if err := a.call(cmd, "status", control.Empty{}, &s); err != nil {
			if cmd.Context().Err() != nil {
				return context.Canceled
			}
			if e := control.Describe(err); !first && e.Code == control.ErrNotRunning.Code {
				return &control.Error{Code: e.Code, Exit: e.Exit, Message: "the node has stopped", Hint: e.Hint}
			}
			return err
		}
		if first || !reflect.DeepEqual(steady(s), steady(last)) {
			_ = a.answer(s, func() {
				if first {
					a.printStatus(s)
				} else {
					a.printChanges(last, s)
				}
			})
		}
		last = s
		select {
		case <-cmd.Context().Done():
			return context.Canceled
		case <-tick.C:
		}
	}
}

// steady is a status without what moves although nothing has happened.
func steady(s control.StatusAnswer) control.StatusAnswer {
	s.LocksAt = ""
	contacts := make([]control.Contact, len(s.Contacts))
	for i, c := range s.Contacts {
		c.ClockOff /= 60
		contacts[i] = c
	}
	s.Contacts = contacts
	return s
}

// printChanges prints a line for each thing that is otherwise than before.
func (a *app) printChanges(was, is control.StatusAnswer) {
	at := time.Now().Format("15:04:05")
	line := func(format string, args ...any) { a.say(at+"  "+format, args...) }
	if was.State != is.State || was.PID != is.PID {
		line("the node is %s", is.State)
	}
	if is.Failed != "" && was.Failed != is.Failed {
		line("it locked by itself: %s", is.Failed)
	}
	if was.DiskFull != is.DiskFull {
		if is.DiskFull {
			line("THE DISK IS FULL. Nothing was lost. Nothing is received or sent until there is space.")
		} else {
			line("the disk has room again")
		}
	}
	if was.VaultFull != is.VaultFull {
		if is.VaultFull {
			line("THE VAULT IS FULL. Nothing was lost. What is new is neither received nor sent.")
		} else {
			line("the vault has room again")
		}
	}
	if is.State != "open" || was.State != "open" {
		return // contacts are shown on an open node only
	}
	before := map[uint32]control.Contact{}
	for _, c := range steady(was).Contacts {
		before[c.Number] = c
	}
	now := steady(is).Contacts
	for i, c := range is.Contacts {
		old, known := before[c.Number]
		delete(before, c.Number)
		if known && reflect.DeepEqual(old, now[i]) {
			continue
		}
		line("%3d  %s  %s", c.Number, cleanLine(c.Name), contactLine(c))
		for _, w := range warnings(c) {
			a.say("               ! %s", a.here(w))
		}
	}
	for number := range before {
		line("%3d  removed", number)
	}
}
