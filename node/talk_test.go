package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
)

// purged counts the purges of a store, and refuses them while full is set.
type purged struct {
	node.Store
	times atomic.Int32
	full  atomic.Bool
}

func (p *purged) Rotate() error {
	if p.full.Load() {
		return store.ErrFull
	}
	p.times.Add(1)
	return p.Store.Rotate()
}

func (p *purged) Purge() error {
	if p.full.Load() {
		return store.ErrFull
	}
	p.times.Add(1)
	return p.Store.Purge()
}

// kinds counts the records of a closed store.
func kinds(t *testing.T, dir string) map[store.Kind]int {
	t.Helper()
	s, err := store.Open(store.Config{Dir: dir, Cost: store.Cheap}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if s.RolledBack() {
		t.Error("the store is rolled back")
	}
	n := map[store.Kind]int{}
	for kind := channel.KindContact; kind <= channel.KindSounding; kind++ {
		for _, err := range s.ScanKind(kind) {
			if err != nil {
				t.Fatal(err)
			}
			n[kind]++
		}
	}
	return n
}

// TestRemoveContact removes a contact with whom there were texts and files. The
// other side meets silence, and nothing is left in the store.
func TestRemoveContact(t *testing.T) {
	t.Parallel()
	purges := &purged{}
	a := newMachine(t, freeSettings(t), hooks{store: func(s node.Store) node.Store { purges.Store = s; return purges }})
	b := newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("before")
	path, _ := newFile(t, 300_000)
	b.sendFile(path)
	a.save()
	a.fileAt(channel.In, channel.FileWhole)
	large, _ := newFile(t, 96<<20)
	b.sendFile(large)
	_, saved := a.save()
	until(t, "some of a large file is there", func() bool {
		list, err := a.Files(t.Context(), peer)
		return err == nil && list[1].Done > 0
	})
	_, events, err := a.Follow(t.Context(), peer, 0)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := a.RemoveContact(t.Context(), peer); err != nil || len(left) != 0 {
		t.Fatal(err)
	}
	for range events {
		continue // closed by the removal
	}
	if list, err := a.Contacts(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%d contacts are left, error %v", len(list), err)
	}
	var none *node.NoContactError
	if _, err := a.RemoveContact(t.Context(), peer); !errors.As(err, &none) {
		t.Errorf("removing again gives %v", err)
	}
	until(t, "the other side is cut off", func() bool { return !b.view().Connected })
	b.say("is anybody there?")
	pass(500 * time.Millisecond)
	lines := b.lines()
	if last := lines[len(lines)-1]; b.view().Connected || last.State != channel.Waiting {
		t.Errorf("the other side is answered: its last line is %q", last.State)
	}
	if notes := texts(b.lines(), channel.Notice); len(notes) != 0 {
		t.Errorf("the other side is told %q", notes)
	}
	if purges.times.Load() != 1 {
		t.Errorf("the store was purged %d times, want 1", purges.times.Load())
	}
	until(t, "what had come of the large file is gone", func() bool {
		entries, err := os.ReadDir(filepath.Dir(saved))
		return err == nil && len(entries) == 0
	})
	a.end()
	if left := kinds(t, a.dir); len(left) != 0 {
		t.Errorf("records are left: %v", left)
	}
}

// TestBurnConversation burns on one side. The other is asked, keeps what it has, and
// both talk on; then it burns, too.
func TestBurnConversation(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("before")
	kept := len(b.lines())
	if left, err := a.Burn(t.Context(), peer); err != nil || len(left) != 0 {
		t.Fatal(err)
	}
	if lines := a.lines(); len(lines) != 0 {
		t.Errorf("%d lines are left", len(lines))
	}
	until(t, "the other side is asked", func() bool { return slices.Contains(texts(b.lines(), channel.Notice), channel.NoteBurned) })
	if n := len(b.lines()); n != kept+1 {
		t.Errorf("the other side has %d lines, had %d", n, kept)
	}
	a.restart()
	w.connected()
	a.say("and on it goes")
	until(t, "a text arrives", func() bool { return slices.Contains(texts(b.lines(), channel.In), "and on it goes") })
	if lines := a.lines(); len(lines) != 1 || lines[0].Seq <= uint64(kept) {
		t.Errorf("the lines are %+v; numbers do not go on", lines)
	}
	if left, err := b.Burn(t.Context(), peer); err != nil || len(left) != 0 {
		t.Fatal(err)
	}
	until(t, "the first one is asked", func() bool { return slices.Contains(texts(a.lines(), channel.Notice), channel.NoteBurned) })
	until(t, "nothing is left of it", func() bool { // once the first one has said that it was told
		b.end()
		left := kinds(t, b.dir)
		if left[channel.KindMessage]+left[channel.KindState]+left[channel.KindSealed] == 0 {
			return true
		}
		b.start()
		b.unlock()
		w.connected()
		pass(500 * time.Millisecond) // no event tells that the other one has said so
		return false
	})
}

func TestRename(t *testing.T) {
	t.Parallel()
	a := newMachine(t, freeSettings(t), hooks{})
	a.invite()
	if _, _, err := a.Invite(t.Context(), "Heron", time.Hour, false, false); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]error{"": node.ErrBadName, "12": node.ErrBadName, "a\x1b": node.ErrBadName, "HERON": node.ErrNameTaken} {
		if _, err := a.Rename(t.Context(), peer, to); !errors.Is(err, want) {
			t.Errorf("got error %v, want %v", err, want)
		}
	}
	for _, to := range []string{"PEER", "Alder desk"} { // its own name in another form is no clash
		if v, err := a.Rename(t.Context(), "1", to); err != nil || v.Name != to || v.Number != 1 {
			t.Errorf("renaming gives %+v, %v", v, err)
		}
	}
	a.restart()
	if v, err := a.Contact(t.Context(), "alder-desk"); err != nil || v.Number != 1 {
		t.Errorf("after a restart: %+v, %v", v, err)
	}
}

