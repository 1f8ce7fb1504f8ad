package store

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// judged is how many stores are played with -long.
var judged = flag.Int("judged", 2000, "with -long: how many stores the judge decides of")

// The black-box judge. Many stores play one visible script; half of them have one
// or two deeper levels, into which more is written. A classifier is given all that
// the holder of every copy of the folder and of the shallowest passphrase has, as
// numbers, and is to tell the two kinds apart.

const (
	judgeSlots = 512 // a tick writes a quarter of them, and every fourth one rebuilds
	judgeTicks = 12
)

// A sighting is what the judge has of one moment.
type sighting struct {
	touched []uint32 // slots that changed, and what is in them
	slots   []*vault.Slot
	shows   map[uint32]bool // what opens with the shallowest passphrase
	landed  []uint32        // changed slots that show something and did not before
	open    []uint32        // those in which something could have come to lie
	sizes   map[string]int64
	times   map[string]time.Time
	tables  []float64 // what Badger's files say besides
	ticks   uint64    // what the shallowest level says of itself
	usage   Usage
	records int
	rolled  bool
	began   time.Time // when a clock that the judge knows called for it
	looked  time.Duration
}

// player is one run of the script.
type player struct {
	t       failer
	blind   bool // it takes no copies
	cfg     Config
	pass    []byte // of the deepest level
	s       *Store
	image   *image
	store   [storeSize]byte
	kek     secret.Key // of the shallowest level; it stays when all is written anew
	hidden  *rand.Rand // nil: no deeper level
	early   bool       // the deeper levels write all in the first half
	script  *rand.Rand
	written [vault.MaxLevels]int
	seen    []sighting
}

func judgeConfig(parent string) Config {
	return Config{Dir: filepath.Join(parent, "s"), Slots: judgeSlots, Cost: Cheap}
}

// A failer is what a player needs of a test.
type failer interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
}

// playVisible plays the script into a new store with so many deeper levels.
func playVisible(t failer, cfg Config, deeper int, seed uint64, blind bool) *player {
	passes := [][]byte{otherPass, thirdPass, testPass}[vault.MaxLevels-1-deeper:] // the last opens level 0
	p := &player{
		cfg: cfg, pass: passes[0],
		script: rand.New(rand.NewPCG(1, 1)), t: t, blind: blind,
	}
	if deeper > 0 {
		p.hidden = rand.New(rand.NewPCG(seed, 2))
		p.early = p.hidden.IntN(2) == 0
	}
	p.must(Create(p.cfg, passes...))
	p.key()
	p.look(time.Now())
	p.online()
	for i := range judgeTicks {
		p.stage(i)
		began := time.Now()
		switch i {
		case 5:
			p.must(p.s.Purge())
			p.look(began)
			began = time.Now()
		case 7:
			p.must(p.s.Close())
			p.look(began)
			p.online()
			began = time.Now()
		case 10:
			p.must(p.s.Rekey(passes...))
			p.look(began)
			began = time.Now()
		}
		p.must(p.s.Tick())
		p.look(began)
	}
	began := time.Now()
	p.must(p.s.Close())
	p.look(began)
	for n := 1; n <= deeper; n++ {
		if p.written[n] < p.written[0] {
			t.Errorf("%d bytes are written beneath, and %d above", p.written[n], p.written[0])
		}
	}
	return p
}

func (p *player) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *player) online() {
	var err error
	if p.s, err = Open(p.cfg, p.pass); err == nil {
		err = p.s.Online()
	}
	p.must(err)
}

// stage writes the same into the visible level in each run, and into those beneath
// it what chance will have.
func (p *player) stage(tick int) {
	p.put(0, p.script)
	for n := 1; n < p.s.vault.Depth(); n++ {
		for range 4 {
			if !p.early || tick < judgeTicks/2 {
				p.put(n, p.hidden)
			}
		}
	}
}

func (p *player) put(level int, r *rand.Rand) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for range 1 + r.IntN(3) {
		value := make([]byte, r.IntN(7000))
		w := Write{Key: Key{Kind: 1, Object: [16]byte{byte(r.IntN(3))}, Seq: uint64(r.IntN(3))}, Delete: r.IntN(9) == 0, Value: value}
		switch _, err := p.s.vault.Level(level).Stage([]Write{w}); {
		case err == nil:
			p.written[level] += len(value)
		case !errors.Is(err, vault.ErrFull) || level == 0:
			p.must(err)
		}
	}
}

