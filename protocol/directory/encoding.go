package directory

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/identity"
)

// A cursor takes fields off the front of bytes. After the first field that is
// not there it takes nothing more, and bad stays set.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || len(c.b) < n {
		c.bad = true
		return make([]byte, n)
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u8() byte      { return c.take(1)[0] }
func (c *cursor) u16() uint16   { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cursor) u32() uint32   { return binary.BigEndian.Uint32(c.take(4)) }
func (c *cursor) expect(b byte) { c.require(c.u8() == b) }

func (c *cursor) require(ok bool) {
	if !ok {
		c.bad = true
	}
}

func (c *cursor) key() [32]byte { return [32]byte(c.take(32)) }

// name takes a length and a name.
func (c *cursor) name() string {
	s := string(c.take(int(c.u8())))
	c.require(ValidName(s))
	return s
}

func (c *cursor) place() identity.Place {
	p, rest, err := identity.ParsePlace(c.b)
	c.require(err == nil && !p.IsNone() && p.Kind() != identity.PlaceDrop)
	c.b = rest
	return p
}

// done is the error of the whole: nothing was missing, nothing is left.
func (c *cursor) done() error {
	if c.bad || len(c.b) != 0 {
		return ErrFormat
	}
	return nil
}

func appendName(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// ValidName reports whether s can name a network, a founder or an operator: 1 to
// [MaxName] small letters, digits, points and hyphens, the first and the last a
// letter or a digit. So nobody can write what looks like another's name, or what
// moves a terminal's cursor.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		inner := i > 0 && i < len(s)-1
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case inner && (c == '.' || c == '-'):
		default:
			return false
		}
	}
	return true
}
