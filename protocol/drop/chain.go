package drop

import (
	"encoding/binary"
	"slices"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// MaxExports is how many exports a Chain holds that are not in a kept key yet.
const MaxExports = 64

// A Chain is the day keys of a contact, from one day on. It leads forward only:
// what was forgotten cannot be derived again.
type Chain struct {
	day     Day // of key
	key     secret.Key
	exports []export // by day, then number
}

type export struct {
	day    Day
	number uint32
	key    secret.Key
}

// NewChain begins a chain with a session: from its box root, on the day that the
// knock of its handshake names.
func NewChain(root secret.Key, first Day) *Chain {
	return &Chain{day: first, key: label.DeriveKey(label.DropChain, root, u32(uint32(first)))}
}

// First returns the earliest day that the chain still has a key of.
func (c *Chain) First() Day { return c.day }

// Mix lets fresh entropy enter with a day: 32 bytes that both sides have, under a
// number that both have acknowledged. A day whose key was already passed, a number that
// is there, and more than [MaxExports] are [ErrFormat].
func (c *Chain) Mix(day Day, number uint32, fresh secret.Key) error {
	taken := slices.ContainsFunc(c.exports, func(e export) bool { return e.number == number })
	if day <= c.day || taken || len(c.exports) == MaxExports {
		return ErrFormat
	}
	c.exports = append(c.exports, export{day, number, label.DeriveKey(label.DropExport, fresh, u32(number))})
	slices.SortFunc(c.exports, func(a, b export) int {
		if a.day != b.day {
			return int(a.day) - int(b.day)
		}
		return int(a.number) - int(b.number)
	})
	return nil
}

// next returns the key of the day after one whose key is given.
func (c *Chain) next(day Day, key secret.Key) secret.Key {
	parts := [][]byte{u32(uint32(day + 1))}
	for _, e := range c.exports {
		if e.day == day+1 {
			parts = append(parts, e.key.Bytes())
		}
	}
	return label.DeriveKey(label.DropDay, key, parts...)
}

// maxAhead bounds how far a key is derived ahead: a clock that is far off is not
// followed.
const maxAhead = 4000

// Key returns the key of a day; ok is false for a day that was forgotten, or that is
// more than ten years ahead.
func (c *Chain) Key(day Day) (key secret.Key, ok bool) {
	if day < c.day || day-c.day > maxAhead {
		return secret.Key{}, false
	}
	key = c.key.Clone()
	for d := c.day; d < day; d++ {
		next := c.next(d, key)
		key.Wipe()
		key = next
	}
	return key, true
}

// Forget erases the keys of all days before one.
func (c *Chain) Forget(before Day) {
	key, ok := c.Key(before)
	if !ok || before == c.day {
		return
	}
	c.key.Wipe()
	c.day, c.key = before, key
	c.exports = slices.DeleteFunc(c.exports, func(e export) bool {
		if e.day <= before {
			e.key.Wipe()
			return true
		}
		return false
	})
}

// Wipe clears the keys. The chain is not used after that.
func (c *Chain) Wipe() {
	c.key.Wipe()
	for _, e := range c.exports {
		e.key.Wipe()
	}
}

// Append appends the record of a chain, for a store that seals it:
//
//	 0  4  day
//	 4 32  its key
//	36  1  number of exports; of each: day 4, number 4, key 32
func (c *Chain) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(c.day))
	b = append(b, c.key.Bytes()...)
	b = append(b, byte(len(c.exports)))
	for _, e := range c.exports {
		b = binary.BigEndian.AppendUint32(b, uint32(e.day))
		b = binary.BigEndian.AppendUint32(b, e.number)
		b = append(b, e.key.Bytes()...)
	}
	return b
}

const chainFixed, exportSize = 4 + secret.Size + 1, 4 + 4 + secret.Size

// ParseChain parses what Append makes.
func ParseChain(b []byte) (*Chain, error) {
	if len(b) < chainFixed || len(b) != chainFixed+int(b[chainFixed-1])*exportSize || b[chainFixed-1] > MaxExports {
		return nil, ErrFormat
	}
	c := &Chain{day: Day(binary.BigEndian.Uint32(b)), key: secret.FromBytes(b[4:36])}
	for b = b[chainFixed:]; len(b) > 0; b = b[exportSize:] {
		e := export{Day(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint32(b[4:]), secret.FromBytes(b[8:exportSize])}
		if n := len(c.exports); e.day <= c.day || n > 0 && (e.day < c.exports[n-1].day || e.day == c.exports[n-1].day && e.number <= c.exports[n-1].number) {
			return nil, ErrFormat
		}
		if slices.ContainsFunc(c.exports, func(o export) bool { return o.number == e.number }) {
			return nil, ErrFormat
		}
		c.exports = append(c.exports, e)
	}
	return c, nil
}
