// Package sounding finds out whether two sides have a topic in common, and tells
// neither anything about the others.
//
//	topic      a text in the one form in which it meets itself
//	sounding   one side as a state that is saved after each step
//	matrix     CPace between each of our entries and each of theirs
//	message    the shares, then twenty rounds of two bits for each pair
//
// Each side has eight entries; what its owner did not fill is filled at random,
// and from the first difference on a pair's bits are random. So an owner who set
// nothing and one who set something else send the same. There is no key in it
// that lasts longer than a sounding: either side can write a whole one alone.
// Format: docs/spec/sounding.md.
package sounding

import "errors"

// Errors of this package.
var (
	ErrTopic      = errors.New("sounding: a topic has 1 to 128 bytes of text, is named once, and there are 8 at most")
	ErrFormat     = errors.New("sounding: not a valid encoding")
	ErrOrder      = errors.New("sounding: this step has been taken or is not due yet")
	ErrRefused    = errors.New("sounding: the other side's shares are refused")
	ErrUnfinished = errors.New("sounding: there is no result yet")
)
