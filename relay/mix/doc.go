// Package mix takes the packets of a relay network, opens one layer of each, keeps it
// for a time that nobody but its sender knew before, and passes it on
// (docs/spec/onion.md, section 5; docs/spec/cadence.md, section 3).
//
//	packet ─> room in the pool? ─> unwrap (MAC, then replay) ─> pool ─ its delay ─> next relay
//	                                                             │                  client
//	                                                             └─ exit: the drop is asked at
//	                                                                once, the reply leaves later
//
// A [Machine] is all of that without a clock, a link or a goroutine: time and packets
// go in, actions come out. A simulator runs it in virtual time. A [Mix] is the one owner
// of a Machine in a running relay.
//
// # Room
//
// The pool holds at most Config.Pool packets: a 64th is for own loops, a fourth for
// clients, the rest for relays. Within a part nobody holds more than a share of what is
// left free of it (room.go), so that a flood takes neither the room of the others nor all
// of its own. The same holds of what waits for the owner (queue.go). What comes when there is no room
// is refused before anything is computed. Nothing that is in the pool gives way to what
// comes later: a flood could otherwise empty it of all packets but one. The set of tags
// has a bound as well; a key whose set is full opens nothing more until its epoch
// ends.
//
// # Loops
//
// A relay sends packets to itself around the network, in the same pool and over the same
// links as all others. Whoever holds back what he does not know, to watch one packet
// alone, holds back loops; [Health] shows it.
//
// # Goroutines
//
// [Mix.Run] owns the Machine and a few workers, which wait for the drop. It returns when
// all have ended.
package mix
