package store

import (
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestModel holds random commits, ticks, crashes, purges and reopenings against a
// map, and another one for what is durable.
func TestModel(t *testing.T) {
	t.Parallel()
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		m := &model{rt: rt, t: t, now: map[Key][]byte{}, cfg: Config{Dir: filepath.Join(dir, strconv.Itoa(n)), Slots: testSlots, Cost: Cheap}}
		if err := Create(m.cfg, testPass); err != nil {
			rt.Fatal(err)
		}
		m.open()
		defer func() { _ = m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"stage":  m.stage,
			"tick":   m.tick,
			"drop":   m.drop,
			"purge":  m.purge,
			"reopen": m.reopen,
			"crash":  m.crash,
			"":       m.check,
		})
	})
}

type model struct {
	t       *testing.T
	rt      *rapid.T
	cfg     Config
	s       *Store
	copies  int
	now     map[Key][]byte
	waiting []snapshot // after each commit, with the last that is durable first
}

type snapshot struct {
	ticket  uint64
	records map[Key][]byte
}

func (m *model) open() {
	var err error
	if m.s, err = childOpen(m.cfg); err != nil {
		m.rt.Fatalf("opening: %v", err)
	}
	if m.s.RolledBack() {
		m.rt.Fatal("rolled back")
	}
	m.waiting = []snapshot{{m.s.Durable(), maps.Clone(m.now)}}
}

func (m *model) staged(ticket uint64, err error) {
	if err != nil {
		m.rt.Fatalf("staging: %v", err)
	}
	m.waiting = append(m.waiting, snapshot{ticket, maps.Clone(m.now)})
}

func (m *model) stage(rt *rapid.T) {
	var batch []Write
	for range rapid.IntRange(0, 5).Draw(rt, "writes") {
		w := Write{
			Key: Key{
				Kind:   Kind(rapid.IntRange(1, 3).Draw(rt, "kind")),
				Object: [16]byte{15: byte(rapid.IntRange(0, 2).Draw(rt, "object"))},
				Seq:    rapid.Uint64Range(0, 4).Draw(rt, "seq"),
			},
			Value:  bytes.Repeat([]byte{rapid.Byte().Draw(rt, "fill")}, rapid.SampledFrom([]int{0, 10, 300, 3000, 7000}).Draw(rt, "size")),
			Delete: rapid.Bool().Draw(rt, "delete"),
		}
		batch = append(batch, w)
		if w.Delete {
			delete(m.now, w.Key)
		} else {
			m.now[w.Key] = w.Value
		}
	}
	m.staged(m.s.Stage(batch...))
}

func (m *model) drop(rt *rapid.T) {
	object := [16]byte{15: byte(rapid.IntRange(0, 2).Draw(rt, "object"))}
	maps.DeleteFunc(m.now, func(k Key, _ []byte) bool { return k.Object == object })
	m.staged(m.s.DropObject(object))
}

func (m *model) tick(rt *rapid.T) {
	if err := m.s.Tick(); err != nil {
		rt.Fatalf("ticking: %v", err)
	}
	m.settle()
}

// settle lets go of what is durable but the last.
func (m *model) settle() {
	for len(m.waiting) > 1 && m.waiting[1].ticket <= m.s.Durable() {
		m.waiting = m.waiting[1:]
	}
}

func (m *model) purge(rt *rapid.T) {
	if err := m.s.Purge(); err != nil {
		rt.Fatalf("purging: %v", err)
	}
	if m.settle(); len(m.waiting) != 1 {
		rt.Fatal("what was staged is not durable with the purge")
	}
}

// reopen loses what is not durable.
func (m *model) reopen(rt *rapid.T) {
	if err := m.s.Close(); err != nil {
		rt.Fatalf("closing: %v", err)
	}
	m.now = m.waiting[0].records
	m.open()
}

// crash goes on with a copy of the folder.
func (m *model) crash(rt *rapid.T) {
	m.copies++
	dir := m.cfg.Dir + "." + strconv.Itoa(m.copies)
	copyFolder(m.t, m.cfg.Dir, dir)
	if err := m.s.Close(); err != nil {
		rt.Fatalf("closing: %v", err)
	}
	m.cfg.Dir, m.now = dir, m.waiting[0].records
	m.open()
}

func (m *model) check(rt *rapid.T) {
	var met []Key
	for kind := Kind(1); kind <= 3; kind++ {
		for r, err := range m.s.ScanKind(kind) {
			if err != nil || !bytes.Equal(r.Value, m.now[r.Key]) {
				rt.Fatalf("scanning: %v, error %v", r.Key, err)
			}
			met = append(met, r.Key)
		}
	}
	if want := slices.SortedFunc(maps.Keys(m.now), Key.Compare); !slices.Equal(met, want) {
		rt.Fatalf("scan met %v, want %v", met, want)
	}
	if _, err := m.s.Get(Key{Kind: 9}); !errors.Is(err, ErrNotFound) {
		rt.Fatalf("what is not there gives error %v", err)
	}
}
