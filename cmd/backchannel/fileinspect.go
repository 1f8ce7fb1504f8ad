package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/metadata"
)

// inspected says what a file tells about its author.
type inspected struct {
	V         int             `json:"v"`
	Format    control.Word    `json:"format"`
	Size      int64           `json:"size"`
	Findings  []inspectedPart `json:"findings"`
	More      int             `json:"more_findings,omitempty"`
	Cleanable bool            `json:"cleanable"`
	Why       string          `json:"why,omitempty"`
	Copy      string          `json:"copy,omitempty"` // path of the cleaned copy, if one was made
}

type inspectedPart struct {
	What  control.Word `json:"what"`
	Value string       `json:"value,omitempty"`
	Where string       `json:"where,omitempty"`
	Kept  bool         `json:"kept_in_copy,omitempty"`
}

func (a *app) fileInspectCommand() *cobra.Command {
	var makeCopy bool
	c := &cobra.Command{
		Use:   "inspect",
		Short: "Show what a file says about its author, and make a cleaned copy",
		Long: `Show what a file says about its author besides what it shows: names, places,
times, serial numbers, older versions. Its path is asked for. No node is needed,
nothing leaves this machine, and the file itself is never changed. With --clean
a copy without all that is written to a place that is asked for, too.`,
		Example: "  backchannel file inspect\n  printf '%s\\n' \"$path\" \"$copy\" | backchannel file inspect --clean",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := a.askPath("Path of the file: ")
			if err != nil {
				return err
			}
			ans, _, err := inspect(path)
			if err != nil {
				return err
			}
			if makeCopy {
				if !a.json {
					a.printInspected(ans, a.noteFolded)
				}
				place, err := a.askPath("Place of the copy: ")
				if err != nil {
					return err
				}
				if ans.Copy, err = cleanInto(path, place); err != nil {
					return err
				}
				return a.answer(ans, func() { a.say("The cleaned copy: %s", quote(ans.Copy)) })
			}
			return a.answer(ans, func() { a.printInspected(ans, a.sayFolded) })
		},
	}
	c.Flags().BoolVar(&makeCopy, "clean", false, "write a cleaned copy")
	return c
}

// inspect looks at a file. It reports whether there is something that its sender
// should know.
func inspect(path string) (ans inspected, dirty bool, err error) {
	f, size, err := openFile(path)
	if err != nil {
		return inspected{}, false, err
	}
	defer func() { _ = f.Close() }()
	r, err := metadata.Inspect(f, size)
	if err != nil {
		return inspected{}, false, unreadable()
	}
	ans = inspected{V: control.Version, Format: control.Word(r.Format.String()), Size: size, Findings: []inspectedPart{}, More: r.More, Cleanable: r.Cleanable, Why: r.Why}
	for _, f := range r.Findings {
		ans.Findings = append(ans.Findings, inspectedPart{What: control.Word(f.Kind.String()), Value: f.Value, Where: f.Where, Kept: f.Kept})
	}
	return ans, r.Dirty(), nil
}

func openFile(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, unreadable()
	}
	if !info.Mode().IsRegular() {
		return nil, 0, usage("this is not a file that can be sent: a folder, a device or a pipe", "send a file; put a folder into an archive first")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, unreadable()
	}
	return f, info.Size(), nil
}

func unreadable() error {
	return &control.Error{Code: "unreadable", Exit: control.ExitFailed, Message: "the file cannot be read", Hint: "check its name and that you may read it"}
}

// printInspected shows what was found, most telling first as the file has it.
func (a *app) printInspected(ans inspected, show func(int, string, ...any)) {
	out := func(format string, args ...any) { show(4, format, args...) }
	if len(ans.Findings) == 0 {
		out("Format: %s. Nothing was found in it besides what it shows.", ans.Format)
	} else {
		out("Format: %s. Besides what it shows, the file holds:", ans.Format)
	}
	for _, f := range ans.Findings {
		line := "  " + string(f.What)
		if f.Value != "" {
			line += ": " + cleanLine(f.Value)
		}
		if f.Where != "" {
			line += "   (" + cleanLine(f.Where) + ")"
		}
		if f.Kept {
			line += "   stays in a copy"
		}
		out("%s", line)
	}
	if ans.More > 0 {
		out("  and %s more", plural(ans.More, "finding"))
	}
	if !ans.Cleanable {
		out("No cleaned copy can be made: %s.", ans.Why)
	}
}

// cleanInto writes the cleaned copy of a file to a place where nothing is yet, and
// returns the place.
func cleanInto(path, place string) (string, error) {
	if info, err := os.Stat(place); err == nil && info.IsDir() {
		place = filepath.Join(place, filepath.Base(path))
	}
	f, size, err := openFile(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	out, err := os.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return "", &control.Error{Code: "file_exists", Exit: control.ExitUsage, Message: "there is something of this name already; nothing was overwritten", Hint: "repeat the command, and give another name"}
	case err != nil:
		return "", &control.Error{Code: "no_folder", Exit: control.ExitFailed, Message: "the copy cannot be written there", Hint: "repeat the command, and name a folder that you may write to"}
	}
	err = metadata.Clean(f, size, out)
	if closed := errors.Join(out.Sync(), out.Close()); err == nil && closed != nil {
		err = closed
	}
	if err == nil {
		return place, nil
	}
	_ = os.Remove(place)
	if errors.Is(err, metadata.ErrCannotClean) {
		return "", &control.Error{Code: "not_cleanable", Exit: control.ExitFailed, Message: strings.TrimPrefix(err.Error(), metadata.ErrCannotClean.Error()+": "), Hint: "send it as it is with: backchannel file send --as-it-is"}
	}
	return "", &control.Error{Code: "not_written", Exit: control.ExitFailed, Message: "the copy could not be written", Hint: "name a folder on a disk that has room"}
}

// besides is where the cleaned copy of a file goes if nobody says otherwise.
func besides(path string) string {
	ext := filepath.Ext(path)
	for n := 1; ; n++ {
		place := strings.TrimSuffix(path, ext) + " (cleaned)" + ext
		if n > 1 {
			place = fmt.Sprintf("%s (cleaned %d)%s", strings.TrimSuffix(path, ext), n, ext)
		}
		if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) || n == 100 {
			return place
		}
	}
}
