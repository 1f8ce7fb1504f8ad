// Package directory keeps a relay's copy of the list of relays, and its own place on it
// (docs/spec/directory.md; docs/spec/link.md, sections 4 and 5).
//
//	network file ── vouchers ──┐
//	gossip ── messages ────────┼──> set ── view of an epoch ──> mix, links
//	neighbours ── answers ─────┘     │
//	                                 └── answers to relays and principals
//
// Vouchers and proofs that it learns are kept on the disk (learnt.go): who restarts knows
// them before it knows anybody to ask.
//
// A [Directory] may be used by several goroutines; it has none of its own. [Directory.Run]
// announces this relay when an epoch begins, and asks a neighbour now and then: gossip has
// no history for those who were away.
package directory
