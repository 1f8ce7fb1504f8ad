package store

// Stage commits, and the ticket is durable when it returns.
func (s *Store) Stage(writes ...Write) (ticket uint64, err error) {
	if err := s.Commit(writes...); err != nil {
		return 0, err
	}
	return s.Durable(), nil
}

// Durable returns the last ticket.
func (s *Store) Durable() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.generation
}

// Tick does nothing: whatever was staged is on the disk.
func (s *Store) Tick() error { return nil }

// Online does nothing.
func (s *Store) Online() error { return nil }

// Opens reports whether this is the passphrase of the store.
func (s *Store) Opens(passphrase []byte) bool { return s.Verify(passphrase) }
