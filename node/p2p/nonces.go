package p2p

import "sync"

// nonceMemory is how many nonces of a pair are certainly remembered, at least;
// up to twice as many are. A connection uses two, one each way, so a first
// flight cannot be replayed before 2048 later connections of the same pair.
const nonceMemory = 4096

// nonceSet remembers the pnet nonces of one pair, in two generations: when the
// young one is full it becomes the old one, and the old one is forgotten. Only
// a nonce that goes with the pair's network key gets in, so that strangers
// cannot flush it, and each pair has its own, so that other pairs cannot. Age
// plays no part: an old first flight opens the gate as well as a new one.
//
// Both directions count. The two ends encrypt the same header under the same
// key, so without our own nonces in the set a recorder could send back to us
// what we ourselves once sent.
type nonceSet struct {
	mu         sync.Mutex
	young, old map[[nonceSize]byte]struct{} // guarded by mu
}

// add remembers a nonce and reports whether it is new.
func (s *nonceSet) add(nonce [nonceSize]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, seen := s.young[nonce]; seen {
		return false
	}
	if _, seen := s.old[nonce]; seen {
		return false
	}
	if s.young == nil || len(s.young) >= nonceMemory {
		s.old, s.young = s.young, map[[nonceSize]byte]struct{}{}
	}
	s.young[nonce] = struct{}{}
	return true
}
