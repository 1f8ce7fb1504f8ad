package storetest_test

import (
	"errors"
	"testing"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
)

type memoryHarness struct{ m *storetest.Memory }

func (h *memoryHarness) Open() (storetest.Store, error) {
	h.m = h.m.Reopen()
	return h.m, nil
}

func (h *memoryHarness) Crash(storetest.Store) (storetest.Store, error) { return h.Open() }

func (*memoryHarness) Passphrase() []byte { return []byte(storetest.Passphrase) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness { return &memoryHarness{storetest.NewMemory()} })
}

func TestMemoryFailsAsTold(t *testing.T) {
	m := storetest.NewMemory()
	k := storetest.Key(1, 1, 1)
	if err := m.Online(); err != nil {
		t.Fatal(err)
	}
	ticket, err := m.Stage(storetest.Put(k, []byte("v")))
	if err != nil {
		t.Fatal(err)
	}
	m.Fail(store.ErrFull)
	if err := m.Tick(); !errors.Is(err, store.ErrFull) || m.Durable() >= ticket {
		t.Errorf("got error %v, want ErrFull", err)
	}
	m.Fail(nil)
	if err := m.Tick(); err != nil || m.Durable() < ticket || m.Ticks() != 1 {
		t.Errorf("after a full disk: %v", err)
	}
	m.SetFull(true)
	if _, err := m.Stage(storetest.Put(k, nil)); !errors.Is(err, store.ErrLevelFull) {
		t.Errorf("got error %v, want ErrLevelFull", err)
	}
	m.SetFull(false)
	old := m.Copy()
	broken := errors.New("broken")
	m.Fail(broken)
	_ = m.Tick()
	m.Fail(nil)
	if _, err := m.Get(k); !errors.Is(err, broken) {
		t.Errorf("after another failure: got error %v, want the same again", err)
	}
	if m = m.Reopen(); m.Online() != nil || m.Tick() != nil {
		t.Error("a poisoned store stays poisoned after reopening")
	}
	old.RollBack()
	if v, err := old.Get(k); err != nil || string(v) != "v" || !old.RolledBack() {
		t.Error("a copy does not keep what it was made of")
	}
	if err := errors.Join(old.Online(), old.AcceptRollback(nil)); err != nil || old.RolledBack() {
		t.Error("accepting has no effect")
	}
	if !old.Copy().RolledBack() {
		t.Error("accepting is durable without a tick")
	}
	if err := old.Tick(); err != nil || old.Reopen().RolledBack() {
		t.Error("accepting does not become durable")
	}
}
