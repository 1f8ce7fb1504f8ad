package sim

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A letter is what the simulation knows of a packet and its reply.
type letter struct {
	name  [8]byte // what goes over links in a fast run
	born  int64
	coins uint64 // what its delays are drawn from
	way   [2 * onion.MaxHops]uint8
	out   int // relays on the way out; the last is the exit
	all   int // and back
	at    int // relays that have opened it

	home    onion.ID
	command onion.Command
	key     [onion.KeySize]byte
	token   []byte
	box     *wire.Box
	answer  onion.Answer
	tag     onion.Tag
	local   bool // it did not leave, and its answer was made up
	cover   bool // nobody asked for it
	user    bool // a user sent it
	sender  int  // which one
	first   bool // it is at the guard
	blur    blur // what is known of it
}

// old is after how long a letter is forgotten that never came to an end: longer than
// any way takes.
const old = int64(3600e9)

// post is all letters that are under way, by number.
type post struct {
	table []*letter
	base  uint64 // number of the first
}

func (w *World) letter(coins secret.Key, r onion.Request) *letter {
	l := &letter{
		born: w.now, coins: binary.BigEndian.Uint64(coins.Bytes()), out: len(r.Out), all: len(r.Out) + len(r.Back),
		home: r.Home, command: r.Command, key: r.Key, token: r.Token, box: r.Box,
	}
	for i, h := range r.Out {
		l.way[i] = w.place(h.ID)
	}
	for i, h := range r.Back {
		l.way[len(r.Out)+i] = w.place(h.ID)
	}
	p := &w.post
	for len(p.table) > 0 && (p.table[0] == nil || p.table[0].born+old < w.now) {
		p.table = p.table[1:]
		p.base++
	}
	binary.BigEndian.PutUint64(l.name[:], p.base+uint64(len(p.table)))
	p.table = append(p.table, l)
	return l
}

func (p *post) find(name []byte) *letter {
	if len(name) != 8 {
		return nil
	}
	if i := binary.BigEndian.Uint64(name) - p.base; i < uint64(len(p.table)) {
		return p.table[i]
	}
	return nil
}

// end forgets a letter.
func (p *post) end(l *letter) {
	if l != nil {
		p.table[binary.BigEndian.Uint64(l.name[:])-p.base] = nil
	}
}

// delay is what the time is drawn from that a relay keeps it for.
func (l *letter) delay(hop int) (s onion.Seed) {
	binary.BigEndian.PutUint64(s[:], mix64(l.coins+uint64(hop)<<32))
	return s
}

// delays is what its sender knows of them.
func (l *letter) delays() (out, back []onion.Seed) {
	all := make([]onion.Seed, l.all)
	for hop := range all {
		all[hop] = l.delay(hop)
	}
	return all[:l.out], all[l.out:]
}

// A box by reference says that it is one, then its control block and the beginning of
// its cell.
const (
	byReference = 1
	cellPart    = 16
	reference   = 1 + drop.ControlSize + cellPart
	nameAt      = 128 // where a box carries the name of its letter
)

func putReference(b *wire.Box, line []byte) {
	clear(b[:reference])
	copy(b[:], line)
}

// references are boxes by reference: they are not sealed.
type references struct{}

// Seal implements [relayed.Boxes].
func (references) Seal(_ secret.Key, _ *[32]byte, c drop.Control, cell *wire.Cell) *drop.Box {
	b := new(wire.Box)
	b[0] = byReference
	c.Append(b[1:1])
	copy(b[1+drop.ControlSize:reference], cell[:])
	return b
}

// Open implements [relayed.Boxes].
func (references) Open(_ secret.Key, b *drop.Box) (drop.Control, *wire.Cell, error) {
	if b[0] != byReference {
		return drop.Control{}, nil, drop.ErrFormat
	}
	c, err := drop.ParseControl(b[1 : 1+drop.ControlSize])
	cell := new(wire.Cell)
	copy(cell[:], b[1+drop.ControlSize:reference])
	return c, cell, err
}
