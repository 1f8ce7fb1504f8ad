package store

import (
	"errors"
	"fmt"
	"time"
)

// The errors to test for with errors.Is. None carries a name, a value or a
// secret; some are wrapped with the step that failed.
var (
	// ErrPassphrase: the passphrase does not open this store.
	ErrPassphrase = errors.New("store: wrong passphrase")
	// ErrEmpty: a store is never made with an empty passphrase.
	ErrEmpty = errors.New("store: empty passphrase")
	// ErrLong: a passphrase is bounded; see [MaxPassphrase].
	ErrLong = errors.New("store: passphrase too long")
	// ErrExists: Create found something at the place of the new folder.
	ErrExists = errors.New("store: folder exists")
	// ErrMissing: there is no store in the folder, or it was taken away while open.
	ErrMissing = errors.New("store: no store here")
	// ErrDamaged: files are truncated, altered or unreadable. When Open returns it
	// before Badger was started, nothing in the folder was changed.
	ErrDamaged = errors.New("store: damaged")
	// ErrFull: the disk has not the room that a safe commit needs. Nothing was
	// written, and the same call works when there is room again.
	ErrFull = errors.New("store: disk full")
	// ErrMemory: there is not enough memory to open the store. Nothing was lost.
	ErrMemory = errors.New("store: not enough memory")
	// ErrNewer: the folder was written by a later format version.
	ErrNewer = errors.New("store: format is newer than this program")
	// ErrNotFound: no record has this key.
	ErrNotFound = errors.New("store: no such record")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
	// ErrTooLarge: a value is over [MaxValue], or a commit over [MaxWrites] or
	// [MaxCommit]. Nothing was written.
	ErrTooLarge = errors.New("store: value or commit too large")
	// ErrKind: kind 0 is no kind. Nothing was written.
	ErrKind = errors.New("store: invalid kind")
)

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
