package vault

import (
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A Reader returns the slot of an index below N. Open looks at every slot once,
// and at some of them a second time; the bytes are not kept and not changed.
type Reader func(index uint32) (*Slot, error)

// Open opens the deepest level that the key opens, and all above it. It changes
// nothing. Whatever there is it looks at every nonce under the keys of three
// headers and three levels, with keys of nothing where there are none, and opens
// at least N/2 slots. ErrKey comes after the same work; other errors are the
// reader's. The second secret is zero if there is none.
func Open(g Geometry, store *[32]byte, kek, second secret.Key, read Reader) (*Vault, error) {
	if !g.Valid() {
		return nil, ErrGeometry
	}
	s := scan{
		geometry: g, store: store, read: read, nonces: make([]byte, int(g.Slots)*nonceSize),
		dummy: dummyKeys(kek), extra: second,
	}
	defer s.dummy.wipe()
	headers, err := s.first(headerKeys(kek, second))
	if err != nil {
		return nil, err
	}
	h, ok := oneHeader(headers)
	found, err := s.second(h, ok, kek)
	if err != nil {
		return nil, err
	}
	if err := s.fill(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrKey
	}
	found.headers[h.level()] = headers
	v := &Vault{
		geometry: g, store: *store, roots: h.roots, keks: append(h.keks, kek.Clone()), second: second.Clone(),
		owner: map[uint32]*block{}, chain: chain(label.Hash(label.VaultChain, s.nonces)),
	}
	for n, root := range v.roots {
		l := newLevel(g, n, root)
		l.load(found.levels[n])
		v.levels = append(v.levels, l)
		v.keepHeaders(n, found.headers[n])
	}
	v.adopt()
	return v, nil
}

// Opens reports whether the key opens a level, whichever. It looks at every slot
// once.
func Opens(g Geometry, store *[32]byte, kek, second secret.Key, read Reader) (bool, error) {
	if !g.Valid() {
		return false, ErrGeometry
	}
	s := scan{geometry: g, store: store, read: read, nonces: make([]byte, int(g.Slots)*nonceSize)}
	headers, err := s.first(headerKeys(kek, second))
	if err != nil {
		return false, err
	}
	h, ok := oneHeader(headers)
	h.wipe()
	return ok, nil
}

// opened is a slot that one of our keys has opened; its body is still sealed.
type opened struct {
	slot  uint32
	nonce []byte
	plain *plain
}

// scan goes over the slots.
type scan struct {
	geometry Geometry
	store    *[32]byte
	read     Reader
	nonces   []byte
	dummy    *slotKeys
	extra    secret.Key // second secret
	opens    uint32
}

// first reads every slot, keeps its nonce, and opens what is a header under keys.
func (s *scan) first(keys *slotKeys) ([]opened, error) {
	defer keys.wipe()
	var found []opened
	for i := range s.geometry.Slots {
		slot, err := s.read(i)
		if err != nil {
			return nil, err
		}
		copy(s.nonceOf(i), slot[:nonceSize])
		found = s.try(found, i, slot, keys)
	}
	return found, nil
}

func (s *scan) nonceOf(i uint32) []byte { return s.nonces[int(i)*nonceSize:][:nonceSize] }

// try appends a slot that opens.
func (s *scan) try(found []opened, i uint32, slot *Slot, keys *slotKeys) []opened {
	if !keys.matches(slot[:nonceSize]) {
		return found
	}
	s.opens++
	p, err := keys.openSlot(place(s.store, i), slot)
	if err != nil {
		return found
	}
	if blockKind(p[0]) == kindHeader {
		crypt(keys.body, slot[:nonceSize], p.body())
	}
	return append(found, opened{i, s.nonceOf(i), p})
}

// finds are the open slots of each level.
type finds struct{ headers, levels [MaxLevels][]opened }

// second looks for the headers of shallower levels and for the blocks of all.
func (s *scan) second(h header, ok bool, kek secret.Key) (*finds, error) {
	var f finds
	var headers, levels [MaxLevels]*slotKeys
	for n := range MaxLevels {
		headers[n], levels[n] = dummyKeys(kek), dummyKeys(kek)
		if ok && n < len(h.keks) {
			headers[n] = headerKeys(h.keks[n], s.extra)
		}
		if ok && n < len(h.roots) {
			levels[n] = levelKeys(h.roots[n])
		}
	}
	defer func() {
		for n := range MaxLevels {
			headers[n].wipe()
			levels[n].wipe()
		}
	}()
	for i := range s.geometry.Slots {
		nonce := s.nonceOf(i)
		for n := range MaxLevels {
			inHeaders, inLevels := headers[n].matches(nonce), levels[n].matches(nonce)
			if !inHeaders && !inLevels {
				continue
			}
			slot, err := s.read(i)
			if err != nil {
				return nil, err
			}
			f.headers[n] = s.try(f.headers[n], i, slot, headers[n])
			f.levels[n] = s.try(f.levels[n], i, slot, levels[n])
		}
	}
	return &f, nil
}

// fill opens slots in vain until there were N/2, which is more than levels have.
func (s *scan) fill() error {
	a, plain := aead(s.dummy.seal), make([]byte, 0, blockSize)
	for i := uint32(0); s.opens < s.geometry.Slots/2; i++ {
		slot, err := s.read(i % s.geometry.Slots)
		if err != nil {
			return err
		}
		if _, err := a.Open(plain, slot[:nonceSize], slot[nonceSize:], place(s.store, i)); err == nil {
			return ErrFormat // somebody has guessed a key of 32 bytes
		}
		s.opens++
	}
	return nil
}

// oneHeader parses the copies. One is enough, but what most of them say counts: an old
// one that somebody put back must not win over those that are there.
func oneHeader(copies []opened) (header, bool) {
	var best *plain
	most := 0
	for _, c := range copies {
		h, err := parseHeader(c.plain)
		if err != nil {
			continue
		}
		h.wipe()
		alike := 0
		for _, other := range copies {
			if *other.plain == *c.plain {
				alike++
			}
		}
		if alike > most {
			best, most = c.plain, alike
		}
	}
	if best == nil {
		return header{}, false
	}
	h, err := parseHeader(best)
	return h, err == nil
}

// newHeader makes one more copy of a level's header.
func (v *Vault) newHeader(n int) *block {
	h := header{roots: v.roots[:n+1], keks: v.keks[:n]}
	return &block{level: n, plain: h.plain(), keys: headerKeys(v.keks[n], v.second)}
}

// keepHeaders takes over the copies that are there, and has those that are not
// written again. What is over is from somebody who put old slots back.
func (v *Vault) keepHeaders(n int, found []opened) {
	for i := range HeaderCopies {
		b := v.newHeader(n)
		if i >= len(found) {
			v.levels[n].extra = append(v.levels[n].extra, b)
			continue
		}
		b.slot = found[i].slot
		v.owner[b.slot] = b
	}
}

// adopt makes the blocks of the levels owners of their slots. The tick is that of
// level 0, whatever a deeper one remembers: a level that names another was not
// open since, or level 0 is old.
func (v *Vault) adopt() {
	v.tick = v.levels[0].tick
	for _, l := range v.levels {
		if l.head != nil {
			v.owner[l.head.slot] = l.head
		}
		if l.tick != v.tick {
			l.rolledBack = true
		}
		for _, p := range l.pages {
			if p.block != nil {
				v.owner[p.block.slot] = p.block
			}
		}
	}
}
