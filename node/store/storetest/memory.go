package storetest

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/backchannel/backchannel/node/store"
)

// Passphrase is the one that every Memory answers to.
const Passphrase = "a passphrase for tests"

// A Memory is a store that keeps nothing. It obeys the same suite as the real
// one and can fail and roll back when told to.
type Memory struct {
	mu         sync.Mutex // guards all below
	records    map[store.Key][]byte
	rolledBack bool
	closed     bool
	fail       error
	poisoned   error
}

// NewMemory returns an empty, open store.
func NewMemory() *Memory { return &Memory{records: make(map[store.Key][]byte)} }

// Reopen returns a store with the same records, as after Close and Open. It
// closes m and drops the error that Fail set.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return &Memory{records: m.records, rolledBack: m.rolledBack}
}

// Copy returns an open store with a copy of the present records. With RollBack
// it plays a backup that is put back.
func (m *Memory) Copy() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{records: maps.Clone(m.records), rolledBack: m.rolledBack}
}

// RollBack makes the store say that it is rolled back, until AcceptRollback.
func (m *Memory) RollBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rolledBack = true
}

// Fail makes the next commits fail with err and do nothing; nil ends that.
// Unless err is store.ErrFull, the first that fails poisons the store.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *Memory) usable() error {
	if m.closed {
		return store.ErrClosed
	}
	return m.poisoned
}

// Get implements Store.
func (m *Memory) Get(k store.Key) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return nil, err
	}
	v, ok := m.records[k]
	if !ok {
		return nil, store.ErrNotFound
	}
	return bytes.Clone(v), nil
}

// Scan implements Store.
func (m *Memory) Scan(kind store.Kind, object [16]byte) iter.Seq2[store.Record, error] {
	return m.scan(func(k store.Key) bool { return k.Kind == kind && k.Object == object })
}

// ScanKind implements Store.
func (m *Memory) ScanKind(kind store.Kind) iter.Seq2[store.Record, error] {
	return m.scan(func(k store.Key) bool { return k.Kind == kind })
}

func (m *Memory) scan(match func(store.Key) bool) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		m.mu.Lock()
		err := m.usable()
		keys := slices.SortedFunc(maps.Keys(m.records), store.Key.Compare)
		m.mu.Unlock()
		if err != nil {
			yield(store.Record{}, err)
			return
		}
		for _, k := range keys {
			if !match(k) {
				continue
			}
			v, err := m.Get(k)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if !yield(store.Record{Key: k, Value: v}, err) || err != nil {
				return
			}
		}
	}
}

// Commit implements Store.
func (m *Memory) Commit(writes ...store.Write) error {
	if err := store.CheckWrites(writes); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil || len(writes) == 0 {
		return err
	}
	if m.fail != nil {
		if !errors.Is(m.fail, store.ErrFull) {
			m.poisoned = m.fail
		}
		return m.fail
	}
	for _, w := range writes {
		if w.Delete {
			delete(m.records, w.Key)
		} else {
			m.records[w.Key] = bytes.Clone(w.Value)
		}
	}
	return nil
}

// Verify implements Store; see Passphrase.
func (m *Memory) Verify(passphrase []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usable() == nil && string(passphrase) == Passphrase
}

// RolledBack implements Store.
func (m *Memory) RolledBack() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rolledBack
}

// AcceptRollback implements Store.
func (m *Memory) AcceptRollback() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return err
	}
	m.rolledBack = false
	return nil
}

// Purge implements Store.
func (m *Memory) Purge() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usable()
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
