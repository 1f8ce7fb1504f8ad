package vault

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/backchannel/backchannel/protocol/label"
)

// group is the pages of one or more commits, frozen, on their way to the disk.
// If they take more than one tick, the copies before them stay live until the
// head that names the group's version is written with the last of them.
type group struct {
	version uint64
	pages   []*page
	blocks  []*block // one for each page
	written int
	count   int // pages of the level
	dropped []*object
}

// freeze makes a group of all dirty pages, if none is under way. A level that has
// nothing to write rewrites pages that hold what was replaced.
func (l *Level) freeze(coins stream) {
	if l.group != nil {
		return
	}
	if !l.anyDirty() {
		l.clean()
	}
	g := &group{version: l.next, dropped: l.dropped}
	for _, p := range l.pages {
		if p.dirty {
			g.pages = append(g.pages, p)
		}
	}
	if len(g.pages) == 0 {
		return
	}
	for _, p := range g.pages {
		l.sweep(p)
	}
	for _, p := range g.pages {
		p.fragments = slices.DeleteFunc(p.fragments, func(f *fragment) bool { return f.dead })
		p.waste, p.dirty = 0, false
		l.drawKeys(p, coins)
		g.blocks = append(g.blocks, l.frozen(p))
	}
	g.count, l.dropped = len(l.pages), nil
	l.group = g
	l.next++
}

// sweep takes a page's dead fragments out of the count of garbage; a deleted
// record that nothing on the disk can bring back needs no tombstone any more.
func (l *Level) sweep(p *page) {
	for _, f := range slices.Clone(p.fragments) {
		if !f.dead || f.total == gone {
			continue
		}
		if l.garbage[f.key]--; l.garbage[f.key] > 0 {
			continue
		}
		delete(l.garbage, f.key)
		if e := l.index.entries[f.key]; e != nil && e.gone() {
			l.kill(e.fragments[0])
			l.index.remove(f.key)
		}
	}
}

// drawKeys gives new objects their keys, as their rows are written first.
func (l *Level) drawKeys(p *page, coins stream) {
	if p.object == nil || p.object.number != 0 {
		return
	}
	for _, f := range p.fragments {
		o := l.numbers[f.seq]
		if f.total != tableValue || o == nil || !o.key.IsZero() {
			continue
		}
		drawn := coins.next()
		o.key = label.DeriveKey(label.VaultObject, l.keys.body, drawn[:], o.id[:])
		copy(f.data[16:], o.key.Bytes())
	}
}

// frozen writes a page down. From then on its fragments lie in the block.
func (l *Level) frozen(p *page) *block {
	b := &block{level: l.n, plain: new(plain), keys: l.keys, object: p.object}
	f := front{kind: kindPage, id: p.id, version: l.next}
	if p.object != nil {
		f.number = p.object.number
	}
	b.plain.setFront(f)
	body := b.plain.body()
	at := usedSize
	for _, f := range p.fragments {
		end := at + f.size()
		appendPiece(body[at:at], f.piece)
		f.data = body[at+pieceSize : end : end]
		at = end
	}
	binary.BigEndian.PutUint16(body, uint16(at-usedSize))
	return b
}

// want is how many blocks the level places in a tick that has room for so many:
// its head, and as much of what waits as there is room for.
func (l *Level) want(room int) int {
	room = min(room, l.geometry.Fresh)
	if room < 1 {
		return 0
	}
	waiting := len(l.extra)
	if l.group != nil {
		waiting += len(l.group.blocks) - l.group.written
	}
	return 1 + min(waiting, room-1)
}

// take returns n blocks, as want said. The head comes last.
func (l *Level) take(n int, tick uint64) []*block {
	if n == 0 {
		return nil
	}
	var blocks []*block
	if g := l.group; g != nil {
		blocks = append(blocks, g.blocks[g.written:min(g.written+n-1, len(g.blocks))]...)
		if g.written += len(blocks); g.written == len(g.blocks) {
			l.commit(g)
		}
	}
	more := min(n-1-len(blocks), len(l.extra))
	blocks = append(blocks, l.extra[:more]...)
	l.extra = l.extra[more:]
	return append(blocks, l.newHead(tick))
}

// newHead writes the state of the level down.
func (l *Level) newHead(tick uint64) *block {
	if l.head != nil {
		l.retire(l.head)
	}
	l.heads, l.tick = l.heads+1, tick
	h := head{number: l.heads, tick: tick, version: l.version, pages: l.count, rolledBack: l.rolledBack, digest: l.sum()}
	l.head = &block{level: l.n, plain: h.plain(), keys: l.keys}
	return l.head
}

// commit puts a group in the place of what was before it.
func (l *Level) commit(g *group) {
	for i, p := range g.pages {
		if p.block != nil {
			l.retire(p.block)
		}
		p.block, p.version = g.blocks[i], g.version
	}
	l.version, l.count, l.group = g.version, uint32(g.count), nil
	for _, o := range g.dropped {
		for _, p := range l.pages {
			if p.block != nil && p.block.object == o {
				clear(p.block.plain.body())
				p.block.object = nil
			}
		}
		o.key.Wipe()
		delete(l.numbers, o.number)
	}
}

func (l *Level) retire(b *block) {
	b.dead = true
	l.retired = append(l.retired, b)
}

// clean marks the pages with the most waste to be written anew, and puts the two
// emptiest pages of some object together. It costs no write that would not be
// made: a tick rewrites its slots in any case.
func (l *Level) clean() {
	var wasted []*page
	for _, p := range l.pages {
		if p.waste > 0 {
			wasted = append(wasted, p)
		}
	}
	slices.SortStableFunc(wasted, func(a, b *page) int { return cmp.Compare(b.waste, a.waste) })
	for _, p := range wasted[:min(cleaning, len(wasted))] {
		p.dirty = true
	}
	if len(wasted) == 0 {
		l.merge()
	}
}

// merge moves one page's fragments into another of the same object, if they fit.
func (l *Level) merge() {
	emptiest := map[*object]*page{}
	for _, p := range l.pages {
		if p.live == 0 {
			continue
		}
		q := emptiest[p.object]
		if q == nil {
			emptiest[p.object] = p
			continue
		}
		if p.live+q.live <= pageSize {
			l.move(p, q)
			return
		}
		if p.live < q.live {
			emptiest[p.object] = p
		}
	}
}

// move makes copies of a page's fragments in another one current.
func (l *Level) move(from, to *page) {
	for _, f := range slices.Clone(from.fragments) {
		if f.dead {
			continue
		}
		moved := l.add(to, f.piece, f.key)
		e := l.index.entries[f.key]
		e.fragments[slices.Index(e.fragments, f)] = moved
		l.kill(f)
	}
}
