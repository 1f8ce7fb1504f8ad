package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/identity"
)

func (a *app) contactCommand() *cobra.Command {
	c := &cobra.Command{Use: "contact", Short: "List contacts, compare words, introduce two, rename, remove"}
	c.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the contacts", Example: "  backchannel contact list", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				var ans control.ContactsAnswer
				if err := a.call(cmd, "contact/list", control.Empty{}, &ans); err != nil {
					return err
				}
				return a.answer(ans, func() { a.printContacts(ans.Contacts) })
			},
		},
		&cobra.Command{
			Use: "show [CONTACT]", Short: "Show one contact", Example: "  backchannel contact show 1", Args: cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return a.contactShow(cmd, args) },
		},
		&cobra.Command{
			Use: "resume [CONTACT]", Short: "Go on after a recovery without comparing words",
			Example: "  backchannel contact resume 1", Args: cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return a.contactResume(cmd, args) },
		},
		a.verifyCommand(), a.renameCommand(), a.removeCommand(),
		a.introduceCommand(), a.introductionsCommand(), a.acceptCommand(), a.declineCommand(),
	)
	return c
}

func (a *app) contactShow(cmd *cobra.Command, args []string) error {
	name, err := a.contactArg(args)
	if err != nil {
		return err
	}
	var ans control.ContactAnswer
	if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &ans); err != nil {
		return err
	}
	route := a.routeTo(cmd, ans.Contact)
	return a.answer(ans, func() {
		c := ans.Contact
		a.printContacts([]control.Contact{c})
		a.say("     invitation: %s, made %s", c.Invitation, longTime(c.Made))
		if c.Strict {
			a.say("     strict: even a live listener learns nothing that convinces others; a thief of keys can pose as them to you")
		}
		switch {
		case c.Reachable:
			a.say("     this machine can dial theirs")
		case route.Agreed:
			a.say("     reached over relays: neither machine has to be dialled")
		case route.Route == "relayed":
			a.say("     to be reached over relays, when keys are agreed there")
		default:
			a.say("     theirs must dial this machine")
		}
	})
}

func (a *app) contactResume(cmd *cobra.Command, args []string) error {
	name, err := a.contactArg(args)
	if err != nil {
		return err
	}
	if !a.yes && a.in.terminal() {
		ok, err := a.in.ask("The words have not been compared since the recovery. Go on all the same? [y/N] ")
		if err != nil || !strings.EqualFold(strings.TrimSpace(ok), "y") {
			return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "nothing was changed", Hint: "backchannel contact verify"}
		}
	}
	var d control.Done
	if err := a.call(cmd, "contact/resume", control.NameRequest{Name: name}, &d); err != nil {
		return err
	}
	return a.answer(d, func() { a.say("You said to go on. Sending resumes when they say so, too.") })
}

func (a *app) verifyCommand() *cobra.Command {
	var digits, show, renew bool
	c := &cobra.Command{
		Use:   "verify [CONTACT]",
		Short: "Compare words by voice",
		Long: `Compare words by voice. You read three words aloud, and type the three that you
hear. Call them, or meet: a voice you know, not a message. Your own check makes
the contact verified for you; theirs is their own.

If somebody sits between you, the words fit with a chance of 1 in 8 thousand
million. After three misses the words are thrown away.`,
		Example: "  backchannel contact verify 1\n  backchannel contact verify 1 --digits",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			words, err := a.waitWords(cmd, name, renew)
			if err != nil {
				return err
			}
			if show {
				return a.answer(words, func() { a.printWords(words, digits) })
			}
			if !a.json {
				a.printWords(words, digits)
			}
			return a.compare(cmd, name, digits)
		},
	}
	c.Flags().BoolVar(&digits, "digits", false, "compare ten digits instead, between two languages")
	c.Flags().BoolVar(&show, "show", false, "only show what you read aloud")
	c.Flags().BoolVar(&renew, "new", false, "draw new words first")
	return c
}

