package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/charter"
)

func (a *app) channelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "channel",
		Short: "Agree on what a talk is for and when it ends, before it begins",
		Long: `A channel is a talk with a charter: its purpose, whether anything of it may be
published, and one deadline. Nothing flows in it before both of you have
accepted the same text, and a change counts when both have accepted it.

At the deadline both machines burn the channel: what was said, and the charter.
All that is kept is that its number was used. That binds machines that run this
program: whoever copied the text before has it.

Number 1 is the conversation that every contact has, without a charter. Name
the others to send, read and chat: backchannel send --channel 2`,
		Example: "  backchannel channel open 1 --until 14d\n  backchannel channel list 1",
	}
	c.AddCommand(
		a.channelOpenCommand(), a.channelAcceptCommand(), a.channelDeclineCommand(), a.channelShowCommand(),
		a.channelAmendCommand(), a.channelCloseCommand(), a.channelListCommand(),
	)
	return c
}

// channelFlag has a command take the number of a channel.
func channelFlag(c *cobra.Command, number *uint32) {
	c.Flags().Uint32Var(number, "channel", 0, "number of a channel; else the talk without a charter")
}

// channelFlows makes sure that something can be said in a channel, and waited for, before
// a text is asked for.
func (a *app) channelFlows(cmd *cobra.Command, to control.Contact, number uint32, wait bool) error {
	if number <= 1 {
		return nil
	}
	ans, err := a.channel(cmd, itoa(int(to.Number)), number)
	if err != nil {
		return err
	}
	switch ans.Channel.State {
	case "open":
		if wait && ans.Channel.Agreed.Receipts == "none" {
			return channel.ErrNoReceipts
		}
		a.note("%s: until %s, then burned on both sides.", cleanLine(ans.Channel.Agreed.Name), longTime(ans.Channel.Deadline))
		return nil
	case "drafting":
		return channel.ErrNotAgreed
	case "burned":
		return channel.ErrBurned
	case "withheld":
		return charter.ErrClock
	default:
		return charter.ErrEnded
	}
}

// channelTakes makes sure that files can be sent in a channel, before one is asked for.
func (a *app) channelTakes(cmd *cobra.Command, to control.Contact, number uint32, wait bool) error {
	if err := a.channelFlows(cmd, to, number, wait); err != nil || number <= 1 {
		return err
	}
	ans, err := a.channel(cmd, itoa(int(to.Number)), number)
	if err == nil && ans.Channel.Agreed != nil && ans.Channel.Agreed.Files == 0 {
		err = channel.ErrCharterFiles
	}
	return err
}

// inChannel is what a hint says of a channel.
func inChannel(number uint32) string {
	if number <= 1 {
		return ""
	}
	return " --channel " + itoa(int(number))
}

func (a *app) channel(cmd *cobra.Command, name string, number uint32) (ans control.ChannelAnswer, err error) {
	err = a.call(cmd, "channel/show", control.ChannelRequest{Name: name, Number: number}, &ans)
	return ans, err
}

// channelArgs reads a contact and the number of a channel.
func (a *app) channelArgs(cmd *cobra.Command, args []string) (ans control.ChannelAnswer, err error) {
	n, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil || n == 0 {
		return ans, usage("the second argument is the number of a channel, 2 or more", "backchannel channel list"+shortArg(args[0]))
	}
	return a.channel(cmd, args[0], uint32(n))
}

// termFlags are the terms of a charter that are no text. What is not given is asked
// for, or stays as it was.
type termFlags struct {
	until, kind, route, receipts string

	files int // largest, in millions of bytes; below 0: not given
}

func (f *termFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.until, "until", "", "deadline in UTC, as 2026-11-30T12:00; or 14d from now")
	c.Flags().StringVar(&f.kind, "kind", "", "secret or publishable")
	c.Flags().StringVar(&f.route, "route", "", "relays or direct: the least hidden way for messages")
	c.Flags().IntVar(&f.files, "files", -1, "largest file, in MB; 0: none")
	c.Flags().StringVar(&f.receipts, "receipts", "", "late, or none: nobody is shown what has arrived")
}

