package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/charter"
)

func (a *app) channelShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show CONTACT NUMBER",
		Short:   "Show what is agreed, and what waits for an answer",
		Example: "  backchannel channel show 1 2",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ans, err := a.channelArgs(cmd, args)
			if err != nil {
				return err
			}
			return a.answer(ans, func() { a.printChannel(ans) })
		},
	}
}

// printChannel says how a channel stands, and what the other side could still do.
func (a *app) printChannel(ans control.ChannelAnswer) {
	c, who := ans.Channel, cleanLine(ans.Contact.Name)
	switch c.State {
	case "burned":
		a.say("Channel %d was burned here. All that is kept is that its number was used.", c.Number)
		return
	case "withheld":
		a.say("Channel %d is not shown: this machine's clock says that its deadline has come, and others\nsay that it has not. Nothing of it was burned. Set the clock.", c.Number)
		return
	case "open":
		a.say("Channel %d is open. Both of you accepted this text:", c.Number)
	case "closed":
		by := who
		if c.YouClosed {
			by = "you"
		}
		a.say("Channel %d was closed by %s. Nothing flows in it any more; it is burned at its deadline.", c.Number, by)
	case "declined":
		a.say("Channel %d was declined. It is burned at its deadline.", c.Number)
	default:
		a.say("Channel %d: nothing is agreed yet, and nothing flows.", c.Number)
	}
	if c.Agreed != nil {
		a.printCharter(a.say, *c.Agreed)
	}
	if c.State == "open" && c.Agreed.Route != "direct" && ans.Route != "relayed" {
		a.say("! Its messages go over relays alone. Nothing flows before you say so: %s",
			a.here(strings.Replace("backchannel route set 1 relayed", "1", itoa(int(ans.Contact.Number)), 1)))
	}
	if c.Agreed != nil && c.Agreed.Deadline != c.Deadline {
		a.say("  They accepted this text after you had closed or taken it back: here all is burned at %s.", longTime(c.Deadline))
	}
	if c.Yours != nil {
		a.say("Your draft %d waits for %s:", c.Yours.Draft, who)
		a.printCharter(a.say, *c.Yours)
		if c.YouClosed {
			a.say("  You closed the channel. They can still accept this text; that moves no deadline on.")
		}
		if c.Withdrawn {
			a.say("  You took it back. If they had accepted it before, it is agreed all the same; once their machine has that you took it back, accepting moves no deadline on.")
		}
	}
	if c.Theirs != nil {
		a.say("%s proposes draft %d; contact: %s:", who, c.Theirs.Draft, ans.Contact.Verified)
		a.printCharter(a.say, *c.Theirs)
		a.advise("  accept this text         %s\n  decline it               %s\n  change it and send back  %s", a.channelHint("backchannel channel accept 1 2", ans),
			a.channelHint("backchannel channel decline 1 2", ans), a.channelHint("backchannel channel amend 1 2 --until 14d", ans))
	}
	a.warnClock(c)
	a.advise("At the deadline both machines burn it. What %s copied before, %s can keep.", who, who)
}

func (a *app) warnClock(c control.Channel) {
	switch c.Clock {
	case "ahead", "behind", "put back":
		a.say("! This machine's clock is wrong (%s). Until it is set, nothing can be agreed on.", c.Clock)
	}
}

// changed changes a channel, and returns how it stands after that: in an answer of its
// own, because what one leaves out would stay in another.
func (a *app) changed(cmd *cobra.Command, call string, request control.ChannelRequest) (ans control.ChannelAnswer, err error) {
	err = a.call(cmd, call, request, &ans)
	return ans, err
}

// answerDraft accepts or declines what is shown in the same breath.
func (a *app) answerDraft(call, question, done string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ans, err := a.channelArgs(cmd, args)
		if err != nil {
			return err
		}
		if ans.Channel.Theirs == nil {
			return control.Describe(charter.ErrNothing)
		}
		if !a.json {
			a.printCharter(a.note, *ans.Channel.Theirs)
		}
		if err := a.sure(question); err != nil {
			return err
		}
		request := control.ChannelRequest{Name: itoa(int(ans.Contact.Number)), Number: ans.Channel.Number, Digest: ans.Channel.Theirs.Digest}
		if ans, err = a.changed(cmd, call, request); err != nil {
			return err
		}
		return a.answer(ans, func() { a.say("%s", done) })
	}
}

func (a *app) channelAcceptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accept CONTACT NUMBER",
		Short: "Accept the draft of the other side",
		Long: `Accept the draft of the other side, exactly as it is shown. With the first one
the channel opens; a later one takes the place of what was agreed.`,
		Example: "  backchannel channel accept 1 2", Args: cobra.ExactArgs(2),
		RunE: a.answerDraft("channel/accept", "Accept exactly this text? y/N: ", "Accepted. Both of you agreed on this same text. They could keep a copy past the deadline."),
	}
}

