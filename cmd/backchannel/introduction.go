package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
)

func (a *app) introduceCommand() *cobra.Command {
	var life time.Duration
	c := &cobra.Command{
		Use:   "introduce [CONTACT] [CONTACT]",
		Short: "Bring two of your contacts together, if both want it",
		Long: `Bring two of your contacts together. Each is asked first, without the other's
name, keys or address: all that is read of the other is the line that you
write. Nothing passes from one to the other until both have said yes.

Then their machines agree on fresh keys, and yours drops out. You will know
that they were introduced, and what both answered: once both have, or when the
time is over. You cannot read what they say. You could have sat in the middle:
both are told so, and rule it out by comparing words.`,
		Example: "  backchannel contact introduce 1 2\n  backchannel contact introduce 1 2 --life 24h",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			both, err := a.twoContacts(cmd, args)
			if err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			return a.introduce(cmd, both, life)
		},
	}
	c.Flags().DurationVar(&life, "life", 72*time.Hour, "their time to answer, at most 336h")
	return c
}

// twoContacts reads and looks up whom to introduce, before anything is written.
func (a *app) twoContacts(cmd *cobra.Command, args []string) (both [2]control.Contact, err error) {
	for i, prompt := range []string{"Introduce whom (name or number)? ", "To whom (name or number)? "} {
		var name string
		if i < len(args) {
			name = args[i]
		} else if name, err = a.in.ask(prompt); err != nil {
			return both, err
		}
		var ans control.ContactAnswer
		if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &ans); err != nil {
			return both, err
		}
		both[i] = ans.Contact
	}
	if both[0].Number == both[1].Number {
		return both, control.Describe(node.ErrSameContact)
	}
	return both, nil
}

func (a *app) introduce(cmd *cobra.Command, both [2]control.Contact, life time.Duration) error {
	names := [2]string{cleanLine(both[0].Name), cleanLine(both[1].Name)}
	for _, c := range both {
		if c.Verified != control.Word(channel.WordsCompared.String()) {
			a.note("! the words were not compared with %s: you may be introducing somebody else.", quoted(c.Name))
		}
	}
	request := control.IntroduceRequest{First: itoa(int(both[0].Number)), Second: itoa(int(both[1].Number)), Seconds: int64(life / time.Second)}
	var err error
	if request.FirstReads, err = a.in.ask("What " + names[0] + " will read of " + names[1] + ": "); err != nil {
		return err
	}
	if request.SecondReads, err = a.in.ask("What " + names[1] + " will read of " + names[0] + ": "); err != nil {
		return err
	}
	a.note("Each is asked first, without the other's name or key. Nothing passes until both say yes.\n"+
		"You learn yes or no from each once both have answered, or after %s.", longTime(time.Now().Add(life).Format(time.RFC3339)))
	if !a.yes && a.in.terminal() {
		ok, err := a.in.ask("Send? [y/N] ")
		if err != nil || !strings.EqualFold(strings.TrimSpace(ok), "y") {
			return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "nothing was sent", Hint: "backchannel contact introduce"}
		}
	}
	var ans control.IntroduceAnswer
	if err := a.call(cmd, "contact/introduce", request, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		a.say("Both are being asked. They have until %s.", longTime(ans.Introduction.Until))
		a.advise("  see how it stands   %s", a.here("backchannel contact introductions"))
	})
}

func (a *app) introductionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "introductions",
		Short: "List what you are offered, and whom you introduce",
		Long: `List the introductions that you are offered, and those that you make. Of an
offer nothing is known but the line that your contact wrote. If nothing comes of
one that you accepted, you learn it when its time is over, and not why: a no
of the other and their silence look the same.`,
		Example: "  backchannel contact introductions\n  backchannel contact introductions --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ans control.IntroductionsAnswer
			if err := a.call(cmd, "contact/introductions", control.Empty{}, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				if len(ans.Offered)+len(ans.Made) == 0 {
					a.say("No introductions.")
				}
				for _, o := range ans.Offered {
					a.printOffer(o)
				}
				for _, x := range ans.Made {
					a.printIntroduction(x)
				}
			})
		},
	}
}

func (a *app) printOffer(o control.Offer) {
	a.sayFolded(2, "%s (%d, %s) offers to introduce %s", cleanLine(o.Contact.Name), o.Contact.Number, verifiedLine(o.Contact), quoted(o.Text))
	switch arg := " " + itoa(int(o.Contact.Number)) + " " + strconv.FormatUint(o.Number, 10); o.State {
	case "waits for your answer":
		a.say("  until %s: %s", longTime(o.Until), o.State)
		a.advise("  say yes             %s\n  say no              %s", a.here("backchannel contact accept"+arg), a.here("backchannel contact decline"+arg))
	case "accepted by you":
		a.say("  until %s: %s; nothing is known of the other", longTime(o.Until), o.State)
	case "both said yes":
		a.say("  until %s: %s, and something is in the way here: %s", longTime(o.Until), o.State, o.Trouble.Message)
		if o.Trouble.Hint != "" {
			a.advise("  %s", a.here(o.Trouble.Hint))
		}
	case "met":
		if o.New == nil {
			a.say("  both said yes; the contact was removed since")
			break
		}
		a.say("  both said yes: contact %d, %s, %s", o.New.Number, cleanLine(o.New.Name), verifiedLine(*o.New))
		a.advise("  %s could sit between you; this rules it out:\n  compare words       %s", cleanLine(o.Contact.Name), a.here("backchannel contact verify "+itoa(int(o.New.Number))))
	default:
		a.say("  %s", o.State)
	}
}

