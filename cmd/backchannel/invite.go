package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/identity"
)

func (a *app) inviteCommand() *cobra.Command {
	c := &cobra.Command{Use: "invite", Short: "Make, accept, list and take back invitations"}
	c.AddCommand(a.inviteNew(), a.inviteAccept(), a.inviteList(), a.inviteCancel())
	return c
}

func (a *app) inviteNew() *cobra.Command {
	var life time.Duration
	var strict, direct bool
	c := &cobra.Command{
		Use:   "new",
		Short: "Make an invitation: one line of text, for one person, once",
		Long: `Make an invitation: one line of text that works once. Whoever gets it first
becomes the contact, so compare words before you say anything that matters. The
name is asked for; only you see it.

In a relay network you meet at a relay, and neither needs an address that can be
reached, nor sees the other's. With --direct, or without a network, they reach
this machine, which has to listen.

With --strict, even somebody who listens live with your contact's help learns
nothing that convinces others; but whoever copies a machine's keys can then pose
as the other side to it. It is fixed for the contact's life.`,
		Example: "  backchannel invite new\n  backchannel invite new --life 24h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if life < time.Minute || life > 30*24*time.Hour {
				return usage("an invitation lives between a minute and 30 days", "backchannel invite new --life 48h")
			}
			if err := a.canInvite(cmd, direct); err != nil {
				return err
			}
			name, err := a.in.ask("Who is it for? (only you see this) ")
			if err != nil {
				return err
			}
			var ans control.InviteAnswer
			err = a.call(cmd, "invite/new", control.InviteRequest{Name: name, Seconds: int64(life / time.Second), Strict: strict, Direct: direct}, &ans)
			if err != nil {
				return err
			}
			return a.answer(ans, func() {
				a.say("%s", ans.Invitation)
				if a.quiet {
					return
				}
				a.note("\nHand over that one line. It works once, until %s.\nWhoever gets it first becomes %s.\nCompare words before you say anything that matters:  %s\nSee how it stands:  %s",
					longTime(ans.Contact.Expires), quoted(ans.Contact.Name),
					a.here("backchannel contact verify "+itoa(int(ans.Contact.Number))), a.here("backchannel invite list"))
				a.noteMeeting(cmd, direct)
			})
		},
	}
	c.Flags().DurationVar(&life, "life", 48*time.Hour, "how long it can be taken up")
	c.Flags().BoolVar(&direct, "direct", false, "let them reach this machine's address, and not a relay")
	c.Flags().BoolVar(&strict, "strict", false, "a stricter kind of contact: see above")
	return c
}

// noteMeeting says how long a first contact over relays takes.
func (a *app) noteMeeting(cmd *cobra.Command, direct bool) {
	var s control.StatusAnswer
	if direct || a.call(cmd, "status", control.Empty{}, &s) != nil || s.RelayNetwork == nil || s.RelayNetwork.Meeting == 0 {
		return
	}
	a.note("You meet at a relay, and see nothing of one another's addresses. When both machines\nare online, keys are agreed within about %s; they need not be online at once.", span(s.RelayNetwork.Meeting))
}

// canInvite says what is in the way of an invitation before anything is asked.
func (a *app) canInvite(cmd *cobra.Command, direct bool) error {
	if err := a.canWrite(cmd); err != nil {
		return err
	}
	var s control.StatusAnswer
	if err := a.call(cmd, "status", control.Empty{}, &s); err != nil || s.Listening && (direct || s.RelayNetwork == nil) {
		return err
	}
	if s.RelayNetwork != nil && !direct {
		if s.RelayNetwork.State == "asking for relays" {
			return control.Describe(node.ErrNoView)
		}
		return nil
	}
	p, err := a.paths()
	if err != nil {
		return err
	}
	e := control.Describe(node.ErrNoPlace)
	if set, err := p.settings(); err == nil && set.Listen != "" {
		e.Message, e.Hint = "the node does not listen yet: it went online before listening was turned on", "backchannel lock; backchannel online"
	}
	return e
}

// canWrite makes sure that the node is open and online, so that nobody answers
// questions or writes a long text in vain.
func (a *app) canWrite(cmd *cobra.Command) error {
	var contacts control.ContactsAnswer
	if err := a.call(cmd, "contact/list", control.Empty{}, &contacts); err != nil {
		return err
	}
	var s control.StatusAnswer
	if err := a.call(cmd, "status", control.Empty{}, &s); err != nil {
		return err
	}
	if !s.Online {
		return control.Describe(node.ErrOffline)
	}
	return nil
}

func (a *app) inviteAccept() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:     "accept",
		Short:   "Take up an invitation that you were given",
		Example: "  backchannel invite accept\n  backchannel invite accept --file invitation.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			text, err := a.invitationText(file)
			if err != nil {
				return err
			}
			if _, err := identity.ParseInvitation(text); err != nil {
				return err // a typing error is told before a name is asked for
			}
			name, err := a.in.ask("Name for this contact (only you see this): ")
			if err != nil {
				return err
			}
			var ans control.ContactAnswer
			if err := a.call(cmd, "invite/accept", control.AcceptRequest{Name: name, Invitation: text}, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				a.say("Their machine is being told. You may write now; %s is not verified yet.", quoted(ans.Contact.Name))
				a.advise("  see how it stands   %s", a.here("backchannel invite list"))
				a.advise("  compare words       %s", a.here("backchannel contact verify "+itoa(int(ans.Contact.Number))))
			})
		},
	}
	c.Flags().StringVar(&file, "file", "", "file that holds the invitation; - for standard input")
	return c
}

func (a *app) invitationText(file string) (string, error) {
	switch file {
	case "", "-":
		return a.in.ask("Paste the invitation: ")
	default:
		info, err := os.Stat(file)
		if err != nil || info.Size() > 4096 {
			return "", usage("the file of the invitation cannot be read", "backchannel invite accept")
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", usage("the file of the invitation cannot be read", "backchannel invite accept")
		}
		return strings.TrimSpace(string(raw)), nil
	}
}

func (a *app) inviteList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Say how the invitations stand",
		Example: "  backchannel invite list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ans control.ContactsAnswer
			if err := a.call(cmd, "contact/list", control.Empty{}, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				if len(ans.Contacts) == 0 {
					a.say("No invitations.")
				}
				for _, c := range ans.Contacts {
					line := string(c.Invitation)
					if c.Invitation == "not opened yet" {
						line += ", stops working " + longTime(c.Expires)
					}
					a.say("%3d  %-24s  made %s  %s", c.Number, cleanLine(c.Name), localTime(c.Made), line)
					if c.UsedTwice {
						a.say("     ! Do not trust %s. Make a new invitation, and hand it over by another route.", quoted(c.Name))
					}
				}
			})
		},
	}
}

func (a *app) inviteCancel() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel [CONTACT]",
		Short:   "Take back an invitation that was not used, and forget it",
		Example: "  backchannel invite cancel 3",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var d control.Done
			if err := a.call(cmd, "invite/cancel", control.NameRequest{Name: name}, &d); err != nil {
				return err
			}
			return a.answer(d, func() { a.say("Taken back. The line leads nowhere now.") })
		},
	}
}

// contactArg returns the contact that a command is about: its number or name
// from the arguments, or what is typed. A name on a command line stays in the
// shell's history and can be seen by others on this machine; a number says
// nothing.
func (a *app) contactArg(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return a.in.ask("Contact (name or number): ")
}
