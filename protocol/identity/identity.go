// Package identity is how two people come to know one another's keys.
//
//	card         what one side tells the other once: static key, place, terms
//	invitation   one line of text with a one-time secret, no key
//	words        the comparison by voice that makes a contact verified
//
// There is no global identity: each contact gets a fresh static key and a fresh
// card, and nothing here is signed. Formats: docs/spec/card.md,
// docs/spec/invitation.md, docs/spec/words.md.
package identity

import "errors"

// Side says which of the two a person is in one contact, for its whole life.
type Side byte

// The sides of a contact.
const (
	Inviter Side = 1 + iota
	Accepter
)

// String returns "inviter" or "accepter".
func (s Side) String() string {
	switch s {
	case Inviter:
		return "inviter"
	case Accepter:
		return "accepter"
	default:
		return "no side"
	}
}

// Other returns the opposite side.
func (s Side) Other() Side {
	if s == Inviter {
		return Accepter
	}
	return Inviter
}

// ErrFormat is returned for bytes that are not the one valid encoding.
var ErrFormat = errors.New("identity: not a valid encoding")
