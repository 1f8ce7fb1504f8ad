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

// Passphrase is the one that every new Memory answers to.
const Passphrase = "a passphrase for tests"

// A Memory is a store that keeps nothing. It obeys the same suite as the real
// one and can fail, crash and roll back when told to.
type Memory struct {
	mu         sync.Mutex // guards all below
	records    map[store.Key][]byte
	saved      map[store.Key][]byte // what a tick has written
	changed    map[store.Key]bool   // since the last tick
	staged     uint64
	durable    uint64
	passphrase string
	rolledBack bool
	accepting  bool
	online     bool
	closed     bool
	fail       error
	poisoned   error
}

// NewMemory returns an empty, open store that is offline.
func NewMemory() *Memory {
	return &Memory{records: map[store.Key][]byte{}, saved: map[store.Key][]byte{}, changed: map[store.Key]bool{}, passphrase: Passphrase}
}

// Reopen returns a store with what was durable, as after a crash and Open. It
// closes m and drops the error that Fail set.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return &Memory{
		records: maps.Clone(m.saved), saved: m.saved, changed: map[store.Key]bool{}, staged: m.durable, durable: m.durable,
		passphrase: m.passphrase, rolledBack: m.rolledBack,
	}
}

// Copy returns an open store with a copy of the present records. With RollBack
// it plays a backup that is put back.
func (m *Memory) Copy() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{
		records: maps.Clone(m.records), saved: maps.Clone(m.saved), changed: maps.Clone(m.changed), staged: m.staged, durable: m.durable,
		passphrase: m.passphrase, rolledBack: m.rolledBack, online: m.online,
	}
}

// RollBack makes the store say that it is rolled back, until AcceptRollback.
func (m *Memory) RollBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rolledBack = true
}

// Fail makes the next ticks fail with err and do nothing, and with store.ErrFull
// the next commits, too; nil ends that. Unless err is store.ErrFull, the first tick
// that fails poisons the store.
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

func (m *Memory) writable() error {
	if err := m.usable(); err != nil {
		return err
	}
	if !m.online {
		return store.ErrOffline
	}
	return nil
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

// Online implements Store.
func (m *Memory) Online() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return err
	}
	m.online = true
	return nil
}

// Commit goes online, stages the writes and ticks.
func (m *Memory) Commit(writes ...store.Write) error {
	if err := m.Online(); err != nil {
		return err
	}
	if _, err := m.Stage(writes...); err != nil {
		return err
	}
	return m.Tick()
}

// Stage implements Store.
func (m *Memory) Stage(writes ...store.Write) (uint64, error) {
	if err := store.CheckWrites(writes); err != nil {
		return 0, err
	}
	return m.stage(func() bool {
		for _, w := range writes {
			m.changed[w.Key] = true
			if w.Delete {
				delete(m.records, w.Key)
			} else {
				m.records[w.Key] = bytes.Clone(w.Value)
			}
		}
		return len(writes) > 0
	})
}

// DropObject implements Store.
func (m *Memory) DropObject(object [16]byte) (uint64, error) {
	return m.stage(func() bool {
		for k := range m.records {
			if k.Object == object {
				m.changed[k] = true
				delete(m.records, k)
			}
		}
		return true
	})
}

func (m *Memory) stage(f func() bool) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writable(); err != nil {
		return 0, err
	}
	if errors.Is(m.fail, store.ErrFull) {
		return 0, m.fail
	}
	if f() {
		m.staged++
	}
	return m.staged, nil
}

// Durable implements Store.
func (m *Memory) Durable() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durable
}

// Tick implements Store.
func (m *Memory) Tick() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tick()
}

func (m *Memory) tick() error {
	if err := m.writable(); err != nil {
		return err
	}
	if m.fail != nil {
		if !errors.Is(m.fail, store.ErrFull) {
			m.poisoned = m.fail
		}
		return m.fail
	}
	for k := range m.changed {
		if v, ok := m.records[k]; ok {
			m.saved[k] = v
		} else {
			delete(m.saved, k)
		}
	}
	clear(m.changed)
	m.durable = m.staged
	if m.accepting {
		m.rolledBack, m.accepting = false, false
	}
	return nil
}

// Opens implements Store; see Passphrase.
func (m *Memory) Opens(passphrase []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usable() == nil && string(passphrase) == m.passphrase
}

// RolledBack implements Store.
func (m *Memory) RolledBack() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rolledBack && !m.accepting
}

// AcceptRollback implements Store.
func (m *Memory) AcceptRollback() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil || !m.rolledBack {
		return err
	}
	if err := m.writable(); err != nil {
		return err
	}
	m.accepting = true
	return nil
}

// Purge implements Store.
func (m *Memory) Purge() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tick()
}

// Rekey implements Store.
func (m *Memory) Rekey(passphrases ...[]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.tick(); err != nil {
		return err
	}
	m.passphrase = string(passphrases[0])
	return nil
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
