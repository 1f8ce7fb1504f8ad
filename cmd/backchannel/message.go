package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/wire"
)

func (a *app) sendCommand() *cobra.Command {
	var file string
	var wait bool
	var number uint32
	c := &cobra.Command{
		Use:   "send [CONTACT]",
		Short: "Send a text, typed after a prompt or from standard input",
		Long: `Send a text. It is typed after a prompt, ended with a line that holds a single
dot, or read from standard input or a file: never from the command line, where
the shell's history and other people on this machine could see it.`,
		Example: "  backchannel send 1\n  backchannel send 1 --wait --timeout 2m <text.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("the text does not belong on the command line: the shell keeps it", "backchannel send"+shortArg(args[0]))
			}
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var to control.ContactAnswer // looked up first: nobody writes a long text in vain
			if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &to); err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			for _, w := range warnings(to.Contact) {
				a.note("! %s", a.here(w))
			}
			a.sayExpected(a.relayed(cmd, to.Contact), a.note)
			if err := a.channelFlows(cmd, to.Contact, number, wait); err != nil {
				return err
			}
			text, err := a.text(file)
			if err != nil {
				return err
			}
			return a.send(cmd, to.Contact, number, text, wait)
		},
	}
	c.Flags().StringVar(&file, "file", "", "file that holds the text; - for standard input")
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is delivered, at most --timeout")
	channelFlag(c, &number)
	return c
}

// shortArg repeats a contact in a hint only if it is a number, which says nothing.
func shortArg(s string) string {
	if _, err := strconv.ParseUint(s, 10, 32); err == nil {
		return " " + s
	}
	return ""
}

// text reads the text to send.
func (a *app) text(file string) (string, error) {
	if file != "" && file != "-" {
		info, err := os.Stat(file)
		if err != nil {
			return "", usage("the file cannot be read", "check its name, or type the text: backchannel send")
		}
		if info.Size() > wire.MaxText {
			return "", usage("the text is longer than "+itoa(wire.MaxText)+" bytes", "send it in parts")
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", usage("the file cannot be read", "check its name, or type the text: backchannel send")
		}
		return string(raw), nil
	}
	if a.in.terminal() {
		a.note("Type the text. A line with a single dot sends it; Ctrl-C leaves.")
	}
	return a.in.rest(wire.MaxText)
}

func (a *app) send(cmd *cobra.Command, to control.Contact, number uint32, text string, wait bool) error {
	var ans control.MessageAnswer
	name := itoa(int(to.Number))
	if err := a.call(cmd, "send", control.SendRequest{Name: name, Channel: number, Text: text}, &ans); err != nil {
		return err
	}
	if wait {
		if err := a.waitDelivered(cmd, name, &ans.Message); err != nil {
			return err
		}
	}
	route := a.relayed(cmd, to)
	if route != nil && (ans.Message.State == "waiting here" || ans.Message.State == "on its way") {
		ans.Expected = route.Expected
	}
	return a.answer(ans, func() {
		m := ans.Message
		line := "Message " + strconv.FormatUint(m.Seq, 10) + ": " + string(m.State) + "."
		if m.State != "waiting here" || a.quiet {
			a.say("%s", line)
			if ans.Expected != 0 {
				a.sayExpected(route, a.say)
			}
			return
		}
		switch {
		case ans.Expected != 0:
			a.say("%s It leaves with the next box.", line)
			a.sayExpected(route, a.say)
		case a.routeTo(cmd, to).Route == "relayed":
			a.say("%s It leaves by itself over relays, when keys are agreed there.", line)
		default:
			a.say("%s It leaves by itself when the two machines are connected.", line)
		}
		a.say("To take it back: %s", a.here("backchannel recall "+name+" "+strconv.FormatUint(m.Seq, 10)))
	})
}

