// Package shuttle is what somebody in the middle carries between two who do not
// speak with each other.
//
//	held      a text that waits at the mediator, and goes on without its sender
//	message   the five messages
//	exchange  what the two share, and how an offer is committed to and opened
//	party     one of the two in an exchange of sealed offers
//	round     the mediator's side of it
//
// Sealed offers are committed to by both before either is opened, and opened under
// a key that the mediator who only carries does not learn. He can withhold. A
// mediator who plays each of the two to the other cannot be kept from it by two
// who share nothing: docs/spec/shuttle.md says what holds then, and what finds
// him. Nothing is signed.
package shuttle

import "errors"

// Errors of this package. They name the fault and repeat nothing of what was read.
var (
	ErrFormat  = errors.New("shuttle: not a valid encoding")
	ErrText    = errors.New("shuttle: the text is empty, too long or not UTF-8")
	ErrExpiry  = errors.New("shuttle: it would end too late, or has ended already")
	ErrExpired = errors.New("shuttle: it has ended")
	ErrOrder   = errors.New("shuttle: a message or a step out of order")
	ErrRandom  = errors.New("shuttle: the random source gave nothing but zeros")
	ErrRefused = errors.New("shuttle: it does not open, or is not what was committed to")
)

// A Role is one of the two places in an exchange. It gives no advantage.
type Role byte

// The roles.
const (
	First Role = 1 + iota
	Second
)

// String returns "first" or "second".
func (r Role) String() string {
	switch r {
	case First:
		return "first"
	case Second:
		return "second"
	}
	return "no role"
}

// Other returns the other role.
func (r Role) Other() Role { return First + Second - r }

func (r Role) valid() bool { return r == First || r == Second }
