package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
)

func (a *app) mandateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "mandate",
		Short: "Show one listener for whom you speak, or check who speaks for whom",
		Long: `A mandate says what an envoy may speak about, for whom, and until when. It
convinces the one listener it was made for, and nobody else: the listener's own
machine could have made it.

  authority   makes a key once (key), answers requests by file (issue), and can
              take back its word (withdraw). It needs no node and no network
  envoy       asks (request), takes the answer in (import), and shows it (show)
  listener    checks (check), and compares the words of the authority's key by
              a path that is not the envoy.`,
		Example: "  backchannel mandate list 1\n  backchannel mandate check 1",
	}
	c.AddCommand(
		a.mandateKeyCommand(), a.mandateRequestCommand(), a.mandateIssueCommand(), a.mandateImportCommand(),
		a.mandateShowCommand(), a.mandateListCommand(), a.mandateCheckCommand(), a.mandateWithdrawCommand(),
	)
	return c
}

func (a *app) mandateShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [CONTACT] [NUMBER]",
		Short: "Show a mandate that you hold to the contact it was made for",
		Long: `Show a mandate that you hold to the contact it was made for. Without a number
it is the latest one; list has the numbers. Their machine gets it by itself,
also when it is off for days. What they make of it, they alone know.`,
		Example: "  backchannel mandate show 1\n  backchannel mandate show 1 2",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := a.mandateNumber(args)
			if err != nil {
				return err
			}
			var to control.ContactAnswer
			if err := a.call(cmd, "contact/show", control.NameRequest{Name: request.Name}, &to); err != nil {
				return err
			}
			for _, w := range warnings(to.Contact) {
				a.note("! %s", a.here(w))
			}
			if to.Contact.Verified != control.Word(channel.WordsCompared.String()) {
				a.note("! the words were not compared with this contact: somebody else may be at the other end.")
			}
			var ans control.MandateAnswer
			if err := a.call(cmd, "mandate/show", request, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				a.say("Mandate %d: %s.", ans.Mandate.Number, ans.Mandate.Delivery)
				a.sayFolded(2, "  speaks about: %s\n  until %s", cleanLine(ans.Mandate.Scope), longTime(ans.Mandate.Until))
				a.advise("%s will be convinced that the holder of the authority's key made it. Nobody else\ncan be: their machine could have made it itself, so a copy proves nothing to a\nthird person. Until they compare the words of that key with the authority, it may\nbe yours, as far as they know. That it was shown says nothing about what they\nmake of it.", quoted(ans.Contact.Name))
			})
		},
	}
}

// mandateNumber reads a contact and a number that may be left out.
func (a *app) mandateNumber(args []string) (control.MandateNumberRequest, error) {
	name, err := a.contactArg(args)
	request := control.MandateNumberRequest{Name: name}
	if err != nil || len(args) < 2 {
		return request, err
	}
	if request.Number, err = strconv.ParseUint(args[1], 10, 64); err != nil || request.Number == 0 {
		return request, usage("the second argument is a mandate's number, as mandate list shows it", "backchannel mandate list"+shortArg(args[0]))
	}
	return request, nil
}

func (a *app) mandateListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list [CONTACT]",
		Short:   "List the mandates that you hold, and those that were shown to you",
		Example: "  backchannel mandate list\n  backchannel mandate list 1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var request control.NameRequest
			if len(args) > 0 {
				request.Name = args[0]
			}
			var ans control.MandatesAnswer
			if err := a.call(cmd, "mandate/list", request, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				none := true
				for _, c := range ans.Contacts {
					none = none && len(c.Mandates) == 0
					a.printMandates(c)
				}
				if none {
					a.say("No mandates.")
				}
			})
		},
	}
}

func (a *app) printMandates(c control.ContactMandates) {
	for _, held := range []bool{true, false} {
		title := "you hold, to be shown to "
		if !held {
			title = "shown to you by "
		}
		for _, m := range c.Mandates {
			if m.Held != held {
				continue
			}
			if title != "" {
				a.say("%s%s (%d)", title, cleanLine(c.Contact.Name), c.Contact.Number)
				title = ""
			}
			a.printMandate(m)
		}
	}
}

func (a *app) printMandate(m control.Mandate) {
	state := string(m.State)
	if m.State == "shown" {
		state += ", " + string(m.Delivery)
	}
	if m.Key != "" {
		state += ", " + authorityKey(m)
	}
	if m.Scope == "" {
		a.say("%4d  a request: %s", m.Number, state)
		return
	}
	a.sayFolded(6, "%4d  %s\n      until %s: %s", m.Number, cleanLine(m.Scope), longTime(m.Until), state)
	a.printSameMatter(m)
}

// authorityKey says how the key of a mandate's authority stands.
func authorityKey(m control.Mandate) string { return "authority's key " + string(m.Key) }

// printSameMatter says who else came for a matter: what only a listener who meets
// both can see.
func (a *app) printSameMatter(m control.Mandate) {
	for _, name := range m.SameMatter {
		a.sayFolded(6, "      ! %s showed a mandate of the same authority for the same matter. Only you can see that.", quoted(name))
	}
}

