package sounding

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxTopic is the longest topic in bytes, in its normal form.
const MaxTopic = 128

// maxTyped bounds what is normalized at all.
const maxTyped = 4 * MaxTopic

// Normalize gives a topic the form in which it is compared: without case, in
// NFKC, with single spaces and without characters that nobody sees. It does not
// make one topic of two spellings or two words for one thing.
func Normalize(topic string) (string, error) {
	if len(topic) > maxTyped || !utf8.ValidString(topic) {
		return "", ErrTopic
	}
	// Folding can undo a composition, and composing can make a letter that folds.
	for range 2 {
		topic = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(topic)))
		topic = strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && !unicode.IsSpace(r) {
				return -1
			}
			return r
		}, topic)
	}
	topic = strings.Join(strings.Fields(topic), " ")
	if topic == "" || len(topic) > MaxTopic {
		return "", ErrTopic
	}
	return topic, nil
}
