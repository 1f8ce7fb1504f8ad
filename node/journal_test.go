package node_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/store"
)

// events lists the events of a node's log, repeated ones once.
func events(m *machine) []journal.Event {
	var list []journal.Event
	for _, e := range m.Log() {
		list = append(list, e.Event)
	}
	return slices.Compact(list)
}

// TestJournal follows a node through a day: what it did is told while it is open,
// and when it locks only what the machine did is left.
func TestJournal(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h := hooks{rest: 15 * time.Minute, now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	a, b := newMachine(t, freeSettings(t), h), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("first")
	told := events(a)
	for _, want := range []journal.Event{journal.Started, journal.Unlocked, journal.Network, journal.LinkUp, journal.SessionBegan} {
		if !slices.Contains(told, want) {
			t.Errorf("%q is not told: %v", want, told)
		}
	}
	b.Lock()
	until(t, "the link goes down", func() bool { return slices.Contains(events(a), journal.LinkDown) })
	ahead.Store(int64(16 * time.Minute))
	if got := events(a); !slices.Equal(got, []journal.Event{journal.Started, journal.Unlocked, journal.Network, journal.Rested}) {
		t.Errorf("at rest it tells %v", got)
	}
	for range 2 {
		if err := a.Unlock(t.Context(), []byte("wrong")); !errors.Is(err, store.ErrPassphrase) {
			t.Fatal(err)
		}
	}
	last := a.Log()[len(a.Log())-1]
	if last.Event != journal.WrongPassphrase || last.Count != journal.CountOf(2) {
		t.Errorf("a wrong passphrase is told as %v", last)
	}
	a.unlock()
	a.Lock()
	want := []journal.Event{
		journal.Started, journal.Unlocked, journal.Network, journal.Rested, journal.WrongPassphrase,
		journal.Locked, journal.Unlocked, journal.Network, journal.Locked,
	}
	if got := events(a); !slices.Equal(got, want) {
		t.Errorf("locked it tells %v", got)
	}
	a.unlock()
	if got := events(a); slices.Contains(got, journal.LinkDown) {
		t.Errorf("what was on connections survived the lock: %v", got)
	}
	ahead.Store(int64(3 * time.Hour))
	if got := events(a); len(got) != 0 {
		t.Errorf("hours later it tells %v", got)
	}
}

// TestJournalTellsWhyItLocked fills the disk, and then fails a commit for good.
func TestJournalTellsWhyItLocked(t *testing.T) {
	t.Parallel()
	var fail atomic.Pointer[error]
	a := newMachine(t, freeSettings(t), hooks{store: func(s node.Store) node.Store { return failing{s, &fail} }})
	full, gone := fmt.Errorf("x: %w", store.ErrFull), errors.New("the disk is gone")
	fail.Store(&full)
	for range 2 {
		if _, _, err := a.Invite(t.Context(), peer, time.Hour, false, false); !errors.Is(err, store.ErrFull) {
			t.Fatal(err)
		}
	}
	fail.Store(nil)
	if _, _, err := a.Invite(t.Context(), peer, time.Hour, false, false); err != nil {
		t.Fatal(err)
	}
	fail.Store(&gone)
	if _, _, err := a.Invite(t.Context(), peer+"2", time.Hour, false, false); err == nil {
		t.Fatal("no failure")
	}
	until(t, "it locks", func() bool { return a.status().Condition == node.Locked })
	until(t, "it tells so", func() bool { return slices.Contains(events(a), journal.LockedItself) })
	want := []journal.Event{
		journal.Started, journal.Unlocked, journal.Network, journal.Full, journal.FullNoMore, journal.NotStored, journal.LockedItself,
	}
	if got := events(a); !slices.Equal(got, want) {
		t.Errorf("it tells %v", got)
	}
	if last := a.Log()[len(a.Log())-1]; last.Reason != journal.CommitFailed {
		t.Errorf("the reason is %q", last.Reason)
	}
}

// failing is a store whose commits fail while it is told so.
type failing struct {
	node.Store
	err *atomic.Pointer[error]
}

func (f failing) Stage(writes ...store.Write) (uint64, error) {
	if err := f.err.Load(); err != nil && len(writes) > 0 {
		return 0, *err
	}
	return f.Store.Stage(writes...)
}

// TestSettingsAreReadAtUnlock changes the time of rest while the node is locked.
func TestSettingsAreReadAtUnlock(t *testing.T) {
	t.Parallel()
	settings := freeSettings(t)
	settings.Rest = 2
	a := newMachine(t, settings, hooks{rest: time.Hour})
	if left := time.Until(a.status().LocksAt); left > 2*time.Minute || left < time.Minute {
		t.Errorf("its screens lock in %v", left)
	}
}
