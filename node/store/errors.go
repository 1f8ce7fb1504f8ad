package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/backchannel/backchannel/protocol/vault"
)

// The errors to test for with errors.Is. None carries a name, a value or a
// secret; some are wrapped with the step that failed.
var (
	// ErrPassphrase: the passphrase opens nothing here.
	ErrPassphrase = errors.New("store: wrong passphrase")
	// ErrEmpty: a store is never made with an empty passphrase.
	ErrEmpty = errors.New("store: empty passphrase")
	// ErrLong: a passphrase is bounded; see [MaxPassphrase].
	ErrLong = errors.New("store: passphrase too long")
	// ErrSame: one passphrase cannot open two levels.
	ErrSame = errors.New("store: two passphrases are the same")
	// ErrSlots: a store cannot have so many slots, or so many passphrases.
	ErrSlots = errors.New("store: impossible number of slots or passphrases")
	// ErrKeyFile: the key file is not there, cannot be read or written, or is that of
	// another store.
	ErrKeyFile = errors.New("store: key file missing")
	// ErrKeyFileExists: something is at the place of the new key file, or the store has
	// one already.
	ErrKeyFileExists = errors.New("store: key file exists")
	// ErrKeyFileOld: everything is done, but the old secret could not be taken out of
	// the key file: copies of the store from before open with it.
	ErrKeyFileOld = errors.New("store: old secret still in the key file")
	// ErrExists: Create found something at the place of the new folder.
	ErrExists = errors.New("store: folder exists")
	// ErrMissing: there is no store in the folder, or it was taken away while open.
	ErrMissing = errors.New("store: no store here")
	// ErrDamaged: files are truncated, altered or unreadable. When Open returns it,
	// nothing in the folder was changed.
	ErrDamaged = errors.New("store: damaged")
	// ErrFull: the disk has not the room that a safe tick needs. Nothing was
	// written, and the same call works when there is room again.
	ErrFull = errors.New("store: disk full")
	// ErrLevelFull: the level has no room for the commit. Nothing changed; what is
	// deleted makes room.
	ErrLevelFull = errors.New("store: no room left in this store")
	// ErrMemory: there is not enough memory to open the store. Nothing was lost.
	ErrMemory = errors.New("store: not enough memory")
	// ErrNewer: the folder was written by a later format version.
	ErrNewer = errors.New("store: format is newer than this program")
	// ErrOlder: the folder was written by a format version that is not read any more.
	ErrOlder = errors.New("store: format is too old for this program")
	// ErrNotFound: no record has this key.
	ErrNotFound = errors.New("store: no such record")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
	// ErrOffline: the store is open for reading; see [Store.Online].
	ErrOffline = errors.New("store: open for reading only")
	// ErrTooLarge: a value is over [MaxValue], or a commit over [MaxWrites] or
	// [MaxCommit]. Nothing changed.
	ErrTooLarge = errors.New("store: value or commit too large")
	// ErrKind: kind 0 is no kind. Nothing changed.
	ErrKind = errors.New("store: invalid kind")
)

// levelError turns an error of a level into one of ours.
func levelError(err error) error {
	switch {
	case errors.Is(err, vault.ErrFull):
		return ErrLevelFull
	case errors.Is(err, vault.ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, vault.ErrKind):
		return ErrKind
	}
	return err
}

// An InUseError says that another process has the store open.
type InUseError struct {
	PID     int       // 0 if the other process had not yet written it down
	Started time.Time // when it opened the store; zero with PID 0
}

// Error implements error.
func (e *InUseError) Error() string {
	if e.PID == 0 {
		return "store: in use by another process"
	}
	return fmt.Sprintf("store: in use by process %d", e.PID)
}
