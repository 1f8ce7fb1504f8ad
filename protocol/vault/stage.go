package vault

// Stage takes a commit up: all of its writes come to the disk together, with the
// tick after which Durable reaches the ticket. Commits that wait together are
// written together. ErrFull, ErrTooLarge and ErrKind change nothing.
func (l *Level) Stage(writes []Write) (ticket uint64, err error) {
	if err := CheckWrites(writes); err != nil {
		return 0, err
	}
	p := l.newPacking()
	last := make(map[Key]int, len(writes))
	for i, w := range writes {
		last[w.Key] = i
		p.onlyDeletes = p.onlyDeletes && w.Delete
	}
	for i, w := range writes {
		if last[w.Key] == i && (!w.Delete || !l.absent(w.Key)) {
			p.supersede(w.Key)
		}
	}
	for i, w := range writes {
		if last[w.Key] != i {
			continue
		}
		if err := p.write(w); err != nil {
			return 0, err
		}
	}
	if err := p.fits(); err != nil {
		return 0, err
	}
	return p.apply(), nil
}

// Drop removes an object with all that it holds, by letting go of its key: what
// is left of its pages is not read any more, and who gets the root of the level
// later can open them only with a table from before. Burning takes [Vault.Refresh]
// after it, which makes a new root.
func (l *Level) Drop(id [16]byte) (ticket uint64, err error) {
	o := l.objects[id]
	if o == nil {
		return l.Durable(), nil
	}
	p := l.newPacking()
	row := Key{Seq: o.number}
	p.supersede(row)
	if err := p.write(Write{Key: row, Delete: true}); err != nil {
		return 0, err
	}
	if err := p.fits(); err != nil {
		return 0, err
	}
	ticket = p.apply()
	for _, pg := range l.pages {
		if pg.object == o {
			l.empty(pg)
		}
	}
	delete(l.objects, id)
	l.dropped = append(l.dropped, o)
	return ticket, nil
}

// empty forgets what a page of a dropped object holds.
func (l *Level) empty(p *page) {
	for _, f := range p.fragments {
		switch {
		case !f.dead:
			l.index.remove(f.key)
		case f.total != gone:
			if l.garbage[f.key]--; l.garbage[f.key] == 0 {
				delete(l.garbage, f.key)
			}
		}
	}
	p.fragments, p.live, p.waste, p.object = nil, 0, 0, nil
	p.dirty = p.block == nil // a page has to be there once before it can be left alone
}

func (l *Level) absent(k Key) bool {
	e := l.index.entries[k]
	return e == nil || e.gone()
}
