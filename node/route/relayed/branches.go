package relayed

import (
	"encoding/binary"
	"slices"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/secret"
)

// branch is one of the chains on which a contact's boxes may lie.
type branch struct {
	session uint32 // whose chain it is; 0: the first
	chain   *drop.Chain
	keys    map[drop.Day]secret.Key
}

func newBranch(session uint32, chain *drop.Chain) *branch {
	return &branch{session, chain, map[drop.Day]secret.Key{}}
}

// key returns the key of a day.
func (b *branch) key(d drop.Day) (secret.Key, bool) {
	if k, ok := b.keys[d]; ok {
		return k, true
	}
	k, ok := b.chain.Key(d)
	if ok {
		b.keys[d] = k
	}
	return k, ok
}

// forget erases the keys that keep does not want.
func (b *branch) forget(keep func(drop.Day) bool) {
	for d, k := range b.keys {
		if !keep(d) {
			k.Wipe()
			delete(b.keys, d)
		}
	}
}

func (b *branch) wipe() {
	b.chain.Wipe()
	b.forget(func(drop.Day) bool { return false })
}

// maxBranches bounds the chains of a record. A conversation has four at most.
const maxBranches = 8

// silence is after how many gets in a row that brought nothing a contact is looked for on
// all chains on which it may be.
const silence = 8

// Today returns the day of the slot that the machine is in, by the clocks of relays; ok is
// false while it does not know them.
func (m *Machine) Today() (d drop.Day, ok bool) {
	return m.day(1, uint64(m.slot.number)), m.slot.synced
}

// AddBranch keeps the chain of another session of a contact. It counts when
// [Machine.SetBranches] names it.
func (m *Machine) AddBranch(id ContactID, session uint32, chain *drop.Chain) *Output {
	m.begin()
	for _, c := range m.contacts {
		if c.id == id && c.branch(session) == nil {
			chain.Forget(c.branches[0].chain.First())
			c.branches = append(c.branches, newBranch(session, chain))
			m.saveRoute(c)
		}
	}
	return m.end()
}

// SetBranches says on which chains boxes of a contact lie; none: on the first alone. Others
// are forgotten.
func (m *Machine) SetBranches(id ContactID, all drop.Branches) *Output {
	m.begin()
	for _, c := range m.contacts {
		if c.id == id && c.setBranches(all) {
			m.saveRoute(c)
		}
	}
	return m.end()
}

// setBranches reports whether a chain was forgotten.
func (c *contact) setBranches(all drop.Branches) bool {
	if len(all) == 0 {
		all = drop.Branches{{}}
	}
	days := slices.DeleteFunc(slices.Clone(all), func(b drop.Branch) bool { return c.branch(b.Session) == nil })
	if len(days) == 0 {
		return false // what is kept is of other sessions: nothing could be read
	}
	c.days = days
	before := len(c.branches)
	c.branches = slices.DeleteFunc(c.branches, func(b *branch) bool {
		named := slices.ContainsFunc(days, func(d drop.Branch) bool { return d.Session == b.session })
		if !named {
			b.wipe()
		}
		return !named
	})
	return len(c.branches) < before
}

// branch is the chain of a session, or nil.
func (c *contact) branch(session uint32) *branch {
	if i := slices.IndexFunc(c.branches, func(b *branch) bool { return b.session == session }); i >= 0 {
		return c.branches[i]
	}
	return nil
}

// writes returns the key of the day of an own period.
func (c *contact) writes(m *Machine, period uint64) (secret.Key, bool) {
	d := m.day(c.period, period)
	return c.branch(c.days[c.days.Writing(d)].Session).key(d)
}

// reads returns the chain on which a replica of a period of the contact is looked for, that
// which is asked first or second, and the key of its day there. Where more than one may be it,
// that is the one on which a box was found last. If nothing comes it is each of them, as a hash
// of the period says: gets that catch up go by strides of powers of two, so that a period's
// remainder would be the same for all of them. The second get of a period takes the next chain.
func (c *contact) reads(m *Machine, period uint64, place int) (session uint32, key secret.Key, ok bool) {
	d := m.day(c.period, period)
	var may []*branch
	for _, i := range c.days.Reading(d) {
		if b := c.branch(c.days[i].Session); b.there(d) {
			may = append(may, b)
		}
	}
	if len(may) == 0 {
		return 0, secret.Key{}, false
	}
	at := max(0, slices.IndexFunc(may, func(b *branch) bool { return b.session == c.foundOn }))
	if c.silent >= silence {
		at = int((period*0x9E3779B97F4A7C15>>33 + uint64(place)) % uint64(len(may))) // 2⁶⁴ by the golden ratio
	}
	key, ok = may[at].key(d)
	return may[at].session, key, ok
}

func (b *branch) there(d drop.Day) bool {
	_, ok := b.key(d)
	return ok
}

// appendBranches appends the record of the chains: number 1, and of each session 4, length 2,
// chain.
func (c *contact) appendBranches(b []byte) []byte {
	b = append(b, byte(len(c.branches)))
	for _, k := range c.branches {
		chain := k.chain.Append(nil)
		b = binary.BigEndian.AppendUint32(b, k.session)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(chain))), chain...)
	}
	return b
}

// loadBranches takes the record off that appendBranches made; that of version 1 is of one
// chain, without number and session.
func (c *contact) loadBranches(b []byte, version byte) (rest []byte, err error) {
	number := 1
	if version > 1 {
		if len(b) < 1 || b[0] == 0 || b[0] > maxBranches {
			return nil, ErrRecord
		}
		number, b = int(b[0]), b[1:]
	}
	for range number {
		session := uint32(0)
		if version > 1 {
			if len(b) < 4 {
				return nil, ErrRecord
			}
			session, b = binary.BigEndian.Uint32(b), b[4:]
		}
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
			return nil, ErrRecord
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		chain, err := drop.ParseChain(b[2:n])
		if err != nil || c.branch(session) != nil {
			return nil, ErrRecord
		}
		c.branches, b = append(c.branches, newBranch(session, chain)), b[n:]
	}
	return b, nil
}
