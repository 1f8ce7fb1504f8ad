// Package vault is the pure half of the store that cannot be counted: N equal
// slots in which up to three levels lie, each under its own key, so that who
// holds the keys of some cannot tell whether there are more (docs/spec/vault.md).
//
// # Keys
//
//	passphrase, second secret ─> KEK ─> header copies ─> root of the level
//	root ─> match, nonce, seal key: which slots are of this level, and opening them
//	root ─> table ─> one key for each object ─> its pages
//
// Opening a level opens all shallower ones; the header of a level holds their
// keys, and nothing says whether there is a deeper one.
//
// # Use
//
//	v, slots, err := vault.Create(geometry, store, keks, second, coins) // write all slots
//	v, err := vault.Open(geometry, store, kek, second, read)            // changes nothing
//	ticket, err := v.Level(n).Stage(writes)                             // in memory: ErrFull or done
//	changes, err := v.Tick(coins)                                       // write them in one transaction
//	v.Level(n).Durable() >= ticket                                      // once they are on the disk
//
// A [Vault] is one level image for each open level, in memory. [Level.Stage]
// packs records into pages; [Vault.Tick] chooses K slots by its coins alone and
// returns new bytes for all of them; [Vault.Refresh] returns new bytes for every
// slot, under new roots. The caller has the disk, the clock and the coins. It
// ticks by the clock, never because something waits, and after a transaction
// whose outcome is not known it throws the Vault away and opens anew.
//
// What a tick shows of levels 0 to i is a function of those levels and the
// coins. Everything deeper is placed around them afterwards, and what deeper
// blocks they hit is moved in the same tick.
//
// The package has one caller at a time.
package vault

import "errors"

// Errors.
var (
	// ErrKey is returned when no header opens under a key: a wrong passphrase, a
	// level that was destroyed and one that never was are the same.
	ErrKey = errors.New("vault: nothing opens under this key")
	// ErrFull is returned when a level has no room for a commit. Nothing changed.
	ErrFull = errors.New("vault: level is full")
	// ErrTooLarge is returned for a value over [MaxValue] or a commit over
	// [MaxWrites] or [MaxCommit]. Nothing changed.
	ErrTooLarge = errors.New("vault: value or commit too large")
	// ErrKind is returned for kind 0, which is the vault's own. Nothing changed.
	ErrKind = errors.New("vault: invalid kind")
	// ErrRedraw is returned by a tick that cannot place a deeper block with these
	// coins. Nothing changed: draw others. docs/spec/vault.md bounds how often.
	ErrRedraw = errors.New("vault: these coins leave no room")
	// ErrGeometry is returned for sizes that the arithmetic does not allow.
	ErrGeometry = errors.New("vault: impossible geometry")
	// ErrFormat is returned by every parser for a block that is not canonical.
	ErrFormat = errors.New("vault: malformed")
)
