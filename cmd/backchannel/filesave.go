package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) fileSaveCommand() *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use:   "save CONTACT NUMBER",
		Short: "Let a file come, and write it to a place that you name",
		Long: `Let a file come, and write it to a place that is asked for: a folder, or a new
name in one. Nothing is overwritten, opened or run. In a folder the file gets
the name that its sender gave it, without what could do harm. Until all of it is
there, it lies beside that place under a name that begins with a dot.

If its name is taken by then, it gets a number. If that does not help, it needs
another name: save it again. In the same folder it is there at once; to another
folder it comes anew.`,
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
			case f.Direction != "in" || f.State != waitsForYou && f.State != needsName:
				return &control.Error{Code: "not_offered", Exit: control.ExitUsage, Message: "the file does not wait to be saved: " + string(f.State), Hint: "backchannel file list" + shortArg(args[0]) + inChannel(f.Channel)}
			}
			if !a.json {
				a.noteFolded(hang, "%s, as its sender calls it: %s", size(ans.File.Size), cleanLine(ans.File.Name))
			}
			if ans.File.State == needsName {
				a.note("All of it is here; every name that it could get where you wanted it is taken.")
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
		a.say("%s. It goes on by itself. How far it is: %s", progress(ans.File), a.here("backchannel file list"+shortArg(request.Name)+inChannel(ans.File.Channel)))
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
		case r == ' ':
			return r
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
	names := map[string]bool{"CON": true, "PRN": true, "AUX": true, "NUL": true, "CONIN$": true, "CONOUT$": true}
	for _, d := range []string{"COM", "LPT"} {
		for i := range 10 {
			names[d+strconv.Itoa(i)] = true
		}
		for _, i := range []string{"¹", "²", "³"} {
			names[d+i] = true
		}
	}
	return names
}()
