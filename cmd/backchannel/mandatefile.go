package main

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/mandate"
)

// The envoy's half of a mandate, and the listener's of a withdrawal: files go to the
// node, and come from it.

// pathOf is the path that a flag or an argument gives, or what is typed.
func (a *app) pathOf(given, prompt string) (string, error) {
	if given == "" {
		return a.askPath(prompt)
	}
	return a.sealedPath([]string{given})
}

// readSmall reads a file of this size.
func readSmall(path string, size int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, notRead(err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, int64(size)+1))
	if err != nil {
		return nil, notRead(err)
	}
	if len(raw) != size {
		return nil, mandate.ErrFormat
	}
	return raw, nil
}

// writeNew writes a file where nothing is yet.
func writeNew(path string, content []byte) error {
	if err := vacantPath(path); err != nil {
		return err
	}
	return writeSealed(path, content, func() error { return nil })
}

// writtenAnswer says that a file was written.
type writtenAnswer struct {
	V     int    `json:"v"`
	Path  string `json:"path"`
	Bytes int    `json:"bytes"`
}

func (a *app) mandateRequestCommand() *cobra.Command {
	var authority, out string
	c := &cobra.Command{
		Use:   "request [CONTACT]",
		Short: "Write a request for a mandate, to be taken to the authority",
		Long: `Write a request for a mandate that only this contact can be convinced by. It
is a file that you take to the authority; you need the authority's public key,
a file that "backchannel mandate key" writes on its machine.

The contact's machine tells a key that the request needs. It answers by
itself, so the contact can see that you asked. If it is off now, repeat the
command when it has answered: nothing is asked twice.`,
		Example: "  backchannel mandate request 1 --authority ministry.pub --out request.bcm",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var to control.ContactAnswer // looked up first: nothing is typed in vain
			if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &to); err != nil {
				return err
			}
			if authority, err = a.pathOf(authority, "File with the authority's public key: "); err != nil {
				return err
			}
			key, err := readSmall(authority, mandate.KeyFileSize)
			if err != nil {
				return err
			}
			if out, err = a.pathOf(out, "Write the request to: "); err != nil {
				return err
			}
			if err := vacantPath(out); err != nil {
				return err
			}
			return a.mandateRequest(cmd, to.Contact, key, out)
		},
	}
	c.Flags().StringVar(&authority, "authority", "", "file with the authority's public key")
	c.Flags().StringVar(&out, "out", "", "where to write the request")
	return c
}

// mandateRequest asks until the contact's machine has answered, or the time is over.
func (a *app) mandateRequest(cmd *cobra.Command, to control.Contact, key []byte, out string) error {
	end := time.Now().Add(a.timeout)
	request := control.MandateFileRequest{Name: itoa(int(to.Number)), File: key}
	for told := false; ; told = true {
		var ans control.MandateRequestAnswer
		if err := a.call(cmd, "mandate/request", request, &ans); err != nil {
			return err
		}
		if len(ans.File) > 0 {
			return a.requestWritten(out, ans.File)
		}
		if time.Now().After(end) {
			return &control.Error{
				Code: "no_key_yet", Exit: control.ExitNotInTime, Message: channel.ErrNoKeyYet.Error(),
				Hint: "it was asked, and answers by itself when it is on; repeat the command then",
			}
		}
		if !told && !a.quiet {
			a.note("Their machine is asked for a key, and answers by itself; waiting at most %s…", a.timeout)
		}
		select {
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (a *app) requestWritten(out string, file []byte) error {
	if err := writeNew(out, file); err != nil {
		return err
	}
	return a.answer(writtenAnswer{control.Version, out, len(file)}, func() {
		a.say("Written. Take it to the authority, who answers it without a node and without a\nnetwork; no name is in it, but keys by which this pair of machines can be recognised.")
		a.advise("  the authority does       backchannel mandate issue\n  then you                 %s", a.here("backchannel mandate import"))
	})
}

func (a *app) mandateImportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import [FILE]",
		Short: "Take the mandate that an authority made for your request",
		Long: `Take the mandate that an authority made for your request. It is checked: the
file shows you, and nobody else, that the authority made it, because nobody but
you could have made it in its place. That half is not kept. Whether it will
convince the listener, you have to believe the authority.`,
		Example: "  backchannel mandate import mandate.bcm",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := a.sealedPath(args)
			if err != nil {
				return err
			}
			raw, err := readSmall(path, mandate.GrantSize)
			if err != nil {
				return err
			}
			var ans control.MandateAnswer
			if err := a.call(cmd, "mandate/import", control.MandateFileRequest{File: raw}, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				a.say("It checks: the authority made it, or you did. It is for %s alone:", quoted(ans.Contact.Name))
				a.sayFolded(2, "  speaks about: %s\n  until %s", cleanLine(ans.Mandate.Scope), longTime(ans.Mandate.Until))
				a.advise("  show it                  %s\n  the file                 is of no more use here: delete it", a.here("backchannel mandate show "+itoa(int(ans.Contact.Number))))
			})
		},
	}
}

// takeWithdrawal hands a withdrawal to the node.
func (a *app) takeWithdrawal(cmd *cobra.Command, args []string) error {
	path, err := a.sealedPath(args)
	if err != nil {
		return err
	}
	raw, err := readSmall(path, mandate.WithdrawalSize)
	if err != nil {
		return err
	}
	var ans control.WithdrawnAnswer
	if err := a.call(cmd, "mandate/withdraw", control.MandateFileRequest{File: raw}, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		if ans.Passed {
			a.say("Passed on to %s, whose machine can check it; this one cannot. Here the mandate is\nheld as withdrawn.", quoted(ans.Contact.Name))
			return
		}
		a.say("It checks. Mandates that it withdraws are not valid here any more, also one that is\nshown only later.")
	})
}

var errNotAuthority = errors.New("this file opens, and is no key of an authority")
