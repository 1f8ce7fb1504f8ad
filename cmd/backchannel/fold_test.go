package main

import (
	"strings"
	"testing"
	"unicode"
)

func TestFoldLines(t *testing.T) {
	for _, c := range []struct {
		name, text      string
		columns, indent int
		want            string
	}{
		{"no terminal", strings.Repeat("x", 300), 0, 14, strings.Repeat("x", 300)},
		{"short", "one\ntwo", 20, 4, "one\ntwo"},
		{"exact", "12345678901234567890", 20, 4, "12345678901234567890"},
		{"at a space", "one two three four five six", 20, 4, "one two three four \n    five six"},
		{"without a space", strings.Repeat("x", 40), 20, 4, strings.Repeat("x", 20) + "\n    " + strings.Repeat("x", 16) + "\n    xxxx"},
		{"wide characters", strings.Repeat("女", 15), 20, 4, strings.Repeat("女", 10) + "\n    " + strings.Repeat("女", 5)},
		{"marks stay with their letter", strings.Repeat("x", 19) + "e\u0301y", 20, 4, strings.Repeat("x", 19) + "\n    e\u0301y"},
		{"a line of another", strings.Repeat("x", 20) + "   7  11:02  you: yes", 20, 14, strings.Repeat("x", 20) + "\n        7  11:02  \n     you: yes"},
		{"a narrow terminal", "123456", 2, 14, "12\n34\n56"},
	} {
		if got := foldLines(c.text, c.columns, c.indent); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzFold wants nothing lost, and every line within the terminal but for a
// character that is wider than it.
func FuzzFold(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.text, 80)
	}
	for _, text := range harmless {
		f.Add(text, 7)
	}
	f.Add(strings.Repeat("x", 80)+"   7  11:02  you: yes", 80)
	f.Fuzz(func(t *testing.T, text string, columns int) {
		columns = 60 + (columns%200+200)%200
		text = "   3  11:02  Larch: " + standIn(text)
		got := foldLines(text, columns, hang)
		letters := func(s string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsSpace(r) {
					return -1
				}
				return r
			}, s)
		}
		if letters(got) != letters(text) {
			t.Fatalf("%q was lost in %q", text, got)
		}
		for i, line := range strings.Split(got, "\n") {
			used := 0
			for _, r := range line {
				used += cells(r)
			}
			if used > columns {
				t.Fatalf("%q is wider than %d columns", line, columns)
			}
			if i > 0 && !strings.HasPrefix(line, strings.Repeat(" ", hang)) {
				t.Fatalf("%q does not stand in", line)
			}
		}
	})
}
