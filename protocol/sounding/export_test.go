package sounding

// Own is the entry that holds a topic of the owner.
func (s *Sounding) Own(topic byte) (entry int) {
	for i, t := range s.topics {
		if t == topic {
			return i
		}
	}
	return -1
}

// Alive reports which pairs agree so far.
func (s *Sounding) Alive() uint64 { return s.alive }

// Forgotten reports whether the scalars are gone from memory too.
func (s *Sounding) Forgotten() bool { return s.scalars == [Entries][32]byte{} }
