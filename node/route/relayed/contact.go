package relayed

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A ContactID is the name of a contact on this machine. It is never zero.
type ContactID [16]byte

// ErrRecord is returned for what was not written by this package.
var ErrRecord = errors.New("relayed: not a record of a route")

// A RecordKind says what a record holds.
type RecordKind byte

// The kinds. Guards belongs to no contact.
const (
	Route  RecordKind = 1 + iota // one: the chain of day keys, what was written
	Book                         // by block: what was read
	Guards                       // one
)

// String names the kind.
func (k RecordKind) String() string {
	switch k {
	case Route:
		return "route"
	case Book:
		return "book"
	case Guards:
		return "guards"
	}
	return "no record"
}

// A Write is one record to be stored, or deleted if Value is nil.
type Write struct {
	Contact ContactID
	Kind    RecordKind
	Seq     uint64
	Value   []byte
}

func (m *Machine) write(c ContactID, k RecordKind, seq uint64, value []byte) {
	m.out.Writes = append(m.out.Writes, Write{c, k, seq, value})
}

// A Contact is what a Machine is told of one.
type Contact struct {
	ID        ContactID
	Direction drop.Direction // of the own boxes
	Set       [drop.SetSize]onion.ID
	Period    cadence.Period
	// Chain is given for a contact that is new; Kept for one that was there before. A
	// new chain begins on the day of its first key.
	Chain *drop.Chain
	From  uint64  // of a new contact, the first period that is written and read; zero: the first of the chain's
	Kept  []Write // all records of this contact, in any order
}

// contact is what a Machine knows of one.
type contact struct {
	id        ContactID
	direction drop.Direction
	set       [drop.SetSize]onion.ID
	period    cadence.Period
	branches  []*branch     // chains, at least one
	days      drop.Branches // when which of them is written on and read; at least one
	foundOn   uint32        // the session on whose chain a box was found last
	silent    int           // gets in a row that brought nothing
	book      *cadence.Book
	written   []drop.Stretch // own periods, rising
	missing   bool
	stored    map[uint64]byte // by own period, of the last ones: replicas that drops have, a bit each
	seals     []Seal
}

// maxStretches bounds what is remembered of written periods: twice what a box tells.
const maxStretches = 2 * drop.MaxRuns

// AddContact begins to write and read for a contact, or begins anew for one that is
// there: after a recovery, with another chain.
func (m *Machine) AddContact(a Contact) (*Output, error) {
	c := &contact{
		id: a.ID, direction: a.Direction, set: a.Set, period: a.Period, stored: map[uint64]byte{},
	}
	if a.ID == (ContactID{}) || !a.Period.Valid() || (a.Direction != drop.FromInviter && a.Direction != drop.FromAccepter) {
		return nil, ErrRecord
	}
	if a.Chain == nil {
		if err := c.load(a.Kept); err != nil {
			return nil, err
		}
	} else {
		c.branches = []*branch{newBranch(0, a.Chain)}
		first := time.Duration(a.Chain.First()) * 24 * time.Hour / m.cfg.Constants.Slot
		c.book = cadence.NewBook(max(a.From, (uint64(first)+uint64(a.Period)-1)/uint64(a.Period)))
	}
	c.days = drop.Branches{{Session: c.branches[0].session}}
	m.begin()
	m.drop(c.id, a.Chain != nil)
	m.contacts = append(m.contacts, c)
	if a.Chain != nil {
		m.saveRoute(c)
	}
	return m.end(), nil
}

// RemoveContact forgets a contact and deletes its records.
func (m *Machine) RemoveContact(id ContactID) *Output {
	m.begin()
	m.drop(id, true)
	return m.end()
}

