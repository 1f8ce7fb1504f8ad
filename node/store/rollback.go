package store

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
			v := s.view(n, staged)
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
