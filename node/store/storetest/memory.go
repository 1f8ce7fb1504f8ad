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
// one and can fail, crash and roll back when told to.
type Memory struct {
	mu          sync.Mutex // guards all below
	now         map[store.Key][]byte
	disk        map[store.Key][]byte // as of the last tick
	pass        []byte
	staged      uint64
	durable     uint64
	ticks       int
	rolledBack  bool // as the disk has it
	accepting   bool
	acceptAfter uint64
	online      bool
	closed      bool
	full        bool
	fail        error
	poisoned    error
}

// NewMemory returns an empty store, open for reading as after Open.
func NewMemory() *Memory {
	return &Memory{now: map[store.Key][]byte{}, disk: map[store.Key][]byte{}, pass: []byte(Passphrase)}
}

// Reopen returns a store with what was durable, as after Close or a crash and
// Open. It closes m and drops what Fail and SetFull set.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.copyDisk()
}

// Copy is Reopen, but m goes on. With RollBack it plays a backup that is put back.
func (m *Memory) Copy() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copyDisk()
}

func (m *Memory) copyDisk() *Memory {
	return &Memory{
		now: maps.Clone(m.disk), disk: maps.Clone(m.disk), pass: m.pass,
		staged: m.durable, durable: m.durable, rolledBack: m.rolledBack,
	}
}

// RollBack makes the store say that it is rolled back, until AcceptRollback.
func (m *Memory) RollBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rolledBack, m.accepting = true, false
}

// Fail makes the next ticks fail with err and write nothing; nil ends that. Unless
// err is store.ErrFull, the first that fails poisons the store.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// SetFull makes Stage refuse every commit with store.ErrLevelFull.
func (m *Memory) SetFull(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

// Ticks returns how many ticks there were since the store was opened.
func (m *Memory) Ticks() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ticks
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

// Get implements Store.
func (m *Memory) Get(k store.Key) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return nil, err
	}
	v, ok := m.now[k]
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
		keys := slices.SortedFunc(maps.Keys(m.now), store.Key.Compare)
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
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writable(); err != nil {
		return 0, err
	}
	if m.full {
		return 0, store.ErrLevelFull
	}
	for _, w := range writes {
		if w.Delete {
			delete(m.now, w.Key)
		} else {
			m.now[w.Key] = bytes.Clone(w.Value)
		}
	}
	if len(writes) > 0 {
		m.staged++
	}
	return m.staged, nil
}

// DropObject implements Store.
func (m *Memory) DropObject(object [16]byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writable(); err != nil {
		return 0, err
	}
	maps.DeleteFunc(m.now, func(k store.Key, _ []byte) bool { return k.Object == object })
	m.staged++
	return m.staged, nil
}

// Durable implements Store.
func (m *Memory) Durable() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durable
}

// Tick implements Store. Everything that was staged is durable after it.
func (m *Memory) Tick() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writable(); err != nil {
		return err
	}
	if m.fail != nil {
		if !errors.Is(m.fail, store.ErrFull) {
			m.poisoned = m.fail
		}
		return m.fail
	}
	m.ticks++
	if m.accepting && m.durable >= m.acceptAfter {
		m.rolledBack, m.accepting = false, false
	}
	m.write()
	return nil
}

func (m *Memory) write() { m.disk, m.durable = maps.Clone(m.now), m.staged }

// Opens implements Store; see Passphrase.
func (m *Memory) Opens(passphrase []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usable() == nil && bytes.Equal(passphrase, m.pass)
}

// Match says Shown where Opens is true.
func (m *Memory) Match(passphrase []byte, _ string) (store.Match, error) {
	if m.Opens(passphrase) {
		return store.Shown, nil
	}
	return store.Nothing, nil
}

// Size is that of the smallest store.
func (m *Memory) Size() int64 { return 8192 * store.PageSize }

// Usage implements Store. A page has room for 4,000 bytes.
func (m *Memory) Usage() store.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := store.Usage{Limit: 1 << 20}
	for _, v := range m.now {
		u.Bytes += len(v)
	}
	u.Pages = (u.Bytes + 3999) / 4000
	return u
}

// RolledBack implements Store.
func (m *Memory) RolledBack() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rolledBack && !m.accepting
}

// Beneath implements Store: there is one level.
func (m *Memory) Beneath() []*store.View { return nil }

// AcceptRollback implements Store.
func (m *Memory) AcceptRollback(func(*store.View) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writable(); err != nil || !m.rolledBack {
		return err
	}
	m.accepting, m.acceptAfter = true, m.staged
	return nil
}

// Purge implements Store.
func (m *Memory) Purge() error { return m.Rekey() }

// Rotate is Purge: there is no key file.
func (m *Memory) Rotate() error { return m.Rekey() }

// TakeKeyFile implements node.Store: what is in memory needs none.
func (m *Memory) TakeKeyFile(string) error { return m.Rekey() }

// Rekey implements Store. The first passphrase is what Opens then knows.
func (m *Memory) Rekey(passphrases ...[]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writable(); err != nil {
		return err
	}
	if m.fail != nil {
		return m.fail
	}
	if len(passphrases) > 0 {
		m.pass = bytes.Clone(passphrases[0])
	}
	if m.accepting {
		m.rolledBack, m.accepting = false, false
	}
	m.write()
	return nil
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