func (m *Machine) drop(id ContactID, records bool) {
	i := slices.IndexFunc(m.contacts, func(c *contact) bool { return c.id == id })
	if i < 0 {
		return
	}
	c := m.contacts[i]
	m.contacts = slices.Delete(m.contacts, i, i+1)
	c.wipe()
	for lane := range m.slot.lanes {
		if l := &m.slot.lanes[lane]; l.writes == c || l.reads == c {
			l.seal.Wipe()
			m.slot.lanes[lane] = laneState{}
		}
	}
	if !records {
		return
	}
	m.write(id, Route, 0, nil)
	for _, b := range c.blocks() {
		m.write(id, Book, b.number, nil)
	}
}

// wipe clears the keys of a contact that is let go.
func (c *contact) wipe() {
	for _, b := range c.branches {
		b.wipe()
	}
	c.wipeSeals()
}

// has reports whether c is still there: a reply may come when it is not.
func (m *Machine) has(c *contact) bool { return slices.Contains(m.contacts, c) }

// SetMissing says whether a number is missing from a contact between the lowest that is
// owed and the highest: then periods that are known to be written are read again.
func (m *Machine) SetMissing(id ContactID, missing bool) {
	for _, c := range m.contacts {
		if c.id == id {
			c.missing = missing
		}
	}
}

// Missing returns what SetMissing said last.
func (m *Machine) Missing(id ContactID) bool {
	return slices.ContainsFunc(m.contacts, func(c *contact) bool { return c.id == id && c.missing })
}

// SetDrops changes where the boxes of a contact lie, from the next packet on: a drop that
// left the network has another in its place. Addresses stay as they are.
func (m *Machine) SetDrops(id ContactID, set [drop.SetSize]onion.ID) {
	for _, c := range m.contacts {
		if c.id == id {
			c.set = set
		}
	}
}

// Mix lets an export enter a contact's first chain with a day that has not begun (see
// [drop.Chain.Mix]).
func (m *Machine) Mix(now time.Time, id ContactID, day drop.Day, number uint32, fresh secret.Key) (*Output, error) {
	if day <= drop.DayAt(time.Duration(m.networkTime(now).UnixNano())) {
		return nil, ErrRecord
	}
	for _, c := range m.contacts {
		if c.id != id {
			continue
		}
		b := c.branches[0]
		if err := b.chain.Mix(day, number, fresh); err != nil {
			return nil, err
		}
		b.forget(func(d drop.Day) bool { return d < day })
		m.begin()
		m.saveRoute(c)
		return m.end(), nil
	}
	return nil, ErrRecord
}

// day is the day that a period begins on.
func (m *Machine) day(p cadence.Period, period uint64) drop.Day {
	return drop.DayAt(time.Duration(period*uint64(p)) * m.cfg.Constants.Slot)
}

func (c *contact) hasWritten(period uint64) bool {
	return slices.ContainsFunc(c.written, func(s drop.Stretch) bool { return s.From <= period && period <= s.To })
}

// wrote notes that a period's box is about to leave.
func (c *contact) wrote(period uint64) {
	i, _ := slices.BinarySearchFunc(c.written, period, func(s drop.Stretch, p uint64) int {
		switch {
		case s.To < p:
			return -1
		case s.From > p:
			return 1
		}
		return 0
	})
	c.written = slices.Insert(c.written, i, drop.Stretch{From: period, To: period})
	for j := max(1, i); j <= i+1 && j < len(c.written); {
		if c.written[j-1].To+1 != c.written[j].From {
			j++
			continue
		}
		c.written[j-1].To = c.written[j].To
		c.written = slices.Delete(c.written, j, j+1)
	}
	c.written = c.written[max(0, len(c.written)-maxStretches):]
}

