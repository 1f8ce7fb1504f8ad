package channel

import (
	"maps"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// mail is what this run knows of the session's boxes at drops. Numbers, cells and
// acknowledgements are those of connections: what goes both ways arrives once.
type mail struct {
	carried  map[uint64]uint32  // by period: the number of the cell in its box
	boxed    map[uint32]atDrops // by number of a cell that is not acknowledged
	seen     uint64             // period of the newest box that the one that is being handled proves was read
	peerSent uint32             // the highest number that the peer says it sent
	at       uint32             // when the box that is being handled was written, in seconds; else zero
	flight   bool               // the last box carried a flight

	strand  bool // the next box carries what went to a connection and was in none
	filling bool // what is sealed goes into a box, and not to the connection
	period  uint64
	number  uint32
	cell    *wire.Cell
	flag    byte // of a cell without a number: what it is

	pieces  map[uint64]pieceName // by period: the piece of a file in its box
	telling map[file.ID]telling  // files of whose end boxes tell
	news    bool                 // one of them was not told of yet
	turn    int                  // of boxes that files may use
	forms   uint64               // boxes in file form
	usual   bool                 // the last box was in the usual form; of the one before this run it is not known
	reading bool                 // pieces are being made ready
	retold  bool                 // see retell
}

// atDrops is at which drops a cell is by their word, and of each the period of its newest
// box there. Boxes of several periods count together. One drop is not enough: it may be the
// reader's guard, whom he cannot ask. Of two, that is one at most.
type atDrops map[onion.ID]uint64

// enoughDrops is how many drops have what the reader can get from one of them.
const enoughDrops = 2

// maxCarried bounds the boxes whose drops have not both told anything; and for how many
// periods a drop's word counts beside another's: it may not keep that box any longer.
const maxCarried = 512

// Fill returns what goes into the box of a period: by turns the next cell that was never
// sent, and the first that is not acknowledged and was in no box, without which later ones
// cannot be read; else what is to be said of files, or the cell that was sent least recently
// and not acknowledged, else nothing. The counters are in every box. The box leaves after
// the commit of the Output.
func (v *Conversation) Fill(now time.Time, period uint64) (drop.Control, *wire.Cell, *Output) {
	v.begin(now)
	if v.s == nil || v.s.dead {
		return drop.Control{}, nil, v.end()
	}
	if f := v.flightForBox(); f != nil {
		return drop.Control{Flags: wire.FlagFlight}, f.Cell(), v.end()
	}
	v.mail.period, v.mail.number, v.mail.cell, v.mail.flag = period, 0, nil, 0
	if v.drops.policy != DirectRoute {
		v.strandedForBox()
		v.sealForBox()
		v.filesForBox()
		v.againForBox()
	}
	if v.s.dead { // its numbers are used up
		return drop.Control{}, nil, v.end()
	}
	flags := v.mail.flag
	if v.mail.number != 0 {
		flags = wire.FlagCell
		if v.mail.carried == nil || len(v.mail.carried) >= maxCarried {
			v.mail.carried = map[uint64]uint32{}
		}
		v.mail.carried[period] = v.mail.number
	}
	c := v.counters(flags)
	control := drop.Control{Flags: c.Flags, Sent: c.Sent, Owed: c.Owed, Received: c.Received, Bitmap: c.Bitmap}
	v.form(&control)
	if v.toldMove() {
		control.Flags |= drop.FlagMoved
	}
	return control, v.mail.cell, v.end()
}

// strandedForBox takes a cell that went to a connection which ended, every other time.
func (v *Conversation) strandedForBox() {
	if v.mail.strand = !v.mail.strand; v.mail.strand || v.canSend() {
		return
	}
	for _, n := range v.unacknowledged() {
		if !v.mail.has(n) && !v.inBox(n) {
			v.takeAgain(n)
			return
		}
	}
}

// inBox reports whether a box with a cell is under way, and may still be said to be there.
func (v *Conversation) inBox(n uint32) bool {
	for period, carried := range v.mail.carried {
		if carried == n && period+lostAfter > v.mail.period {
			return true
		}
	}
	return false
}

// sealForBox seals the next part of what waits. While there is a connection it goes
// that way, at once.
func (v *Conversation) sealForBox() {
	if v.mail.cell != nil || v.canSend() || !v.s.ratchet.Ready() || !v.room(1) {
		return
	}
	v.mail.filling = true
	defer func() { v.mail.filling = false }()
	switch {
	case v.s.partSeq == 0 && len(v.s.controls) > 0:
		v.sealControl()
	case len(v.queue) > 0 && v.maySpeak():
		for len(v.queue) > 0 && v.mail.cell == nil && !v.s.dead {
			v.sealNext()
		}
	}
	if v.mail.cell != nil {
		v.saveSession()
	} else if !v.s.dead {
		v.state()
	}
}

// againForBox takes the cell that was written least recently: of those that too few drops
// have, if there are any.
func (v *Conversation) againForBox() {
	if v.mail.cell != nil || v.s.dead {
		return
	}
	all := v.unacknowledged()
	if lacking := slices.DeleteFunc(slices.Clone(all), v.mail.has); len(lacking) > 0 {
		all = lacking
	}
	for _, n := range all {
		if v.mail.number == 0 || v.sealed[n].order < v.sealed[v.mail.number].order {
			v.mail.number = n
		}
	}
	v.takeAgain(v.mail.number)
}

func (v *Conversation) takeAgain(n uint32) {
	if cell := v.sealed[n]; cell != nil {
		v.order++
		cell.order = v.order
		v.mail.number, v.mail.cell = n, cell.sealed.Cell(&cell.body)
	}
}

// Mailed handles a box of the session in use that was found at a drop. Boxes come in any
// order, each once.
func (v *Conversation) Mailed(now time.Time, control drop.Control, cell *wire.Cell) *Output {
	v.begin(now)
	if v.s != nil && !v.s.dead && control.Flags&wire.FlagFlight == 0 {
		v.mailed(control, cell)
	}
	return v.end()
}

func (v *Conversation) mailed(control drop.Control, cell *wire.Cell) {
	c := control.State()
	v.mail.at, v.mail.seen = c.Time, 0
	defer func() { v.mail.at = 0 }()
	v.heard()
	v.forgetMonths(c.Time)
	v.sureOfDrops()
	if c.Received > v.s.sent || control.Flags&drop.FlagMoved != 0 && !v.hasMoved() {
		v.recover() // this machine was put back
		return
	}
	v.mail.peerSent = max(v.mail.peerSent, c.Sent)
	v.acknowledged(c)
	v.notOwed(c)
	switch {
	case c.Flags&wire.FlagCell != 0:
		v.cell(c, cell)
	case c.Flags&wire.FlagFile != 0:
		v.fileCell(cell, true)
	case c.Flags&wire.FlagReport != 0:
		v.reportCame(cell, said{true, c.Time})
	}
	if control.Flags&drop.FlagForm != 0 {
		v.formCame(control)
	}
	v.unread(c, control.Flags&drop.FlagForm != 0)
	v.flush()
}

// has reports whether enough drops have a cell, as far as is known.
func (m *mail) has(n uint32) bool { return len(m.boxed[n]) >= enoughDrops }

// told takes a drop's word that it has the box of a period, which carried a cell.
func (m *mail) told(n uint32, relay onion.ID, period uint64) {
	if m.boxed == nil {
		m.boxed = map[uint32]atDrops{}
	}
	at := m.boxed[n]
	if at == nil {
		at = atDrops{}
		m.boxed[n] = at
	}
	at[relay] = max(at[relay], period)
	maps.DeleteFunc(at, func(_ onion.ID, p uint64) bool { return p+maxCarried < period })
}

// forget takes note that what a drop has said counts no more: it left the set.
func (m *mail) forget(relay onion.ID) {
	for _, at := range m.boxed {
		delete(at, relay)
	}
}

// unread finds cells that a drop said it has and the peer did not get: it read a box that
// was written long after theirs, and lacks them. They go again before pieces of files. In
// file form the box tells of the first only.
func (v *Conversation) unread(c wire.Control, form bool) {
	lost := false
	for n, at := range v.mail.boxed {
		newest := uint64(0)
		for _, period := range at {
			newest = max(newest, period)
		}
		if newest+lostAfter <= v.mail.seen && !c.Has(n) && (!form || n == c.Received+1) {
			delete(v.mail.boxed, n)
			lost = true
		}
	}
	if lost {
		v.outOfMailbox()
	}
}

// outOfMailbox takes back of messages what is not so any more of what drops have said.
func (v *Conversation) outOfMailbox() {
	for _, n := range v.unacknowledged() {
		seq := v.sealed[n].message
		if i, ok := v.find(seq); ok && v.messages[i].State == InMailbox && !v.boxedNow(seq) {
			v.setState(i, OnItsWay)
		}
	}
}

// Lacking reports whether the peer has sent something that has not come, or sends a file
// that is wanted: its pieces have no numbers among the peer's, and each may be in any box. What
// it sent in the session before counts, too, while boxes of that are read.
func (v *Conversation) Lacking() bool {
	f := v.former
	return v.s != nil && (v.mail.peerSent > v.s.received || f != nil && f.peerSent > f.s.received || slices.ContainsFunc(v.moving, func(seq uint64) bool {
		i, ok := v.find(seq)
		t := v.files[seq]
		return ok && v.messages[i].Direction == In && t.state == FileMoving && t.in.written < file.Cells(t.size) && v.mayCome(v.messages[i])
	}))
}

// Boxed handles the word of one of the set's drops that it has its replica of the box of a
// period. A message is in their mailbox when two of them have said that of each of its parts,
// or these are acknowledged.
func (v *Conversation) Boxed(now time.Time, period uint64, at onion.ID) *Output {
	v.begin(now)
	if v.drops.Set == nil || !slices.Contains(v.drops.Set.Relays[:], at) {
		return v.end() // it was replaced meanwhile
	}
	if v.drops.waiting(slices.Index(v.drops.Set.Relays[:], at)) {
		return v.end() // the peer may not have this drop in its set, and never ask there
	}
	v.pieceBoxed(period, at)
	n := v.mail.carried[period]
	if v.sealed[n] == nil {
		delete(v.mail.carried, period)
		return v.end()
	}
	maps.DeleteFunc(v.mail.boxed, func(n uint32, _ atDrops) bool { return v.sealed[n] == nil })
	v.mail.told(n, at, period)
	if !v.mail.has(n) {
		return v.end()
	}
	delete(v.mail.carried, period)
	for _, n := range v.unacknowledged() { // it, and those after it
		seq := v.sealed[n].message
		if i, ok := v.find(seq); ok && v.messages[i].State == OnItsWay && !v.messages[i].File && v.boxedNow(seq) {
			v.setState(i, InMailbox)
		}
	}
	return v.end()
}

// isSealed reports whether there is a part of a message that is not acknowledged.
func (v *Conversation) isSealed(seq uint64) bool {
	for _, cell := range v.sealed {
		if cell.message == seq {
			return true
		}
	}
	return false
}

// boxedNow reports whether drops have every part of a message that is not acknowledged,
// of which there is one, and every cell before it: without one of these it cannot be read.
func (v *Conversation) boxedNow(seq uint64) bool {
	if v.s == nil || v.s.partSeq == seq {
		return false
	}
	found, last := false, uint32(0)
	for n, cell := range v.sealed {
		if cell.message == seq {
			found, last = true, max(last, n)
		}
	}
	for n := range v.sealed {
		if n <= last && !v.mail.has(n) {
			return false
		}
	}
	return found
}
