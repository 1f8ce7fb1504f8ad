package identity_test

import (
	"testing"

	"github.com/backchannel/backchannel/protocol/identity"
)

// TestCardKeyHasOneForm writes the keys of a card in every way that X25519 would
// take: the high bit set, or 2^255-19 added to what is small enough.
func TestCardKeyHasOneForm(t *testing.T) {
	parse := func(static [32]byte) error {
		_, err := identity.ParseCard(identity.Card{Static: static}.Append(nil))
		return err
	}
	for first := range 256 {
		small := [32]byte{byte(first)}
		if err := parse(small); err != nil {
			t.Errorf("the number %d: %v", first, err)
		}
		high := small
		high[31] = 0x80
		if parse(high) == nil {
			t.Errorf("the number %d with the high bit set: accepted", first)
		}
		large := [32]byte{31: 0x7f}
		for i := 1; i < 31; i++ {
			large[i] = 0xff
		}
		large[0] = byte(first)
		if taken := parse(large) == nil; taken != (first < 0xed) { // 2^255-19 ends in 0xed
			t.Errorf("2^255-256+%d: accepted: %v", first, taken)
		}
	}
}

// TestSpokenOrder says the right words in every wrong order.
func TestSpokenOrder(t *testing.T) {
	sp := identity.SpokenBy(identity.Inviter, [32]byte{1}, [32]byte{2}, [32]byte{3})
	w := sp.Words()
	if w[0] == w[1] || w[1] == w[2] || w[0] == w[2] {
		t.Fatal("the example has a word twice")
	}
	for _, order := range [][3]int{{0, 2, 1}, {1, 0, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}} {
		said := [3]string{w[order[0]], w[order[1]], w[order[2]]}
		fit, all := sp.MatchWords(said)
		if all {
			t.Errorf("in the order %v they match", order)
		}
		for i := range fit {
			if fit[i] != (order[i] == i) {
				t.Errorf("in the order %v word %d fits: %v", order, i+1, fit[i])
			}
		}
	}
}
