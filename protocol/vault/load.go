package vault

import (
	"cmp"
	"slices"

	"github.com/backchannel/backchannel/protocol/secret"
)

// load makes the image of a level from the slots that opened under its keys, in
// any order and with what is left of old versions.
func (l *Level) load(found []opened) {
	l.reading = true
	defer func() { l.reading = false }()
	h := l.loadHead(found)
	l.heads, l.tick, l.version, l.count, l.rolledBack = h.number, h.tick, h.version, h.pages, h.rolledBack
	late := l.choosePages(found)
	if l.sum() != h.digest {
		l.rolledBack = true
	}
	l.readPages(true)
	l.readTable()
	l.readPages(false)
	l.resolve()
	for _, id := range late {
		if int(id) < len(l.pages) {
			l.pages[id].dirty = true // or a later commit would take what is left of one that did not end for its own
		}
	}
}

// loadHead finds the newest head. Without one every page counts.
func (l *Level) loadHead(found []opened) head {
	var best head
	for _, o := range found {
		f := o.plain.front()
		if f.kind != kindHead {
			continue
		}
		crypt(l.keys.body, o.nonce, o.plain.body())
		h, err := parseHead(o.plain)
		if err != nil || l.head != nil && h.number < best.number {
			continue
		}
		best = h
		l.head = &block{level: l.n, plain: o.plain, keys: l.keys, slot: o.slot}
	}
	if l.head != nil {
		return best
	}
	best.rolledBack = true
	for _, o := range found {
		if f := o.plain.front(); f.kind == kindPage && f.id < uint32(l.geometry.blocks()) {
			best.version, best.pages = max(best.version, f.version), max(best.pages, f.id+1)
		}
	}
	return best
}

// choosePages takes for each page the newest version that counts. It returns the
// pages of which there are newer ones, left by a commit that did not end.
func (l *Level) choosePages(found []opened) (late []uint32) {
	l.count = min(l.count, uint32(l.geometry.blocks()))
	l.next = l.version + 1
	for id := range l.count {
		l.pages = append(l.pages, &page{id: id})
	}
	for _, o := range found {
		f := o.plain.front()
		if f.kind != kindPage {
			continue
		}
		l.next, l.last = max(l.next, f.version+1), max(l.last, f.number)
		if f.version > l.version {
			late = append(late, f.id)
			continue
		}
		if f.id >= l.count || l.pages[f.id].block != nil && l.pages[f.id].version >= f.version {
			continue
		}
		p := l.pages[f.id]
		p.version = f.version
		p.block = &block{level: l.n, plain: o.plain, keys: l.keys, slot: o.slot, nonce: o.nonce}
	}
	for _, p := range l.pages {
		if p.block == nil {
			p.dirty, l.rolledBack = true, true
		}
	}
	return late
}

// readPages reads the pages of the table, or all others.
func (l *Level) readPages(table bool) {
	for _, p := range l.pages {
		if p.block == nil || (p.block.plain.front().number == 0) != table {
			continue
		}
		b := p.block
		o := l.numbers[b.plain.front().number]
		if o == nil { // its object was dropped
			clear(b.plain.body())
			continue
		}
		b.object, p.object = o, o
		crypt(b.bodyKey(), b.nonce, b.plain.body())
		pieces, err := parsePieces(b.plain.body())
		if err != nil {
			clear(b.plain.body())
			p.dirty, l.rolledBack = true, true
		}
		for _, pc := range pieces {
			l.next = max(l.next, pc.version+1)
			l.add(p, pc, Key{Kind: pc.kind, Object: o.id, Seq: pc.seq})
		}
	}
}

// readTable makes an object of each row.
func (l *Level) readTable() {
	newest := map[uint64]*fragment{}
	for _, p := range l.pages {
		for _, f := range p.fragments {
			l.last = max(l.last, f.seq)
			if old := newest[f.seq]; old == nil || old.before(f) {
				newest[f.seq] = f
			}
		}
	}
	for number, f := range newest {
		if f.total != tableValue || len(f.data) != tableValue {
			continue
		}
		o := &object{id: [16]byte(f.data), number: number, key: secret.FromBytes(f.data[16:])}
		l.objects[o.id], l.numbers[number] = o, o
	}
}

// before reports whether other takes the place of f: it is of a later version, or
// the same in a page that was written later.
func (f *fragment) before(other *fragment) bool {
	return cmp.Or(cmp.Compare(f.version, other.version), cmp.Compare(f.page.version, other.page.version)) < 0
}

// resolve finds the current version of each record, and counts the others as
// garbage. A record of which a piece is missing is taken out, never replaced by
// an older version of itself.
func (l *Level) resolve() {
	all := map[Key][]*fragment{}
	for _, p := range l.pages {
		for _, f := range p.fragments {
			all[f.key] = append(all[f.key], f)
		}
	}
	for key, fragments := range all {
		if len(fragments) > 1 {
			sortVersions(fragments)
		}
		e := &entry{version: fragments[0].version, total: fragments[0].total}
		at := uint32(0)
		for i, f := range fragments {
			first := i == 0 || f.offset != fragments[i-1].offset
			if f.version != e.version || !first {
				l.kill(f)
				continue
			}
			if f.total != e.total || f.offset != at {
				at = gone
				break
			}
			at += uint32(len(f.data))
			e.fragments = append(e.fragments, f)
		}
		whole := e.gone() && at == 0 || !e.gone() && at == e.total
		switch {
		case !whole:
			l.breakOff(fragments)
		case e.gone() && l.garbage[key] == 0:
			l.kill(e.fragments[0])
		default:
			l.index.entries[key] = e
		}
	}
	l.index.list()
}

// sortVersions puts the newest version first, and its pieces in order.
func sortVersions(fragments []*fragment) {
	slices.SortStableFunc(fragments, func(a, b *fragment) int {
		return cmp.Or(cmp.Compare(b.version, a.version), cmp.Compare(a.offset, b.offset), cmp.Compare(b.page.version, a.page.version))
	})
}

// breakOff takes a record out of every page that has a piece of it.
func (l *Level) breakOff(fragments []*fragment) {
	l.rolledBack = true
	for _, f := range fragments {
		l.kill(f)
		f.page.dirty = true
	}
}
