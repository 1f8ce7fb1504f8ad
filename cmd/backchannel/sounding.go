package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
)

func (a *app) soundingCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sounding",
		Short: "Find out whether both of you would talk about something",
		Long: `A sounding finds out whether both of you would talk about something, and shows
an interest only if it is mutual. Each names up to eight topics. At the agreed
time each machine learns which topics both named, and nothing about the others.

If nothing is common you learn nothing else: not whether they said no, named
something else, or never looked. Their machine answers by itself, and sends
the same either way. Only a machine that is off does not answer.`,
		Example: "  backchannel sounding new 1 --at 48h\n  backchannel sounding show 1",
	}
	c.AddCommand(a.soundingNewCommand(), a.soundingListCommand(), a.soundingShowCommand(), a.soundingDropCommand())
	return c
}

func (a *app) soundingNewCommand() *cobra.Command {
	var file, at string
	c := &cobra.Command{
		Use:   "new [CONTACT]",
		Short: "Name topics, in the sounding that is open or in a new one",
		Long: `Name what you would talk about: in the sounding that is open with the contact,
or in a new one, which ends at the agreed time (--at). Topics are typed after a
prompt, one a line, ended with a line that holds a single dot, or read from
standard input or a file.

Topics meet in the same words only. Large and small letters and spaces do not
matter; another spelling, another word or a translation does. Agree on the
words of a list first.

A false yes reveals the other's yes: who names a topic only to see, and you
named it, knows that you did. You then know that they named it, too; neither
can prove it. Someone can ask about eight topics a week in this way, and no
more: there is one sounding a week with a contact, whoever begins it, and both
machines hold to it.

What you named can be taken back until the window opens (drop), and not later.`,
		Example: "  backchannel sounding new 1 --at 2026-11-30T12:00\n  backchannel sounding new 1 --file topics.txt",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			now, err := a.latestSounding(cmd, args)
			if err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			return a.sound(cmd, now, at, file)
		},
	}
	c.Flags().StringVar(&at, "at", "", "when a new one ends, in UTC: 2026-11-30T12:00, or 48h")
	c.Flags().StringVar(&file, "file", "", "file with topics, one a line; - for standard input")
	return c
}

// latestSounding asks for the latest sounding with a contact.
func (a *app) latestSounding(cmd *cobra.Command, args []string) (ans control.SoundingAnswer, err error) {
	name, err := a.contactArg(args)
	if err != nil {
		return ans, err
	}
	err = a.call(cmd, "sounding/show", control.NameRequest{Name: name}, &ans)
	return ans, err
}

// sound says what naming a topic does, reads topics and hands them over.
func (a *app) sound(cmd *cobra.Command, now control.SoundingAnswer, at, file string) error {
	request := control.SoundRequest{Name: itoa(int(now.Contact.Number))}
	who, open := quoted(now.Contact.Name), pending(now.Sounding)
	if at == "" && !open {
		var err error
		if at, err = a.in.ask("At what time do both learn it? In UTC, as 2026-11-30 12:00; or from now, as 48h: "); err != nil {
			return err
		}
	}
	if at != "" {
		end, ok := untilTime(at, time.Now())
		if !ok {
			return usage("the agreed time is not a moment to come", "backchannel sounding new --at 48h")
		}
		request.At = end.Format(time.RFC3339)
	}
	if open {
		a.note("A sounding with %s is open. Topics can be named until %s, and\nboth of you learn what both named at %s.", who, longTime(now.Sounding.Begins), longTime(now.Sounding.At))
	} else {
		a.note("With this their machine learns that you have begun a sounding, and when it ends.")
	}
	a.note("Nobody learns what you name but %s, and %s only what they named, too.\nIf you name nothing, nobody can tell; you learn nothing then, either.", who, who)
	a.note("! A false yes reveals the other's yes. Name nothing that you would deny to this contact.")
	if !compared(now.Contact) {
		a.note("! You have not compared words with %s: you do not know who would learn it.", who)
	}
	topics, err := a.topics(file)
	if err != nil {
		return err
	}
	request.Topics = topics
	var ans control.SoundingAnswer
	if err := a.call(cmd, "sounding/new", request, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		a.say("Sealed. It can be taken back until %s.", longTime(ans.Sounding.Begins))
		a.say("At %s each of you learns one of two things:", longTime(ans.Sounding.At))
		a.say("  BOTH NAMED IT      which topics both of you named\n  NO MATCH KNOWN     nothing else: not whether they named anything, answered or looked")
		a.advise("Leave the node online from the first time to the second: it answers by itself.")
		a.advise("  take it back             %s", a.here("backchannel sounding drop "+itoa(int(ans.Contact.Number))))
	})
}

// pending reports whether a sounding has not ended.
func pending(s *control.Sounding) bool {
	return s != nil && (s.State == "open" || s.State == "under way")
}

func compared(c control.Contact) bool {
	return c.Verified == control.Word(channel.WordsCompared.String())
}

