package vault

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

func TestCreateAndOpen(t *testing.T) {
	for levels := 1; levels <= MaxLevels; levels++ {
		d := newDisk(t, small, levels, byte(levels))
		for n := range levels {
			d.stage(n, put(key(1, 1, 1), 100*(n+1), byte(n)))
		}
		d.settle()
		for n := range MaxLevels {
			v, err := d.open(n)
			if n >= levels {
				if !errors.Is(err, ErrKey) {
					t.Fatalf("level %d of %d: %v", n, levels, err)
				}
				continue
			}
			if err != nil || v.Depth() != n+1 {
				t.Fatalf("level %d of %d: %v", n, levels, err)
			}
			for i := range n + 1 {
				if got, ok := v.Level(i).Get(key(1, 1, 1)); !ok || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 100*(i+1))) {
					t.Errorf("level %d of %d through %d: %v", i, levels, n, ok)
				}
				if v.Level(i).RolledBack() {
					t.Errorf("level %d of %d through %d is rolled back", i, levels, n)
				}
			}
			if len(v.Level(n).extra) != 0 {
				t.Errorf("level %d: %d header copies are gone", n, len(v.Level(n).extra))
			}
		}
	}
}

// TestHistories plays random scripts on three levels; after every tick the
// process dies, and what opens must be a state between commits: all that was
// durable, and nothing of what was not.
func TestHistories(t *testing.T) {
	for seed := range byte(3) {
		r := rand.New(rand.NewPCG(uint64(seed), 9))
		d := newDisk(t, small, MaxLevels, seed)
		type version struct {
			ticket uint64
			state  model
		}
		states := make([][]version, MaxLevels)
		for n := range states {
			states[n] = []version{{0, model{}}}
		}
		long := 0
		for range 100 {
			for n := range MaxLevels {
				if r.IntN(3) == 0 {
					continue
				}
				writes := script(r)
				ticket, err := d.vault.Level(n).Stage(writes)
				if errors.Is(err, ErrFull) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				next := maps.Clone(states[n][len(states[n])-1].state)
				next.apply(writes)
				states[n] = append(states[n], version{ticket, next})
			}
			d.tick()
			v, err := d.open(MaxLevels - 1)
			if err != nil {
				t.Fatal(err)
			}
			for n := range MaxLevels {
				durable, current := d.vault.Level(n).Durable(), 0
				for i, s := range states[n] {
					if s.ticket <= durable {
						current = i
					}
				}
				if v.Level(n).RolledBack() {
					t.Fatalf("seed %d: level %d is rolled back", seed, n)
				}
				if err := states[n][current].state.compare(v.Level(n)); err != nil {
					t.Fatalf("seed %d, tick %d, level %d: %v", seed, v.Ticks(), n, err)
				}
				if current < len(states[n])-1 {
					long++
				}
				states[n] = states[n][current:]
				if r.IntN(10) != 0 {
					continue
				}
				for n := range states { // go on with what the dead process left
					at := 0
					for i, s := range states[n] {
						if s.ticket <= d.vault.Level(n).Durable() {
							at = i
						}
					}
					states[n] = states[n][at : at+1]
					states[n][0].ticket = 0
				}
				d.vault = v
				break
			}
		}
		if long == 0 {
			t.Error("no commit took more than one tick: the test shows less than it should")
		}
	}
}

