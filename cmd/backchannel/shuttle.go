package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
)

func (a *app) shuttleCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "shuttle",
		Short: "Carry texts and sealed offers between two who do not speak",
		Long: `A mediator is a contact of both, who do not speak with each other. He carries
texts without their sender, when he releases them; and he can have both seal
an offer, so that neither is read before both are fixed.

A mediator reads the texts that he carries, and can change them. He can hold
back anything. What he can do about sealed offers stands in the help of
backchannel shuttle offer.`,
		Example: "  backchannel shuttle show\n  backchannel shuttle offer 1",
	}
	c.AddCommand(a.shuttleOpenCommand(), a.shuttleOfferCommand(), a.shuttleReleaseCommand(), a.shuttleDropCommand(), a.shuttleShowCommand())
	return c
}

func (a *app) shuttleOpenCommand() *cobra.Command {
	var until string
	c := &cobra.Command{
		Use:   "open CONTACT CONTACT",
		Short: "As the mediator, ask two contacts for sealed offers",
		Long: `As the mediator, ask two contacts for sealed offers about a subject, which both
read. Neither is told who the other is. You see when each has sealed, and not
what; you release both at once, or neither.

They are told what you could do: hold back, and play the other side to each of
them. Your program does the first only if you do not release, and never the
second.`,
		Example: "  backchannel shuttle open 1 2 --until 48h",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args { // looked up first: nobody types a subject in vain
				var ans control.ContactAnswer
				if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &ans); err != nil {
					return err
				}
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			if until == "" {
				var err error
				if until, err = a.in.ask("Until when? In UTC, as 2026-11-30 12:00; or from now, as 48h: "); err != nil {
					return err
				}
			}
			end, ok := untilTime(until, time.Now())
			if !ok {
				return usage("the end is not a moment to come", "backchannel shuttle open 1 2 --until 48h")
			}
			subject, err := a.in.ask("Subject, which both read: ")
			if err != nil {
				return err
			}
			request := control.ShuttleOpenRequest{First: args[0], Second: args[1], Subject: strings.TrimSpace(subject), Until: end.Format(time.RFC3339)}
			var done control.Done
			if err := a.call(cmd, "shuttle/open", request, &done); err != nil {
				return err
			}
			return a.answer(done, func() {
				a.say("Both are asked for an offer, until %s.\nYou will see when each has sealed, and not what.", longTime(request.Until))
				a.advise("  look                     %s", a.here("backchannel shuttle show"))
			})
		},
	}
	c.Flags().StringVar(&until, "until", "", "end in UTC, as 2026-11-30T12:00; or 48h")
	return c
}

func (a *app) shuttleOfferCommand() *cobra.Command {
	var file string
	var carry bool
	c := &cobra.Command{
		Use:   "offer [CONTACT]",
		Short: "Seal an offer for a mediator, or hand him a text to carry",
		Long: `Seal the offer that a mediator has asked for. It is fixed then, and opened only
together with the other side's. It is typed after a prompt, ended with a line
that holds a single dot, or read from standard input or a file.

What holds, and what does not:

  A mediator who carries honestly    reads neither offer, also afterwards, and
                                     changes none. He sees that there are two.
  Every mediator                     can hold back: the other side's offer, or
                                     the opening of both.
  One who plays the other side       reads your offer, and fixes one of his own
  to each of you                     before. Only words show it, if you ever
                                     compare them with the other side by a way
                                     that he does not control. Two who share
                                     nothing cannot have more.
  The other side                     can fix what is no offer. When the mediator
                                     opens both, it reads yours and shows
                                     nothing. He cannot see that before; your
                                     machine tells you afterwards.

The mediator opens both before the end. What he opened then may reach one of you
after it.

With --carry a text is handed over instead, to be carried to somebody else. The
mediator reads it, can change it and holds it until he releases it; it goes on
without your name. How it is written may tell who wrote it.`,
		Example: "  backchannel shuttle offer 1 --file offer.txt\n  backchannel shuttle offer 1 --carry",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var now control.ShuttlesAnswer // looked up first: nobody writes a text in vain
			if err := a.call(cmd, "shuttle/show", control.NameRequest{Name: name}, &now); err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			return a.sealedOffer(cmd, now.Contacts[0], file, carry)
		},
	}
	c.Flags().StringVar(&file, "file", "", "file that holds the text; - for standard input")
	c.Flags().BoolVar(&carry, "carry", false, "hand over a text to be carried, and seal nothing")
	return c
}

// sealedOffer says what a mediator can do, reads a text and hands it over.
func (a *app) sealedOffer(cmd *cobra.Command, now control.ContactShuttles, file string, carry bool) error {
	who := quoted(now.Contact.Name)
	request := control.ShuttleOfferRequest{Name: itoa(int(now.Contact.Number)), Carry: carry}
	if carry {
		a.note("%s reads this text, can change it, and carries it on or not. Your name does not go with it.", who)
	} else {
		asked, err := offerAsked(now.Shuttles)
		if err != nil {
			return err
		}
		request.Number = asked.Number // what is typed is about this, whatever else is asked for meanwhile
		a.note("Offer about: %s\nUntil %s.", cleanLine(asked.Subject), longTime(asked.Until))
		a.note("It cannot be changed once it is sealed. %s can hold it back. If %s carries honestly,\nnobody but the other side reads it, and only together with theirs.", who, who)
		a.note("! A mediator who plays the other side reads it. Only words that you compare with the\n  other side by another way show that; they are there when both offers are open.")
	}
	text, err := a.text(file)
	if err != nil {
		return err
	}
	var done control.Done
	request.Text = strings.TrimRight(text, "\n")
	if err := a.call(cmd, "shuttle/offer", request, &done); err != nil {
		return err
	}
	return a.answer(done, func() {
		if carry {
			a.say("Handed over. Whether and when it goes on is for %s to decide; you are not told.", who)
			return
		}
		a.say("Sealed. It is opened when the other side has sealed, too, and %s releases both.", who)
	})
}