// topics reads what a person would talk about, one a line.
func (a *app) topics(file string) (topics []string, err error) {
	if file == "" && a.in.terminal() {
		a.note("Type up to eight topics, one a line.")
	}
	text, err := a.text(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line != "." {
			topics = append(topics, line)
		}
	}
	return topics, nil
}

func (a *app) soundingShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [CONTACT]",
		Short: "Show the latest sounding with a contact",
		Long: `Show the latest sounding with a contact: until when topics can be named, and
after the agreed time what both named. Before that time nothing of the result
is shown, because nothing of it is certain.`,
		Example: "  backchannel sounding show 1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ans, err := a.latestSounding(cmd, args)
			if err != nil {
				return err
			}
			return a.answer(ans, func() { a.printSounding(ans) })
		},
	}
}

func (a *app) printSounding(ans control.SoundingAnswer) {
	who, s := quoted(ans.Contact.Name), ans.Sounding
	if s == nil {
		a.say("There is no sounding with %s.", who)
		a.printNextSounding(ans)
		return
	}
	begun := "Their machine began it."
	if s.Yours {
		begun = "You began it."
	}
	a.say("Sounding with %s, %s: %s", who, longTime(s.At), soundingState(*s))
	switch s.State {
	case "open":
		a.say("%s Topics can be named and taken back until %s.", begun, longTime(s.Begins))
		a.printTopics(s)
	case "under way":
		a.say("%s The machines are at it; nothing can be changed.", begun)
		a.printTopics(s)
	case "both named it":
		for _, c := range s.Common {
			a.sayFolded(4, "  %s", cleanLine(c.Topic)+agreement(c.Bits))
		}
		a.say("Each of you has learned it. Neither can prove to anybody that the other named it:\neither machine could have made all of it alone. They may have named it only to see.")
		if !compared(ans.Contact) {
			a.say("! You have not compared words with %s: you do not know who named it.", who)
		}
	default:
		a.say("Nothing else is known: not whether they named anything, answered or looked. A machine\nthat was off, here or there, reads the same.")
	}
	a.printNextSounding(ans)
}

func (a *app) printTopics(s *control.Sounding) {
	if len(s.Topics) == 0 {
		a.say("You have named nothing. Nobody can tell that from a no.")
		return
	}
	a.say("You have named:")
	for _, t := range s.Topics {
		a.sayFolded(4, "  %s", cleanLine(t))
	}
}

func (a *app) printNextSounding(ans control.SoundingAnswer) {
	if ans.Next != "" && !pending(ans.Sounding) {
		a.advise("The next one with this contact can end at %s, or later.", longTime(ans.Next))
	}
}

func soundingState(s control.Sounding) string {
	switch s.State {
	case "both named it":
		return "BOTH NAMED IT"
	case "no match known":
		return "NO MATCH KNOWN"
	default:
		return string(s.State)
	}
}

// agreement says how sure a common topic is, when their machine stopped early.
func agreement(bits int) string {
	if bits >= 40 {
		return ""
	}
	return "   (their machine stopped early: " + itoa(bits) + " of 40 bits agree, which chance does once in " + itoa(1<<max(0, bits-3)) + ")"
}

func (a *app) soundingListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list [CONTACT]",
		Short:   "List soundings",
		Long:    "List the soundings with one contact, or with all.",
		Example: "  backchannel sounding list",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := control.NameRequest{}
			if len(args) == 1 {
				request.Name = args[0]
			}
			var ans control.SoundingsAnswer
			if err := a.call(cmd, "sounding/list", request, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() { a.printSoundings(ans) })
		},
	}
}

func (a *app) printSoundings(ans control.SoundingsAnswer) {
	some := false
	for _, c := range ans.Contacts {
		for _, s := range c.Soundings {
			some = true
			names := []string{}
			for _, t := range s.Common {
				names = append(names, cleanLine(t.Topic))
			}
			text := soundingState(s)
			if len(names) > 0 {
				text += ": " + strings.Join(names, "; ")
			}
			a.sayFolded(4, "%3d  %s, %s: %s", c.Contact.Number, cleanLine(c.Contact.Name), longTime(s.At), text)
		}
	}
	if !some {
		a.say("There is no sounding.")
	}
}

func (a *app) soundingDropCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drop [CONTACT]",
		Short: "Take back what you named, or forget what is over",
		Long: `Take back what you named, as long as the window has not opened. Your machine
goes on as if you had named nothing, and nobody can tell. When nothing can be
taken back, what is kept of soundings that are over is deleted. How many there
can be in a week stays the same.`,
		Example: "  backchannel sounding drop 1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var done control.Done
			if err := a.call(cmd, "sounding/drop", control.NameRequest{Name: name}, &done); err != nil {
				return err
			}
			return a.answer(done, func() { a.say("Dropped. The other side is told nothing.") })
		},
	}
}
