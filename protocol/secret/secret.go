// Package secret holds key material in a form that does not leak by accident:
// a [Key] cannot be printed by any verb, logged, marshalled or compared with ==.
//
// The bytes lie behind two pointers. With one, fmt would follow it for a bad
// verb such as %s inside an unexported field, where it never calls methods.
//
// Wiping is best effort. The Go runtime may have copied a key to the stack or to
// a register; [Key.Wipe] clears the one heap copy that this package made.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
)

// Size is the length of a Key in bytes.
const Size = 32

// ErrMarshal is returned by every attempt to serialize a Key by reflection.
var ErrMarshal = errors.New("secret: a key is never marshalled implicitly")

// A Key is a 32-byte secret. Copies of a Key share the same bytes, so that Wipe
// reaches all of them. The zero Key is empty; see [Key.IsZero].
type Key struct {
	_ [0]func() // forbids ==, which would not be constant-time
	p *box
}

type box struct{ b *[Size]byte }

// New returns a Key that holds a copy of b. The caller should clear b.
func New(b *[Size]byte) Key {
	c := *b
	return Key{p: &box{b: &c}}
}

// FromBytes returns a Key that holds a copy of b, which must be [Size] bytes
// long: another length is a programming error and panics.
func FromBytes(b []byte) Key {
	if len(b) != Size {
		panic("secret: a key has 32 bytes")
	}
	return New((*[Size]byte)(b))
}

// Read draws a Key from a source of randomness.
func Read(random io.Reader) (Key, error) {
	var b [Size]byte
	defer clear(b[:])
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Key{}, fmt.Errorf("drawing a key: %w", err)
	}
	return New(&b), nil
}

// IsZero reports whether k was never set. A key of 32 zero bytes is not zero.
func (k Key) IsZero() bool { return k.p == nil }

// Bytes returns the secret itself, not a copy. Every call is a place to review.
func (k Key) Bytes() []byte {
	if k.p == nil {
		panic("secret: use of an empty key")
	}
	return k.p.b[:]
}

// Clone returns a Key of its own with the same bytes, so that wiping one leaves
// the other.
func (k Key) Clone() Key {
	if k.p == nil {
		return Key{}
	}
	return New(k.p.b)
}

// Equal reports whether both keys are set and hold the same secret, in constant
// time.
func (k Key) Equal(other Key) bool {
	if k.p == nil || other.p == nil {
		return false
	}
	return subtle.ConstantTimeCompare(k.p.b[:], other.p.b[:]) == 1
}

// Wipe clears the secret for every copy of k. Wiping an empty Key does nothing.
func (k Key) Wipe() {
	if k.p == nil {
		return
	}
	clear(k.p.b[:])
	runtime.KeepAlive(k.p)
}

// Format implements [fmt.Formatter] for every verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }

// LogValue implements [slog.LogValuer].
func (Key) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText implements [encoding.TextMarshaler] by refusing.
func (Key) MarshalText() ([]byte, error) { return nil, ErrMarshal }

// MarshalBinary implements [encoding.BinaryMarshaler] by refusing.
func (Key) MarshalBinary() ([]byte, error) { return nil, ErrMarshal }
