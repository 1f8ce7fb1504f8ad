// Package sim is a relay network in virtual time: machines of principals, relays,
// drops and the links between them, in one goroutine and with no clock
// (docs/simulator.md).
//
//	script ──> talk ──> relayed.Machine ──> guard ──> mix.Machine … ──> drop
//	                          └── every packet on every link ──> trace
//
// What decides is the code that runs in production: [relayed.Machine] says what a
// machine sends, [mix.Machine] what a relay keeps and for how long, [directory.Set] which
// relays there are, [relay.Rate] how links are padded. What stands in for the rest is
// links (latency, jitter, loss, frames), people, and a conversation that numbers its
// cells, acknowledges and sends again.
//
// With Config.Fast packets and boxes go by reference. Every choice is drawn from the
// seed in the same order either way, so that the trace is the same.
//
// Files: world.go (relays, users, time), queue.go (what happens next), network.go
// (founders, descriptors, views), relay.go, link.go (frames), user.go, guard.go (a user's
// link), talk.go and people.go (who writes what), letter.go and fast.go (packets by
// reference), real.go (packets of package onion), drop.go, trace.go, truth.go, control.go
// (what an attacker must win against).
package sim
