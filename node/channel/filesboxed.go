package channel

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Pieces of files go into boxes at drops that would carry no text: what was never in a
// box, and what no drop has, goes before them. Nothing is known at once there: a drop
// says soon that it has a box, and the receiver, perhaps days later, what has come.

const (
	// lostAfter is after how many periods a box is given up of which its drops have not said
	// that it is there. An answer takes one or two.
	lostAfter = 8
	// againAfter is after how many periods a piece goes again into a box that would be
	// empty. A report takes five or six when both machines are on.
	againAfter = 16
	// leastReady and mostReady bound the pieces that are sealed and wait for a box. They
	// are read some at a time, as each time a whole stretch is held against its sum.
	leastReady, mostReady = 4, 16
)

// posting is how a file that is sent gets on in boxes, in this run.
type posting struct {
	ready  map[uint64]*wire.Cell // sealed, by index; they wait for a box
	posted map[uint64]post       // by index; the receiver has not said that they are there
	cut    uint32                // as heard, when the last connection was found to have ended
	dated  bool                  // the periods of posted are set: before a run's first box there is none
}

// post is the last box of a piece.
type post struct {
	period uint64
	at     onion.ID // a drop that has it, by its word; zero: none
	stored bool     // two drops have it, or are held to have it: see before
	direct bool     // it went to a connection that ended
	before bool     // it left before this run: whether a drop ever had it is not known
}

// pieceName is the piece of a file by the sequence of its message.
type pieceName struct{ seq, index uint64 }

// mayPost reports whether pieces may leave in boxes: what goes directly does not.
func (v *Conversation) mayPost() bool {
	return v.Drops().Set != nil && v.drops.policy != DirectRoute && !v.canSend() && v.maySpeak()
}

// postable returns the files of which pieces may go into boxes now, in their order. One
// that may not go this way does not hold up those behind it.
func (v *Conversation) postable() iter.Seq2[uint64, *transfer] {
	return func(yield func(uint64, *transfer) bool) {
		for _, seq := range v.moving {
			t := v.files[seq]
			i, ok := v.find(seq)
			if !ok || v.messages[i].Direction != Out || t.state != FileMoving || !v.mayLeave(v.messages[i]) || v.now.Before(t.flow.after) {
				continue
			}
			v.carryOver(t)
			if !yield(seq, t) {
				return
			}
		}
	}
}

// carryOver makes of what left before this run, or on a connection that ended, pieces that
// are under way: they go again when nothing else does, or the receiver says that they are
// missing.
func (v *Conversation) carryOver(t *transfer) {
	p, f := &t.posting, &t.flow
	under := func(to uint64, as post) {
		for i := f.acked; i < min(to, f.acked+file.Window); i++ {
			if _, there := p.posted[i]; !there && !f.entry.Has(i) {
				p.posted[i] = as
			}
		}
	}
	if p.posted == nil {
		p.posted, p.ready = map[uint64]post{}, map[uint64]*wire.Cell{}
		under(t.posted, post{period: v.mail.period, stored: true, before: true})
	}
	if f.live {
		f.live, p.cut = false, t.heard
		under(f.next, post{period: v.mail.period, stored: true, direct: true})
	}
	if !p.dated && v.mail.period > 0 {
		p.dated = true
		for i, q := range p.posted {
			q.period = max(q.period, v.mail.period)
			p.posted[i] = q
		}
	}
}

// candidates returns the pieces that may go into a box, the best first: those that are
// not under way, in order; then those that were written least recently.
func (v *Conversation) candidates() iter.Seq[pieceName] {
	return func(yield func(pieceName) bool) {
		for seq, t := range v.postable() {
			for i := t.flow.acked; i < min(file.Cells(t.size), t.flow.acked+file.Window); i++ {
				if v.inTurn(t, i) && !yield(pieceName{seq, i}) {
					return
				}
			}
		}
		for seq, t := range v.postable() {
			var again []uint64
			for i := range t.posting.posted {
				if v.onceMore(t, i) {
					again = append(again, i)
				}
			}
			slices.SortFunc(again, func(a, b uint64) int {
				return cmp.Or(cmp.Compare(t.posting.posted[a].period, t.posting.posted[b].period), cmp.Compare(a, b))
			})
			for _, i := range again {
				if !yield(pieceName{seq, i}) {
					return
				}
			}
		}
	}
}