// forget drops what the drops do not keep any more: keys of days, and what was read and
// written then.
func (m *Machine) forget() {
	slots := cadence.Slot(m.cfg.Constants.Expiry / m.cfg.Constants.Slot)
	for place := range m.idles {
		if place.slot+slots < m.slot.number || place.slot+4*m.lag < m.slot.number {
			delete(m.idles, place)
		}
	}
	if m.slot.number < slots {
		return
	}
	for _, c := range m.contacts {
		oldest := uint64(m.slot.number-slots) / uint64(c.period)
		if now := uint64(m.slot.number) / uint64(c.period); now > cadence.MaxPeriods-64 {
			oldest = max(oldest, now-(cadence.MaxPeriods-64)) // of short slots more would be kept than a book holds
		}
		if m.day(c.period, oldest) > c.branches[0].chain.First() || oldest > c.book.First()+cadence.MaxPeriods/8 {
			m.forgetBefore(c, oldest)
		}
		for period := range c.stored {
			if period+64 < uint64(m.slot.number)/uint64(c.period) {
				delete(c.stored, period)
			}
		}
	}
}

func (m *Machine) forgetBefore(c *contact, oldest uint64) {
	gone := c.blocks()
	c.book.Forget(oldest)
	for _, b := range gone {
		if (b.number+1)*cadence.BlockSize <= c.book.First() {
			m.write(c.id, Book, b.number, nil)
		}
	}
	day := m.day(c.period, oldest)
	for _, b := range c.branches {
		b.chain.Forget(day)
		b.forget(func(d drop.Day) bool { return d >= day })
	}
	c.written = slices.DeleteFunc(c.written, func(s drop.Stretch) bool { return s.To < oldest })
	m.saveRoute(c)
}

// A block is one record of a book.
type block struct {
	number uint64
	record []byte
}

func (c *contact) blocks() []block {
	var all []block
	for at := c.book.First() / cadence.BlockSize * cadence.BlockSize; at < c.book.End(); at += cadence.BlockSize {
		number, record := c.book.Block(at)
		all = append(all, block{number, record})
	}
	return all
}

func (m *Machine) saveBook(c *contact, period uint64) {
	number, record := c.book.Block(period)
	m.write(c.id, Book, number, record)
}

// routeVersion is that of a contact's record. In version 1 there was one chain.
const routeVersion = 2

// saveRoute writes a contact's record: version 1, first period of the book 8, the chains,
// number 1 of stretches and of each from 8, to 8.
func (m *Machine) saveRoute(c *contact) {
	b := binary.BigEndian.AppendUint64([]byte{routeVersion}, c.book.First())
	b = append(c.appendBranches(b), byte(len(c.written)))
	for _, s := range c.written {
		b = binary.BigEndian.AppendUint64(b, s.From)
		b = binary.BigEndian.AppendUint64(b, s.To)
	}
	m.write(c.id, Route, 0, b)
}

// load takes the records of a contact that was there before.
func (c *contact) load(kept []Write) error {
	for _, w := range kept {
		if w.Kind == Route {
			if err := c.loadRoute(w.Value); err != nil {
				return err
			}
		}
	}
	if c.book == nil {
		return ErrRecord
	}
	for _, w := range kept {
		if w.Kind == Book && c.book.Load(w.Seq, w.Value) != nil {
			return ErrRecord
		}
	}
	return nil
}

func (c *contact) loadRoute(b []byte) error {
	const fixed = 1 + 8
	if len(b) < fixed || b[0] < 1 || b[0] > routeVersion {
		return ErrRecord
	}
	rest, err := c.loadBranches(b[fixed:], b[0])
	if err != nil || len(rest) < 1 {
		return ErrRecord
	}
	c.book = cadence.NewBook(binary.BigEndian.Uint64(b[1:]))
	count, b := int(rest[0]), rest[1:]
	if len(b) != count*16 || count > maxStretches {
		return ErrRecord
	}
	for ; len(b) > 0; b = b[16:] {
		s := drop.Stretch{From: binary.BigEndian.Uint64(b), To: binary.BigEndian.Uint64(b[8:])}
		if last := len(c.written) - 1; s.From > s.To || last >= 0 && s.From <= c.written[last].To+1 {
			return ErrRecord
		}
		c.written = append(c.written, s)
	}
	return nil
}
