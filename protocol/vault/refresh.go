package vault

import (
	"bytes"
	"iter"
	"maps"
	"slices"

	"github.com/backchannel/backchannel/protocol/secret"
)

// All yields new bytes for every slot of a store, in ascending order.
type All = iter.Seq2[uint32, *Slot]

// Create makes a store with a level for each key, one to three, and returns what
// every slot holds. The work and the number of bytes are the same for all.
func Create(g Geometry, store *[32]byte, keks []secret.Key, coins *Coins) (*Vault, All, error) {
	v := &Vault{geometry: g, store: *store}
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
	from := make([]int, len(keks))
	for n := range from {
		from[n] = n
	}
	return v.Rearrange(keks, from, coins)
}

// Rearrange is Refresh where each level takes its records from the open one that
// from names, at most once each, or is new if there is no such level. Records of
// levels that are not named are gone.
func (v *Vault) Rearrange(keks []secret.Key, from []int, coins *Coins) (All, error) {
	if len(keks) < 1 || len(keks) > MaxLevels || len(from) != len(keks) {
		return nil, ErrGeometry
	}
	for i, k := range keks {
		for _, other := range keks[:i] {
			if k.Equal(other) {
				return nil, ErrGeometry // one passphrase cannot open two levels
			}
		}
	}
	next := &Vault{geometry: v.geometry, store: v.store, owner: map[uint32]*block{}, tick: v.tick + 1, chain: v.chain}
	for n, kek := range keks {
		root := newRoot(kek, coins.stream("root", n).next())
		l := newLevel(v.geometry, n, root)
		if m := from[n]; m >= 0 && m < len(v.levels) {
			l.copyFrom(v.levels[m])
		}
		next.keks, next.roots, next.levels = append(next.keks, kek.Clone()), append(next.roots, root), append(next.levels, l)
	}
	next.placeAll(coins)
	old := *v
	*v = *next
	old.Wipe()
	return v.yieldAll(coins), nil
}

// copyFrom takes over the records of another image, in the order of their keys and
// under one version, so that nothing tells which was written when. A level that is
// so full that it takes more pages in this order is copied page by page: that always
// fits. Objects get new numbers and keys. Tickets go on where they were.
func (l *Level) copyFrom(old *Level) {
	l.next, l.version, l.rolledBack = old.next+1, old.next, old.rolledBack
	records := map[[16]byte][]Key{}
	for k, e := range old.index.entries {
		if k.Kind != 0 && !e.gone() {
			records[k.Object] = append(records[k.Object], k)
		}
	}
	ids := slices.SortedFunc(maps.Keys(records), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	table := &filling{l: l, object: l.numbers[0]}
	for n, id := range ids {
		o := &object{id: id, number: uint64(n) + 1}
		l.objects[id], l.numbers[o.number], l.last = o, o, o.number
		table.put(Key{Seq: o.number}, append(id[:], make([]byte, secret.Size)...))
	}
	for _, id := range ids {
		f := &filling{l: l, object: l.objects[id]}
		slices.SortFunc(records[id], Key.Compare)
		for _, k := range records[id] {
			value, _ := old.Get(k)
			f.put(k, value)
		}
	}
	if len(l.pages) > l.geometry.Pages() {
		l.copyPages(old)
	}
	l.index.list()
}

// copyPages takes the records over as they lie.
func (l *Level) copyPages(old *Level) {
	l.pages, l.index, l.last = nil, newIndex(), old.last
	l.objects, l.numbers = map[[16]byte]*object{}, map[uint64]*object{0: {}}
	for id, o := range old.objects {
		c := &object{id: id, number: o.number}
		l.objects[id], l.numbers[o.number] = c, c
	}
	for _, p := range old.pages {
		var q *page
		for _, f := range p.fragments {
			if f.dead || f.total == gone { // nothing is left that could come back
				continue
			}
			if q == nil {
				q = &page{id: uint32(len(l.pages)), object: l.numbers[p.object.number]}
				l.pages = append(l.pages, q)
			}
			pc := f.piece
			pc.data, pc.version = slices.Clone(f.data), l.next
			l.index.extend(l.add(q, pc, f.key))
		}
	}
}

// filling packs the records of one object into new pages, one after the other.
type filling struct {
	l      *Level
	object *object
	page   *page
}

func (f *filling) put(k Key, value []byte) {
	pc := piece{kind: k.Kind, seq: k.Seq, version: f.l.next, total: uint32(len(value))}
	for {
		if f.page == nil || pageSize-f.page.live < worthwhile {
			f.page = &page{id: uint32(len(f.l.pages)), object: f.object}
			f.l.pages = append(f.l.pages, f.page)
		}
		n := min(len(value), pageSize-f.page.live-pieceSize)
		pc.data, value = value[:n:n], value[n:]
		f.l.index.extend(f.l.add(f.page, pc, k))
		if len(value) == 0 {
			return
		}
		pc.offset += uint32(n)
	}
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