// inTurn reports whether a piece of the window is not under way, and has not come.
func (v *Conversation) inTurn(t *transfer, i uint64) bool {
	p, under := t.posting.posted[i]
	lost := under && !p.stored && p.period+lostAfter <= v.mail.period
	return (!under || lost) && !t.flow.entry.Has(i)
}

// onceMore reports whether a piece that is under way may go again.
func (v *Conversation) onceMore(t *transfer, i uint64) bool {
	p, under := t.posting.posted[i]
	return under && p.period+againAfter <= v.mail.period && i < t.flow.acked+file.Window
}

// boxDemand reports what is to be read of a file, so that the next boxes have a piece.
func (v *Conversation) boxDemand() (Demand, bool) {
	if !v.mayPost() {
		return Demand{}, false
	}
	ready := 0
	for _, t := range v.postable() {
		for i := range t.posting.ready {
			if i >= t.flow.acked+file.Window || !v.inTurn(t, i) && !v.onceMore(t, i) {
				delete(t.posting.ready, i) // the window moved, or it went another way
			}
		}
		ready += len(t.posting.ready)
	}
	v.mail.reading = ready < mostReady && (v.mail.reading || ready <= leastReady)
	if !v.mail.reading {
		return Demand{}, false
	}
	for c := range v.candidates() {
		t := v.files[c.seq]
		if t.posting.ready[c.index] == nil {
			return Demand{
				Seq: c.seq, Path: t.path, Size: t.size, Piece: t.piece, Index: c.index, Boxed: true,
				Offset: c.index * file.ContentSize, Length: file.Piece(t.size, c.index),
			}, true
		}
	}
	v.mail.reading = false
	return Demand{}, false
}

// makeReady seals a piece for a box.
func (v *Conversation) makeReady(t *transfer, d Demand, content []byte) {
	if t.trouble = ""; len(t.posting.ready) < mostReady && t.posting.ready != nil {
		var random [32]byte
		v.random(random[:])
		t.posting.ready[d.Index] = file.Seal(t.cells, &random, d.Index, content)
	}
}

// filesForBox takes what there is to say of files, if no text has to go first. A text
// that a drop has, and that goes again to be sure, has every fourth box.
func (v *Conversation) filesForBox() {
	if v.mail.cell != nil || v.s.dead || v.canSend() {
		return
	}
	v.retell()
	v.mail.news = v.tellInBoxes() || v.mail.news
	piece, found := v.nextPiece()
	reports := v.underWay() || v.someOf(maps.Keys(v.tell)) || v.someOf(maps.Keys(v.mail.telling))
	if !found && !reports {
		return
	}
	if n, ok := v.unboxed(); ok {
		v.takeAgain(n)
		return
	}
	v.mail.turn++
	texts, turn := len(v.sealed) > 0, v.mail.turn%4
	seldom := turn == 1 && v.alike() || v.mail.turn%16 == 2 && reports
	switch {
	case texts && turn == 0: // see againForBox
	case v.mail.news, found && seldom:
		v.reportForBox()
	case found:
		v.postPiece(piece)
	case reports && (!texts || turn%2 == 1):
		v.reportForBox()
	}
}

// unboxed returns the lowest number of a cell that too few drops have, as far as is known, and
// of which no box is under way.
func (v *Conversation) unboxed() (uint32, bool) {
	for _, n := range v.unacknowledged() {
		if v.mail.has(n) {
			continue
		}
		fresh := false
		for period, carried := range v.mail.carried {
			fresh = fresh || carried == n && period+lostAfter > v.mail.period
		}
		if !fresh {
			return n, true
		}
	}
	return 0, false
}

// nextPiece returns the best piece that is sealed already.
func (v *Conversation) nextPiece() (pieceName, bool) {
	if v.mayPost() {
		for c := range v.candidates() {
			if v.files[c.seq].posting.ready[c.index] != nil {
				return c, true
			}
		}
	}
	return pieceName{}, false
}

