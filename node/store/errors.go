package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// The errors to test for with errors.Is. None carries a name, a value or a
// secret; some are wrapped with the step that failed.
var (
	// ErrPassphrase: the passphrase opens nothing in this store.
	ErrPassphrase = errors.New("store: wrong passphrase")
	// ErrEmpty: a store is never made with an empty passphrase.
	ErrEmpty = errors.New("store: empty passphrase")
	// ErrLong: a passphrase is bounded; see [MaxPassphrase].
	ErrLong = errors.New("store: passphrase too long")
	// ErrSame: two passphrases of one store are the same.
	ErrSame = errors.New("store: the passphrases are the same")
	// ErrSlots: a store of so many slots cannot be made.
	ErrSlots = errors.New("store: impossible number of slots")
	// ErrExists: Create found something at the place of the new folder.
	ErrExists = errors.New("store: folder exists")
	// ErrMissing: there is no store in the folder, or it was taken away while open.
	ErrMissing = errors.New("store: no store here")
	// ErrDamaged: files are truncated, altered or unreadable. Nothing in the folder
	// was changed.
	ErrDamaged = errors.New("store: damaged")
	// ErrChanged: somebody else changed the files between Open and Online.
	ErrChanged = errors.New("store: changed since it was opened")
	// ErrFull: the disk has not the room that a safe tick needs. Nothing was
	// written, and the same call works when there is room again.
	ErrFull = errors.New("store: disk full")
	// ErrLevelFull: what is open has no room for this commit, however large the disk
	// is. Nothing changed.
	ErrLevelFull = errors.New("store: no room left in what is open")
	// ErrMemory: there is not enough memory to open the store. Nothing was lost.
	ErrMemory = errors.New("store: not enough memory")
	// ErrNewer: the folder was written by a later format version.
	ErrNewer = errors.New("store: format is newer than this program")
	// ErrOlder: the folder was written by an earlier format version, which this
	// program does not read.
	ErrOlder = errors.New("store: format is older than this program reads")
	// ErrNotFound: no record has this key.
	ErrNotFound = errors.New("store: no such record")
	// ErrOffline: the store is open for reading; see [Store.Online].
	ErrOffline = errors.New("store: open for reading only")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
	// ErrTooLarge: a value is over [MaxValue], or a commit over [MaxWrites] or
	// [MaxCommit]. Nothing changed.
	ErrTooLarge = errors.New("store: value or commit too large")
	// ErrKind: kind 0 is no kind. Nothing changed.
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

// readError keeps a refused permission apart from damage, and leaves out what
// else an error of Badger's may say.
func readError(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return os.ErrPermission
	}
	return ErrDamaged
}

// writeError is readError for writes: it keeps what the system said.
func writeError(err error) error {
	if err == nil {
		return nil
	}
	if noRoom(err) {
		return ErrFull
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return readError(err)
}
