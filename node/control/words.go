package control

import (
	"strings"
	"unicode"
)

// A Word is one of a fixed set of words and phrases: a state, a kind, a mark. In
// memory it is what screens show, as "waiting here". In JSON it is what scripts
// compare: the same words in lower case with one _ between them and no other sign,
// as "waiting_here". A set may grow, but a word that was in it keeps its meaning.
type Word string

// MarshalText writes the word as scripts read it.
func (w Word) MarshalText() ([]byte, error) { return []byte(w.code()), nil }

// UnmarshalText reads what MarshalText writes.
func (w *Word) UnmarshalText(b []byte) error {
	if shown, ok := spelled[string(b)]; ok {
		*w = shown
		return nil
	}
	*w = Word(strings.ReplaceAll(string(b), "_", " "))
	return nil
}

func (w Word) code() string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(string(w)), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), "_")
}

// spelled holds the phrases that cannot be made of their code: those with a sign or
// a capital letter in them.
var spelled = func() map[string]Word {
	m := map[string]Word{}
	for _, w := range []Word{
		"expired, never confirmed", "offered, not taken yet", "changed here since; send it again",
		"did not arrive whole; send it again", "ended, never confirmed", "ended, not whole",
		"recovered, not compared", "accepted, keys are being agreed", usedTwice, "config.toml cannot be read",
	} {
		m[w.code()] = w
	}
	return m
}()
