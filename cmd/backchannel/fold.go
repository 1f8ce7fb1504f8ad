package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// hang is how far the lines of a message stand in, but the first: behind the
// number and the time, where no other person's line can begin.
const hang = 14

// sayFolded is say for what others wrote. On a terminal long lines are folded here,
// and what follows stands in: a terminal would go on at its left edge, where a text
// of the right length looks like another person's line.
func (a *app) sayFolded(indent int, format string, args ...any) {
	a.say("%s", foldLines(fmt.Sprintf(format, args...), columns(a.out), indent))
}

// noteFolded is note for what others wrote.
func (a *app) noteFolded(indent int, format string, args ...any) {
	a.note("%s", foldLines(fmt.Sprintf(format, args...), columns(a.err), indent))
}

// columns is how wide the terminal behind w is; 0 if there is none.
func columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil || n <= 0 {
		return 80
	}
	return n
}

// foldLines breaks lines that are wider than so many columns, if that is not 0: behind a
// space where there is one. What follows stands in.
func foldLines(s string, columns, indent int) string {
	if columns == 0 {
		return s
	}
	indent = min(indent, columns/4)
	begin := "\n" + strings.Repeat(" ", indent)
	var folded strings.Builder
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			folded.WriteByte('\n')
		}
		room := columns
		for rest := []rune(line); ; room = columns - indent {
			n := fitting(rest, room)
			folded.WriteString(string(rest[:n]))
			if rest = rest[n:]; len(rest) == 0 {
				break
			}
			folded.WriteString(begin)
		}
	}
	return folded.String()
}

// fitting is how many characters of a line go into so many columns: all, or as far
// as a good place to break, or at least one.
func fitting(line []rune, columns int) int {
	n := 0
	for used := 0; n < len(line); n++ {
		if used += cells(line[n]); used > columns {
			break
		}
	}
	n = min(max(n, 1), len(line))
	if n == len(line) {
		return n
	}
	for at := n; at > n/2; at-- {
		if line[at-1] == ' ' {
			return at
		}
	}
	for at := n; at > n/2; at-- {
		if !unicode.IsMark(line[at]) && !joiner(line[at]) && !joiner(line[at-1]) {
			return at
		}
	}
	return n
}

// cells is the most columns that a terminal takes for a character: some show marks
// beside the letter that they belong to.
func cells(r rune) int {
	kind := width.LookupRune(r).Kind()
	switch {
	case r == '\t':
		return 8
	case kind == width.EastAsianWide, kind == width.EastAsianFullwidth, kind == width.EastAsianAmbiguous && wideLocale:
		return 2
	default:
		return 1
	}
}

// wideLocale: in Chinese, Japanese and Korean terminals Greek and Cyrillic letters
// and many signs may be as wide as the other characters.
var wideLocale = func() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			return strings.HasPrefix(v, "zh") || strings.HasPrefix(v, "ja") || strings.HasPrefix(v, "ko")
		}
	}
	return false
}()
