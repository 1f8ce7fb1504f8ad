// Package store keeps a node's records on disk, in the slots of a
// [github.com/backchannel/backchannel/protocol/vault]: who has the folder, as it
// was after every write, and one passphrase cannot tell whether another opens more.
//
// # Use
//
// [Create] makes a folder once, with one to three passphrases. [Open] looks into it
// for one process and changes nothing; [Store.Get], [Store.Scan] and
// [Store.ScanKind] read the deepest level that the passphrase opens, from memory.
// After [Store.Online] it may write: [Store.Stage] takes commits up in memory,
// [Store.Tick] brings them to the disk, [Store.Durable] says how far. A record is
// found by its [Key]; what kinds, objects and sequence numbers mean is up to the
// caller.
//
// A ticket up to Durable is on the disk, fsynced, and a commit is there in whole or
// not at all. A Tick or Stage that returned [ErrFull] changed nothing, and the store
// goes on. Any other failed Tick leaves the outcome unknown until the next Open: the
// store is then poisoned, and every later call returns the same error.
//
// Ticks go by the clock of the node, never by what waits: they show on the disk.
//
// # The folder
//
//	header         format version, store, checksum
//	counter.0      number of the last tick, sealed, written alternately
//	counter.1
//	reserve        blocks held back so that a full disk can still be closed
//	records/       the Badger database: N slots of 4 KiB
//	records.new/   during a rebuild: the database that takes its place, in the making
//	records.built/ and whole: it counts from then on
//	records.old/   and the one that it took the place of
//	counter.new    during a purge: the counter that goes with records.new
//
// and beside it, under its name with ".lock", which process has it open. Formats,
// byte by byte: docs/spec/store.md.
//
// # Rollback
//
// Badger drops acknowledged writes without a word when one of its files is
// damaged. The number of the last tick therefore stands outside, too. Where slots
// and counter disagree, [Store.RolledBack] is true: the records that are left are
// authentic, but some are missing or old, and nothing that must never be used
// twice may be taken from them until [Store.AcceptRollback]. A copy of the whole
// folder put back as one cannot be found out here; only a peer can tell.
//
// # History
//
// Badger keeps what a slot held before. So the database is written anew, each slot
// once, after about as many ticks as touch them all, at the close, and after a
// crash before anything else: no slot that was replaced is in any file after that.
// [Store.Purge] makes all slots and keys anew as well. None of it reaches free
// blocks, old blocks of an SSD and copies made before. [DestroyKey] makes all that
// is left of a store unreadable, as far as the old header is gone.
//
// # Goroutines
//
// The package starts none of its own but a short one while Badger closes.
// Badger's flusher, writer and helpers live from Online to Close, which waits for
// them. Compaction is off, so that the disk is only in demand while a call runs.
package store