func (a *app) mandateCheckCommand() *cobra.Command {
	var words bool
	c := &cobra.Command{
		Use:   "check [CONTACT] [NUMBER]",
		Short: "Check a mandate, or compare its authority's key",
		Long: `Check a mandate that was shown to you. Without a number it is the latest one.

What is checked: that the holder of the authority's key made it, for you
alone, to be shown by this contact alone; that it has not ended; that no
withdrawal came. What cannot be checked by a machine: whose key that is. It
may be the envoy's own. With --words you type the ten words that the authority
itself reads to you, by a path that is not the envoy; from then on all its
mandates read "compared".

The exit code is 10 if it does not check or was withdrawn, 8 if it has ended,
and 0 else, also while the key is not compared.`,
		Example: "  backchannel mandate check 1\n  backchannel mandate check 1 12 --words",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := a.mandateNumber(args)
			if err != nil {
				return err
			}
			var ans control.MandateAnswer
			if err := a.call(cmd, "mandate/check", request, &ans); err != nil {
				return err
			}
			if words {
				return a.compareAuthority(cmd, ans)
			}
			return a.checked(ans)
		},
	}
	c.Flags().BoolVar(&words, "words", false, "compare the ten words of the authority's key")
	return c
}

// checked says what a check found. The exit code tells what cannot be relied on.
func (a *app) checked(ans control.MandateAnswer) error {
	m := ans.Mandate
	list := a.here("backchannel mandate list " + itoa(int(ans.Contact.Number)))
	switch m.State {
	case "valid":
	case "ended":
		return &control.Error{Code: "mandate_over", Exit: control.ExitClosed, Message: "the mandate has ended, by this machine's clock", Hint: list}
	case "withdrawn":
		return &control.Error{Code: "mandate_withdrawn", Exit: control.ExitCheckFailed, Message: "the authority has withdrawn this mandate", Hint: list}
	default:
		return &control.Error{
			Code: "mandate_refused", Exit: control.ExitCheckFailed,
			Message: "the mandate does not check: it was not made for you by the key that it names, or not to be shown by this contact", Hint: list,
		}
	}
	return a.answer(ans, func() {
		a.sayFolded(2, "%s shows a mandate:\n  speaks about: %s\n  until %s", quoted(ans.Contact.Name), cleanLine(m.Scope), longTime(m.Until))
		a.say("It checks: the holder of the authority's key made it, for you alone, to be shown by\nthis contact alone. No withdrawal has come here; one may be on its way.")
		if m.Key == control.NotCompared {
			a.say("! %s: it may be the envoy's own. Have the authority itself read its\n  ten words to you, by a path that is not %s, and type them:\n  %s", authorityKey(m), quoted(ans.Contact.Name),
				a.here("backchannel mandate check "+itoa(int(ans.Contact.Number))+" "+strconv.FormatUint(m.Number, 10)+" --words"))
		} else {
			a.say("%s: you compared its words %s.", authorityKey(m), longTime(m.ComparedAt))
		}
		a.printSameMatter(m)
		a.advise("Only you can rely on this. Your machine could have made it, so a copy convinces nobody.")
	})
}

// compareAuthority has a person type what the authority read aloud.
func (a *app) compareAuthority(cmd *cobra.Command, ans control.MandateAnswer) error {
	a.note("The authority itself reads ten words: by a path that is not %s, in a voice that you\nknow. Type what you hear, all or one by one; four letters of a word will do.", quoted(ans.Contact.Name))
	typed, err := a.tenWords()
	if err != nil {
		return err
	}
	var got control.MandateWordsAnswer
	request := control.MandateWordsRequest{Name: itoa(int(ans.Contact.Number)), Number: ans.Mandate.Number, Words: typed}
	if err := a.call(cmd, "mandate/compare", request, &got); err != nil {
		return err
	}
	if !got.Match {
		for i, fit := range got.Fit {
			if !fit {
				a.note("Word %d does not fit.", i+1)
			}
		}
		return &control.Error{
			Code: "words_do_not_fit", Exit: control.ExitCheckFailed, Message: "the words do not fit; the authority's key stays not compared",
			Hint: "ask for them once more; if they stay different, this mandate is not of that authority",
		}
	}
	return a.answer(got, func() {
		a.say("All ten fit. The mandates of this authority read from now on: authority's key compared.")
	})
}

// tenWords reads the words of an authority's key: in one line, or in several.
func (a *app) tenWords() ([]string, error) {
	var words []string
	for misses := 0; len(words) < 10; {
		line, err := a.in.askWord("  " + itoa(len(words)+1) + " ")
		if err != nil {
			return nil, err
		}
		found, ok := findWords(line, 10-len(words))
		words = append(words, found...)
		if ok {
			continue
		}
		if misses++; misses == 10 {
			return nil, usage("that is not a word of the list", "backchannel mandate check --words")
		}
		a.note("  That is not a word of the list. Once more, from word %d:", len(words)+1)
	}
	return words, nil
}

// untilTime reads when something ends: a moment in UTC, or a time from now on.
func untilTime(typed string, now time.Time) (time.Time, bool) {
	typed = strings.TrimSpace(typed)
	for _, layout := range []string{"2006-01-02 15:04", time.RFC3339, "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, typed); err == nil {
			return t.UTC(), t.After(now)
		}
	}
	if d, err := time.ParseDuration(typed); err == nil {
		return now.Add(d).UTC().Truncate(time.Minute), d >= time.Minute
	}
	if days, ok := strings.CutSuffix(typed, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 3660 {
			return now.AddDate(0, 0, n).UTC().Truncate(time.Minute), true
		}
	}
	return time.Time{}, false
}
