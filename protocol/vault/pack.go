package vault

import "slices"

// worthwhile is the room that a page must have to be written again for more: a
// piece and 64 bytes. What is less in a page stays empty.
const worthwhile = pieceSize + 64

// packing finds places for a commit, without changing the level.
type packing struct {
	l           *Level
	onlyDeletes bool
	old         []Key                // records that get another version
	room        map[*page]int        // bytes free where that differs from the page
	mine        map[*object][]*page  // pages that an object has or is given
	free        []*page              // pages that hold nothing
	pages       int                  // how many the level would have
	touched     map[*page]bool       // pages that get something
	fresh       map[[16]byte]*object // objects that are new
	adds        []placed
	removed     []Key // deleted records that nothing on the disk can bring back
}

type placed struct {
	page   *page
	object *object
	piece  piece
	key    Key
}

func (l *Level) newPacking() *packing {
	p := &packing{
		l: l, onlyDeletes: true, room: map[*page]int{}, mine: map[*object][]*page{}, pages: len(l.pages),
		touched: map[*page]bool{}, fresh: map[[16]byte]*object{},
	}
	for _, pg := range l.pages {
		switch {
		case pg.live == 0:
			p.free = append(p.free, pg)
		case pageSize-pg.live >= worthwhile:
			p.mine[pg.object] = append(p.mine[pg.object], pg)
		}
	}
	return p
}

func (p *packing) roomOf(pg *page) int {
	if n, ok := p.room[pg]; ok {
		return n
	}
	return pageSize - pg.live
}

// supersede counts the space of a record's present version as free.
func (p *packing) supersede(k Key) {
	e := p.l.index.entries[k]
	if e == nil {
		return
	}
	p.old = append(p.old, k)
	for _, f := range e.fragments {
		before := p.roomOf(f.page)
		p.room[f.page] = before + f.size()
		if before < worthwhile && before+f.size() >= worthwhile {
			p.mine[f.page.object] = append(p.mine[f.page.object], f.page)
		}
	}
}

// write places one write.
func (p *packing) write(w Write) error {
	pc := piece{kind: w.Key.Kind, seq: w.Key.Seq, version: p.l.next, total: gone}
	if w.Delete {
		if p.l.absent(w.Key) {
			return nil
		}
		e := p.l.index.entries[w.Key]
		if p.l.garbage[w.Key] == 0 && !slices.ContainsFunc(e.fragments, func(f *fragment) bool { return f.version != p.l.next }) {
			p.removed = append(p.removed, w.Key)
			return nil
		}
	} else {
		pc.total, pc.data = uint32(len(w.Value)), slices.Clone(w.Value)
	}
	o, err := p.objectOf(w.Key)
	if err != nil {
		return err
	}
	return p.put(o, w.Key, pc)
}

// objectOf finds the object of a key, or places a row for a new one in the table.
func (p *packing) objectOf(k Key) (*object, error) {
	if k.Kind == 0 {
		return p.l.numbers[0], nil
	}
	if o := p.l.objects[k.Object]; o != nil {
		return o, nil
	}
	if o := p.fresh[k.Object]; o != nil {
		return o, nil
	}
	o := &object{id: k.Object, number: p.l.last + 1 + uint64(len(p.fresh))}
	p.fresh[k.Object] = o
	row := piece{seq: o.number, version: p.l.next, total: tableValue, data: append(k.Object[:], make([]byte, 32)...)}
	return o, p.put(p.l.numbers[0], Key{Seq: o.number}, row)
}

// put places a piece, cut where it has to be.
func (p *packing) put(o *object, k Key, pc piece) error {
	data := pc.data
	for {
		pg := p.target(o)
		if pg == nil {
			return ErrFull
		}
		n := min(len(data), p.roomOf(pg)-pieceSize)
		pc.data, data = data[:n:n], data[n:]
		p.adds = append(p.adds, placed{pg, o, pc, k})
		p.room[pg] = p.roomOf(pg) - pc.size()
		p.touched[pg] = true
		if len(data) == 0 {
			return nil
		}
		pc.offset += uint32(n)
	}
}

// target chooses the page for what comes next: one that is written anyway, else
// the object's emptiest if it has an eighth free, else a free or a new one, else
// any that has room at all.
func (p *packing) target(o *object) *page {
	if pg := p.emptiest(o, worthwhile, true); pg != nil {
		return pg
	}
	if pg := p.emptiest(o, pageSize/8, false); pg != nil {
		return pg
	}
	if pg := p.another(); pg != nil {
		p.mine[o] = append(p.mine[o], pg)
		p.room[pg] = pageSize
		return pg
	}
	return p.emptiest(o, worthwhile, false)
}

func (p *packing) emptiest(o *object, least int, written bool) (best *page) {
	for _, pg := range p.mine[o] {
		if written && !pg.dirty && !p.touched[pg] {
			continue
		}
		if n := p.roomOf(pg); n >= least && (best == nil || n > p.roomOf(best)) {
			best = pg
		}
	}
	return best
}

// another takes a free page or a new one.
func (p *packing) another() *page {
	if n := len(p.free); n > 0 {
		pg := p.free[n-1]
		p.free = p.free[:n-1]
		return pg
	}
	g := p.l.geometry
	limit := g.Pages()
	if p.onlyDeletes {
		limit += g.spare() / 2 // who is full must be able to delete
	}
	if p.pages >= limit {
		return nil
	}
	pg := &page{id: uint32(p.pages)}
	p.pages++
	return pg
}

// fits reports ErrFull if the commit takes several ticks, in which both copies of
// its pages are live, and there is no room for them.
func (p *packing) fits() error {
	n := len(p.touched)
	for _, pg := range p.l.pages {
		if pg.dirty && !p.touched[pg] {
			n++
		}
	}
	g := p.l.geometry
	if n > g.Fresh-1 && p.pages+n+HeaderCopies+1 > g.blocks() {
		return ErrFull
	}
	return nil
}

// apply does what was found.
func (p *packing) apply() (ticket uint64) {
	l := p.l
	for _, k := range p.old {
		for _, f := range slices.Clone(l.index.entries[k].fragments) {
			l.kill(f)
		}
	}
	for _, k := range p.removed {
		l.index.remove(k)
	}
	for _, o := range p.fresh {
		l.objects[o.id], l.numbers[o.number] = o, o
		l.last = max(l.last, o.number)
	}
	entries := map[Key]*entry{}
	for _, a := range p.adds {
		if int(a.page.id) == len(l.pages) {
			l.pages = append(l.pages, a.page)
		}
		a.page.object = a.object
		f := l.add(a.page, a.piece, a.key)
		if entries[a.key] == nil {
			entries[a.key] = &entry{version: a.piece.version, total: a.piece.total}
		}
		entries[a.key].fragments = append(entries[a.key].fragments, f)
	}
	for k, e := range entries {
		l.index.put(k, e)
	}
	if len(p.adds) == 0 && len(p.removed) == 0 {
		return l.Durable()
	}
	return l.passed + l.next
}
