package main

import (
	"context"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) chatCommand() *cobra.Command {
	var plain bool
	var number uint32
	c := &cobra.Command{
		Use:   "chat --plain [CONTACT]",
		Short: "Talk line by line",
		Long: `Talk line by line: each line that you type is sent, what comes is printed. It
works with screen readers and on any terminal.

  /recall NUMBER   take a message back that still waits here
  /state           say how the contact stands
  /quit            leave (so does Ctrl-D)
  //text           send a text that begins with a slash

With --json each message and each new state of one is an object on a line.`,
		Example: "  backchannel chat --plain 1\n  backchannel chat --plain 1 --channel 2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !plain {
				return usage("this version has the plain chat", "backchannel chat --plain")
			}
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			return a.chat(cmd, name, number)
		},
	}
	c.Flags().BoolVar(&plain, "plain", false, "line by line")
	channelFlag(c, &number)
	return c
}

func (a *app) chat(cmd *cobra.Command, name string, number uint32) error {
	var ans control.ReadAnswer
	if err := a.call(cmd, "read", control.ReadRequest{Name: name, Channel: number}, &ans); err != nil {
		return err
	}
	if err := a.canWrite(cmd); err != nil {
		return err
	}
	after := uint64(0)
	if n := len(ans.Messages); n > 20 {
		after = ans.Messages[n-21].Seq
	}
	a.note("%s: %s.\nNothing here is signed; either of you could have typed this whole conversation. /quit leaves.",
		cleanLine(ans.Contact.Name), contactLine(ans.Contact))
	for _, w := range warnings(ans.Contact) {
		a.note("! %s", a.here(w))
	}
	a.sayExpected(a.relayed(cmd, ans.Contact), a.note)
	if err := a.channelFlows(cmd, ans.Contact, number, false); err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	var followErr error // set before followed is closed
	followed := make(chan struct{})
	var screen sync.Mutex
	shown := map[uint64]control.Word{}
	go func() {
		defer close(followed)
		followErr = client.Follow(ctx, control.ReadRequest{Name: name, Channel: number, After: after}, func(m control.Message) bool {
			screen.Lock()
			defer screen.Unlock()
			a.chatLine(ans.Contact.Name, m, shown)
			return true
		})
	}()
	lines := a.lines(ctx)
	for {
		select {
		case line, open := <-lines:
			if !open || line == "/quit" {
				cancel()
				<-followed
				return nil
			}
			screen.Lock()
			err := a.chatCommandLine(cmd, name, number, line)
			screen.Unlock()
			if err != nil {
				if e := control.Describe(err); e.Exit == control.ExitLocked || e.Exit == control.ExitNotRunning || e.Code == "channel_burned" {
					cancel()
					<-followed
					return err
				}
				a.report(err)
			}
		case <-followed:
			cancel()
			return a.unlessLeft(cmd, followErr)
		}
	}
}

// unlessLeft is err, or nil if the person has left with Ctrl-C.
func (a *app) unlessLeft(cmd *cobra.Command, err error) error {
	if cmd.Context().Err() == nil {
		return err
	}
	return nil
}

// lines reads the input line by line until it or ctx ends.
func (a *app) lines(ctx context.Context) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for {
			line, err := a.in.lines.ReadString('\n')
			if line = strings.TrimRight(line, "\r\n"); line != "" || err == nil {
				select {
				case lines <- line:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// chatLine prints a message, or only its new state if its text stands above.
func (a *app) chatLine(name string, m control.Message, shown map[uint64]control.Word) {
	state, known := shown[m.Seq]
	shown[m.Seq] = m.State
	switch {
	case a.json:
		writeJSON(a.out, control.MessageAnswer{V: control.Version, Message: m})
	case !known:
		a.printMessage(name, m)
	case state != m.State:
		a.say("%4d  %s", m.Seq, m.State)
	}
}

func (a *app) chatCommandLine(cmd *cobra.Command, name string, number uint32, line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch {
	case strings.TrimSpace(line) == "":
		return nil
	case strings.HasPrefix(line, "//"):
		line = line[1:]
	case verb == "/recall":
		sub := a.recallCommand()
		sub.SetContext(cmd.Context())
		return sub.RunE(sub, []string{name, strings.TrimSpace(rest)})
	case verb == "/state":
		var ans control.ContactAnswer
		if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &ans); err != nil {
			return err
		}
		if a.json {
			writeJSON(a.out, ans)
		} else {
			a.say("%s", contactLine(ans.Contact))
		}
		return nil
	case strings.HasPrefix(line, "/"):
		return usage("there is no such command here", "/recall NUMBER, /state, /quit; // sends a text that begins with a slash")
	}
	var ans control.MessageAnswer
	return a.call(cmd, "send", control.SendRequest{Name: name, Channel: number, Text: line}, &ans)
}
