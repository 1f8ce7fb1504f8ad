package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) fileSendCommand() *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use:   "send [CONTACT]",
		Short: "Send a file; its path is asked for",
		Long: `Send a file. Its path is typed after a prompt or read from the first line of
standard input: on the command line the shell and other people on this machine
could see it. The file stays where it is and is read from there; it has to stay,
as it is, until it has arrived.`,
		Example: "  backchannel file send 1\n  printf '%s\\n' \"$path\" | backchannel file send 1 --wait --timeout 10m",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var to control.ContactAnswer
			if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &to); err != nil {
				return err
			}
			for _, w := range warnings(to.Contact) {
				a.note("! %s", a.here(w))
			}
			path, err := a.askPath("Path of the file: ")
			if err != nil {
				return err
			}
			return a.sendFile(cmd, to.Contact, path, wait)
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is delivered, at most --timeout")
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

// sendFile offers the file and says how long it will take, as far as that can be
// known before.
func (a *app) sendFile(cmd *cobra.Command, to control.Contact, path string, wait bool) error {
	var ans control.FileAnswer
	if err := a.call(cmd, "file/send", control.FileSendRequest{Name: itoa(int(to.Number)), Path: path}, &ans); err != nil {
		return err
	}
	if wait {
		if err := a.waitFile(cmd, itoa(int(to.Number)), &ans); err != nil {
			return err
		}
	}
	return a.answer(ans, func() {
		f := ans.File
		a.say("File %d, %s: %s.", f.Seq, size(f.Size), f.State)
		if f.State == "delivered" {
			return
		}
		a.say("%s", expected(to, f.Size))
		a.say("Leave the file where it is until it has arrived. How far it is: %s", a.here("backchannel file list "+itoa(int(to.Number))))
	})
}

// expected says how long a file takes on the way that there is.
func expected(to control.Contact, n uint64) string {
	if !to.Connected {
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

// waitFile asks until a file has come to its end.
func (a *app) waitFile(cmd *cobra.Command, contact string, ans *control.FileAnswer) error {
	deadline := time.NewTimer(a.timeout)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	list := "backchannel file list" + shortArg(contact)
	shown := ""
	for {
		request := control.FileRequest{Name: contact, Seq: ans.File.Seq}
		if err := a.call(cmd, "file/show", request, ans); err != nil {
			return err
		}
		f := ans.File
		switch f.State {
		case "delivered", "here":
			return nil
		case "offered, not taken yet", waitsForYou, "on its way", "coming":
			if now := fileState(f) + trouble(f); now != shown && a.in.terminal() && !a.quiet {
				shown = now
				a.note("%s", now)
			}
		default:
			return &control.Error{Code: "not_delivered", Exit: control.ExitFailed, Message: "the file did not arrive: " + f.State, Hint: list}
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

// waitsForYou is the state of a file that its receiver has not saved yet.
const waitsForYou = "waits for you to save it"

// progress says how far a file has come, in tenths.
func progress(f control.File) string {
	if f.Size == 0 {
		return f.State
	}
	return fmt.Sprintf("%s, %d %% of %s", f.State, f.Done*10/f.Size*10, size(f.Size))
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
	return &cobra.Command{
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
			if err := a.call(cmd, "file/list", control.NameRequest{Name: name}, &ans); err != nil {
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
					a.say("%4d  %s  %s, %s: %s", f.Seq, localTime(f.Time), who, size(f.Size), cleanLine(f.Name))
					a.say("      %s%s%s", fileState(f), trouble(f), a.nextStep(ans.Contact, f))
				}
			})
		},
	}
}

func fileState(f control.File) string {
	if f.State == "coming" || f.State == "on its way" {
		return progress(f)
	}
	return f.State
}

// nextStep says where a file is, or how to get it.
func (a *app) nextStep(c control.Contact, f control.File) string {
	switch {
	case f.State == waitsForYou:
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
	return "; " + f.Trouble + ", it will be tried again"
}

func (a *app) fileRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove CONTACT NUMBER",
		Short: "Stop a file that waits or is on its way",
		Long: `Stop a file that waits or is on its way, in either direction. What had come of it is
deleted; its line stays in the conversation. A file that was saved is yours to
delete, and what the other side has is theirs.`,
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

func (a *app) fileSaveCommand() *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use:   "save CONTACT NUMBER",
		Short: "Let a file come, and write it to a place that you name",
		Long: `Let a file come, and write it to a place that is asked for: a folder, or a new name
in one. Nothing is overwritten, opened or run. In a folder the file gets the name
that its sender gave it, without what could do harm. Until all of it is there, it
lies beside that place under a name that begins with a dot.`,
		Example: "  backchannel file save 1 12\n  printf '%s\\n' \"$folder\" | backchannel file save 1 12 --wait --timeout 10m",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := fileRequest(args)
			if err != nil {
				return err
			}
			var ans control.FileAnswer
			if err := a.call(cmd, "file/show", request, &ans); err != nil {
				return err
			}
			switch f := ans.File; {
			case f.Direction == "in" && f.State == "coming": // asked for already
				return a.saved(cmd, request, wait)
			case f.Direction != "in" || f.State != waitsForYou:
				return &control.Error{Code: "not_offered", Exit: control.ExitUsage, Message: "the file does not wait to be saved: " + f.State, Hint: "backchannel file list" + shortArg(args[0])}
			}
			if !a.json {
				a.note("%s, as its sender calls it: %s", size(ans.File.Size), cleanLine(ans.File.Name))
			}
			path, err := a.askPath("Folder, or folder and name: ")
			if err != nil {
				return err
			}
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				path = filepath.Join(path, safeName(ans.File.Name))
			}
			var d control.Done
			take := control.FileTakeRequest{Name: request.Name, Seq: request.Seq, Path: path}
			if err := a.call(cmd, "file/take", take, &d); err != nil {
				return err
			}
			return a.saved(cmd, request, wait)
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "fail if it is not here within --timeout")
	return c
}

