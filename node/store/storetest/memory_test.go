package storetest_test

import (
	"errors"
	"testing"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
)

type memoryHarness struct{ m *storetest.Memory }

func (h *memoryHarness) Open(passphrase []byte) (storetest.Store, error) {
	m := h.m.Reopen()
	if !m.Opens(passphrase) {
		return nil, store.ErrPassphrase
	}
	h.m = m
	return h.m, nil
}

func (*memoryHarness) Crash(s storetest.Store) error { return s.Close() }

func (*memoryHarness) Passphrase() []byte { return []byte(storetest.Passphrase) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness { return &memoryHarness{storetest.NewMemory()} })
}

func TestMemoryFailsAsTold(t *testing.T) {
	m := storetest.NewMemory()
	k := storetest.Key(1, 1, 1)
	m.Fail(store.ErrFull)
	if err := m.Commit(storetest.Put(k, nil)); !errors.Is(err, store.ErrFull) {
		t.Errorf("got error %v, want ErrFull", err)
	}
	m.Fail(nil)
	if err := m.Commit(storetest.Put(k, []byte("v"))); err != nil {
		t.Errorf("after a full disk: %v", err)
	}
	old := m.Copy()
	broken := errors.New("broken")
	m.Fail(broken)
	_ = m.Commit(storetest.Drop(k))
	m.Fail(nil)
	if _, err := m.Get(k); !errors.Is(err, broken) {
		t.Errorf("after another failure: got error %v, want the same again", err)
	}
	if m = m.Reopen(); m.Commit(storetest.Drop(k)) != nil {
		t.Error("a poisoned store stays poisoned after reopening")
	}
	old.RollBack()
	if v, err := old.Get(k); err != nil || string(v) != "v" || !old.RolledBack() {
		t.Error("a copy does not keep what it was made of")
	}
	if err := old.AcceptRollback(); err != nil || old.RolledBack() {
		t.Error("accepting has no effect")
	}
	if old = old.Reopen(); !old.RolledBack() {
		t.Error("what was accepted is written without a tick")
	}
}