// key stretches the shallowest passphrase.
func (p *player) key() {
	header, err := readHeader(p.cfg.Dir)
	p.must(err)
	p.store, err = parseHeader(header)
	p.must(err)
	p.kek = p.cfg.kek(&p.store, testPass)
}

// look takes a copy of what there is.
func (p *player) look(began time.Time) {
	if p.blind {
		return
	}
	s := sighting{began: began, times: map[string]time.Time{}, sizes: map[string]int64{}}
	im, err := readImage(currentRecords(p.cfg.Dir))
	p.must(err)
	for i, slot := range im.slots {
		if p.image != nil && *p.image.slots[i] != *slot {
			s.touched, s.slots = append(s.touched, uint32(i)), append(s.slots, slot)
		}
	}
	p.image = im
	p.must(filepath.WalkDir(p.cfg.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			name, _ := filepath.Rel(p.cfg.Dir, path)
			s.times[name], s.sizes[name] = info.ModTime(), info.Size()
		}
		return err
	}))
	s.tables = p.tables()
	p.unlock(&s)
	if len(p.seen) > 0 {
		before := p.seen[len(p.seen)-1].shows
		for _, slot := range s.touched {
			if before[slot] {
				continue
			}
			if s.open = append(s.open, slot); s.shows[slot] {
				s.landed = append(s.landed, slot)
			}
		}
	}
	p.seen = append(p.seen, s)
}

// unlock notes what the shallowest level shows, and says of itself.
func (p *player) unlock(s *sighting) {
	start := time.Now()
	v, shows := p.open()
	s.looked, s.shows = time.Since(start), shows
	l := v.Level(0)
	s.ticks, s.usage, s.records = v.Ticks(), l.Usage(), len(l.KindKeys(1))
	boxes, err := readCounters(p.cfg.Dir)
	p.must(err)
	key := v.CountKey()
	s.rolled = l.RolledBack() || boxes.judge(key, v.Ticks()) != counterClean
}

// open finds which slots open by what opening looks at again: after a
// pass over all come those that matched, in order, and then others from 0 on.
func (p *player) open() (*vault.Vault, map[uint32]bool) {
	var looks []uint32
	v, err := vault.Open(vault.Standard(judgeSlots), &p.store, p.kek.Clone(), secret.Key{}, func(i uint32) (*vault.Slot, error) {
		looks = append(looks, i)
		return p.image.slot(i)
	})
	p.must(err)
	opens := map[uint32]bool{}
	for i, slot := range looks[judgeSlots:] {
		if i > 0 && slot == 0 {
			break
		}
		opens[slot] = true
	}
	return v, opens
}

// tables is what Badger's MANIFEST and tables say besides the slots.
func (p *player) tables() []float64 {
	named, err := readManifest(currentRecords(p.cfg.Dir))
	p.must(err)
	all := []float64{float64(len(named)), 0, 0, 0, 0}
	for id, m := range named {
		all[1] += float64(m.Level)
		all[2] += float64(id)
	}
	for i, version := range p.image.versions {
		all[3] += float64(version)
		all[4] += float64(i) * float64(version)
	}
	return all
}

// A bench is the stores of which the judge decides.
type bench struct {
	lock          sync.Mutex
	plain, hidden []features
}

// fill plays m stores, half of them with deeper levels, in an order that chance
// chooses.
func (b *bench) fill(t *testing.T, m int) {
	t.Run("stores", func(t *testing.T) {
		for _, i := range rand.Perm(m) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				b.play(t, i)
			})
		}
	})
}

func (b *bench) play(t *testing.T, i int) {
	if end, ok := t.Deadline(); ok && time.Until(end) < 90*time.Second {
		t.Skip("no time is left")
	}
	deeper := i % 2 * (1 + i/2%2)
	p := playVisible(t, judgeConfig(t.TempDir()), deeper, rand.Uint64(), false)
	f := featuresOf(p.seen)
	b.lock.Lock()
	defer b.lock.Unlock()
	if deeper == 0 {
		b.plain = append(b.plain, f)
	} else {
		b.hidden = append(b.hidden, f)
	}
}

