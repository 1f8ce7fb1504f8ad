// Package relay is an intermediary's relay: links, a mix, a directory and, if its owner
// keeps one, a drop.
//
//	links ── packets ──> mix ── packets ──> links        node/p2p/link, relay/mix
//	                      └── bodies ──> drop            relay/drop
//	links ── gossip, questions ──> directory             relay/directory
//	directory ── view of the epoch ──> links, mix
//
// It writes no log, and keeps nothing on its disk but its identity, the sequence of its
// descriptor, what it has learnt of other relays, and what the drop keeps.
//
// [Relay.Run] owns one goroutine for each of these rooms, and one that brings them the view;
// it returns when all have ended.
package relay
