// Package charter is what two sides agree on before anything flows in a channel:
// what it is for, whether anything of it may be published, and when it ends.
//
//	terms    what is agreed on, and its one encoding
//	charter  one side of the agreement: proposal, acceptance of the same text, end
//	message  the five messages, and what each changes
//	state    the stored form
//	clock    what time it is, when clocks disagree
//
// Nothing here is secret from the other side, drawn at random or signed: either
// side makes every message of both. Format: docs/spec/charter.md.
package charter

import "errors"

// Errors of this package. They name the fault and repeat nothing of what was read.
var (
	ErrFormat   = errors.New("charter: not a valid encoding")
	ErrTerms    = errors.New("charter: a name, a purpose or a term that cannot be")
	ErrChannel  = errors.New("charter: this number is not this side's to give")
	ErrDeadline = errors.New("charter: the deadline has passed, or is more than a year away")
	ErrKind     = errors.New("charter: a secret channel stays secret")
	ErrTooMany  = errors.New("charter: there were too many drafts or extensions")
	ErrClock    = errors.New("charter: the clock is wrong")
	ErrWaiting  = errors.New("charter: a draft of this side waits for its answer")
	ErrNothing  = errors.New("charter: there is no such draft to answer or withdraw")
	ErrSame     = errors.New("charter: this is what was agreed already")
	ErrStale    = errors.New("charter: a message that does not belong to where things stand")
	ErrEnded    = errors.New("charter: the channel is declined or closed")
	ErrOver     = errors.New("charter: the deadline has passed")
)
