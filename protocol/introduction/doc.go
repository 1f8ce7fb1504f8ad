// Package introduction is how somebody who knows two people brings them together
// without telling either who the other is before both have said yes.
//
//	introducer  asks both, passes two messages on, forgets
//	party       is asked, answers, and ends with an invitation or with nothing
//	message     the five messages
//	seal        the invitation, under a key that the introducer does not learn
//
// What comes out is an ordinary invitation, made by one of the two and opened by
// the other; all that follows is between them. An introducer who put himself in
// the middle is found by their words, and by nothing else. Nothing is signed.
// Format: docs/spec/introduction.md.
package introduction

import "errors"

// Errors of this package. They name the fault and repeat nothing of what was read.
var (
	ErrFormat  = errors.New("introduction: not a valid encoding")
	ErrText    = errors.New("introduction: each is told of the other in 1 to 128 bytes of plain text")
	ErrExpiry  = errors.New("introduction: it would end too late, or has ended already")
	ErrExpired = errors.New("introduction: it has ended")
	ErrOrder   = errors.New("introduction: a message or an answer out of order")
	ErrRandom  = errors.New("introduction: the random source gave nothing but zeros")
	ErrRefused = errors.New("introduction: it does not open")
)
