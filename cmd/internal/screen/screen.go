// Package screen makes text of any origin safe to show, for people and for scripts.
package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteJSON writes one object on a line. Characters that could steer a terminal
// are escaped, so the line is safe to look at and loses nothing.
func WriteJSON(w io.Writer, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	var safe strings.Builder
	for _, r := range b.String() {
		if r != '\n' && Steers(r) {
			if r > 0xffff {
				r -= 0x10000
				fmt.Fprintf(&safe, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
				continue
			}
			fmt.Fprintf(&safe, `\u%04x`, r)
			continue
		}
		safe.WriteRune(r)
	}
	_, _ = io.WriteString(w, safe.String())
}

// Steers reports whether a character does something to a terminal or to the
// order of the text around it instead of being shown.
func Steers(r rune) bool {
	return unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029'
}

// Joiner reports whether a format character is needed to spell words: the
// joiners of Persian, Hindi and emoji.
func Joiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// Clean makes text of any origin safe to show: control characters, escape
// sequences, direction overrides and other invisible characters become a visible
// mark. Line breaks and tabs stay as such; use CleanLine where a line must stay
// one.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', Joiner(r):
			return r
		case r == '\r':
			return -1
		case Steers(r):
			return '\u2423'
		default:
			return r
		}
	}, s)
}

// CleanLine is Clean for names and other single lines, cut to a length that no
// screen is flooded by.
func CleanLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, Clean(s))
	if runes := []rune(s); len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return s
}

// Quote writes a path as a shell takes it.
func Quote(s string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-:", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(Clean(s), "'", `'\''`) + "'"
}
