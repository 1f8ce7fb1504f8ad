// Package store keeps a node's records on disk: sealed under a passphrase,
// committed all or nothing, and checked against rollback at every open.
//
// # Use
//
// [Create] makes a folder once. [Open] opens it for one process and returns a
// [Store]: [Store.Commit] writes a batch, [Store.Get], [Store.Scan] and
// [Store.ScanKind] read, [Store.Close] wipes the keys. A record is found by its
// [Key]; what kinds, objects and sequence numbers mean is up to the caller.
//
// A Commit that returned nil is on the disk, fsynced, in whole. A Commit that
// returned [ErrFull] or [ErrTooLarge] changed nothing, and the store goes on.
// Any other failed Commit leaves the outcome unknown until the next Open: the
// store is then poisoned, and every later call returns the same error.
//
// # The folder
//
//	header         format version, salt, check value, checksum
//	counter.0      sealed generation and digest, written alternately
//	counter.1
//	lock           pid and start time of the process that has the store open
//	reserve        blocks held back so that a full disk can still be closed
//	records/       the Badger database
//	records.new/   during a purge: the database that takes its place
//	records.old/   and the one that it took the place of
//
// Formats, byte by byte: docs/spec/store.md.
//
// # Rollback
//
// Badger drops acknowledged writes without a word when one of its files is
// damaged. Each commit therefore carries a generation and a keyed digest over
// all live records, once inside the Badger transaction and once, after it, in a
// counter file outside. Open computes the digest again from what it finds. Where
// the two disagree, [Store.RolledBack] is true: the records that are left are
// authentic, but some are missing or old, and nothing that must never be used
// twice may be taken from them until [Store.AcceptRollback]. A copy of the whole
// folder put back as one cannot be found out here; only a peer can tell.
//
// # What is hidden, and what is not
//
// Names, values, kinds and counts are ciphertext. Visible to who holds the
// folder: that it is a store of this program, its size, the padded size of every
// record and which were written together, in what order, as far back as Badger
// has kept old versions. Deleting a record takes it out of every answer and out
// of the digest, at once and for good; its ciphertext stays in Badger's files
// until [Store.Purge] writes them anew or they are compacted. Delete is not
// burning, and neither is a purge: free blocks, old blocks of an SSD and copies
// made before are readable to who has the passphrase, for as long as the medium
// likes. [DestroyKey] makes all that is left of a store unreadable, as far as the
// old header is gone.
//
// # Goroutines
//
// The package starts none of its own but a short one while Badger closes.
// Badger's flusher, writer and helpers live from Open to Close, which waits for
// them. Compaction is off in Badger and runs inside Commit, under its lock, so
// that the disk is only in demand while a call is running.
package store
