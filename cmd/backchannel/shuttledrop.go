package main

import (
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
)

func (a *app) shuttleDropCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drop [CONTACT] [NUMBER]",
		Short: "End an exchange of sealed offers on your side",
		Long: `End an exchange of sealed offers on your side: what is kept of it here is
deleted, and what has not left is taken back. NUMBER is that of the exchange, as
shuttle show says it; without one it is the only exchange with the contact.

Nobody is told, and nobody can tell it from silence. What the others have:

  You have sealed nothing     The mediator sees that no offer comes from you.
  Your offer is sealed        The mediator has that it is, and not what. Until
                              the other side has sealed, nobody can read it.
  Both are sealed             What opens yours has most likely left: the
                              mediator can still let the other side read it,
                              and you will not read theirs.
  Both are open               Both were read. The words stand nowhere else.
  You are the mediator        If you had not released, nothing is opened, and
                              both see that at the end; if you had, both have
                              what they were given.

An exchange that you have sealed in and dropped cannot be taken up again.
A text that is held is removed with backchannel message remove.`,
		Example: "  backchannel shuttle drop 1\n  backchannel shuttle drop 1 3",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			request := control.ShuttleDropRequest{Name: name}
			if len(args) == 2 {
				if request.Number, err = strconv.ParseUint(args[1], 10, 64); err != nil || request.Number == 0 {
					return usage("the second argument is the number of an exchange", "backchannel shuttle show")
				}
			}
			var now control.ShuttlesAnswer
			if err := a.call(cmd, "shuttle/show", control.NameRequest{Name: name}, &now); err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			s, err := exchangeOf(now.Contacts[0].Shuttles, request.Number)
			if err != nil {
				return err
			}
			request.Number = s.Number // what is shown is what is dropped
			if !a.json {
				a.note("Exchange %d about: %s\n%s.", s.Number, cleanLine(s.Subject), s.State)
			}
			if err := a.sureTo("Drop it? y/N: ", "nothing was dropped", "backchannel shuttle show"); err != nil {
				return err
			}
			var ans control.ShuttleDropAnswer
			if err := a.call(cmd, "shuttle/drop", request, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() { a.say("%s", whatIsLeft(ans.Left, quoted(now.Contacts[0].Contact.Name))) })
		},
	}
}

// exchangeOf is the exchange of a number; 0 stands for the only one.
func exchangeOf(list []control.Shuttle, number uint64) (control.Shuttle, error) {
	if number == 0 && len(list) > 1 {
		return control.Shuttle{}, control.Describe(channel.ErrWhichShuttle)
	}
	i := slices.IndexFunc(list, func(s control.Shuttle) bool { return number == 0 || s.Number == number })
	if i < 0 {
		return control.Shuttle{}, control.Describe(channel.ErrNoShuttle)
	}
	return list[i], nil
}

// whatIsLeft says what others have of an exchange that was dropped here.
func whatIsLeft(left control.Word, who string) string {
	switch left {
	case control.Word(channel.DroppedUnsaid.String()):
		return "Dropped here. " + who + " has nothing of an offer of yours, and sees that none comes."
	case control.Word(channel.DroppedSealed.String()):
		return "Dropped here. That you sealed an offer is known, and nobody can read it any more."
	case control.Word(channel.DroppedOpening.String()):
		return "Dropped here. What opens your offer has left: " + who + " can still let the other side read\nit, and you will not read theirs."
	case control.Word(channel.DroppedRead.String()):
		return "Deleted here: both offers, and the words. The other side has them still."
	case control.Word(channel.DroppedReleased.String()):
		return "Deleted here. Both have what you released to them."
	default:
		return "Dropped here. Nothing is opened; both see that at the end, and not that you dropped it."
	}
}