// TestPurgeOnFullDisk burns while the disk is too full to write the store anew: the
// lines are gone, the person is told, and the purge comes later by itself.
func TestPurgeOnFullDisk(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	purges := &purged{}
	a := newMachine(t, freeSettings(t), hooks{
		store: func(s node.Store) node.Store { purges.Store = s; return purges },
		now:   func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	b := newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("before")
	purges.full.Store(true)
	if _, err := a.Burn(t.Context(), peer); !errors.Is(err, node.ErrKept) {
		t.Errorf("burning gives %v, want ErrKept", err)
	}
	if lines := a.lines(); len(lines) != 0 {
		t.Errorf("%d lines are left", len(lines))
	}
	purges.full.Store(false)
	ahead.Store(int64(2 * time.Minute))
	until(t, "the store is purged", func() bool { a.view(); return purges.times.Load() == 1 })
}

// TestBurnNamesWhatIsLeft burns while a file is coming whose part file cannot be
// deleted: the answer names it, and nothing is kept of it.
func TestBurnNamesWhatIsLeft(t *testing.T) {
	t.Parallel()
	for name, burn := range map[string]func(*machine) ([]string, error){
		"burn":           func(m *machine) ([]string, error) { return m.Burn(t.Context(), peer) },
		"contact remove": func(m *machine) ([]string, error) { return m.RemoveContact(t.Context(), peer) },
	} {
		a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
		newTalk(t, a, b).meet()
		large, _ := newFile(t, 96<<20)
		a.sendFile(large)
		_, saved := b.save()
		until(t, "some of it is there", func() bool {
			list, err := b.Files(t.Context(), peer)
			return err == nil && list[0].Done > 0
		})
		a.end()
		parts, err := filepath.Glob(filepath.Join(filepath.Dir(saved), ".*.part"))
		if err != nil || len(parts) != 1 {
			t.Fatalf("%s: part files are %v, %v", name, parts, err)
		}
		// A folder in its place with something in it is what cannot be deleted.
		if err := errors.Join(os.Remove(parts[0]), os.MkdirAll(filepath.Join(parts[0], "x"), 0o700)); err != nil {
			t.Fatal(err)
		}
		left, err := burn(b)
		if err != nil || !slices.Equal(left, parts) {
			t.Errorf("%s: left are %v, %v; want %v", name, left, err, parts)
		}
		b.end()
		if left := kinds(t, b.dir); left[channel.KindFile]+left[channel.KindMessage] != 0 {
			t.Errorf("%s: records are left: %v", name, left)
		}
	}
}
