package store

// AcceptRollback makes the present records the state that the next Open expects,
// once everything that was staged until now is on the disk. Call it after dropping,
// with Stage, whatever must not be taken up again. It writes nothing: ticks do. If
// the process dies before them, the next Open is rolled back still.
func (s *Store) AcceptRollback() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	flagged := false
	for n := range s.vault.Depth() {
		flagged = flagged || s.vault.Level(n).RolledBack()
	}
	if !flagged {
		return nil
	}
	if err := s.writable(); err != nil {
		return err
	}
	s.accepting, s.acceptAt = true, s.staged
	return nil
}

// accept has the next tick write down what AcceptRollback has accepted: of the
// shallower levels, where nothing is staged, at once.
func (s *Store) accept() {
	if !s.accepting {
		return
	}
	for n := range s.vault.Depth() - 1 {
		s.vault.Level(n).AcceptRollback()
	}
	if s.durable >= s.acceptAt {
		s.level().AcceptRollback()
		s.accepting = false
	}
}
