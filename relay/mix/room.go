package mix

// A party is those who share a part of the pool.
type party int

const (
	own     party = iota // this relay's loops
	clients              // principals
	relays
	parties
)

// passing is a source as a key. Go clears the key of an entry that is deleted only if there
// is a pointer in it; else the name of a client would lie in the map until another took
// its place.
type passing struct {
	Source
	_ *byte
}

func (m *Machine) partyOf(s Source) party {
	switch {
	case s.Client:
		return clients
	case s.ID == m.cfg.ID:
		return own
	}
	return relays
}

// part is how many packets of a party the pool holds at most. Nobody else can take that
// room: neither clients that of relays, nor all of them that of this relay's loops.
func (m *Machine) part(p party) int {
	loops := max(1, m.cfg.Pool/ownPart)
	principals := max(1, m.cfg.Pool/clientPart)
	switch p {
	case own:
		return loops
	case clients:
		return principals
	case relays, parties:
	}
	return max(1, m.cfg.Pool-loops-principals)
}

// room reports whether one more packet of a source is let in. A relay may hold as much
// of its party's part as is left free of it; a client one part in 64 of what is left, and
// no more than Config.PerClient. So n relays that flood hold an n+1st each, and leave
// one; and four thousand clients leave some packets to each of the others.
func (m *Machine) room(from Source) (Reason, bool) {
	p := m.partyOf(from)
	free := m.part(p) - m.held[p]
	if free <= 0 {
		return PoolFull, false
	}
	most := free
	if p == clients {
		most = min(m.cfg.PerClient, share(free, clientShare))
	}
	if m.sources[passing{Source: from}] >= most {
		return ShareFull, false
	}
	return 0, true
}

// left takes note that a packet of a source is not in the pool any more. Who has none
// there is not known here.
func (m *Machine) left(from Source) {
	key := passing{Source: from}
	if m.sources[key]--; m.sources[key] == 0 {
		delete(m.sources, key)
	}
	m.held[m.partyOf(from)]--
}
