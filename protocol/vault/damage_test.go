package vault

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
)

func TestSlotsThatDoNotOpen(t *testing.T) {
	keys := levelKeys(testKEK(0))
	var p plain
	rand.NewChaCha8([32]byte{1}).Read(p[:])
	at := place(&testStore, 7)
	slot := keys.sealSlot(keys.body, at, new([32]byte), &p)
	accept := func(b []byte) bool {
		s := (*Slot)(b)
		_, err := keys.openSlot(at, s)
		return err == nil && keys.matches(s[:])
	}
	for bit := range SlotSize * 8 {
		slot[bit/8] ^= 1 << (bit % 8)
		if accept(slot[:]) {
			t.Fatalf("bit %d changed: accepted", bit)
		}
		slot[bit/8] ^= 1 << (bit % 8)
	}
	if !accept(slot[:]) {
		t.Fatal("the valid slot is refused: the rest would prove nothing")
	}
	p[100]++
	if again := keys.sealSlot(keys.body, at, new([32]byte), &p); bytes.Equal(again[:drawSize], slot[:drawSize]) {
		t.Error("the same coins give two contents one nonce")
	}
	other := testStore
	other[31]++
	for name, at := range map[string][]byte{"another index": place(&testStore, 8), "another store": place(&other, 7)} {
		if _, err := keys.openSlot(at, slot); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestDamage changes one bit in each live slot in turn. The level that it belongs
// to says so, the others do not; of records there is none that was not written.
func TestDamage(t *testing.T) {
	d := newDisk(t, small, 2, 1)
	ever := map[Key][][]byte{}
	for i := range byte(30) {
		for n := range 2 {
			w := put(key(1, i%3, uint64(i%7)), 1000, i)
			d.stage(n, w)
			ever[w.Key] = append(ever[w.Key], w.Value)
		}
		d.tick()
	}
	d.settle()
	for slot, b := range d.vault.owner {
		d.slots[slot][3000] ^= 4
		v, err := d.open(1)
		if err != nil {
			t.Fatal(err)
		}
		// What level 0 makes of it may not depend on what lies beneath.
		alone, err := d.open(0)
		if err != nil || alone.Ticks() != v.Ticks() || alone.Level(0).RolledBack() != v.Level(0).RolledBack() {
			t.Fatalf("level 0 alone: %v, tick %d and not %d", err, alone.Ticks(), v.Ticks())
		}
		for n := range 2 {
			l := v.Level(n)
			if isHeader := b.plain.front().kind == kindHeader; isHeader {
				if l.RolledBack() || len(l.extra) != 1-min(1, max(n-b.level, b.level-n)) {
					t.Fatalf("level %d after the loss of a header copy of level %d: %d", n, b.level, len(l.extra))
				}
				continue
			}
			head := b.level == 0 && b.plain.front().kind == kindHead // then level 0 does not know how late it is
			if l.RolledBack() != (n == b.level) && !head {
				t.Fatalf("a block of level %d is damaged, level %d says %v", b.level, n, l.RolledBack())
			}
			for _, k := range l.KindKeys(1) {
				got, _ := l.Get(k)
				if !contains(ever[k], got) {
					t.Fatalf("%v holds what was never written", k)
				}
			}
		}
		d.slots[slot][3000] ^= 4
	}
}

func contains(all [][]byte, b []byte) bool {
	for _, other := range all {
		if bytes.Equal(b, other) {
			return true
		}
	}
	return false
}

// TestHeaderCopies destroys them one after the other. The store opens with the
// last; ticks bring back what was lost.
func TestHeaderCopies(t *testing.T) {
	d := newDisk(t, small, 2, 1)
	var copies []uint32
	for slot, b := range d.vault.owner {
		if b.level == 1 && b.plain.front().kind == kindHeader {
			copies = append(copies, slot)
		}
	}
	if len(copies) != HeaderCopies {
		t.Fatalf("%d copies", len(copies))
	}
	for i, slot := range copies {
		d.slots[slot][100] ^= 1
		v, err := d.open(1)
		if last := i == len(copies)-1; last != errors.Is(err, ErrKey) || !last && len(v.Level(1).extra) != i+1 {
			t.Fatalf("after %d copies: %v", i+1, err)
		}
	}
	d.slots[copies[0]][100] ^= 1
	d.reopen(1)
	for range 3 {
		d.tick()
	}
	d.reopen(1)
	if n := len(d.vault.Level(1).extra); n != 0 {
		t.Errorf("%d copies were not written again", n)
	}
}

// TestShallowSession ticks without the deeper levels. They say that it happened
// after one tick, and after many hold only what was once written.
func TestShallowSession(t *testing.T) {
	d := newDisk(t, small, MaxLevels, 1)
	want := make([]model, MaxLevels)
	for n := range want {
		want[n] = model{}
		for i := range byte(40) {
			w := []Write{put(key(1, i%3, uint64(i)), 1500, i)}
			d.stage(n, w...)
			want[n].apply(w)
		}
	}
	d.settle()
	for _, ticks := range []int{1, 2, 8} {
		d.reopen(0)
		for range ticks {
			d.tick()
		}
		d.reopen(2)
		lost := 0
		for n := range want {
			l := d.vault.Level(n)
			if l.RolledBack() != (n > 0) {
				t.Fatalf("level %d after a session at level 0: %v", n, l.RolledBack())
			}
			for k, value := range want[n] {
				if got, ok := l.Get(k); ok && !bytes.Equal(got, value) {
					t.Fatalf("level %d: %v is another", n, k)
				} else if !ok {
					lost++
					delete(want[n], k)
				}
			}
			if err := want[n].compare(l); err != nil {
				t.Fatal(err)
			}
			l.AcceptRollback()
		}
		if ticks == 8 && lost == 0 {
			t.Error("eight ticks in sixty-four slots of a hundred destroyed nothing")
		}
		d.settle()
		d.tick()
		d.reopen(2)
		for n := range want {
			if d.vault.Level(n).RolledBack() {
				t.Fatalf("level %d is still rolled back", n)
			}
			if err := want[n].compare(d.vault.Level(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRolledBackStays: commits do not heal a level that was put back.
func TestRolledBackStays(t *testing.T) {
	d := newDisk(t, small, 1, 1)
	d.vault.Level(0).Suspect()
	for range 3 {
		d.stage(0, put(key(1, 1, 1), 100, 1))
		d.settle()
		d.reopen(0)
		if !d.vault.Level(0).RolledBack() {
			t.Fatal("it forgot")
		}
	}
	d.vault.Level(0).AcceptRollback()
	d.tick()
	d.reopen(0)
	if d.vault.Level(0).RolledBack() {
		t.Error("it was accepted")
	}
}

// TestCoinsThatComeAgain runs two lives of one store with the same coins in every
// tick. No nonce of a key serves two plaintexts or two places, and once the lives
// differ, so does every slot that they write, whether it holds something or not.
func TestCoinsThatComeAgain(t *testing.T) {
	d := newDisk(t, small, 2, 1)
	d.stage(1, put(key(1, 1, 1), 20000, 1))
	d.settle()
	start := append([]Slot(nil), d.slots...)
	var lives [2][]Change
	seen := map[[24]byte]Change{}
	for life := range lives {
		copy(d.slots, start)
		d.reopen(1)
		for i := range 20 {
			d.stage(0, put(key(1, 1, 1), 50, byte(life)))
			d.stage(1, put(key(1, 2, uint64(i)), 50, byte(i)))
			changes, err := d.vault.Tick(&Coins{byte(i / 4)})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				nonce := [24]byte(c.Slot[:])
				if other, ok := seen[nonce]; ok && (other.Index != c.Index || *other.Slot != *c.Slot) {
					t.Fatal("one nonce, two slots")
				}
				seen[nonce] = c
				d.slots[c.Index] = *c.Slot
			}
			lives[life] = append(lives[life], changes...)
		}
	}
	for i, c := range lives[0] {
		if other := lives[1][i]; c.Index != other.Index || bytes.Equal(c.Slot[:16], other.Slot[:16]) {
			t.Fatal("two lives that differ wrote the same slot")
		}
	}
}

func FuzzPieces(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add(append([]byte{0, 28}, appendPiece(nil, piece{kind: 1, seq: 2, version: 3, total: 1, data: []byte{4}})...))
	f.Add(append([]byte{0, 27}, appendPiece(nil, piece{kind: 1, seq: 2, version: 3, total: gone})...))
	f.Fuzz(func(t *testing.T, b []byte) {
		body := make([]byte, bodySize)
		copy(body, b)
		pieces, err := parsePieces(body)
		if err != nil {
			return
		}
		again := make([]byte, usedSize, bodySize)
		for _, p := range pieces {
			again = appendPiece(again, p)
		}
		copy(again, body[:usedSize])
		if !bytes.Equal(again, body[:len(again)]) || !allZero(body[len(again):]) {
			t.Fatal("two encodings of the same pieces")
		}
	})
}

func FuzzBlocks(f *testing.F) {
	h := header{roots: testKEKs(2), keks: testKEKs(1)}
	f.Add(h.plain()[:])
	f.Add(head{number: 1, tick: 5, version: 2, pages: 3, digest: [32]byte{4}}.plain()[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var p plain
		copy(p[:], b)
		if h, err := parseHeader(&p); err == nil && *h.plain() != p {
			t.Fatal("two encodings of a header")
		}
		if h, err := parseHead(&p); err == nil && *h.plain() != p {
			t.Fatal("two encodings of a head")
		}
	})
}

// FuzzOpen opens a level of one page with any content, as only who has the keys
// could make it. It may be refused or rolled back, never more.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{0, 0}, []byte{0, 0}, uint64(1))
	f.Add(append([]byte{0, 75}, appendPiece(nil, piece{seq: 1, version: 1, total: 48, data: make([]byte, 48)})...),
		append([]byte{0, 28}, appendPiece(nil, piece{kind: 1, version: 1, total: 2, data: []byte{4}})...), uint64(1))
	f.Fuzz(func(t *testing.T, table, page []byte, version uint64) {
		l := newLevel(small, 0, testKEK(0))
		var found []opened
		for id, body := range [][]byte{table, page} {
			var p plain
			copy(p.body(), body)
			p.setFront(front{kind: kindPage, id: uint32(id), version: version, number: uint64(id)})
			o := opened{slot: uint32(id), nonce: make([]byte, nonceSize), plain: &p}
			if id == 0 {
				crypt(l.keys.body, o.nonce, p.body())
			}
			found = append(found, o)
		}
		l.load(found)
		if version > 0 && !l.RolledBack() {
			t.Fatal("a level without a head is not rolled back")
		}
		for kind := 1; kind < 256; kind++ {
			for _, k := range l.KindKeys(Kind(kind)) {
				if _, ok := l.Get(k); !ok {
					t.Fatal("a record that is listed is not there")
				}
			}
		}
		if _, err := l.Stage([]Write{put(key(1, 9, 9), 5000, 1)}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBlocksCutAndFlipped(t *testing.T) {
	h := header{roots: testKEKs(3), keks: testKEKs(2)}
	valid := h.plain()
	// Keys are any bytes: everything around them is not.
	prototest.Flip(t, append(valid[:frontSize+1:frontSize+1], valid[frontSize+2+5*32:]...), func(b []byte) bool {
		p := *valid
		copy(p[:], b[:frontSize+1])
		copy(p[frontSize+2+5*32:], b[frontSize+1:])
		_, err := parseHeader(&p)
		return err == nil
	})
}
