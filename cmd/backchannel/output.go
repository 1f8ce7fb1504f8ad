package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/screen"
	"github.com/backchannel/backchannel/node/control"
)

// note prints to the person: never part of an answer that a script reads, and
// nothing with --json, where an error is the one thing on standard error.
func (a *app) note(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// say prints a line of the answer.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// advise prints a line on what could be done next.
func (a *app) advise(format string, args ...any) {
	if !a.quiet {
		a.say(format, args...)
	}
}

// answer prints v as JSON, or calls plain for a person.
func (a *app) answer(v any, plain func()) error {
	if a.json {
		writeJSON(a.out, v)
		return nil
	}
	plain()
	return nil
}

func writeJSON(w io.Writer, v any) { screen.WriteJSON(w, v) }
func steers(r rune) bool           { return screen.Steers(r) }
func joiner(r rune) bool           { return screen.Joiner(r) }
func clean(s string) string        { return screen.Clean(s) }
func cleanLine(s string) string    { return screen.CleanLine(s) }

// quoted is a name in quotes, as it is shown: %q would spell out the joiners of
// Persian and Hindi.
func quoted(name string) string { return `"` + cleanLine(name) + `"` }

// printMessage prints one message of a transcript. Lines after the first are
// indented, so that no text can look like another person's line.
func (a *app) printMessage(name string, m control.Message) {
	at := localTime(m.Time)
	who := cleanLine(name)
	state := ""
	switch m.Direction {
	case "out":
		who, state = "you", "   ("+string(m.State)+")"
	case "notice":
		a.sayFolded(hang, "%s  --- %s", at, standIn(m.Text))
		return
	}
	if m.File {
		a.sayFolded(hang, "%4d  %s  %s: file: %s   (%s)", m.Seq, at, who, cleanLine(m.Text), m.State)
		return
	}
	a.sayFolded(hang, "%4d  %s  %s: %s%s", m.Seq, at, who, standIn(m.Text), state)
}

// standIn is clean for a text whose lines after the first stand in.
func standIn(text string) string {
	return strings.ReplaceAll(clean(text), "\n", "\n"+strings.Repeat(" ", hang))
}

// localTime shows a time of the API as hours and minutes here, with the day
// unless it is today.
func localTime(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "--:--"
	}
	t = t.Local()
	if now := time.Now(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("2 Jan 15:04")
}

// longTime shows a time with its day, here and in UTC.
func longTime(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "an unknown time"
	}
	return t.Local().Format("Mon 2 Jan 15:04") + " (" + t.UTC().Format("15:04") + " UTC)"
}

func itoa(n int) string { return strconv.Itoa(n) }

// plural returns "1 message", "2 messages".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return itoa(n) + " " + what + "s"
}