// TestFull fills a level. The error comes before anything changes and always at
// the same record, whatever lies beneath; other levels have their own room;
// deleting works, and makes room.
func TestFull(t *testing.T) {
	var at []int
	for levels := 1; levels <= 2; levels++ {
		d := newDisk(t, small, levels, 1)
		l := d.vault.Level(0)
		want := model{}
		for i := 0; ; i++ {
			w := []Write{put(key(1, byte(i%3), uint64(i)), 3000, byte(i))}
			_, err := l.Stage(w)
			if errors.Is(err, ErrFull) {
				at = append(at, i)
				break
			}
			if err != nil || i > 1000 {
				t.Fatal(err)
			}
			want.apply(w)
			if i%5 == 0 {
				d.tick()
			}
		}
		if u := l.Usage(); u.Pages != u.Limit || u.Bytes < u.Limit*pageSize*9/10 {
			t.Errorf("full at %+v", u)
		}
		if levels == 2 {
			d.stage(1, put(key(1, 1, 1), 30000, 1))
		}
		d.settle()
		d.reopen(levels - 1)
		l = d.vault.Level(0)
		if err := want.compare(l); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Stage([]Write{put(key(1, 0, 9999), 60000, 1)}); !errors.Is(err, ErrFull) {
			t.Fatalf("after reopening: %v", err)
		}
		for i := range 60 {
			w := []Write{drop(key(1, byte(i%3), uint64(i)))}
			d.stage(0, w...)
			want.apply(w)
		}
		d.settle()
		w := []Write{put(key(1, 0, 9999), 60000, 1)}
		d.stage(0, w...)
		want.apply(w)
		d.settle()
		d.reopen(levels - 1)
		if err := want.compare(d.vault.Level(0)); err != nil {
			t.Fatal(err)
		}
	}
	if at[0] != at[1] {
		t.Errorf("level 0 is full at record %d without a level beneath, at %d with one", at[0], at[1])
	}
}

