package store

import (
	"iter"

	"github.com/backchannel/backchannel/protocol/vault"
)

// A View is one level that is open and not shown. Who writes the vault over a level
// has to do in it what a session that shows it would do by itself: else what was not
// done tells that it was not the deepest. A View ends when passphrases are changed.
type View struct {
	store  *Store
	n      int
	staged uint64
	over   bool // guarded by the store's mu
}

// Beneath returns the levels that are open and not shown, the shallowest first.
func (s *Store) Beneath() []*View {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	depth := s.vault.Depth() - 1
	list := make([]*View, 0, depth)
	for n := range depth {
		v := &View{s, n, s.vault.Level(n).Durable(), false}
		list, s.views = append(list, v), append(s.views, v)
	}
	return list
}

func (s *Store) view(n int, staged uint64) *View {
	v := &View{s, n, staged, false}
	s.mu.Lock()
	s.views = append(s.views, v)
	s.mu.Unlock()
	return v
}

// of returns the level of a view, nil being the one that is shown. The caller holds
// mu.
func (s *Store) of(v *View) (*vault.Level, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if v == nil {
		return s.level(), nil
	}
	if v.over {
		return nil, ErrClosed
	}
	return s.vault.Level(v.n), nil
}

// endViews is called when the levels get other numbers. The caller holds mu.
func (s *Store) endViews() {
	for _, v := range s.views {
		v.over = true
	}
	s.views = nil
}

// Get is [Store.Get] in that level.
func (v *View) Get(k Key) ([]byte, error) { return v.store.get(v, k) }

// Scan is [Store.Scan] in that level.
func (v *View) Scan(kind Kind, object [16]byte) iter.Seq2[Record, error] {
	return v.store.scan(v, func(l *vault.Level) []Key { return l.Keys(kind, object) })
}

// ScanKind is [Store.ScanKind] in that level.
func (v *View) ScanKind(kind Kind) iter.Seq2[Record, error] {
	return v.store.scan(v, func(l *vault.Level) []Key { return l.KindKeys(kind) })
}

// Stage is [Store.Stage] in that level.
func (v *View) Stage(writes ...Write) error {
	if len(writes) == 0 {
		return nil
	}
	if err := CheckWrites(writes); err != nil {
		return err
	}
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	ticket, err := v.store.stage(v, func(l *vault.Level) (uint64, error) { return l.Stage(writes) })
	v.staged = max(v.staged, ticket)
	return err
}
