package vault

import (
	"bytes"
	"errors"
	"testing"
)

// TestRefreshLeavesNoOrder writes the same records in two orders and with other
// histories: after a refresh both levels have the same pages.
func TestRefreshLeavesNoOrder(t *testing.T) {
	var pages [2][]string
	for life := range pages {
		d := newDisk(t, small, 2, 1)
		for i := range 60 {
			n := i
			if life == 1 {
				n = 59 - i
				d.stage(1, put(key(2, byte(n%5), uint64(n)), 700, 9), put(key(1, 7, uint64(i)), 50, 1))
			}
			d.stage(1, put(key(2, byte(n%5), uint64(n)), 300+n, byte(n)))
			d.tick()
		}
		if life == 1 {
			for i := range 60 {
				d.stage(1, drop(key(1, 7, uint64(i))))
			}
		}
		all, err := d.vault.Refresh(testKEKs(2), d.draw())
		if err != nil {
			t.Fatal(err)
		}
		d.write(all)
		d.reopen(1)
		for _, p := range d.vault.Level(1).pages {
			for _, f := range p.fragments {
				if p.object.number == 0 {
					f.data = f.data[:16] // the key of an object is random
				}
				f.version -= p.version // of the life
				pages[life] = append(pages[life], string(appendPiece(nil, f.piece)))
			}
			pages[life] = append(pages[life], "page")
		}
	}
	if len(pages[0]) < 60 || len(pages[0]) != len(pages[1]) {
		t.Fatalf("%d and %d pieces", len(pages[0]), len(pages[1]))
	}
	for i := range pages[0] {
		if pages[0][i] != pages[1][i] {
			t.Fatalf("piece %d tells the two lives apart", i)
		}
	}
}

// TestRefreshOfFullLevel fills a level to the brim, refreshes it, and writes on.
func TestRefreshOfFullLevel(t *testing.T) {
	for _, size := range []int{pageSize - pieceSize, 2*pageSize - 2*pieceSize, 1000, 37} {
		d := newDisk(t, small, 1, byte(size))
		m := model{}
		for seq := uint64(0); ; seq++ {
			w := put(key(1, 1, seq), size, byte(seq))
			_, err := d.vault.Level(0).Stage([]Write{w})
			if errors.Is(err, ErrFull) {
				break
			}
			m.apply([]Write{w})
			d.tick()
		}
		for range 2 {
			all, err := d.vault.Refresh(testKEKs(1), d.draw())
			if err != nil {
				t.Fatal(err)
			}
			d.write(all)
			d.reopen(0)
			if err := m.compare(d.vault.Level(0)); err != nil || d.vault.Level(0).RolledBack() {
				t.Fatalf("values of %d: %v", size, err)
			}
		}
		k := key(1, 1, 0)
		d.stage(0, drop(k))
		delete(m, k)
		d.settle()
		d.reopen(0)
		if err := m.compare(d.vault.Level(0)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRearrange moves, drops and adds levels.
func TestRearrange(t *testing.T) {
	d := newDisk(t, small, 2, 1)
	d.stage(0, put(key(1, 1, 0), 10, 'a'))
	d.stage(1, put(key(1, 1, 0), 10, 'b'))
	for _, step := range []struct {
		from []int
		want []byte // what each level holds; 0: nothing
	}{
		{[]int{1, 0}, []byte{'b', 'a'}},
		{[]int{-1, 0, 1}, []byte{0, 'b', 'a'}},
		{[]int{2}, []byte{'a'}},
		{[]int{7, 0}, []byte{0, 'a'}},
	} {
		all, err := d.vault.Rearrange(testKEKs(len(step.from)), step.from, d.draw())
		if err != nil {
			t.Fatal(err)
		}
		d.write(all)
		d.tick()
		d.reopen(len(step.from) - 1)
		for n, want := range step.want {
			got, ok := d.vault.Level(n).Get(key(1, 1, 0))
			if ok != (want != 0) || ok && !bytes.Equal(got, bytes.Repeat([]byte{want}, 10)) || d.vault.Level(n).RolledBack() {
				t.Errorf("%v: level %d holds %q", step.from, n, got)
			}
		}
	}
	if keks := d.vault.KEKs(); len(keks) != 2 || !keks[1].Equal(testKEK(1)) {
		t.Error("KEKs are not those of the levels")
	}
	for _, from := range [][]int{nil, {0}, {0, 1, 2}} {
		if _, err := d.vault.Rearrange(testKEKs(2), from, d.draw()); !errors.Is(err, ErrGeometry) {
			t.Errorf("from %v: got error %v", from, err)
		}
	}
}
