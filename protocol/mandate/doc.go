// Package mandate is how an envoy shows one listener for whom he speaks, with
// something that convinces that listener and nobody else.
//
//	key         of an authority, an envoy or a listener; the words of it
//	request     what the envoy takes to the authority: for whom, to whom
//	mandate     scope, end, dossier and a tag that authority and listener can make
//	ring        the envoy's assurance: made by the authority, or by himself
//	withdrawal  a mandate that ends before its time
//
// The tag is a MAC under a key that authority and listener share, so the
// listener could have made every mandate that was ever shown to him. [Forge] and
// [ForgeGrant] do it with the code that makes real ones. Group: ristretto255
// (RFC 9496). Formats: docs/spec/mandate.md.
package mandate

import "errors"

// Errors of this package. ErrRefused stands for every check of a key, a tag or a
// ring that failed: which one it was is not told.
var (
	ErrFormat  = errors.New("mandate: not a valid encoding")
	ErrRefused = errors.New("mandate: it is not for this listener from this authority by this envoy")
	ErrExpired = errors.New("mandate: it has ended")
	ErrTerms   = errors.New("mandate: a scope has 1 to 313 bytes of plain text, and an end")
)
