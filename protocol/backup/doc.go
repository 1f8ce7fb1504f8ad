// Package backup is a sealed file that carries an identity from one machine to
// another (docs/spec/backup.md).
//
//	Seal, Open     the file: random bytes from end to end, of one of few sizes
//	Backup         who the contacts are and how each was verified, and the keys from
//	               which sessions are made anew: no message, no session
//	Record         everything that a vault holds, for a move
//
// Whoever has the file and its passphrase can make sessions in the owner's name. The
// contacts see that: a recovery drops the mark and pauses sending. What was said
// before the file was made is not in a Backup, and cannot be computed from it.
package backup

import "errors"

// Sizes in bytes, and limits.
const (
	// MinSize and MaxSize are the smallest and the largest file. A file has one of
	// the sizes MinSize, 2 MinSize, 4 MinSize, up to MaxSize.
	MinSize = 64 << 10
	MaxSize = 256 << 20
	// MaxPassphrase is the longest passphrase, after normalization.
	MaxPassphrase = 1024
	// MaxContacts is how many contacts a Backup holds at most.
	MaxContacts = 10000
	// MaxName is the longest name of a contact.
	MaxName = 64
	// MaxValue is the longest value of a Record.
	MaxValue = 64 << 10
)

// Kind says what is inside a file.
type Kind byte

// The kinds.
const (
	Identity  Kind = 1 + iota // a [Backup]
	Vault                     // records of a vault that moves
	Authority                 // version 1 ‖ seed of the key of an authority of mandates 32
)

// String returns what a person calls a file of the kind.
func (k Kind) String() string {
	switch k {
	case Identity:
		return "backup"
	case Vault:
		return "moved vault"
	case Authority:
		return "authority key"
	default:
		return "no kind"
	}
}

// Errors.
var (
	// ErrSize is returned for bytes that have no size that a whole file can have.
	ErrSize = errors.New("backup: not the size of a whole file")
	// ErrSecret is returned if a file does not begin as the passphrase and the
	// second secret say: one of them is wrong, or the first 80 bytes are damaged,
	// or it is no file of ours. Nothing can tell these apart.
	ErrSecret = errors.New("backup: does not open with this passphrase")
	// ErrNewer is returned for a file of a later version.
	ErrNewer = errors.New("backup: made by a later version")
	// ErrDamaged is returned for a file that was whole once, and is not any more.
	ErrDamaged = errors.New("backup: damaged")
	// ErrFormat is returned for content that is not canonical.
	ErrFormat = errors.New("backup: malformed")
	// ErrTooLarge is returned for content that fits into no file.
	ErrTooLarge = errors.New("backup: too much for one file")
	// ErrPassphrase is returned for a passphrase that is empty or too long.
	ErrPassphrase = errors.New("backup: a passphrase has 1 to 1024 bytes")
)
