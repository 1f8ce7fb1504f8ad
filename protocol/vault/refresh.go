package vault

import (
	"bytes"
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/backchannel/backchannel/protocol/secret"
)

// All yields new bytes for every slot of a store, in ascending order.
type All = iter.Seq2[uint32, *Slot]

// Create makes a store with a level for each key, one to three, and returns what
// every slot holds. The work and the number of bytes are the same for all. The
// second secret is zero if there is none.
func Create(g Geometry, store *[32]byte, keks []secret.Key, second secret.Key, coins *Coins) (*Vault, All, error) {
	v := &Vault{geometry: g, store: *store, second: second.Clone()}
	if !g.Valid() {
		return nil, nil, ErrGeometry
	}
	all, err := v.Refresh(keks, coins)
	if err != nil {
		return nil, nil, err
	}
	return v, all, nil
}

// Refresh makes new roots and returns new bytes for every slot: nothing that is
// in the slots now opens under the new keys, and nothing new under the old ones.
// What was staged is in it and durable with it. The keys are those of the levels
// from now on, as many as there shall be: one more than are open makes a new
// level, one less destroys the deepest. Levels that are not open are destroyed.
//
// The bytes have to be yielded whole, once, and to take the place of the old ones
// in one step. It fails only for keys that cannot be, and then changes nothing.
func (v *Vault) Refresh(keks []secret.Key, coins *Coins) (All, error) {
	return v.refresh(keks, v.second, 0, coins)
}

// Renew is Refresh with the keys that the levels have.
func (v *Vault) Renew(coins *Coins) (All, error) { return v.Refresh(v.keks, coins) }

// Rotate is Renew with another second secret; zero: with none. What was in the
// slots before opens with the old one alone, whoever has all passphrases.
func (v *Vault) Rotate(second secret.Key, coins *Coins) (All, error) {
	return v.refresh(v.keks, second, 0, coins)
}

// Rekey is Refresh for who counts levels from the deepest one that is open: its
// records go to the level of the last key, those of the next one to the level
// before, and so on. A level more is a new one above all others; one less destroys
// the shallowest. The second secret is another one, too, or the same.
func (v *Vault) Rekey(keks []secret.Key, second secret.Key, coins *Coins) (All, error) {
	return v.refresh(keks, second, len(keks)-len(v.levels), coins)
}

// refresh puts the records of each level so many levels deeper.
func (v *Vault) refresh(keks []secret.Key, second secret.Key, deeper int, coins *Coins) (All, error) {
	if len(keks) < 1 || len(keks) > MaxLevels {
		return nil, ErrGeometry
	}
	for i, k := range keks {
		for _, other := range keks[:i] {
			if k.Equal(other) {
				return nil, ErrGeometry // one passphrase cannot open two levels
			}
		}
	}
	next := &Vault{geometry: v.geometry, store: v.store, owner: map[uint32]*block{}, second: second.Clone(), tick: v.tick + 1, chain: v.chain}
	for n, kek := range keks {
		root := newRoot(kek, coins.stream("root", n).next())
		l := newLevel(v.geometry, n, root)
		if from := n - deeper; from >= 0 && from < len(v.levels) {
			l.copyFrom(v.levels[from])
		}
		next.keks, next.roots, next.levels = append(next.keks, kek.Clone()), append(next.roots, root), append(next.levels, l)
	}
	next.placeAll(coins)
	old := *v
	*v = *next
	old.Wipe()
	return v.yieldAll(coins), nil
}