// over changes terms by what was given.
func (f *termFlags) over(t control.Charter) (control.Charter, error) {
	for _, x := range []struct {
		given string
		to    *control.Word
		fits  [2]string
		flag  string
	}{
		{f.kind, &t.Kind, [2]string{charter.Secret.String(), charter.Publishable.String()}, "--kind"},
		{f.route, &t.Route, [2]string{charter.RouteRelays.String(), charter.RouteDirect.String()}, "--route"},
		{f.receipts, &t.Receipts, [2]string{charter.ReceiptsLate.String(), charter.ReceiptsNone.String()}, "--receipts"},
	} {
		if x.given == "" {
			continue
		}
		if x.given != x.fits[0] && x.given != x.fits[1] {
			return t, usage(x.flag+" is "+x.fits[0]+" or "+x.fits[1], "backchannel channel open --help")
		}
		*x.to = control.Word(x.given)
	}
	switch {
	case f.files > charter.MaxFiles:
		return t, usage("--files is at most "+itoa(charter.MaxFiles)+" MB", "backchannel channel open --files 10")
	case f.files >= 0:
		t.Files = f.files
	}
	if f.until != "" {
		at, ok := untilTime(f.until, time.Now())
		if !ok {
			return t, usage("the deadline is not a moment to come", "backchannel channel open --until 14d")
		}
		t.Deadline = at.Format(time.RFC3339)
	}
	return t, nil
}

func (a *app) channelOpenCommand() *cobra.Command {
	var f termFlags
	c := &cobra.Command{
		Use:   "open [CONTACT]",
		Short: "Propose a channel",
		Long: `Propose a channel. Its name and its purpose, which both of you see, are asked
for or read from standard input, a line each; then the deadline, if --until does
not say it. The channel opens when they accept this same text.

Kind "secret" is for ever: it cannot be made publishable later. In a channel of
kind "publishable" a communiqué may be made, if both of you sign it.
Files may be sent if --files says how large they may be. They end with the
channel, but for what somebody saved: that lies outside the vault, and is not
burned.`,
		Example: "  backchannel channel open 1 --until 14d --files 10\n  backchannel channel open 1 --until 2026-11-30T12:00 --kind publishable",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var r control.RouteAnswer
			if err := a.call(cmd, "route/show", control.NameRequest{Name: name}, &r); err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			return a.openChannel(cmd, r, f)
		},
	}
	f.add(c)
	return c
}

func (a *app) openChannel(cmd *cobra.Command, r control.RouteAnswer, f termFlags) (err error) {
	t := control.Charter{Kind: "secret", Route: "direct", Receipts: "late"}
	if r.Route == "relayed" {
		t.Route = "relays"
	}
	if t.Name, err = a.in.ask("Name (both of you see it): "); err != nil {
		return err
	}
	if t.Purpose, err = a.in.ask("Purpose, one line: "); err != nil {
		return err
	}
	if f.until == "" {
		if f.until, err = a.in.ask("Deadline, when both machines burn it. In UTC, as 2026-11-30 12:00; or from now, as 14d: "); err != nil {
			return err
		}
	}
	if t, err = f.over(t); err != nil {
		return err
	}
	t.Name, t.Purpose = strings.TrimSpace(t.Name), strings.TrimSpace(t.Purpose)
	if !a.json {
		a.printCharter(a.note, t)
	}
	if err := a.sure("Send it? The channel opens when they accept this same text. y/N: "); err != nil {
		return err
	}
	var ans control.ChannelAnswer
	if err := a.call(cmd, "channel/open", control.ChannelRequest{Name: itoa(int(r.Contact.Number)), Terms: &t}, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		a.say("Proposed as channel %d. Nothing flows in it before %s has accepted this same text.", ans.Channel.Number, quoted(ans.Contact.Name))
		a.advise("  see what they say        %s", a.channelHint("backchannel channel show 1 2", ans))
	})
}

// channelHint is a hint in which 1 2 stands for the contact and the channel.
func (a *app) channelHint(line string, ans control.ChannelAnswer) string {
	return a.here(strings.Replace(line, "1 2", itoa(int(ans.Contact.Number))+" "+itoa(int(ans.Channel.Number)), 1))
}

// sure asks before something is agreed on, on a terminal.
func (a *app) sure(question string) error {
	return a.sureTo(question, "nothing was sent", "backchannel channel list")
}

// sureTo asks before something is done, on a terminal; otherwise is said if it is not.
func (a *app) sureTo(question, otherwise, hint string) error {
	if a.yes || !a.in.terminal() {
		return nil
	}
	answer, err := a.in.ask(question)
	if err != nil {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: otherwise, Hint: hint}
	}
	return nil
}

// printCharter prints a text as both read it.
func (a *app) printCharter(say func(string, ...any), t control.Charter) {
	files := "no files"
	if t.Files > 0 {
		files = "files up to " + itoa(t.Files) + " MB"
	}
	kind := "secret for ever"
	if t.Kind == "publishable" {
		kind = "publishable, if both of you sign"
	}
	receipts := "receipts late"
	if t.Receipts == "none" {
		receipts = "no receipts"
	}
	say("  %s: %s", cleanLine(t.Name), cleanLine(t.Purpose))
	say("  until %s, then burned on both sides", longTime(t.Deadline))
	say("  %s · %s · %s · %s", kind, t.Route, receipts, files)
	if t.Extensions > 0 {
		say("  the deadline was moved on %s, this text included", plural(t.Extensions, "time"))
	}
}
