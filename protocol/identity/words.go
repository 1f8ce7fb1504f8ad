package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/backchannel/backchannel/protocol/label"
)

// WordCount is how many words each side reads aloud: 33 bits.
const WordCount = 3

//go:embed words.txt
var wordFile string

// wordList is the English list of BIP-39: 2,048 words, sorted, each known by its
// first four letters.
var wordList = strings.Fields(wordFile)

// Commitment binds a side to its nonce before it has seen the other's. Both
// nonces are committed before either is revealed, so nobody can search for a
// pair of sessions with equal words: each attempt is one draw from 2^33.
func Commitment(s Side, nonce, binding [32]byte) [32]byte {
	return label.Hash(label.WordsCommit, []byte{byte(s)}, nonce[:], binding[:])
}

// CheckCommitment reports whether nonce opens commitment.
func CheckCommitment(commitment [32]byte, s Side, nonce, binding [32]byte) bool {
	want := Commitment(s, nonce, binding)
	return subtle.ConstantTimeCompare(want[:], commitment[:]) == 1
}

// Spoken is what one side reads aloud: three words or, between two languages,
// ten digits of the same hash.
type Spoken struct {
	words  [WordCount]uint16
	digits uint64
}

// SpokenBy derives what side s reads, from the session's binding and both nonces.
func SpokenBy(s Side, binding, inviterNonce, accepterNonce [32]byte) Spoken {
	l := label.WordsA
	if s == Accepter {
		l = label.WordsB
	}
	h := label.Hash(l, binding[:], inviterNonce[:], accepterNonce[:])
	return spokenFrom(h)
}

func spokenFrom(h [sha256.Size]byte) Spoken {
	bits := binary.BigEndian.Uint64(h[:])
	var sp Spoken
	for i := range sp.words {
		sp.words[i] = uint16(bits >> (64 - 11*(i+1)) & 0x7ff)
	}
	// 64 bits modulo 10^10: the bias is below 2^-30.
	sp.digits = binary.BigEndian.Uint64(h[8:]) % 1e10
	return sp
}

// Words returns the three words.
func (sp Spoken) Words() [WordCount]string {
	var w [WordCount]string
	for i, n := range sp.words {
		w[i] = wordList[n]
	}
	return w
}

// Digits returns ten digits in two groups of five.
func (sp Spoken) Digits() string {
	d := fmt.Sprintf("%010d", sp.digits)
	return d[:5] + " " + d[5:]
}

// MatchWords compares what a person typed with sp. Each entry must be in the
// list, in full or by its first four letters; it returns which entries fit.
func (sp Spoken) MatchWords(typed [WordCount]string) (fit [WordCount]bool, all bool) {
	all = true
	for i, w := range typed {
		word, ok := FindWord(w)
		fit[i] = ok && word == wordList[sp.words[i]]
		all = all && fit[i]
	}
	return fit, all
}

// MatchDigits compares typed digits with sp; anything but digits is passed over.
func (sp Spoken) MatchDigits(typed string) bool {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, typed)
	return subtle.ConstantTimeCompare([]byte(digits), fmt.Appendf(nil, "%010d", sp.digits)) == 1
}

// FindWord returns the list's word for what a person typed: the word itself, or
// its first four letters or more. A typing error is found here, before it counts
// as a try.
func FindWord(typed string) (string, bool) {
	typed = strings.ToLower(strings.TrimSpace(typed))
	i, exact := slices.BinarySearch(wordList, typed)
	if exact {
		return typed, true
	}
	if len(typed) >= 4 && i < len(wordList) && strings.HasPrefix(wordList[i], typed) {
		return wordList[i], true
	}
	return "", false
}

// CompleteWord returns the words that begin with prefix, for the Tab key.
func CompleteWord(prefix string) []string {
	prefix = strings.ToLower(prefix)
	i, _ := slices.BinarySearch(wordList, prefix)
	j := i
	for j < len(wordList) && strings.HasPrefix(wordList[j], prefix) {
		j++
	}
	return slices.Clone(wordList[i:j])
}

// WordAt returns one word of the list; n is taken modulo 2048. Passphrases are
// drawn with it.
func WordAt(n uint16) string { return wordList[int(n)%len(wordList)] }