// copyFrom takes over the records of another image. Nothing else of its past is
// left: versions and the numbers of objects begin again, objects lie in the order
// of their IDs and records in that of their keys, all of one version, and an object
// that holds nothing is gone. So a level that was emptied is as one that was made
// just now, and which records were written late, or again, does not show to who has
// the key of the level. Objects get new keys. Tickets go on where they were.
func (l *Level) copyFrom(old *Level) {
	l.passed, l.rolledBack = old.passed+old.next, old.rolledBack
	pages := map[[16]byte][]*page{} // that hold something, by their object
	for _, p := range old.pages {
		if p.object == nil || p.object.number == 0 {
			continue
		}
		if len(currentOf([]*page{p})) > 0 {
			pages[p.object.id] = append(pages[p.object.id], p)
		}
	}
	ids := slices.SortedFunc(maps.Keys(pages), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	l.copyTable(ids)
	for _, id := range ids {
		if !l.copySorted(l.objects[id], currentOf(pages[id]), len(pages[id])) {
			l.copyPages(l.objects[id], pages[id])
		}
	}
	for _, p := range l.pages {
		for _, f := range p.fragments {
			l.index.extend(f)
		}
	}
	l.index.list()
}

// copyTable makes a row for each object; the keys are drawn when it is frozen.
func (l *Level) copyTable(ids [][16]byte) {
	var rows []*fragment
	for _, id := range ids {
		l.last++
		o := &object{id: id, number: l.last}
		l.objects[id], l.numbers[o.number] = o, o
		row := piece{seq: o.number, total: tableValue, data: append(id[:], make([]byte, secret.Size)...)}
		rows = append(rows, &fragment{piece: row, key: Key{Seq: o.number}})
	}
	l.copySorted(l.numbers[0], rows, l.geometry.blocks())
}

// currentOf returns what counts of some pages, in the order of keys. Of deleted
// records nothing is left that could come back.
func currentOf(pages []*page) []*fragment {
	var all []*fragment
	for _, p := range pages {
		for _, f := range p.fragments {
			if !f.dead && f.total != gone {
				all = append(all, f)
			}
		}
	}
	slices.SortFunc(all, func(a, b *fragment) int { return cmp.Or(a.key.Compare(b.key), cmp.Compare(a.offset, b.offset)) })
	return all
}

// copySorted fills new pages with fragments in their order. It reports false and
// does nothing if that takes more than limit pages, which can be where all pages
// are full to the last bytes.
func (l *Level) copySorted(o *object, fragments []*fragment, limit int) bool {
	var pages [][]piece
	var keys [][]Key
	room := 0
	for i := 0; i < len(fragments); {
		f := fragments[i]
		pc := piece{kind: f.kind, seq: f.seq, version: l.next, total: f.total}
		var value []byte
		for ; i < len(fragments) && fragments[i].key == f.key; i++ {
			value = append(value, fragments[i].data...)
		}
		for first := true; first || len(value) > 0; first = false {
			if room < pieceSize+min(len(value), worthwhile-pieceSize) {
				if len(pages) == limit {
					return false
				}
				pages, keys, room = append(pages, nil), append(keys, nil), pageSize
			}
			n := min(len(value), room-pieceSize)
			pc.data, value = value[:n:n], value[n:]
			last := len(pages) - 1
			pages[last], keys[last] = append(pages[last], pc), append(keys[last], f.key)
			room -= pc.size()
			pc.offset += uint32(n)
		}
	}
	for i, pieces := range pages {
		q := l.newPage(o)
		for j, pc := range pieces {
			l.add(q, pc, keys[i][j])
		}
	}
	return true
}

// copyPages copies one page after the other, which always fits.
func (l *Level) copyPages(o *object, pages []*page) {
	for _, p := range pages {
		var q *page
		for _, f := range currentOf([]*page{p}) {
			if q == nil {
				q = l.newPage(o)
			}
			pc := f.piece
			pc.version, pc.data = l.next, slices.Clone(f.data)
			l.add(q, pc, f.key)
		}
	}
}

func (l *Level) newPage(o *object) *page {
	q := &page{id: uint32(len(l.pages)), object: o}
	l.pages = append(l.pages, q)
	return q
}

// placeAll gives every block a slot out of all.
func (v *Vault) placeAll(coins *Coins) {
	every := make([]uint32, v.geometry.Slots)
	for i := range every {
		every[i] = uint32(i)
	}
	demands := make([]demand, len(v.levels))
	blocks := make([][]*block, len(v.levels))
	for n, l := range v.levels {
		blocks[n] = l.settleAll(coins.stream("keys", n), v.tick)
		for range HeaderCopies {
			blocks[n] = append(blocks[n], v.newHeader(n))
		}
		demands[n] = demand{
			holds: func(uint32) bool { return false },
			fresh: func(int) int { return len(blocks[n]) },
		}
	}
	shares, ok := assign(every, demands, func(level int) stream { return coins.stream("place", level) })
	if !ok {
		panic("vault: levels of an eighth each do not fit")
	}
	for n, share := range shares {
		for i, b := range blocks[n] {
			b.slot = share.fresh[i]
			v.owner[b.slot] = b
			v.chain.add(b.plain)
		}
	}
}

// settleAll writes all pages and the head down at once.
func (l *Level) settleAll(coins stream, tick uint64) []*block {
	var blocks []*block
	if l.freeze(coins); l.group != nil {
		blocks = l.group.blocks
		l.commit(l.group)
	}
	blocks = append(blocks, l.newHead(tick))
	l.retired = nil
	return blocks
}

// yieldAll seals one slot after the other.
func (v *Vault) yieldAll(coins *Coins) All {
	return func(yield func(uint32, *Slot) bool) {
		draw, none := v.chain.seals(coins)
		defer none.wipe()
		for i := range v.geometry.Slots {
			if !yield(i, v.sealOne(i, draw, none)) {
				return
			}
		}
	}
}
