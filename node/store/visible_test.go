package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// visible is what the holder of every copy of a folder and of the shallowest
// passphrase sees after a tick.
type visible struct {
	touched []uint32         // slots that are not what they were
	places  []uint32         // where blocks of the shallowest level lie
	sizes   map[string]int64 // of all files; of tables, rounded
	records string           // of the shallowest level
}

// witness opens each copy of a folder as its holder would.
type witness struct {
	t    testing.TB
	cfg  Config
	pass []byte
	last *image
}

func (w *witness) look() visible {
	w.t.Helper()
	dir := w.cfg.Dir
	im, err := readImage(currentRecords(dir))
	if err != nil {
		w.t.Fatal(err)
	}
	v := visible{sizes: map[string]int64{}}
	for i, slot := range im.slots {
		if w.last == nil || *w.last.slots[i] != *slot {
			v.touched = append(v.touched, uint32(i))
		}
	}
	w.last = im
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		v.sizes[d.Name()] = info.Size()
		if strings.HasSuffix(path, ".sst") {
			v.sizes[d.Name()] = (info.Size() + 512) / 4096 // checksums in it are of a length that chance decides
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	header, err := readHeader(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	store, err := parseHeader(header)
	if err != nil {
		w.t.Fatal(err)
	}
	kek := w.cfg.kek(&store, w.pass)
	v.places, v.records = w.open(im, &store, kek)
	return v
}

// open finds where the level's blocks lie by what opening looks at again: after
// one pass over all slots come those that matched, in order, and then others from
// 0 on.
func (w *witness) open(im *image, store *[32]byte, kek secret.Key) (places []uint32, records string) {
	var looks []uint32
	level, err := vault.Open(vault.Standard(uint32(len(im.slots))), store, kek, secret.Key{}, func(i uint32) (*vault.Slot, error) {
		looks = append(looks, i)
		return im.slot(i)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	looks = looks[len(im.slots):]
	if last := slices.Index(looks[1:], 0); last >= 0 {
		looks = looks[:last+1]
	}
	var b strings.Builder
	for kind := range 256 {
		for _, k := range level.Level(0).KindKeys(Kind(kind)) {
			value, _ := level.Level(0).Get(k)
			fmt.Fprintf(&b, "%v %x\n", k, value)
		}
	}
	return looks, b.String()
}

// seeded is a source of coins that come again in every store.
func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// TestVisibleIsIdentical plays the same random history of the shallowest level
// into stores with no, one and two deeper levels, in which at least as much is
// written as above, with the same coins: what is touched, where visible blocks
// land and what files there are is the same after every tick.
func TestVisibleIsIdentical(t *testing.T) {
	t.Parallel()
	seed := rand.IntN(100)
	var want []visible
	for deeper := range 3 {
		cfg := testConfig(t)
		cfg.Random = seeded(byte(seed))
		passes := [][]byte{testPass, otherPass, thirdPass}[:deeper+1]
		if err := Create(cfg, passes...); err != nil {
			t.Fatal(err)
		}
		got := play(t, cfg, passes[deeper], seed)
		if deeper == 0 {
			want = got
			continue
		}
		for i := range got {
			where := fmt.Sprintf("seed %d, %d deeper levels, tick %d", seed, deeper, i)
			switch {
			case !slices.Equal(got[i].touched, want[i].touched):
				t.Fatalf("%s: other slots are touched", where)
			case !slices.Equal(got[i].places, want[i].places):
				t.Fatalf("%s: visible blocks land elsewhere", where)
			case !maps.Equal(got[i].sizes, want[i].sizes):
				t.Fatalf("%s: files %v, want %v", where, got[i].sizes, want[i].sizes)
			case got[i].records != want[i].records:
				t.Fatalf("%s: other records", where)
			}
		}
	}
}

// play opens the deepest level and writes a history into the shallowest and more
// into those beneath, looking after every tick and at the end.
func play(t *testing.T, cfg Config, shallow []byte, seed int) []visible {
	t.Helper()
	s := mustOpen(t, cfg)
	w := &witness{t: t, cfg: cfg, pass: shallow}
	seen := []visible{w.look()}
	script, below := rand.New(seeded(byte(100+seed))), rand.New(seeded(byte(200+seed)))
	for range 14 {
		stageRandom(t, s, 0, script)
		for n := 1; n < s.vault.Depth(); n++ {
			stageRandom(t, s, n, below)
			stageRandom(t, s, n, below)
		}
		if script.IntN(12) == 0 {
			if err := s.Purge(); err != nil {
				t.Fatal(err)
			}
		}
		mustTick(t, s)
		seen = append(seen, w.look())
	}
	if len(seen[0].places) == 0 || len(seen[14].places) <= len(seen[0].places) || len(seen[14].touched) == 0 {
		t.Fatal("the witness sees nothing: this would check nothing")
	}
	mustClose(t, s)
	return append(seen, w.look())
}

// stageRandom writes into any open level.
func stageRandom(t *testing.T, s *Store, level int, r *rand.Rand) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	k := Key{Kind: Kind(1 + r.IntN(2)), Object: [16]byte{byte(r.IntN(3))}, Seq: uint64(r.IntN(8))}
	w := Write{Key: k, Delete: r.IntN(5) == 0, Value: bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(9000))}
	if _, err := s.vault.Level(level).Stage([]Write{w}); err != nil {
		t.Fatal(err)
	}
}

// TestFilesTellNothing makes stores of one, two and three levels with other
// histories of the same number of ticks: names and sizes of files are the same,
// and the slots of all are as even as chance makes them.
func TestFilesTellNothing(t *testing.T) {
	t.Parallel()
	var want map[string]int64
	for levels := range 3 {
		cfg := testConfig(t)
		passes := [][]byte{testPass, otherPass, thirdPass}[:levels+1]
		mustCreate(t, cfg, passes[1:]...)
		s := mustOpen(t, cfg)
		for i := range uint64(12) {
			if levels > 0 {
				mustStage(t, s, put(i, bytes.Repeat([]byte{0}, 8000)))
			}
			mustTick(t, s)
		}
		mustClose(t, s)
		wantFiles(t, cfg.Dir)
		w := &witness{t: t, cfg: cfg, pass: passes[levels]}
		v := w.look()
		if levels == 0 {
			want = v.sizes
		} else if !maps.Equal(v.sizes, want) {
			t.Errorf("%d levels: files %v, want %v", levels+1, v.sizes, want)
		}
		even(t, w.last)
	}
}

// even counts the bytes of all slots, and looks for eight of them that come twice.
func even(t *testing.T, im *image) {
	t.Helper()
	var counts [256]float64
	seen := map[[8]byte]bool{}
	for _, slot := range im.slots {
		for i := 0; i < len(slot); i += 8 {
			b := [8]byte(slot[i : i+8])
			if seen[b] {
				t.Fatalf("%x stands twice in the slots", b)
			}
			seen[b] = true
			for _, c := range b {
				counts[c]++
			}
		}
	}
	mean, sum := float64(len(im.slots)*vault.SlotSize)/256, 0.0
	for _, n := range counts {
		sum += (n - mean) * (n - mean) / mean
	}
	if sum < 255-6*22.6 || sum > 255+6*22.6 { // chi squared of 255, six standard deviations
		t.Errorf("the bytes of the slots are not even: chi squared is %.0f", sum)
	}
}

// TestLookChangesNothing opens closed and killed stores for reading, with each
// passphrase and a wrong one, under files that are read-only: no byte and no time
// of a file changes.
func TestLookChangesNothing(t *testing.T) {
	t.Parallel()
	cfg, killed := testConfig(t), testConfig(t)
	mustCreate(t, cfg, otherPass)
	s := mustOpen(t, cfg)
	for i := range uint64(10) {
		mustCommit(t, s, put(i, numbered(i, 80)))
	}
	copyFolder(t, cfg.Dir, killed.Dir)
	mustClose(t, s)
	between := testConfig(t) // killed between the two renames of a rebuild
	copyFolder(t, cfg.Dir, between.Dir)
	if err := os.Rename(recordsDir(between.Dir), builtDir(between.Dir)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{cfg, killed, between} {
		before, times := fingerprint(t, c.Dir), modTimes(t, c.Dir)
		for _, pass := range [][]byte{testPass, otherPass, []byte("wrong")} {
			s, err := Open(c, pass)
			if errors.Is(err, ErrPassphrase) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			n, err := count(s, 80)
			if err != nil || s.RolledBack() || n != 10 && bytes.Equal(pass, testPass) {
				t.Errorf("%d records, rolled back %v, error %v", n, s.RolledBack(), err)
			}
			_, _ = s.Stage(put(99, nil))
			mustClose(t, s)
		}
		if fingerprint(t, c.Dir) != before || !maps.Equal(modTimes(t, c.Dir), times) {
			t.Errorf("a look changed %s", c.Dir)
		}
	}
}

func modTimes(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	all := map[string]time.Time{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		all[path] = info.ModTime()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRetiredBytesAreGone keeps every slot that a random history replaces, and
// looks for it in all files: after a close and after a purge there is none.
func TestRetiredBytesAreGone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cfg := testConfig(t)
		mustCreate(t, cfg)
		s := mustOpen(t, cfg)
		w := &witness{t: t, cfg: cfg, pass: testPass}
		r := rand.New(seeded(rapid.Byte().Draw(rt, "seed")))
		var retired [][]byte
		retire := func() {
			old := w.last
			for _, i := range w.look().touched {
				if old != nil {
					retired = append(retired, old.slots[i][100:132])
				}
			}
		}
		retire()
		for range rapid.IntRange(1, 12).Draw(rt, "ticks") {
			stageRandom(t, s, 0, r)
			mustTick(t, s)
			retire()
		}
		if rapid.Bool().Draw(rt, "purge") {
			if err := s.Purge(); err != nil {
				rt.Fatal(err)
			}
			retire()
			if n := found(t, cfg.Dir, retired); n != 0 {
				rt.Fatalf("%d retired slots are there after a purge", n)
			}
			mustTick(t, s)
			retire()
		}
		if s.ticks > 0 && found(t, cfg.Dir, retired) == 0 { // else it was rebuilt just now
			rt.Fatal("no retired slot is there while the store is open: this would check nothing")
		}
		mustClose(t, s)
		if n := found(t, cfg.Dir, retired); n != 0 {
			rt.Fatalf("%d of %d retired slots are there after the close", n, len(retired))
		}
	})
}

// found counts the pieces that stand in any file of a folder.
func found(t *testing.T, dir string, pieces [][]byte) (n int) {
	t.Helper()
	want := map[[32]byte]bool{}
	for _, p := range pieces {
		want[[32]byte(p)] = true
	}
	first := map[[4]byte]bool{} // most windows end here
	for p := range want {
		first[[4]byte(p[:4])] = true
	}
	for _, b := range contents(t, dir) {
		for i := range len(b) - 31 {
			if b[i] != 0 && first[[4]byte(b[i:])] && want[[32]byte(b[i:])] {
				n++
			}
		}
	}
	return n
}
