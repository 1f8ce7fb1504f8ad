// Package relayed is a machine's side of the relay network: what it sends to its guard
// in each slot, where boxes are written and read, and what came of it
// (docs/spec/cadence.md, docs/spec/drop.md).
//
//	time, replies, links, views ──> Machine ──> Output: writes, packets, boxes
//
// In every slot the same number of packets leaves, at moments that depend on nothing
// but a seed: the boxes of contacts take the place of those that an idle machine writes
// to itself. A Machine has one owner, starts no goroutine, reads no clock and touches
// neither disk nor network. The owner commits an Output's writes before its packets
// leave: so no address is ever asked for twice, and no period written twice, whenever
// the machine is stopped.
//
// Files: machine.go (events and outputs), slots.go (time), plan.go (what the guard sees),
// lanes.go (which packet is what), contact.go (what is kept of a contact), ways.go (making packets), replies.go
// (what came of them), health.go (which relays lose packets), guards.go, clocks.go
// (the time of relays), drops.go (choosing drops), errands.go (boxes outside of any
// contact's periods), successor.go (going on without contacts, when the machine is locked).
package relayed