// modelled is what the judge would see of places alone, over many ticks: deeper
// blocks that lie where they are, if there are any, and visible ones that are placed
// naively, where no level has anything.
func modelled(deeper int, r *rand.Rand) []sighting {
	deep, shows := map[uint32]bool{}, map[uint32]bool{}
	for len(deep) < deeper*judgeSlots/8 {
		deep[r.Uint32N(judgeSlots)] = true
	}
	seen := make([]sighting, 150)
	for i := range seen {
		s := &seen[i]
		for _, slot := range r.Perm(judgeSlots)[:vault.Touch] {
			s.touched = append(s.touched, uint32(slot))
		}
		slices.Sort(s.touched)
		var room []uint32
		for _, slot := range s.touched {
			if shows[slot] && r.IntN(4) > 0 { // the rest was replaced by what comes now
				continue
			}
			delete(shows, slot)
			if s.open = append(s.open, slot); !deep[slot] {
				room = append(room, slot)
			}
		}
		r.Shuffle(len(room), func(a, b int) { room[a], room[b] = room[b], room[a] })
		s.landed = room[:min(len(room), 4)]
		for _, slot := range s.landed {
			shows[slot] = true
		}
	}
	return seen
}

// control has the same classifier decide of naive placements.
func control(m int) judgment {
	var kinds [2][]features
	r := rand.New(rand.NewPCG(1, 4))
	for i := range m {
		var f features
		seen := modelled(i%2*(1+i/2%2), r)
		f.touches(seen)
		f.places(seen)
		kinds[i%2] = append(kinds[i%2], f)
	}
	return judgeOf(kinds[0], kinds[1], func(string) bool { return false })
}

// TestJudgeSeesTheSame plays the script with the same coins above no, one and two
// deeper levels: all that the judge is given but times and the bytes of slots is the
// same, after each tick, purge, close and change of passphrases.
func TestJudgeSeesTheSame(t *testing.T) {
	t.Parallel()
	var want *player
	for deeper := range vault.MaxLevels {
		cfg := judgeConfig(t.TempDir())
		cfg.Random = seeded(77)
		got := playVisible(t, cfg, deeper, uint64(deeper), false)
		if want == nil {
			want = got
		}
		for i, s := range got.seen {
			a, b := s.comparable(), want.seen[i].comparable()
			if a != b {
				t.Fatalf("%d deeper levels, moment %d:\n%s\nwant\n%s", deeper, i, a, b)
			}
		}
	}
}

// comparable is all of a sighting that chance does not change. The last bytes of a
// table's size are chance: checksums in it have a length that depends on their value.
func (s *sighting) comparable() string {
	sizes := maps.Clone(s.sizes)
	for name, size := range sizes {
		if filepath.Ext(name) == ".sst" {
			sizes[name] = (size + 512) / 4096
		}
	}
	return fmt.Sprint(s.touched, s.shows, s.landed, s.open, sizes, s.tables, s.ticks, s.usage, s.records, s.rolled)
}

// TestJudgeTellsNothing has the classifier decide. With -long its area has to stay
// under 0.55 with the whole of its interval; else it may not be surely above a half.
// Where new visible blocks spare deeper ones, which is the control, it has to find
// out. The clock is told for itself: docs/spec/vault.md does not promise that a process that
// is measured gives nothing away.
func TestJudgeTellsNothing(t *testing.T) {
	t.Parallel()
	m := few(10) // which tells that it runs; TestJudgeSeesTheSame is the test of every day
	if *long {
		m = *judged
	}
	var b bench
	b.fill(t, m)
	clock := func(name string) bool { return strings.HasPrefix(name, "time: ") }
	images := judgeOf(b.plain, b.hidden, clock)
	times := judgeOf(b.plain, b.hidden, func(name string) bool { return !clock(name) })
	naive := control(max(m/5, 60))
	t.Logf("%d stores, %d features", len(b.plain)+len(b.hidden), len(b.plain[0].names))
	for name, j := range map[string]judgment{"images": images, "times": times, "control": naive} {
		t.Logf("%s: area %.3f ± %.3f, upper end %.3f; best by itself %q, %.3f", name, j.auc, 1.96*j.deviation, j.upper, j.best, j.alone)
	}
	by := 3.5 * math.Sqrt(float64(m+1)/(3*float64(m*m))) // 3.5 deviations of what chance gives
	if *long && images.upper > 0.55 || images.auc > 0.5+by {
		t.Error("deeper levels show")
	}
	if naive.auc < 0.9 {
		t.Error("the control is not caught: this would check nothing")
	}
}
