// Package store keeps a node's records on disk, in up to three levels that nobody
// can count: package vault's slots, in Badger.
//
// # Use
//
// [Create] makes a folder once. [Open] opens it for reading and returns a [Store]:
// all records are in memory, [Store.Get], [Store.Scan] and [Store.ScanKind] give
// those of the deepest level that the passphrase opens, and not one byte on the
// disk changes. After [Store.Online] it may be written: [Store.Stage] takes a batch
// up in memory, [Store.Tick], called by the clock, writes a fixed number of slots,
// and [Store.Durable] tells what has reached the disk. A record is found by its
// [Key]; what kinds, objects and sequence numbers mean is up to the caller.
//
// What Durable has reported is on the disk, fsynced, in whole. A Tick that returned
// [ErrFull] wrote nothing, and what was staged waits. Any other failed Tick leaves
// the outcome unknown until the next Open: the store is then poisoned, and every
// later call returns the same error.
//
// # The folder
//
//	header         format version, number of slots, salt, checksum
//	counter.0      sealed number of the last tick, written alternately
//	counter.1
//	reserve        blocks held back so that a full disk can still be closed
//	records/       the Badger database: every slot, whatever there is in it
//	records.new/   during a rebuild: the database that takes its place
//	records.old/   and the one that it took the place of
//
// and beside it the lock, which names the process that has the store open. Formats,
// byte by byte: docs/spec/store.md and docs/spec/vault.md.
//
// # What the folder shows
//
// Names, sizes and contents of files depend on the number of slots, the number of
// ticks since the last rebuild, coins that nobody keeps, and the levels whose keys
// the reader has. Rebuilding on Close, in Purge, and after so many ticks, leaves
// every slot once and no order of writing. Ticks show when the store was online.
//
// # Rollback
//
// Badger drops acknowledged writes without a word when one of its files is damaged.
// The number of the last tick is therefore kept in two counter files as well, and
// each level has a digest of its own. Where they disagree, [Store.RolledBack] is
// true: the records that are left are authentic, but some are missing or old, and
// nothing that must never be used twice may be taken from them until
// [Store.AcceptRollback]. A copy of the whole folder put back as one cannot be
// found out here; only a peer can tell.
//
// # Goroutines
//
// The package starts none of its own but a short one while Badger closes. Badger's
// live from Online to Close, which waits for them.
package store