// offerAsked is the exchange in which an offer is sealed next: the latest one that waits
// for it.
func offerAsked(list []control.Shuttle) (control.Shuttle, error) {
	refused := channel.ErrNoCall
	for _, s := range slices.Backward(list) {
		switch s.State {
		case "waits for your offer":
			return s, nil
		case "your offer is sealed", "both are sealed":
			refused = channel.ErrOfferSealed
		}
	}
	return control.Shuttle{}, control.Describe(refused)
}

func (a *app) shuttleReleaseCommand() *cobra.Command {
	var to string
	var exchange uint64
	c := &cobra.Command{
		Use:   "release [CONTACT] [NUMBER]",
		Short: "As the mediator, carry a text on, or open both offers",
		Long: `As the mediator, carry a text of a contact on to another one (--to), or, without
a number, open both offers of the latest exchange with the contact in which both
have sealed, or of the one that --exchange names.

A text goes on as it came, without its sender, and is forgotten here. Offers are
opened for both at once. You read neither.`,
		Example: "  backchannel shuttle release 1 7 --to 2\n  backchannel shuttle release 1",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			request := control.ShuttleReleaseRequest{Name: name, Exchange: exchange}
			if to != "" && len(args) < 2 { // else it would open offers, for good
				return usage("a text is carried by its number", "backchannel shuttle show; then: backchannel shuttle release CONTACT NUMBER --to CONTACT")
			}
			if len(args) == 2 {
				if exchange != 0 {
					return usage("a text is released, or an exchange, not both", "backchannel shuttle release --help")
				}
				if request.Number, err = strconv.ParseUint(args[1], 10, 64); err != nil || request.Number == 0 {
					return usage("the second argument is the number of a text", "backchannel shuttle show")
				}
				if request.To = to; to == "" {
					if request.To, err = a.in.ask("To whom (name or number): "); err != nil {
						return err
					}
				}
			}
			var done control.Done
			if err := a.call(cmd, "shuttle/release", request, &done); err != nil {
				return err
			}
			return a.answer(done, func() {
				if request.Number == 0 {
					a.say("Released: each gets the other's offer. You have read neither.")
					return
				}
				a.say("Carried on, without its sender, and forgotten here.")
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "contact that a text is carried to")
	c.Flags().Uint64Var(&exchange, "exchange", 0, "number of the exchange whose offers are opened")
	return c
}

func (a *app) shuttleShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [CONTACT]",
		Short: "Show sealed offers and texts that are carried",
		Long: `Show sealed offers and texts that came by shuttle, with one contact or with all.
A text that came is one that the contact hands you to carry, or carries to you:
nothing in it says whose it is.`,
		Example: "  backchannel shuttle show",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := control.NameRequest{}
			if len(args) == 1 {
				request.Name = args[0]
			}
			var ans control.ShuttlesAnswer
			if err := a.call(cmd, "shuttle/show", request, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() { a.printShuttles(ans) })
		},
	}
}

func (a *app) printShuttles(ans control.ShuttlesAnswer) {
	some := false
	shown := map[[4]string]int{} // an exchange stands with both of the two; there may be more of one subject
	for _, c := range ans.Contacts {
		for _, s := range c.Shuttles {
			some = true
			if with := [4]string{s.Between, c.Contact.Name, s.Subject, s.Until}; s.Mediator && shown[with] > 0 {
				shown[with]--
				continue
			}
			shown[[4]string{c.Contact.Name, s.Between, s.Subject, s.Until}]++
			a.printShuttle(c.Contact, s)
		}
		for _, t := range c.Texts {
			some = true
			a.sayFolded(hang, "%4d  %s  by %s: %s", t.Number, localTime(t.Time), cleanLine(c.Contact.Name), standIn(t.Text))
		}
	}
	if !some {
		a.say("Nothing is carried.")
	}
}

func (a *app) printShuttle(c control.Contact, s control.Shuttle) {
	number := itoa(int(c.Number))
	if s.Mediator {
		a.sayFolded(4, "%3s  exchange %d between %s and %s, until %s: %s", number, s.Number, quoted(c.Name), quoted(s.Between), longTime(s.Until), s.State)
		a.sayFolded(4, "     about: %s", cleanLine(s.Subject))
		if s.State == "both are sealed and wait for you" {
			a.advise("     open them for both   %s", a.here("backchannel shuttle release "+number))
		}
		return
	}
	a.sayFolded(4, "%3s  exchange %d, mediator %s, until %s: %s", number, s.Number, quoted(c.Name), longTime(s.Until), s.State)
	a.sayFolded(4, "     about: %s", cleanLine(s.Subject))
	if s.Own != "" {
		a.sayFolded(hang, "     you offer: %s", standIn(s.Own))
	}
	switch s.State {
	case "waits for your offer":
		a.advise("     seal one             %s", a.here("backchannel shuttle offer "+number))
	case "your offer is sealed", "both are sealed":
		a.say("     %s can hold back what comes next, and nobody can tell it from a delay.", quoted(c.Name))
	case "both are open":
		a.sayFolded(hang, "     the other side offers: %s", standIn(s.Theirs))
		a.say("     your words:  %s\n     their words: %s", strings.Join(s.OwnWords, " "), strings.Join(s.TheirWords, " "))
		a.say("     Until you compare them with the other side, by a way that %s does not\n     control, only the mediator's word says that this is their offer. If they fit, the mediator\n     has read neither offer and changed neither. Nothing here proves anything to others.", quoted(c.Name))
	}
}