// postPiece takes a piece for the box.
func (v *Conversation) postPiece(c pieceName) {
	t := v.files[c.seq]
	v.mail.flag, v.mail.cell = wire.FlagFile, t.posting.ready[c.index]
	delete(t.posting.ready, c.index)
	t.posting.posted[c.index] = post{period: v.mail.period, at: v.stillAt(t.posting.posted[c.index])}
	if v.mail.pieces == nil || len(v.mail.pieces) >= maxCarried {
		v.mail.pieces = map[uint64]pieceName{}
	}
	v.mail.pieces[v.mail.period] = c
	t.flow.moved, t.posted = v.now, max(t.posted, c.index+1)
	v.saveTransfer(c.seq)
}

// stillAt is the drop that has a piece which goes again, if it said so of the last box of it
// and not long ago.
func (v *Conversation) stillAt(p post) (relay onion.ID) {
	if p.period+maxCarried >= v.mail.period {
		relay = p.at
	}
	return relay
}

// pieceBoxed handles a drop's word that it has the box of a period, if that carried a
// piece.
func (v *Conversation) pieceBoxed(period uint64, at onion.ID) {
	c, ok := v.mail.pieces[period]
	t := v.files[c.seq]
	if !ok || t == nil {
		delete(v.mail.pieces, period)
		return
	}
	switch p, under := t.posting.posted[c.index]; {
	case !under || p.period != period:
		delete(v.mail.pieces, period)
	case p.at == (onion.ID{}):
		p.at = at
		t.posting.posted[c.index] = p
	case p.at != at:
		p.stored = true
		t.posting.posted[c.index] = p
		delete(v.mail.pieces, period)
	}
}

// comingInBox takes a report that came in a box: how far a file has come. Boxes come in
// any order, so what an older one says never lowers what a newer one said.
func (v *Conversation) comingInBox(seq uint64, t *transfer, e file.Entry, at uint32) {
	f := &t.flow
	if f.live && v.canSend() && f.link == v.link.id {
		return // it goes directly, and reports come that way
	}
	v.carryOver(t)
	for i, p := range t.posting.posted {
		if e.Has(i) && !p.before && !p.direct {
			v.mail.seen = max(v.mail.seen, p.period)
		}
	}
	t.posting.arrived(e)
	for i, p := range t.posting.posted {
		if p.direct && at > t.posting.cut {
			delete(t.posting.posted, i) // it ended with a connection, and is missing since: it goes in its turn
		}
	}
	f.acked, f.entry, f.moved = e.Received, e, v.now
	if t.done != e.Received {
		t.done = e.Received
		v.saveTransfer(seq)
	}
}

// keepFlows has it stored how far files have come that went to a connection.
func (v *Conversation) keepFlows() {
	for _, seq := range v.moving {
		t := v.files[seq]
		if i, ok := v.find(seq); ok && v.messages[i].Direction == Out && !t.final() && t.done != t.flow.acked {
			t.done = t.flow.acked
			v.saveTransfer(seq)
		}
	}
}

// forgetPosted takes note that a session is replaced. Its boxes are not read any more.
func (v *Conversation) forgetPosted() {
	for _, seq := range v.moving {
		if t := v.files[seq]; !t.final() {
			t.posting, t.posted = posting{}, min(t.posted, t.flow.acked)
		}
	}
}

// rest returns how many boxes a file still needs, if none is lost.
func (t *transfer) rest(d Direction) uint64 {
	here := t.in.written + uint64(len(t.in.held)+len(t.in.kept))
	if d == Out {
		here = t.flow.acked + uint64(len(t.posting.posted))
		for i := t.flow.acked + 1; i <= t.flow.acked+file.Window; i++ {
			if t.flow.entry.Has(i) {
				here++
			}
		}
	}
	cells := file.Cells(t.size)
	return cells - min(cells, here)
}

// boxedBytes is how much of a file drops have by their word in this run, and the receiver
// does not.
func (t *transfer) boxedBytes() (n uint64) {
	for i, p := range t.posting.posted {
		if p.stored && !p.direct && !p.before {
			n += uint64(file.Piece(t.size, i))
		}
	}
	return n
}

// arrived takes note of a report. It can say less than one before it: then the window is
// behind what was made ready.
func (p *posting) arrived(e file.Entry) {
	for i := range p.posted {
		if e.Has(i) {
			delete(p.posted, i)
		}
	}
	for i := range p.ready {
		if e.Has(i) || i >= e.Received+file.Window {
			delete(p.ready, i)
		}
	}
}