// waitWords asks for the words until both machines have exchanged what is
// behind them, or the time is over.
func (a *app) waitWords(cmd *cobra.Command, name string, renew bool) (control.WordsAnswer, error) {
	end := time.Now().Add(a.timeout)
	for told := false; ; {
		var w control.WordsAnswer
		err := a.call(cmd, "contact/words", control.WordsRequest{Name: name, Renew: renew}, &w)
		if err == nil {
			return w, nil
		}
		if control.Describe(err).Code != "no_words" || time.Now().After(end) {
			return w, err
		}
		renew = false
		if !told && !a.quiet {
			a.note("Waiting until the two machines have been connected once, at most %s…", a.timeout)
			told = true
		}
		select {
		case <-cmd.Context().Done():
			return w, context.Canceled
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (a *app) printWords(w control.WordsAnswer, digits bool) {
	out := a.note
	out("Call them, or meet. A voice you know, not a message.\n")
	if digits {
		out("  You read these aloud:\n\n        %s\n", w.Digits)
		return
	}
	out("  You read these aloud:\n\n        %s\n", strings.ToUpper(strings.Join(w.Words, "      ")))
}

// compare asks for what was heard and has it compared, until it fits, the tries
// are over or the person stops.
func (a *app) compare(cmd *cobra.Command, name string, digits bool) error {
	for {
		request := control.CompareRequest{Name: name}
		var err error
		if digits {
			request.Digits, err = a.in.ask("  They read theirs. Type the digits: ")
		} else {
			request.Words, err = a.heardWords()
		}
		if err != nil {
			return err
		}
		var ans control.CompareAnswer
		if err := a.call(cmd, "contact/compare", request, &ans); err != nil {
			return err
		}
		if ans.Match {
			return a.answer(ans, func() {
				a.say("All fit. This contact is now: words compared by voice.")
				a.advise("Tell them to type yours, too: their machine cannot take yours for it.")
			})
		}
		for i, fit := range ans.Fit {
			if !digits && !fit && i < identity.WordCount {
				a.note("Word %d does not fit.", i+1)
			}
		}
		if ans.TriesLeft == 0 {
			return &control.Error{
				Code: "words_do_not_fit", Exit: control.ExitCheckFailed,
				Message: "the words do not fit three times; they were thrown away and the contact stays not verified",
				Hint:    "meet in person, or make a new invitation by another route: backchannel invite new",
			}
		}
		a.note("Either you misheard, or somebody sits between you. Ask them to spell it.\nTries left: %d.", ans.TriesLeft)
		if !a.in.terminal() {
			return &control.Error{
				Code: "words_do_not_fit", Exit: control.ExitCheckFailed,
				Message: "the words do not fit; the contact stays not verified", Hint: "backchannel contact verify",
			}
		}
	}
}

// heardWords asks for three words, one by one or all in one line. One that is not
// in the list is a typing error: it is asked for again and costs nothing.
func (a *app) heardWords() ([]string, error) {
	switch {
	case a.in.completes():
		a.note("  They read theirs. Type what you hear (Tab completes after two letters):")
	case a.in.terminal():
		a.note("  They read theirs. Type what you hear:")
	}
	words := make([]string, 0, identity.WordCount)
	for misses := 0; len(words) < identity.WordCount; {
		typed, err := a.in.askWord("        " + itoa(len(words)+1) + " ")
		if err != nil {
			return nil, err
		}
		found, ok := findWords(typed, identity.WordCount-len(words))
		words = append(words, found...)
		if ok {
			continue
		}
		if misses++; misses == 10 {
			return nil, usage("that is not a word of the list", "backchannel contact verify --digits")
		}
		a.note("  That is not a word of the list; it costs nothing. Once more, from word %d:", len(words)+1)
	}
	return words, nil
}

// findWords finds the words of a line, up to the first that is not in the list.
func findWords(line string, most int) (words []string, ok bool) {
	fields := strings.Fields(line)
	for _, f := range fields {
		word, found := identity.FindWord(f)
		if !found || len(words) == most {
			return words, false
		}
		words = append(words, word)
	}
	return words, len(fields) > 0
}