// saved waits for a file to come, and says where it is.
func (a *app) saved(cmd *cobra.Command, request control.FileRequest, wait bool) error {
	ans := control.FileAnswer{File: control.File{Seq: request.Seq, Direction: "in"}}
	err := a.waitFile(cmd, request.Name, &ans)
	var late *control.Error
	if errors.As(err, &late) && late.Exit == control.ExitNotInTime && !wait {
		err = nil
	}
	if err != nil {
		return err
	}
	return a.answer(ans, func() {
		if ans.File.State == "here" {
			a.say("Saved, %s: %s", size(ans.File.Size), quote(ans.File.Path))
			return
		}
		a.say("%s. It goes on by itself. How far it is: %s", progress(ans.File), a.here("backchannel file list"+shortArg(request.Name)))
	})
}

// maxSafeName leaves room for what a person adds, under the 255 bytes that file
// systems allow.
const maxSafeName = 200

// safeName makes a name for a file of what a stranger calls it: no folder, no
// hidden file, no device, nothing invisible, and only its last ending.
func safeName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case steers(r), joiner(r), unicode.Is(unicode.Co, r):
			return -1
		case unicode.IsSpace(r), strings.ContainsRune(`/\:*?"<>|`, r):
			return '_'
		default:
			return r
		}
	}, name)
	name = strings.Trim(name, "._ ")
	if strings.HasPrefix(name, "-") {
		name = "_" + name
	}
	if stem, _, _ := strings.Cut(strings.ToUpper(name), "."); deviceNames[stem] {
		name = "_" + name
	}
	if len(name) > maxSafeName {
		ending := filepath.Ext(name)
		if len(ending) > 16 {
			ending = ""
		}
		stem := name[:maxSafeName-len(ending)]
		for !utf8.ValidString(stem) {
			stem = stem[:len(stem)-1]
		}
		name = stem + ending
	}
	if name == "" {
		return "file"
	}
	return name
}

// deviceNames cannot be names of files on Windows, whatever their ending.
var deviceNames = func() map[string]bool {
	names := map[string]bool{"CON": true, "PRN": true, "AUX": true, "NUL": true}
	for _, d := range []string{"COM", "LPT"} {
		for i := range 10 {
			names[d+strconv.Itoa(i)] = true
		}
	}
	return names
}()