func (a *app) channelDeclineCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "decline CONTACT NUMBER",
		Short: "Decline the draft of the other side",
		Long: `Decline the draft of the other side, who is told. What was agreed before stays;
if nothing was, the channel has ended.`,
		Example: "  backchannel channel decline 1 2", Args: cobra.ExactArgs(2),
		RunE: a.answerDraft("channel/decline", "Decline it? y/N: ", "Declined. They are told so, and no reason."),
	}
}

func (a *app) channelAmendCommand() *cobra.Command {
	var f termFlags
	var texts, withdraw bool
	c := &cobra.Command{
		Use:   "amend CONTACT NUMBER",
		Short: "Propose other terms, or take your draft back",
		Long: `Propose other terms: in place of what is agreed, or of their draft, which is
declined by it. What no flag changes stays as it was. They count when the other
side has accepted them. A later deadline is an extension: extensions are
counted, and both of you see how many there were.

Propose an extension in good time: what they accept in the last minutes may
reach your machine after it has burned the channel.`,
		Example: "  backchannel channel amend 1 2 --until 21d\n  backchannel channel amend 1 2 --withdraw",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ans, err := a.channelArgs(cmd, args)
			if err != nil {
				return err
			}
			request := control.ChannelRequest{Name: itoa(int(ans.Contact.Number)), Number: ans.Channel.Number, Withdraw: withdraw}
			if !withdraw {
				t, err := a.amended(ans.Channel, f, texts)
				if err != nil {
					return err
				}
				request.Terms = &t
				if err := a.sure("Send it? It counts when they accept this same text. y/N: "); err != nil {
					return err
				}
			}
			if ans, err = a.changed(cmd, "channel/amend", request); err != nil {
				return err
			}
			return a.answer(ans, func() {
				if withdraw {
					a.say("Taken back. If they accepted it before they learn of it, it is agreed all the same.")
					return
				}
				a.say("Proposed. It counts when %s has accepted this same text; until then all is as before.", quoted(ans.Contact.Name))
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&texts, "texts", false, "ask for another name and purpose")
	c.Flags().BoolVar(&withdraw, "withdraw", false, "take your draft back")
	return c
}

// amended are the terms that stand, with what was given changed.
func (a *app) amended(c control.Channel, f termFlags, texts bool) (t control.Charter, err error) {
	switch {
	case c.Theirs != nil:
		t = *c.Theirs
	case c.Agreed != nil:
		t = *c.Agreed
	case c.Yours != nil:
		return t, control.Describe(charter.ErrWaiting)
	default:
		return t, control.Describe(charter.ErrEnded)
	}
	t.Extensions = 0
	if t.Route == control.Word(charter.RouteOne.String()) {
		t.Route = "relays"
	}
	if texts {
		if t.Name, err = a.in.ask("Name (both of you see it): "); err != nil {
			return t, err
		}
		if t.Purpose, err = a.in.ask("Purpose, one line: "); err != nil {
			return t, err
		}
	}
	if t, err = f.over(t); err == nil && !a.json {
		a.printCharter(a.note, t)
	}
	return t, err
}

func (a *app) channelCloseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "close CONTACT NUMBER",
		Short: "End a channel before its deadline",
		Long: `End a channel before its deadline. Nothing flows in it any more. What was said
stays readable on both sides until the deadline, and is burned then. To burn
your copy at once: backchannel burn --channel NUMBER`,
		Example: "  backchannel channel close 1 2",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ans, err := a.channelArgs(cmd, args)
			if err != nil {
				return err
			}
			request := control.ChannelRequest{Name: itoa(int(ans.Contact.Number)), Number: ans.Channel.Number}
			if ans, err = a.changed(cmd, "channel/close", request); err != nil {
				return err
			}
			return a.answer(ans, func() {
				a.say("Closed. They are told. Both copies are burned at the deadline, %s.", longTime(ans.Channel.Deadline))
			})
		},
	}
}

func (a *app) channelListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list [CONTACT]",
		Short:   "List the channels, with one contact or with all",
		Example: "  backchannel channel list\n  backchannel channel list 1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var request control.NameRequest
			if len(args) > 0 {
				request.Name = args[0]
			}
			var ans control.ChannelsAnswer
			if err := a.call(cmd, "channel/list", request, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				if len(ans.Channels) == 0 {
					a.say("There are no channels beside the conversations that need no charter.")
				}
				for _, c := range ans.Channels {
					a.say("%s", channelLine(c))
				}
			})
		},
	}
}

func channelLine(c control.Channel) string {
	line := itoa(int(c.ContactNo)) + " " + itoa(int(c.Number)) + "  " + cleanLine(c.Contact) + ": "
	for _, t := range []*control.Charter{c.Agreed, c.Theirs, c.Yours} {
		if t != nil {
			line += cleanLine(t.Name) + ", "
			break
		}
	}
	line += string(c.State)
	if c.Deadline != "" {
		line += ", until " + longTime(c.Deadline)
	}
	if c.Theirs != nil {
		line += ", their draft waits for your answer"
	}
	if c.Yours != nil {
		line += ", your draft waits for theirs"
	}
	return line
}