// waitDelivered follows a message until its reader's node has acknowledged it.
func (a *app) waitDelivered(cmd *cobra.Command, name string, m *control.Message) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
	defer cancel()
	err = client.Follow(ctx, control.ReadRequest{Name: name, Channel: m.Channel, After: m.Seq - 1}, func(got control.Message) bool {
		if got.Seq == m.Seq {
			*m = got
		}
		return m.State != "delivered" && m.State != "expired, never confirmed"
	})
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &control.Error{
			Code: "not_delivered", Exit: control.ExitNotInTime,
			Message: "not delivered in time; the message is " + string(m.State), Hint: "it stays in the outbox; look later with: backchannel read " + name,
		}
	}
	return err
}

func (a *app) recallCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "recall CONTACT NUMBER",
		Short:   "Take a message back that still waits here",
		Example: "  backchannel recall 1 17",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil {
				return usage("the second argument is a message's number, as read shows it", "backchannel read"+shortArg(args[0]))
			}
			var d control.Done
			if err := a.call(cmd, "recall", control.RecallRequest{Name: args[0], Seq: seq}, &d); err != nil {
				return err
			}
			return a.answer(d, func() { a.say("Taken back. It never left this machine.") })
		},
	}
}

func (a *app) readCommand() *cobra.Command {
	var follow, search bool
	var number uint32
	var after uint64
	var last int
	c := &cobra.Command{
		Use:   "read [CONTACT]",
		Short: "Show what was said",
		Long: `Show what was said. With --search, show only messages that hold a text, which is
asked for or read from standard input. Upper and lower case are alike.`,
		Example: "  backchannel read 1\n  backchannel read 1 --follow --last 5\n  backchannel read 1 --search",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			fits := func(control.Message) bool { return true }
			if search {
				if fits, err = a.askSearch(); err != nil {
					return err
				}
			}
			return a.read(cmd, control.ReadRequest{Name: name, Channel: number, After: after}, last, follow, fits)
		},
	}
	c.Flags().BoolVar(&follow, "follow", false, "go on showing what comes")
	c.Flags().BoolVar(&search, "search", false, "only messages that hold a text, which is asked for")
	channelFlag(c, &number)
	c.Flags().Uint64Var(&after, "after", 0, "only messages after this number")
	c.Flags().IntVar(&last, "last", -1, "only so many of the latest messages")
	return c
}

func (a *app) read(cmd *cobra.Command, request control.ReadRequest, last int, follow bool, fits func(control.Message) bool) error {
	var ans control.ReadAnswer
	if err := a.call(cmd, "read", request, &ans); err != nil {
		return err
	}
	ans.Messages = slices.DeleteFunc(ans.Messages, func(m control.Message) bool { return !fits(m) })
	if last >= 0 && len(ans.Messages) > last {
		request.After = ans.Messages[len(ans.Messages)-last-1].Seq
		ans.Messages = ans.Messages[len(ans.Messages)-last:]
	}
	if !follow {
		return a.answer(ans, func() {
			for _, m := range ans.Messages {
				a.printMessage(ans.Contact.Name, m)
			}
		})
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	err = client.Follow(cmd.Context(), request, func(m control.Message) bool {
		if !fits(m) {
			return true
		}
		_ = a.answer(control.MessageAnswer{V: control.Version, Message: m}, func() { a.printMessage(ans.Contact.Name, m) })
		return true
	})
	return a.unlessLeft(cmd, err)
}

// askSearch asks for the text to look for.
func (a *app) askSearch() (func(control.Message) bool, error) {
	text, err := a.in.ask("Search for: ")
	if err != nil {
		return nil, err
	}
	if text == "" {
		return nil, usage("the text to look for is empty", "backchannel read --search")
	}
	wanted := fold(text)
	return func(m control.Message) bool { return strings.Contains(fold(m.Text), wanted) }, nil
}

// fold makes texts alike that differ in case, or in how their letters are composed.
func fold(s string) string { return norm.NFC.String(cases.Fold().String(norm.NFC.String(s))) }
