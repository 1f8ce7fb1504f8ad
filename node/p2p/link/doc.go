// Package link carries onion packets between relays, and between a principal and his
// guard, over libp2p (docs/spec/link.md).
//
// All links are TCP with TLS 1.3 and the key exchange X25519MLKEM768; there is nothing
// else to negotiate. TLS signs, so the keys here say nothing of a person: relays' are
// public, a principal's is made for one connection.
//
//	relay ─ relay    one stream; each end sends a constant number of frames in a slot,
//	                 packets or padding
//	principal ─ relay    one stream; each packet is answered by one packet at once: a reply
//	                 that has come, or random bytes
//
// A [Host] is a relay's end of all its links. A [Guard] is a principal's one link, without
// a libp2p host: nothing of a principal answers or asks anything but this.
//
// # Goroutines
//
// [Open] starts what libp2p starts for a host. [Host.Run] owns these, and returns when all
// have ended:
//
//	Run        waits, sweeps the buckets and idle connections, then closes the host
//	keep       one for each neighbour that this relay dials
//	serve      one for each link, and one for its writer; a client's link has no writer
//	ask        one for each question about the directory
//
// A Guard has none of its own; [Guard.Run] reads on its caller's.
package link
