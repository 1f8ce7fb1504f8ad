package store

import "github.com/backchannel/backchannel/protocol/vault"

// A Kind says what a record is for; the callers hand them out. Kind 0 is the
// store's own and is invalid everywhere else.
type Kind = vault.Kind

// A Key names a record. Records of one kind and object are ordered by Seq. An
// object has a key of its own; see [Store.DropObject].
type Key = vault.Key

// A Write is one step of a commit: Value is stored under Key, or with Delete the
// record is removed and Value is ignored. Removing what is not there is no error.
// Of several writes to one key in a commit the last one counts.
type Write = vault.Write

// A Usage is how full a level is.
type Usage = vault.Usage

// A Record is a key with its value.
type Record struct {
	Key   Key
	Value []byte
}

// Limits of one commit; docs/spec/vault.md, section Commits.
const (
	MaxValue  = vault.MaxValue  // bytes in a value
	MaxWrites = vault.MaxWrites // writes in a commit
	MaxCommit = vault.MaxCommit // bytes in a commit: those of the values, and 32 for each write
)

// CheckWrites reports whether a commit is within the limits, as Stage would: nil,
// [ErrKind] or [ErrTooLarge].
func CheckWrites(writes []Write) error { return levelError(vault.CheckWrites(writes)) }

// plannedSizes are the sizes that [SealedSize] rounds up to.
var plannedSizes = [...]int{179, 1203, 5043, 16563, MaxValue}

// SealedSize returns what a value of n bytes counts where commits are planned, or
// -1 if it is over [MaxValue]. It is rounded up to one of five sizes, so that what
// comes together does not depend on a few bytes more or less, and is never under
// what the value counts towards [MaxCommit].
func SealedSize(n int) int {
	for _, size := range plannedSizes {
		if n <= size {
			return size
		}
	}
	return -1
}