func TestRefused(t *testing.T) {
	l := newDisk(t, small, 1, 1).vault.Level(0)
	big := put(key(1, 1, 1), MaxValue, 1)
	for name, test := range map[string]struct {
		err    error
		writes []Write
	}{
		"value":    {ErrTooLarge, []Write{put(key(1, 1, 1), MaxValue+1, 1)}},
		"commit":   {ErrTooLarge, []Write{big, big, big}},
		"writes":   {ErrTooLarge, make([]Write, MaxWrites+1)},
		"kind":     {ErrKind, []Write{big, put(key(0, 1, 1), 1, 1)}},
		"deletion": {ErrKind, []Write{drop(key(0, 1, 1))}},
	} {
		if _, err := l.Stage(test.writes); !errors.Is(err, test.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok := l.Get(big.Key); ok || l.Waiting() {
		t.Error("a commit that was refused changed something")
	}
}

// TestDrop takes an object away in one tick, however large it is.
func TestDrop(t *testing.T) {
	d := newDisk(t, small, 1, 1)
	want := model{}
	for i := range byte(30) {
		w := []Write{put(key(1, i%3, uint64(i)), 3000, i)}
		d.stage(0, w...)
		want.apply(w)
	}
	d.settle()
	if _, err := d.vault.Level(0).Drop([16]byte{1}); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(want, func(k Key, _ []byte) bool { return k.Object == [16]byte{1} })
	d.tick()
	d.reopen(0)
	if err := want.compare(d.vault.Level(0)); err != nil {
		t.Fatal(err)
	}
	w := []Write{put(key(1, 1, 4), 10, 1)} // an object of the same name is another
	d.stage(0, w...)
	want.apply(w)
	d.settle()
	d.reopen(0)
	if err := want.compare(d.vault.Level(0)); err != nil || d.vault.Level(0).RolledBack() {
		t.Fatal(err)
	}
	if _, err := d.vault.Level(0).Drop([16]byte{77}); err != nil {
		t.Errorf("an object that is not there: %v", err)
	}
}

// TestRefresh rewrites all: records stay, commits that waited are in it, what was
// dropped is gone under every key, levels come and go.
func TestRefresh(t *testing.T) {
	d := newDisk(t, small, 2, 1)
	want := []model{{}, {}}
	for i := range byte(40) {
		for n := range want {
			w := []Write{put(key(1, i%3, uint64(i)), 2000, i+byte(100*n))}
			d.stage(n, w...)
			want[n].apply(w)
		}
		if i == 20 {
			d.settle()
		}
	}
	if _, err := d.vault.Level(0).Drop([16]byte{2}); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(want[0], func(k Key, _ []byte) bool { return k.Object == [16]byte{2} })
	ticket := d.stage(1, drop(key(1, 1, 1)))
	delete(want[1], key(1, 1, 1))
	before := append([]Slot(nil), d.slots...)
	oldRoots := []*slotKeys{levelKeys(d.vault.roots[0]), levelKeys(d.vault.roots[1])}
	tick := d.vault.Ticks()

	all, err := d.vault.Refresh(testKEKs(3), d.draw())
	if err != nil {
		t.Fatal(err)
	}
	d.write(all)
	if d.vault.Level(1).Durable() < ticket {
		t.Error("a commit that waited is not durable")
	}
	for i := range d.slots {
		if bytes.Equal(before[i][:16], d.slots[i][:16]) {
			t.Fatalf("slot %d stayed", i)
		}
		for _, k := range oldRoots {
			if k.matches(d.slots[i][:]) {
				t.Fatalf("slot %d opens under an old root", i)
			}
		}
	}
	for _, depth := range []int{3, 2, 1} {
		d.reopen(depth - 1)
		if d.vault.Depth() != depth || d.vault.Ticks() != tick+1 {
			t.Fatalf("%d levels, tick %d", d.vault.Depth(), d.vault.Ticks())
		}
		for n := range depth {
			m := model{}
			if n < 2 {
				m = want[n]
			}
			if err := m.compare(d.vault.Level(n)); err != nil || d.vault.Level(n).RolledBack() {
				t.Fatalf("level %d: %v", n, err)
			}
		}
	}
	// A refresh of level 0 alone, under another second secret.
	second := testKEK(7)
	if all, err = d.vault.Rotate(second, d.draw()); err != nil {
		t.Fatal(err)
	}
	d.write(all)
	for n := range MaxLevels {
		if _, err := d.open(n); !errors.Is(err, ErrKey) {
			t.Errorf("key %d: %v", n, err)
		}
	}
	v, err := Open(d.g, &testStore, testKEK(0), second, d.read)
	if err != nil {
		t.Fatal(err)
	}
	if err := want[0].compare(v.Level(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Refresh([]secret.Key{second, second}, d.draw()); !errors.Is(err, ErrGeometry) {
		t.Errorf("one key for two levels: %v", err)
	}
}

// TestRefreshForgetsOrder writes the same records in order, and in disorder with
// changes and deletions, and refreshes both: the pages are the same to the byte.
func TestRefreshForgetsOrder(t *testing.T) {
	pages := func(disorder bool) (all [][]byte) {
		d := newDisk(t, small, 1, 1)
		d.stage(0, put(key(1, 1, 0), 10, 0), put(key(1, 2, 0), 10, 0)) // objects are counted in their order
		seqs := rand.New(rand.NewPCG(1, 1)).Perm(60)
		for i, seq := range seqs {
			if !disorder {
				seq = i
			}
			k, n := key(Kind(1+seq%2), byte(1+seq%3%2), uint64(seq)), 100+seq*17
			if disorder && seq%5 == 0 {
				d.stage(0, put(k, 3*n, 9), put(key(3, 1, uint64(seq)), 500, 1))
				d.tick()
				d.stage(0, drop(key(3, 1, uint64(seq))))
			}
			d.stage(0, put(k, n, byte(seq)))
			d.tick()
		}
		d.settle()
		before := d.vault.Level(0).Durable()
		all2, err := d.vault.Renew(d.draw())
		if err != nil {
			t.Fatal(err)
		}
		d.write(all2)
		if d.vault.Level(0).Durable() <= before {
			t.Error("tickets do not go on")
		}
		d.reopen(0)
		if d.vault.Level(0).RolledBack() {
			t.Error("the refresh is not in order")
		}
		version := d.vault.Level(0).pages[0].version
		for _, p := range d.vault.Level(0).pages[1:] { // the first is the table, which holds keys
			var b []byte
			for _, f := range p.fragments {
				if f.version != version || p.version != version {
					t.Errorf("version %d in a page of %d, want %d", f.version, p.version, version)
				}
				b = appendPiece(b, piece{kind: f.kind, seq: f.seq, total: f.total, offset: f.offset, data: f.data})
			}
			all = append(all, b)
		}
		return all
	}
	a, b := pages(false), pages(true)
	if len(a) != len(b) || len(a) < 5 {
		t.Fatalf("%d pages and %d", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			t.Errorf("page %d is another one", i)
		}
	}
}

// TestRekeyKeepsTheDeepest takes a level away and adds one: records go with the
// last key.
func TestRekeyKeepsTheDeepest(t *testing.T) {
	d := newDisk(t, small, 2, 1)
	d.stage(0, put(key(1, 1, 1), 10, 1))
	d.stage(1, put(key(1, 1, 1), 20, 2))
	for _, keks := range [][]secret.Key{testKEKs(1), testKEKs(3), testKEKs(2)} {
		all, err := d.vault.Rekey(keks, secret.Key{}, d.draw())
		if err != nil {
			t.Fatal(err)
		}
		d.write(all)
		d.reopen(len(keks) - 1)
		for n := range keks {
			v, ok := d.vault.Level(n).Get(key(1, 1, 1))
			if last := n == len(keks)-1; ok != last || last && len(v) != 20 {
				t.Errorf("%d levels: level %d has %d bytes, %v", len(keks), n, len(v), ok)
			}
		}
	}
}

// TestRotate exchanges the second secret of three levels, of which one passphrase is
// known: every level opens with the new one, and none with the old one or without.
// The slots from before open with the old one alone.
func TestRotate(t *testing.T) {
	d := newDisk(t, small, 3, 1)
	for n := range 3 {
		d.stage(n, put(key(1, 1, 1), 10*(n+1), 1))
	}
	opens := func(second secret.Key) (n int) {
		t.Helper()
		for level := range 3 {
			v, err := Open(d.g, &testStore, testKEK(level), second, d.read)
			ok, _ := Opens(d.g, &testStore, testKEK(level), second, d.read)
			if ok != (err == nil) {
				t.Errorf("Opens says %v, Open %v", ok, err)
			}
			if err != nil {
				continue
			}
			if b, ok := v.Level(level).Get(key(1, 1, 1)); !ok || len(b) != 10*(level+1) || v.Level(level).RolledBack() {
				t.Errorf("level %d has %d bytes, rolled back %v", level, len(b), v.Level(level).RolledBack())
			}
			n++
		}
		return n
	}
	secrets := []secret.Key{{}, testKEK(7), testKEK(8), {}}
	var before []Slot
	for i, second := range secrets {
		all, err := d.vault.Rotate(second, d.draw())
		if err != nil {
			t.Fatal(err)
		}
		d.write(all)
		d.tick() // headers are written again with it
		for _, other := range secrets[:3] {
			want := 0
			if other.IsZero() && second.IsZero() || other.Equal(second) {
				want = 3
			}
			if n := opens(other); n != want {
				t.Errorf("rotation %d: %d levels open, want %d", i, n, want)
			}
		}
		before, d.slots = d.slots, before
		if i > 0 && opens(second) != 0 {
			t.Errorf("rotation %d: what was there before opens with the new secret", i)
		}
		d.slots = append([]Slot(nil), before...)
	}
}

// TestOpeningIsConstant counts what Open reads: it may not depend on what there is.
func TestOpeningIsConstant(t *testing.T) {
	count := func(d *disk, level int) (n int) {
		_, _ = Open(d.g, &testStore, testKEK(level), secret.Key{}, func(i uint32) (*Slot, error) { n++; return d.read(i) })
		return n
	}
	empty, full := newDisk(t, small, 1, 1), newDisk(t, small, 3, 1)
	for n := range 3 {
		for i := range uint64(20) {
			full.stage(n, put(key(1, 1, i), 10000, 1))
		}
	}
	full.settle()
	want := count(empty, 0)
	for name, n := range map[string]int{
		"wrong key": count(empty, 9), "level 0 of 3": count(full, 0), "level 2 of 3": count(full, 2),
	} {
		if n > want+2*HeaderCopies || n < want-2*HeaderCopies {
			t.Errorf("%s: %d reads, %d for one empty level", name, n, want)
		}
	}
	failed := errors.New("a disk that fails")
	if _, err := Open(small, &testStore, testKEK(0), secret.Key{}, func(uint32) (*Slot, error) { return nil, failed }); err != failed {
		t.Errorf("a disk that fails: %v", err)
	}
}

func TestGeometry(t *testing.T) {
	for slots := uint32(MinSlots); slots <= MaxSlots; slots *= 2 {
		if !Standard(slots).Valid() {
			t.Errorf("%d slots are refused", slots)
		}
	}
	for _, g := range []Geometry{{}, {8193, 128, 12}, {8192, 8193, 12}, {8192, 16, 12}, {8192, 128, 1}, {2 * MaxSlots, 128, 12}} {
		if _, _, err := Create(g, &testStore, testKEKs(1), secret.Key{}, new(Coins)); !errors.Is(err, ErrGeometry) {
			t.Errorf("%+v: %v", g, err)
		}
	}
}