func (a *app) printIntroduction(x control.Introduction) {
	one, other := x.Between[0], x.Between[1]
	a.sayFolded(2, "you introduce %s (%d) and %s (%d), until %s: %s", cleanLine(one.Contact.Name), one.Contact.Number,
		cleanLine(other.Contact.Name), other.Contact.Number, longTime(x.Until), x.State)
	for _, i := range x.Between {
		switch i.Answer {
		case "":
			a.sayFolded(4, "  %s reads: %s", cleanLine(i.Contact.Name), quoted(i.Reads))
		case "none":
			a.say("  %s did not answer", cleanLine(i.Contact.Name))
		default:
			a.say("  %s said %s", cleanLine(i.Contact.Name), i.Answer)
		}
	}
	switch x.State {
	case "waits for their answers":
		a.advise("  What one of them said is shown when both have answered, or the time is over.")
	case "being passed on":
		a.advise("  Their machines agree on keys through yours, which cannot read them.")
	case "done":
		a.advise("  You are no longer in the middle. You know that they were introduced, and no more.")
	}
}

func (a *app) acceptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accept [CONTACT] [NUMBER]",
		Short: "Say yes to an introduction that a contact offers",
		Long: `Say yes to an introduction that a contact offers. The name for the new contact
is asked for; only you see it. Who offers learns that you said yes, when the
other has answered or the time is over; the other learns nothing unless they say
yes, too. Then there is a new contact with fresh keys, marked "introduced, not
compared".

Who introduces you could sit between the two of you, and read and change
everything. Compare words with the new contact to rule it out. Without a number
the only offer of this contact that waits is meant.`,
		Example: "  backchannel contact accept 1\n  backchannel contact accept 1 2",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := a.offer(cmd, args)
			if err != nil {
				return err
			}
			who := cleanLine(o.Contact.Name)
			a.note("%s (%s) offers to introduce %s.\n"+
				"If you say yes, %s learns that you would talk. If the other says yes, too, you get a new\n"+
				"contact, marked \"introduced by %s, not compared\". %s could sit between you: compare\n"+
				"words with the new contact to rule that out.", who, verifiedLine(o.Contact), quoted(o.Text), who, who, who)
			name, err := a.in.ask("Name for the new contact (only you see this): ")
			if err != nil {
				return err
			}
			var ans control.OfferAnswer
			request := control.AnswerRequest{Name: itoa(int(o.Contact.Number)), Number: o.Number, Yes: true, As: name}
			if err := a.call(cmd, "contact/answer", request, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				a.say("You said yes. If the other does, too, there is a new contact, %s, by itself.", quoted(ans.Offer.Name))
				a.advise("If not, you are told after %s that nothing came of it,\nand not why: a no and a silence look the same.", longTime(ans.Offer.Until))
			})
		},
	}
}

func (a *app) declineCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "decline [CONTACT] [NUMBER]",
		Short: "Say no to an introduction that a contact offers",
		Long: `Say no to an introduction that a contact offers. Who offers learns it, when the
other has answered or the time is over. The other does not: a no and a silence
look the same, and even that nothing came of it is told at the end and not
before.`,
		Example: "  backchannel contact decline 1\n  backchannel contact decline 1 2",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := a.offer(cmd, args)
			if err != nil {
				return err
			}
			var ans control.OfferAnswer
			request := control.AnswerRequest{Name: itoa(int(o.Contact.Number)), Number: o.Number}
			if err := a.call(cmd, "contact/answer", request, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				a.say("You said no. The other sees what they would see if you had not answered.")
				a.advise("%s's machine is told, and shows it when both have answered or the time is over.", cleanLine(o.Contact.Name))
			})
		},
	}
}

// offer finds what an answer is about, before anything is asked.
func (a *app) offer(cmd *cobra.Command, args []string) (control.Offer, error) {
	name, err := a.contactArg(args)
	if err != nil {
		return control.Offer{}, err
	}
	number := uint64(0)
	if len(args) > 1 {
		if number, err = strconv.ParseUint(args[1], 10, 64); err != nil || number == 0 {
			return control.Offer{}, usage("the second argument is an introduction's number", "backchannel contact introductions")
		}
	}
	if err := a.canWrite(cmd); err != nil {
		return control.Offer{}, err
	}
	var ans control.OfferAnswer
	err = a.call(cmd, "contact/offer", control.AnswerRequest{Name: name, Number: number}, &ans)
	return ans.Offer, err
}
