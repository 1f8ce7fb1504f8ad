package p2p

// Add makes the pair known and, while the network runs, makes its host. Adding
// the same secrets under the same handle again does nothing; other secrets under
// a known handle, or a known network key under another handle, are refused,
// because the gate finds a pair by its network key. The keys are copied: the
// caller may wipe its own.
func (n *Network) Add(p Pair) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	if n.state == ended {
		return ErrClosed
	}
	if known := n.pairs[p.Handle]; known != nil {
		if known.same(p) {
			return nil
		}
		return ErrPairExists
	}
	for _, known := range n.pairs {
		if known.Network.Equal(p.Network) {
			return ErrPairExists
		}
	}
	made, err := newPair(p, n.cfg.MaxPerPair)
	if err != nil {
		return err
	}
	if n.state == running {
		if err := made.start(n.hooks, n.deliver); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pairs[p.Handle] = made
	return nil
}

// Remove closes the pair's host and all its connections and forgets its keys.
// Removing an unknown pair does nothing.
func (n *Network) Remove(h Handle) {
	n.changing.Lock()
	defer n.changing.Unlock()
	n.mu.Lock()
	p := n.pairs[h]
	delete(n.pairs, h)
	n.mu.Unlock()
	if p != nil {
		p.close()
	}
}

func (n *Network) find(h Handle) *pair {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.pairs[h]
}
