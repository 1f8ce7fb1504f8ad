// Package communique makes one text that two parties sign at once, and everybody
// can check.
//
// The outcome is a [Communique]: a text file with a pair of plain Ed25519
// signatures, under keys made for this alone, that crypto/ed25519 verifies. It
// names both keys and 32 random bytes, and holds nothing of the talks: no
// channel, no date, no expiry, not even who proposed it.
//
// An [Exchange] is the way there, seven messages between an [Initiator] and a
// [Responder]: two commitments, two openings, two adaptor pre-signatures, and the
// release that turns both into signatures. Nobody can turn one into a signature
// without handing the other side what turns the second. But the initiator alone
// decides whether and when: [Exchange.Position] says who could walk away with
// what. Fair exchange without a third party does not exist.
//
// docs/spec/communique.md has the formats, the argument and its limits.
package communique

import "errors"

// Errors of this package. They name the fault and repeat nothing of what was read.
var (
	ErrFormat      = errors.New("communique: not a communiqué of this version")
	ErrLineEndings = errors.New("communique: line endings were changed; get the file as it was published")
	ErrSignature   = errors.New("communique: a signature does not fit this text")
	ErrKey         = errors.New("communique: not a publication key, or the same key twice")
	ErrPoint       = errors.New("communique: not a point of the prime-order group")
	ErrTextLength  = errors.New("communique: the text is empty or too long")
	ErrTextForm    = errors.New("communique: the text has a character or a line that is not allowed")

	ErrRandom       = errors.New("communique: the random source gave nothing but zeros")
	ErrMessage      = errors.New("communique: not a message of an exchange")
	ErrTurn         = errors.New("communique: it is not this side's turn")
	ErrOrder        = errors.New("communique: a message out of order")
	ErrChanged      = errors.New("communique: a message came again with other content")
	ErrOtherText    = errors.New("communique: the other side signs another text")
	ErrOtherExpiry  = errors.New("communique: the other side has another expiry")
	ErrCommitment   = errors.New("communique: the other side opened something else than it committed to")
	ErrPreSignature = errors.New("communique: the pre-signature does not fit")
	ErrRelease      = errors.New("communique: this does not release the signatures")
	ErrExpired      = errors.New("communique: the exchange has expired")
	ErrUnfinished   = errors.New("communique: the signatures are not complete")
	ErrState        = errors.New("communique: not a stored exchange")
)
