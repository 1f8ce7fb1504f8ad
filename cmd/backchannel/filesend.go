package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) fileSendCommand() *cobra.Command {
	var how sending
	var number uint32
	c := &cobra.Command{
		Use:   "send [CONTACT]",
		Short: "Send a file; its path is asked for",
		Long: `Send a file. Its path is typed after a prompt or read from the first line of
standard input: on the command line the shell and other people on this machine
could see it. What the file says about its author is shown first, and a cleaned
copy is offered; a script has to say --cleaned or --as-it-is if there is
something.

The file stays where it is and is read from there; it has to stay, as it is,
until it has arrived. Over relays a file takes long, which is said first; it
goes on by itself, also when the two machines are never on at once.`,
		Example: "  backchannel file send 1\n  printf '%s\\n' \"$path\" | backchannel file send 1 --cleaned --wait --timeout 10m",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if how.cleaned && how.asItIs {
				return usage("a file is sent --cleaned or --as-it-is, not both", "backchannel file send --help")
			}
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var to control.ContactAnswer
			if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &to); err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			for _, w := range warnings(to.Contact) {
				a.note("! %s", a.here(w))
			}
			if err := a.channelTakes(cmd, to.Contact, number, how.wait); err != nil {
				return err
			}
			path, err := a.askPath("Path of the file: ")
			if err != nil {
				return err
			}
			as := filepath.Base(path)
			if path, err = a.whatToSend(path, how); err != nil {
				return err
			}
			if how.rename {
				if as, err = a.in.ask("Name that they see: "); err != nil {
					return err
				}
			}
			request := control.FileSendRequest{Name: itoa(int(to.Contact.Number)), Channel: number, Path: path, As: strings.TrimSpace(as)}
			return a.sendFile(cmd, to.Contact, request, how.wait)
		},
	}
	c.Flags().BoolVar(&how.wait, "wait", false, "wait until it is delivered, at most --timeout")
	c.Flags().BoolVar(&how.cleaned, "cleaned", false, "send a cleaned copy, which is written beside the file")
	c.Flags().BoolVar(&how.asItIs, "as-it-is", false, "send it as it is, whatever it says of its author")
	c.Flags().BoolVar(&how.rename, "rename", false, "ask for the name that they see")
	channelFlag(c, &number)
	return c
}

// sending is how a file is to be sent.
type sending struct{ wait, cleaned, asItIs, rename bool }

// whatToSend shows what a file says about its author, and returns the path of what
// is to be sent: the file, or a cleaned copy.
func (a *app) whatToSend(path string, how sending) (string, error) {
	ans, dirty, err := inspect(path)
	if err != nil {
		return "", err
	}
	switch {
	case how.asItIs:
		return path, nil
	case !dirty: // a copy would say the same
		if len(ans.Findings) > 0 {
			a.printInspected(ans, a.noteFolded)
		}
		return path, nil
	case !how.cleaned && !a.in.terminal():
		return "", &control.Error{
			Code: "tells", Exit: control.ExitRefused, Message: "the file says things about its author, or cannot be looked into; nothing was sent",
			Hint: "look at it with: backchannel file inspect; then add --cleaned or --as-it-is",
		}
	}
	place := besides(path)
	if !how.cleaned {
		a.printInspected(ans, a.noteFolded)
		choice, err := a.chooseCopy(ans, place)
		if err != nil {
			return "", err
		}
		if choice == asItIs {
			return path, nil
		}
	}
	return cleanInto(path, place)
}

// choice is what a person wants sent.
type choice byte

const (
	cleanedCopy choice = iota + 1
	asItIs
)

// chooseCopy asks what is to be sent; the cleaned copy is offered first.
func (a *app) chooseCopy(ans inspected, place string) (choice, error) {
	stopped := &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "nothing was sent", Hint: "backchannel file inspect"}
	a.note("What is to be sent?")
	usual := "3"
	if ans.Cleanable {
		usual = "1"
		a.note("  1  a copy without all that, which is written beside it: %s", cleanLine(filepath.Base(place)))
	}
	a.note("  2  the file as it is")
	a.note("  3  nothing")
	typed, err := a.in.ask("Choose [" + usual + "]: ")
	if err != nil {
		return 0, err
	}
	if typed = strings.TrimSpace(typed); typed == "" {
		typed = usual
	}
	switch {
	case typed == "1" && ans.Cleanable:
		return cleanedCopy, nil
	case typed == "2":
		return asItIs, nil
	default:
		return 0, stopped
	}
}

// sendFile offers the file and says how long it will take, as far as that can be
// known before.
func (a *app) sendFile(cmd *cobra.Command, to control.Contact, request control.FileSendRequest, wait bool) error {
	if info, err := os.Stat(request.Path); err == nil {
		n, route := uint64(info.Size()), a.routeTo(cmd, to)
		a.noteFolded(0, "%s. %s", size(n), expected(to, n, route))
		if day := 24 * uint64(route.FileHour); overRelays(route) && n > day {
			a.noteFolded(2, "! That is more than relays carry in a day, %s. It goes on by itself, for up to 14 days; texts go first.", size(day))
		}
	}
	var ans control.FileAnswer
	if err := a.call(cmd, "file/send", request, &ans); err != nil {
		return err
	}
	if wait {
		if err := a.waitFile(cmd, itoa(int(to.Number)), &ans); err != nil {
			return err
		}
	}
	return a.answer(ans, func() {
		f := ans.File
		a.say("File %d: %s.", f.Seq, f.State)
		a.sayFolded(hang, "They see the name: %s", cleanLine(f.Name))
		if f.State == "delivered" {
			return
		}
		a.advise("Leave it where it is until it has arrived. How far it is: %s", a.here("backchannel file list "+itoa(int(to.Number))+inChannel(request.Channel)))
	})
}

// overRelays reports whether what is sent now goes over relays.
func overRelays(r control.RouteAnswer) bool {
	return !r.Direct && r.Agreed && r.Route != "direct" && r.FileHour > 0
}

// expected says how long a file takes on the way that there is.
func expected(to control.Contact, n uint64, r control.RouteAnswer) string {
	switch {
	case overRelays(r):
		seconds := r.Expected + int64(float64(n)*3600/float64(r.FileHour))
		return "Over relays it takes about " + span(seconds) + " once they save it, if both machines stay on: " + size(uint64(r.FileHour)) + " an hour."
	case r.Route == "relayed":
		return "It leaves by itself over relays, when keys are agreed there."
	case !to.Connected:
		return "It leaves by itself when the two machines are connected."
	}
	const slow = 128 << 10 // bytes in a second, on a line as people have at home
	d := time.Duration(n/slow) * time.Second
	switch {
	case d < 10*time.Second:
		return "On a slow line it takes a few seconds."
	case d < 2*time.Minute:
		return "On a slow line (1 Mbit/s) it takes about " + plural(int(d/time.Second), "second") + "."
	default:
		return "On a slow line (1 Mbit/s) it takes about " + plural(int(d/time.Minute), "minute") + "; a fast one needs a fraction of that."
	}
}
