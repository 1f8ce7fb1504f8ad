package store

import (
	"cmp"
	"encoding/binary"
)

// A Kind says what a record is for; the callers hand them out. Kind 0 is
// reserved for the store's own control record and is invalid everywhere else.
type Kind byte

// A Key names a record. Records of one kind and object are ordered by Seq.
type Key struct {
	Kind   Kind
	Object [16]byte
	Seq    uint64
}

// Compare orders keys by kind, then object, then sequence number.
func (k Key) Compare(other Key) int {
	return cmp.Or(
		cmp.Compare(k.Kind, other.Kind),
		cmp.Compare(binary.BigEndian.Uint64(k.Object[:8]), binary.BigEndian.Uint64(other.Object[:8])),
		cmp.Compare(binary.BigEndian.Uint64(k.Object[8:]), binary.BigEndian.Uint64(other.Object[8:])),
		cmp.Compare(k.Seq, other.Seq))
}

// A Record is a key with its value.
type Record struct {
	Key   Key
	Value []byte
}

// A Write is one step of a commit: Value is stored under Key, or with Delete the
// record is removed and Value is ignored. Removing what is not there is no error.
// Of several writes to one key in a commit the last one counts.
type Write struct {
	Key    Key
	Value  []byte
	Delete bool
}

// Limits of one commit; docs/spec/store.md, section Sizes. They follow from
// Badger's smallest memtable, which takes a transaction only in one piece.
const (
	MaxValue  = 64 << 10  // bytes in a value
	MaxWrites = 256       // writes in a commit
	MaxCommit = 144 << 10 // bytes in a commit: SealedSize plus 32 for each write
)

// CheckWrites reports whether a commit is within the limits, as Commit would:
// nil, [ErrKind] or [ErrTooLarge].
func CheckWrites(writes []Write) error {
	if len(writes) > MaxWrites {
		return ErrTooLarge
	}
	total := 0
	for _, w := range writes {
		if w.Key.Kind == 0 {
			return ErrKind
		}
		total += 32
		if w.Delete {
			continue
		}
		if len(w.Value) > MaxValue {
			return ErrTooLarge
		}
		total += SealedSize(len(w.Value))
	}
	if total > MaxCommit {
		return ErrTooLarge
	}
	return nil
}
