package vault

import (
	"maps"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

// refreshed ticks a store of some levels so often, each time after a step, and then
// puts it under other keys. It returns what opens at level 0 afterwards, to the last
// byte, and after some more ticks.
func refreshed(t *testing.T, levels, ticks int, step func(*disk, int), keys int) []map[uint32]plain {
	t.Helper()
	d := newDisk(t, small, levels, 9)
	for i := range ticks {
		step(d, i)
		d.tick()
	}
	d.settleAt(ticks + 40)
	all, err := d.vault.Rekey(testKEKs(keys), secret.Key{}, d.draw())
	if err != nil {
		t.Fatal(err)
	}
	d.write(all)
	seen := []map[uint32]plain{levelZero(d)}
	for i := range 4 {
		d.stage(0, put(key(1, byte(i), 0), 3000, byte(i)))
		d.tick()
		seen = append(seen, levelZero(d))
	}
	return seen
}

// settleAt ticks until a certain tick, by which everything is durable.
func (d *disk) settleAt(tick int) {
	d.t.Helper()
	for int(d.vault.tick) < tick {
		d.tick()
	}
	for n := range d.vault.Depth() {
		if d.vault.Level(n).Waiting() {
			d.t.Fatal("a commit does not come to its end")
		}
	}
}

// levelZero is every block of level 0 that counts, by its slot.
func levelZero(d *disk) map[uint32]plain {
	all := map[uint32]plain{}
	for slot, b := range d.vault.owner {
		if b.level == 0 {
			all[slot] = *b.plain
		}
	}
	return all
}

// TestNewLevelLooksOld gives a passphrase more to a store of one and two levels that
// was in use. The new level is the same, block by block, as the only one of a store
// that was emptied, and of one that never held anything: so nothing in it tells
// that there is a deeper one.
func TestNewLevelLooksOld(t *testing.T) {
	use := func(levels int) func(*disk, int) {
		return func(d *disk, i int) {
			for n := range levels {
				d.stage(n, put(key(2, byte(i%3), uint64(i)), 500, byte(i)))
			}
		}
	}
	emptied := func(d *disk, i int) {
		use(1)(d, i)
		if i == 29 {
			for object := range byte(3) {
				if _, err := d.vault.Level(0).Drop([16]byte{object}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	want := refreshed(t, 1, 30, emptied, 1)
	for name, got := range map[string][]map[uint32]plain{
		"an idle level":        refreshed(t, 1, 30, func(*disk, int) {}, 1),
		"a level above one":    refreshed(t, 1, 30, use(1), 2),
		"a level above two":    refreshed(t, 2, 30, use(2), 3),
		"two levels above one": refreshed(t, 1, 30, use(1), 3),
	} {
		for i := range want {
			if !maps.Equal(got[i], want[i]) {
				t.Errorf("%s is another %d ticks after the refresh than one that was emptied", name, i)
				break
			}
		}
	}
}

// TestRefreshForgetsPast writes the same records with two pasts: one of them with an
// object that was dropped, one whose records were deleted, and objects that came in
// another order. After a refresh the blocks are the same.
func TestRefreshForgetsPast(t *testing.T) {
	objects := []byte{5, 3, 8}
	write := func(d *disk, object byte) { d.stage(0, put(key(1, object, 1), 900, object)) }
	short := func(d *disk, i int) {
		if i < len(objects) {
			write(d, objects[i])
		}
	}
	long := func(d *disk, i int) {
		switch {
		case i == 1, i == 3:
			write(d, byte(20+i))
		case i == 6:
			if _, err := d.vault.Level(0).Drop([16]byte{21}); err != nil {
				t.Fatal(err)
			}
		case i == 7:
			d.stage(0, drop(key(1, 23, 1)))
		case i >= 12 && i < 12+len(objects):
			write(d, slices.Sorted(slices.Values(objects))[i-12])
		}
	}
	want, got := refreshed(t, 1, 16, short, 1), refreshed(t, 1, 16, long, 1)
	for i := range want {
		if !maps.Equal(got[i], want[i]) {
			t.Fatalf("%d ticks after the refresh the past shows", i)
		}
	}
}
