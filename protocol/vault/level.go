package vault

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A Level is the image of one level in memory: its records, in pages, and what
// is still to be written. Reads give what was staged, durable or not.
type Level struct {
	geometry Geometry
	n        int
	keys     *slotKeys
	digest   secret.Key
	reading  bool // pages come from the disk: nothing is written down as dirty

	index   index
	pages   []*page // by ID
	objects map[[16]byte]*object
	numbers map[uint64]*object
	last    uint64 // highest number of an object that was ever seen
	garbage map[Key]int

	passed  uint64 // what tickets had come to before the last refresh
	next    uint64 // version of the commit that is being staged
	group   *group // pages of earlier commits on their way to the disk
	dropped []*object
	extra   []*block // header copies that were lost, to be written again

	head       *block
	heads      uint64 // number of the last head
	tick       uint64 // that it names
	version    uint64 // of the last commit whose head was written
	count      uint32 // pages that belong to it
	rolledBack bool
	retired    []*block // not live any more since the last tick
}

// object is what pages belong to; number 0 is the table.
type object struct {
	id     [16]byte
	number uint64
	key    secret.Key // empty until the commit that brings it is written
}

// page is a block of records as it will be written next, which is as it was
// written last unless it is dirty.
type page struct {
	id        uint32
	object    *object // nil: free
	fragments []*fragment
	live      int // bytes of fragments that are current
	waste     int // bytes of those that are not
	dirty     bool
	block     *block // as of the last commit; nil if there is none
	version   uint64 // of block
}

// fragment is a piece with its place and what it is worth.
type fragment struct {
	piece
	key  Key
	page *page
	dead bool
}

// block is what lies in a slot, or will.
type block struct {
	level  int
	plain  *plain
	keys   *slotKeys
	object *object // of a page; nil: the body key of keys
	slot   uint32
	nonce  []byte // of a page just found: its body is still sealed
	dead   bool
}

func (b *block) bodyKey() secret.Key {
	if b.object == nil || b.object.number == 0 {
		return b.keys.body
	}
	return b.object.key
}

func newLevel(g Geometry, n int, root secret.Key) *Level {
	l := &Level{
		geometry: g, n: n, keys: levelKeys(root), digest: label.DeriveKey(label.VaultDigest, root),
		index: newIndex(), objects: map[[16]byte]*object{}, numbers: map[uint64]*object{}, garbage: map[Key]int{},
		next: 1,
	}
	l.numbers[0] = &object{}
	return l
}

// Get returns the value of a record, and whether there is one. The caller owns
// the slice.
func (l *Level) Get(k Key) ([]byte, bool) {
	e := l.index.entries[k]
	if e == nil || e.gone() {
		return nil, false
	}
	value := make([]byte, e.total)
	for _, f := range e.fragments {
		copy(value[f.offset:], f.data)
	}
	return value, true
}

// Keys returns the keys of one object's records of a kind, in the order of Seq.
func (l *Level) Keys(kind Kind, object [16]byte) []Key { return l.index.of(kind, object) }

// KindKeys returns the keys of all records of a kind, ordered by object, then Seq.
func (l *Level) KindKeys(kind Kind) []Key { return l.index.ofKind(kind) }

// Durable returns the ticket of the last commit that lies in the slots, once the
// changes of the last tick do.
func (l *Level) Durable() uint64 { return l.passed + l.version }

// Waiting reports whether something was staged that no tick has finished. A
// caller must not tick because of it.
func (l *Level) Waiting() bool { return l.group != nil || l.anyDirty() }

// RolledBack reports that records are missing or old: the level's blocks are not
// those of its last commit, or ticks were made without it. It stays true, over
// any number of commits and opens, until AcceptRollback.
func (l *Level) RolledBack() bool { return l.rolledBack }

// AcceptRollback takes the records as they are; the next tick writes that down.
func (l *Level) AcceptRollback() { l.rolledBack = false }

// Suspect makes the level rolled back, for a caller who knows from elsewhere that
// the slots are old.
func (l *Level) Suspect() { l.rolledBack = true }

// Usage is how full a level is, in pages.
type Usage struct {
	Pages int // in use, in part or in whole
	Limit int // that records may take
	Bytes int // of records that are current, with what their pieces add
}

// Usage returns how full the level is.
func (l *Level) Usage() Usage {
	u := Usage{Limit: l.geometry.Pages()}
	for _, p := range l.pages {
		if p.live > 0 {
			u.Pages++
			u.Bytes += p.live
		}
	}
	return u
}

func (l *Level) anyDirty() bool {
	for _, p := range l.pages {
		if p.dirty {
			return true
		}
	}
	return false
}

// sum is the digest of the pages of the last commit.
func (l *Level) sum() [32]byte {
	var b []byte
	for _, p := range l.pages[:l.count] {
		b = binary.BigEndian.AppendUint64(b, p.version)
	}
	return label.MAC(label.VaultDigest, l.digest.Bytes(), b)
}

// kill ends a fragment's being current. One that was never frozen leaves no
// trace; others stay in their page until it is written again.
func (l *Level) kill(f *fragment) {
	if f.dead {
		return
	}
	f.dead = true
	f.page.live -= f.size()
	if f.version == l.next {
		f.page.remove(f)
		return
	}
	f.page.waste += f.size()
	if f.total != gone {
		l.garbage[f.key]++
	}
}

func (p *page) remove(f *fragment) {
	for i, other := range p.fragments {
		if other == f {
			p.fragments = append(p.fragments[:i], p.fragments[i+1:]...)
			return
		}
	}
}

// add puts a current fragment into a page.
func (l *Level) add(p *page, pc piece, key Key) *fragment {
	f := &fragment{piece: pc, key: key, page: p}
	p.fragments = append(p.fragments, f)
	p.live += f.size()
	p.dirty = p.dirty || !l.reading
	return f
}

func (l *Level) wipe() {
	l.keys.wipe()
	l.digest.Wipe()
	for _, o := range l.numbers {
		o.key.Wipe()
	}
	for _, p := range l.pages {
		for _, f := range p.fragments {
			clear(f.data)
		}
		if p.block != nil {
			clear(p.block.plain[:])
		}
	}
	l.index, l.pages = newIndex(), nil
}
