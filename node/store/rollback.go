package store

import (
	"iter"

	"github.com/backchannel/backchannel/protocol/vault"
)

// RolledBack reports that records are missing or old, or that the counter cannot
// vouch for them. What is there is authentic and may be read and written, but
// nothing may be sent that must not be sent twice. It stays true, over any number
// of opens and ticks, until AcceptRollback. It speaks of the deepest open level.
func (s *Store) RolledBack() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.vault.Depth() - 1
	return !s.closed && s.level().RolledBack() && !s.accepts(n)
}

// AcceptRollback takes the present records as they are, in every open level that is
// rolled back. Call it after staging whatever must not be taken up again in the
// deepest; for the others giveUp does that, level by level. They cannot be left as
// they are: ticks over a level that stays marked would show that it is not the
// deepest that is open.
//
// It becomes durable with the first tick after the one that makes what was staged
// durable, or with Purge or Rekey: if the process dies before, the next Open is
// rolled back still.
func (s *Store) AcceptRollback(giveUp func(*View) error) error {
	s.mu.Lock()
	depth, err := s.vault.Depth(), s.writable()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for n := range depth {
		marked, staged, err := s.marked(n)
		if err != nil {
			return err
		}
		if !marked {
			continue
		}
		if n < depth-1 {
			v := &View{s, n, staged}
			if err := giveUp(v); err != nil {
				return err
			}
			staged = v.staged
		}
		s.mu.Lock()
		if s.accepting == nil {
			s.accepting = make([]uint64, depth)
		}
		s.accepting[n] = staged + 1
		s.mu.Unlock()
	}
	return nil
}

// marked reports whether a level is rolled back and nobody accepted it, and the last
// ticket of that level.
func (s *Store) marked(n int) (marked bool, staged uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return false, 0, err
	}
	l := s.vault.Level(n)
	if staged = l.Durable(); l == s.level() {
		staged = s.staged
	}
	return l.RolledBack() && !s.accepts(n), staged, nil
}

// accepts reports whether a rollback of a level is accepted, and the disk does not
// know yet. The caller holds mu.
func (s *Store) accepts(n int) bool { return n < len(s.accepting) && s.accepting[n] > 0 }

// acceptDurable takes the marks off those levels of which the disk has what had to
// come before, or off all. The caller holds mu.
func (s *Store) acceptDurable(all bool) {
	for n, after := range s.accepting {
		if l := s.vault.Level(n); after > 0 && (all || l.Durable()+1 >= after) {
			l.AcceptRollback()
			s.accepting[n] = 0
		}
	}
}

// acceptLater takes acceptDurable back. The caller holds mu.
func (s *Store) acceptLater(accepting []uint64) {
	for n, after := range accepting {
		if after > 0 {
			s.vault.Level(n).Suspect()
		}
	}
	s.accepting = accepting
}

// A View is one level that is open and not shown. It is for AcceptRollback alone.
type View struct {
	store  *Store
	n      int
	staged uint64
}

// Get is [Store.Get] in that level.
func (v *View) Get(k Key) ([]byte, error) { return v.store.get(v.n, k) }

// Scan is [Store.Scan] in that level.
func (v *View) Scan(kind Kind, object [16]byte) iter.Seq2[Record, error] {
	return v.store.scan(v.n, func(l *vault.Level) []Key { return l.Keys(kind, object) })
}

// ScanKind is [Store.ScanKind] in that level.
func (v *View) ScanKind(kind Kind) iter.Seq2[Record, error] {
	return v.store.scan(v.n, func(l *vault.Level) []Key { return l.KindKeys(kind) })
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
	ticket, err := v.store.stage(v.n, func(l *vault.Level) (uint64, error) { return l.Stage(writes) })
	v.staged = max(v.staged, ticket)
	return err
}
