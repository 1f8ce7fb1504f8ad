package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) fileCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "file",
		Short:   "Send and receive files, and see what they say of their author",
		Example: "  backchannel file send 1\n  backchannel file list 1\n  backchannel file send 1 --channel 2",
	}
	c.AddCommand(
		a.fileInspectCommand(), a.fileSendCommand(), a.fileListCommand(), a.fileSaveCommand(), a.fileRemoveCommand(),
	)
	return c
}

// askPath reads a path, which may be written as a shell takes it, and makes it
// absolute.
func (a *app) askPath(prompt string) (string, error) {
	path, err := a.in.ask(prompt)
	if err != nil {
		return "", err
	}
	path = strings.TrimSpace(path)
	if n := len(path); n >= 2 && (path[0] == '\'' || path[0] == '"') && path[n-1] == path[0] {
		path = path[1 : n-1]
	}
	if rest, ok := strings.CutPrefix(path, "~"+string(filepath.Separator)); ok {
		if home, err := os.UserHomeDir(); err == nil {
			path = filepath.Join(home, rest)
		}
	}
	if path == "" {
		return "", usage("no path was given", "repeat the command, and type one")
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", usage("the path cannot be used", "type it in full, from the root on")
	}
	return path, nil
}

// waitFile asks until a file has come to its end.
func (a *app) waitFile(cmd *cobra.Command, contact string, ans *control.FileAnswer) error {
	deadline := time.NewTimer(a.timeout)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	list := "backchannel file list" + shortArg(contact) + inChannel(ans.File.Channel)
	shown, began := "", time.Now()
	for {
		request := control.FileRequest{Name: contact, Seq: ans.File.Seq}
		if err := a.call(cmd, "file/show", request, ans); err != nil {
			return err
		}
		f := ans.File
		switch {
		case f.State == "delivered", f.State == "here":
			return nil
		case f.State == needsName:
			return &control.Error{
				Code: "needs_name", Exit: control.ExitFailed, Message: "all of it is here, but every name that it could get there is taken",
				Hint: "save it again, under another name, as its line says: " + list,
			}
		case !underWay(f):
			return &control.Error{Code: "not_delivered", Exit: control.ExitFailed, Message: "the file did not arrive: " + string(f.State), Hint: list}
		default:
			if now := fileState(f) + trouble(f); now != shown && time.Since(began) > time.Second && a.in.terminal() && !a.quiet {
				shown = now
				a.note("%s", now)
			}
		}
		select {
		case <-tick.C:
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		case <-deadline.C:
			return &control.Error{
				Code: "not_delivered", Exit: control.ExitNotInTime, Message: "not there in time; the file is: " + fileState(f) + trouble(f),
				Hint: "it goes on by itself; look later with: " + list,
			}
		}
	}
}

// underWay reports whether a file has not come to its end yet.
func underWay(f control.File) bool {
	switch f.State {
	case "waiting here", "being offered", "offered, not taken yet", waitsForYou, needsName, "on its way", "coming":
		return true
	default:
		return false
	}
}

// The states of a file that waits for its receiver: to be saved, or to be saved
// under another name, because all of it is here and its name is taken.
const (
	waitsForYou = "waits for you to save it"
	needsName   = "needs another name"
)

// progress says how far a file has come, in tenths.
func progress(f control.File) string {
	if f.Size == 0 || f.Done == 0 { // or nobody is told
		return string(f.State)
	}
	line := fmt.Sprintf("%s, %d %% of %s", f.State, f.Done*10/f.Size*10, size(f.Size))
	if f.Boxed > 0 {
		line += ", " + size(f.Boxed) + " more in their mailbox"
	}
	return line + toGo(f)
}

// toGo says how long a file that goes over relays still takes.
func toGo(f control.File) string {
	if f.Expected == 0 {
		return ""
	}
	return "; over relays about " + span(f.Expected) + " to go, if both machines are on"
}

// size writes a number of bytes as people read it.
func size(n uint64) string {
	switch {
	case n < 1000:
		return plural(int(n), "byte")
	case n < 1000*1000:
		return strconv.FormatFloat(float64(n)/1000, 'f', 1, 64) + " kB"
	case n < 1000*1000*1000:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	default:
		return strconv.FormatFloat(float64(n)/1e9, 'f', 2, 64) + " GB"
	}
}

func (a *app) fileListCommand() *cobra.Command {
	var number uint32
	c := &cobra.Command{
		Use:     "list [CONTACT]",
		Short:   "Show the files of a contact and how far they have come",
		Example: "  backchannel file list 1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var ans control.FilesAnswer
			if err := a.call(cmd, "file/list", control.FilesRequest{Name: name, Channel: number}, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() {
				if len(ans.Files) == 0 {
					a.say("No files.")
				}
				for _, f := range ans.Files {
					who := "from them"
					if f.Direction == "out" {
						who = "from you"
					}
					a.sayFolded(hang, "%4d  %s  %s, %s: %s", f.Seq, localTime(f.Time), who, size(f.Size), cleanLine(f.Name))
					a.say("      %s%s%s", fileState(f), trouble(f), a.nextStep(ans.Contact, f))
				}
			})
		},
	}
	channelFlag(c, &number)
	return c
}

func fileState(f control.File) string {
	if f.State == "coming" || f.State == "on its way" {
		return progress(f)
	}
	if f.Expected > 0 && underWay(f) {
		when := " over relays"
		if f.Direction == "out" {
			when += " once they save it"
		}
		return string(f.State) + "; about " + span(f.Expected) + when
	}
	return string(f.State)
}

// nextStep says where a file is, or how to get it.
func (a *app) nextStep(c control.Contact, f control.File) string {
	switch {
	case f.State == waitsForYou, f.State == needsName:
		return ": " + a.here("backchannel file save "+itoa(int(c.Number))+" "+strconv.FormatUint(f.Seq, 10))
	case f.Path != "":
		return ": " + cleanLine(f.Path)
	default:
		return ""
	}
}

func trouble(f control.File) string {
	if f.Trouble == "" {
		return ""
	}
	return "; " + string(f.Trouble) + ", it will be tried again"
}

func (a *app) fileRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove CONTACT NUMBER",
		Short: "Stop a file that waits or is on its way",
		Long: `Stop a file that waits or is on its way, in either direction. What had come of
it is deleted; its line stays in the conversation. A file that was saved is
yours to delete, and what the other side has is theirs.`,
		Example: "  backchannel file remove 1 12",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onFile(cmd, args, "file/remove", "Removed here. What the other side has of it is theirs.")
		},
	}
}

// onFile makes a call that names a file.
func (a *app) onFile(cmd *cobra.Command, args []string, call, said string) error {
	request, err := fileRequest(args)
	if err != nil {
		return err
	}
	var d control.Done
	if err := a.call(cmd, call, request, &d); err != nil {
		return err
	}
	return a.answer(d, func() { a.say("%s", a.here(said)) })
}

func fileRequest(args []string) (control.FileRequest, error) {
	seq, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return control.FileRequest{}, usage("the second argument is a file's number, as file list shows it", "backchannel file list"+shortArg(args[0]))
	}
	return control.FileRequest{Name: args[0], Seq: seq}, nil
}
