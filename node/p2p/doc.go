// Package p2p carries streams between two machines that share a secret, over
// libp2p, so that nothing of it convinces a third party afterwards, and a stranger
// who finds the port learns that a port is open and no more.
//
// A [Network] has one TCP port, or none, and any number of pairs. To a pair
// belongs one small libp2p host: TCP, the libp2p private network, Noise, one
// yamux stream, and nothing else. Its host key, like the other end's and the
// network key, is derived from a secret that both ends hold, so whatever libp2p
// signs, either end could have signed. The hosts never open a stream and never
// dial by themselves; no identify, ping, relay, discovery or record leaves them.
//
// What comes in passes the gate first ([Network.Run] owns it): 44 bytes are
// read, and until they fit the network key of a pair not one byte is written.
// docs/spec/gate.md is the exact rule, and says what it cannot give.
//
// # A connection's way
//
//	in:   accept → guest (44 bytes, silence) → admit (pnet, Noise, yamux)
//	      → the pair's host → its stream → Accept
//	out:  Dial → address → TCP, or SOCKS5 with the name unresolved
//	      → pnet, Noise, yamux with the pair's host key → its stream → Conn
//
// An outgoing connection goes through the transport of the pair's host but not
// through its swarm: a swarm keeps one connection to a peer and would hand back
// another one's, and every [Conn] has a connection of its own.
//
// # Goroutines
//
// [Open] starts none. [Network.Run] owns all of these and returns when all have
// ended:
//
//	Run          waits for the end, then closes the listener, pairs and links
//	acceptAll    one, if the network listens: owns the listener
//	guest        one per half-open connection, at most MaxHalfOpen; it owns the
//	             connection until it is closed, or admitted and handed to a link
//	deliver      one per stream that waits to be taken from Accept, at most
//	             MaxPerPair for a pair; started by the host's swarm
//	linger       one per closed Conn, until the other end has closed too or
//	             lingerTime is over
//	libp2p       about ten per pair (event bus, address manager, swarm) and six
//	             per connection (yamux, swarm); they end with the pair's host and
//	             with the link
//
// [Network.Dial] runs on the caller's goroutine, and Run waits for it too.
//
// # What is forgotten
//
// [Network.Remove] wipes this package's copies of a pair's keys. libp2p made
// copies of its own, which are left to the garbage collector and not wiped.
package p2p
