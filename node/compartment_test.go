package node_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
)

var shallower = []byte("what I give them")

// newCompartments is a machine whose store has two levels; it is locked.
func newCompartments(t testing.TB, h hooks) *machine {
	t.Helper()
	m := &machine{t: t, dir: filepath.Join(t.TempDir(), "vault"), hooks: h}
	if err := store.Create(store.Config{Dir: m.dir, Cost: store.Cheap}, passphrase, shallower); err != nil {
		t.Fatal(err)
	}
	m.start()
	return m
}

// contents are the files of a folder.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ofALevel reports whether an event tells of what was open when it came.
func ofALevel(e journal.Event) bool { return e >= journal.DialBegan }

// TestTheSamePassphrase gives a node that rests, or is open, the passphrase that it
// went online with. It must do what it does with another: TestAnotherCompartment.
func TestTheSamePassphrase(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	a := newCompartments(t, hooks{
		rest: 15 * time.Minute, now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	for _, rests := range []bool{true, false} {
		a.unlock()
		if rests {
			ahead.Add(int64(15 * time.Minute))
		}
		if err := a.Unlock(t.Context(), passphrase); err != nil {
			t.Fatal(err)
		}
		if s := a.status(); s.Condition != node.Unlocked || s.Online || s.Failed != nil {
			t.Errorf("rests %v: %+v", rests, s)
		}
		if got := events(a); !slices.Equal(got[len(got)-2:], []journal.Event{journal.Locked, journal.Unlocked}) || slices.ContainsFunc(got, ofALevel) {
			t.Errorf("it remembers %v", got)
		}
	}
}

// TestAnotherCompartment gives a node that rests, or is open, the passphrase of
// another level: it opens that, for reading, and shows nothing of what was open.
func TestAnotherCompartment(t *testing.T) {
	t.Parallel()
	for _, rests := range []bool{true, false} {
		var ahead atomic.Int64
		a := newCompartments(t, hooks{
			rest: 15 * time.Minute, now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		})
		a.settings = freeSettings(t)
		a.end()
		a.start()
		a.unlock()
		a.invite()
		if rests {
			ahead.Add(int64(15 * time.Minute))
		}
		if err := a.Unlock(t.Context(), []byte("wrong")); !errors.Is(err, store.ErrPassphrase) {
			t.Errorf("a wrong passphrase: %v", err)
		}
		if s := a.status(); !s.Online || rests != (s.Condition == node.Resting) {
			t.Errorf("a wrong passphrase changes how the node stands: %+v", s)
		}
		if err := a.Unlock(t.Context(), shallower); err != nil {
			t.Fatal(err)
		}
		if s := a.status(); s.Condition != node.Unlocked || s.Online || len(s.Contacts) > 0 || s.Failed != nil {
			t.Errorf("after the other passphrase: %+v", s)
		}
		if got := events(a); !slices.Equal(got[len(got)-2:], []journal.Event{journal.Locked, journal.Unlocked}) || slices.ContainsFunc(got, ofALevel) {
			t.Errorf("it remembers %v", got)
		}
		before := contents(t, a.dir)
		if _, err := a.Contacts(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Unlock(t.Context(), passphrase); err != nil { // and back
			t.Fatal(err)
		}
		if s := a.status(); s.Condition != node.Unlocked || s.Online || len(s.Contacts) != 1 {
			t.Errorf("back again: %+v", s)
		}
		a.Lock()
		after := contents(t, a.dir)
		if len(after) != len(before) {
			t.Errorf("%d files, then %d", len(before), len(after))
		}
		for name, b := range before {
			if after[name] != b {
				t.Errorf("a look has changed %s", filepath.Base(name))
			}
		}
	}
}

// TestRekey gives a vault one passphrase more, then one less: what is open goes
// with the first, and what one still opens stays.
func TestRekey(t *testing.T) {
	t.Parallel()
	a := newMachine(t, freeSettings(t), hooks{})
	a.invite()
	if err := a.Rekey(t.Context(), shallower, passphrase); !errors.Is(err, store.ErrPassphrase) {
		t.Errorf("without the present passphrase: %v", err)
	}
	if err := a.Rekey(t.Context(), passphrase, shallower, shallower); !errors.Is(err, store.ErrSame) {
		t.Errorf("the same one twice: %v", err)
	}
	changed := []byte("changed")
	if err := a.Rekey(t.Context(), passphrase, changed, shallower); err != nil {
		t.Fatal(err)
	}
	shows := func(pass []byte, contacts int) {
		t.Helper()
		if err := a.Unlock(t.Context(), pass); err != nil {
			t.Fatal(err)
		}
		list, err := a.Contacts(t.Context())
		if err != nil || len(list) != contacts {
			t.Errorf("%s shows %d contacts, error %v", pass, len(list), err)
		}
		if info, err := a.VaultInfo(t.Context()); err != nil || info.Used > info.Room || info.Room > info.Size/8 {
			t.Errorf("%+v, error %v", info, err)
		}
	}
	shows(changed, 1)
	if err := a.Unlock(t.Context(), passphrase); !errors.Is(err, store.ErrPassphrase) {
		t.Errorf("the old passphrase: %v", err)
	}
	shows(shallower, 0)
	if err := a.Rekey(t.Context(), shallower, passphrase); !errors.Is(err, node.ErrOffline) {
		t.Errorf("offline: %v", err)
	}
	shows(changed, 1)
	if err := errors.Join(a.GoOnline(t.Context()), a.Rekey(t.Context(), changed, passphrase)); err != nil {
		t.Fatal(err)
	}
	a.restart()
	shows(passphrase, 1)
	if err := a.Unlock(t.Context(), shallower); !errors.Is(err, store.ErrPassphrase) {
		t.Errorf("the one that was dropped: %v", err)
	}
}

// TestPutBackBeneath puts a vault back to an older state, and goes online with the
// passphrase that opens the most. The compartment beneath is not marked any more
// after that, and its sessions, of which nobody knows what was sent, are given up.
func TestPutBackBeneath(t *testing.T) {
	t.Parallel()
	a := newCompartments(t, hooks{})
	a.settings = freeSettings(t)
	a.end()
	a.start()
	online := func(pass []byte) {
		t.Helper()
		if err := errors.Join(a.Unlock(t.Context(), pass), a.GoOnline(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	online(shallower)
	b := newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("before the copy")
	a.Lock()
	old := filepath.Join(t.TempDir(), "old")
	copyFolder(t, filepath.Join(a.dir, "records"), old)
	online(shallower)
	w.round("after the copy")
	a.Lock()
	copyFolder(t, old, filepath.Join(a.dir, "records"))
	online(passphrase)
	if s := a.status(); len(s.Contacts) > 0 {
		t.Errorf("the deeper compartment shows %d contacts", len(s.Contacts))
	}
	if !slices.Contains(events(a), journal.RolledBack) {
		t.Error("the journal does not tell that it was put back")
	}
	a.Lock()
	if got := events(a); slices.ContainsFunc(got, ofALevel) {
		t.Errorf("after the lock it remembers %v", got)
	}
	s, err := store.Open(store.Config{Dir: a.dir, Cost: store.Cheap}, shallower)
	if err != nil {
		t.Fatal(err)
	}
	if s.RolledBack() {
		t.Error("the compartment beneath is still marked")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	online(shallower)
	until(t, "both are told and paused", func() bool {
		return noticed(a) == 1 && noticed(b) == 1 && a.view().Paused && b.view().Paused
	})
}

// TestBeneathIsTended lets a message wait in a shallower compartment and the machine
// move, while a deeper one is online: the message expires, and the new address is
// written down, as in a session of its own.
func TestBeneathIsTended(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	a := newCompartments(t, hooks{now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	a.settings = freeSettings(t)
	a.end()
	a.start()
	online := func(pass []byte) {
		t.Helper()
		if err := errors.Join(a.Unlock(t.Context(), pass), a.GoOnline(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	online(shallower)
	b := newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("before")
	b.end()
	a.say("nobody is there to have it")
	a.Lock()
	ahead.Add(int64(15 * 24 * time.Hour))
	a.end()
	a.settings = freeSettings(t)
	a.start()
	online(passphrase)
	until(t, "it expires", func() bool { // as the compartment itself would show it
		s, err := store.Open(store.Config{Dir: copyOf(t, a.dir), Cost: store.Cheap}, shallower)
		if err != nil {
			return false // copied while it was written
		}
		defer func() { _ = s.Close() }()
		for r, err := range s.ScanKind(channel.KindContact) {
			if err != nil {
				t.Fatal(err)
			}
			c, err := channel.Load(channel.Config{Random: rand.Reader, Records: s}, r.Key.Object)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if list := c.Transcript(0); list[len(list)-1].State == channel.Expired {
				place, _ := identity.PlaceOf(a.settings.Address)
				return c.Moved(time.Now(), place).Writes == nil // it knows the address already
			}
		}
		return false
	})
	a.Lock()
	online(shallower)
	if list := a.lines(); list[len(list)-1].State != channel.Expired {
		t.Errorf("%+v", list[len(list)-1])
	}
}

// copyOf copies a vault as it is at the moment.
func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	_ = os.CopyFS(to, os.DirFS(dir))
	return to
}
