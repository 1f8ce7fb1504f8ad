package store

import (
	"errors"

	"github.com/backchannel/backchannel/protocol/vault"
)

// A Kind says what a record is for; the callers hand them out. Kind 0 is invalid.
type Kind = vault.Kind

// A Key names a record. Records of one kind and object are ordered by Seq.
type Key = vault.Key

// A Write is one step of a commit: Value is stored under Key, or with Delete the
// record is removed and Value is ignored. Removing what is not there is no error.
// Of several writes to one key in a commit the last one counts.
type Write = vault.Write

// A Record is a key with its value.
type Record struct {
	Key   Key
	Value []byte
}

// Limits of one commit.
const (
	MaxValue  = vault.MaxValue  // bytes in a value
	MaxWrites = vault.MaxWrites // writes in a commit
	MaxCommit = vault.MaxCommit // bytes in a commit: SealedSize plus 32 for each write
)

// CheckWrites reports whether a commit is within the limits, as Stage would: nil,
// [ErrKind] or [ErrTooLarge].
func CheckWrites(writes []Write) error { return fromVault(vault.CheckWrites(writes)) }

// SealedSize returns what a value of n bytes counts in a commit, or -1 if it is
// over [MaxValue]. On the disk it shows in nothing.
func SealedSize(n int) int {
	if n > MaxValue {
		return -1
	}
	return n
}

// fromVault gives the errors of package vault the names that callers know.
func fromVault(err error) error {
	for _, e := range []struct{ from, to error }{
		{vault.ErrKey, ErrPassphrase}, {vault.ErrFull, ErrLevelFull}, {vault.ErrTooLarge, ErrTooLarge}, {vault.ErrKind, ErrKind},
	} {
		if errors.Is(err, e.from) {
			return e.to
		}
	}
	return err
}
