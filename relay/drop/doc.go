// Package drop keeps boxes at a relay for people who are not there
// (docs/spec/drop.md): put once under an address, got by whoever knows it, gone with
// the key of their day.
//
//	folder/
//	  keys          one key for each day, overwritten in place when its time has come
//	  day-19945/    a Badger of its own for each day: removed as a whole, and on a full
//	  …             disk too
//	  damaged-…     a day whose records could not be read, until it expires
//	  reserve       blocks that opening and closing need
//
// Names and values are sealed under the key of their day. So nothing on the disk says
// which addresses there were, and what a key has been erased of is noise. A Store
// knows no sender, keeps no time of a box, and writes no log.
//
// Goroutines: one writer, started by Open and ended by Close, commits puts in groups,
// each group with one sync; it also lets days pass. Gets run in their callers.
//
// Files: store.go (open, close), day.go (one day), keys.go (their keys), put.go (the
// writer), answer.go (gets, and a packet's command), policy.go (who may put when room
// is short), space.go (full disks).
package drop
