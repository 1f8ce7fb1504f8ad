package channel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/secret"
)

// ErrRecord is returned for a stored record that this version cannot read.
var ErrRecord = errors.New("a stored record cannot be read")

// An encoder appends the fields of a record; a decoder takes them off in the
// same order. Integers are big endian; bytes carry a length of four bytes; a key
// is a byte that says whether it is set, then 32 bytes.
type encoder struct{ b []byte }

func (e *encoder) u8(v byte)      { e.b = append(e.b, v) }
func (e *encoder) u32(v uint32)   { e.b = binary.BigEndian.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64)   { e.b = binary.BigEndian.AppendUint64(e.b, v) }
func (e *encoder) fixed(v []byte) { e.b = append(e.b, v...) }
func (e *encoder) bytes(v []byte) {
	e.u32(uint32(len(v)))
	e.b = append(e.b, v...)
}

func (e *encoder) flag(v bool) {
	if v {
		e.u8(1)
	} else {
		e.u8(0)
	}
}

func (e *encoder) key(k secret.Key) {
	e.flag(!k.IsZero())
	if !k.IsZero() {
		e.fixed(k.Bytes())
	}
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fixed(n int) []byte {
	if n < 0 || len(d.b) < n {
		d.b, d.bad = nil, true
		return make([]byte, max(0, min(n, 1<<16)))
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

// version takes the version off, with which some records begin. A higher one than is
// known was written by a later program, and is no damage.
func (d *decoder) version(known byte) error {
	switch v := d.u8(); {
	case v > known:
		return fmt.Errorf("a record: %w", store.ErrNewer)
	case v < 1:
		return ErrRecord
	default:
		return nil
	}
}

// first reports whether a record is of version 1.
func (d *decoder) first() bool { return d.upTo(1) }

// upTo reports whether a record is of a version, or of one before it.
func (d *decoder) upTo(version byte) bool { return len(d.b) > 0 && d.b[0] <= version }

func (d *decoder) u8() byte    { return d.fixed(1)[0] }
func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.fixed(4)) }
func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.fixed(8)) }

func (d *decoder) bytes() []byte {
	n := d.u32()
	if uint64(n) > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	return append([]byte(nil), d.fixed(int(n))...)
}

func (d *decoder) flag() bool {
	switch d.u8() {
	case 0:
		return false
	case 1:
		return true
	default:
		d.bad = true
		return false
	}
}

func (d *decoder) key() secret.Key {
	if !d.flag() {
		return secret.Key{}
	}
	b := d.fixed(secret.Size)
	if d.bad {
		return secret.Key{}
	}
	return secret.FromBytes(b)
}

// end reports whether the record was well-formed and is used up.
func (d *decoder) end() error {
	if d.bad || len(d.b) != 0 {
		return ErrRecord
	}
	return nil
}
