package ratchet

import (
	"encoding/binary"
	"slices"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Open opens a cell and returns the next state and the body. On any error the
// state is what it was: all is worked out on a copy. The day (days since 1970)
// serves only to forget old keys; a clock that jumps loses at most those.
//
// At most 202 header keys are tried, whatever the cell.
func (s *State) Open(cell *wire.Cell, day uint32) (*State, *[wire.FrameSize]byte, error) {
	if next, body, err := s.openSkipped(cell); err == nil {
		return next, body, nil
	}
	next := *s
	next.skipped = forget(slices.Clone(s.skipped), day)
	h, current := openHeader(s.receiveHeader, cell, s.binding)
	if !current {
		var ok bool
		if h, ok = openHeader(s.nextReceiveHeader, cell, s.binding); !ok {
			return nil, nil, ErrOpen
		}
		if err := next.skipTo(h.previous, day); err != nil {
			return nil, nil, err
		}
		if err := next.stepReceive(h); err != nil {
			return nil, nil, err
		}
	}
	if err := next.skipTo(h.n, day); err != nil {
		return nil, nil, err
	}
	if h.n != next.received {
		return nil, nil, ErrOpen // seen before
	}
	var message secret.Key
	message, next.receiveChain = chainStep(next.receiveChain)
	next.received++
	defer message.Wipe()
	body, err := openBody(cell, message)
	if err != nil {
		return nil, nil, err
	}
	return &next, body, nil
}

// Header names a cell within its session: the chain it belongs to and its place
// there. Two cells with one name and different nonces come from a machine that
// was put back to an older state.
type Header struct {
	Chain [dhSize]byte
	N     uint32
}

// Peek opens the header of a cell under the keys of now, whether or not its body
// can be opened still.
func (s *State) Peek(cell *wire.Cell) (Header, bool) {
	for _, key := range append(s.oldChains(), s.receiveHeader, s.nextReceiveHeader) {
		if h, ok := openHeader(key, cell, s.binding); ok {
			return Header{Chain: h.dh, N: h.n}, true
		}
	}
	return Header{}, false
}

type header struct {
	dh          [dhSize]byte
	kem         [kem.PublicSize]byte
	ct          [kem.CiphertextSize]byte
	previous, n uint32
}

func openHeader(key secret.Key, cell *wire.Cell, binding [32]byte) (*header, bool) {
	if key.IsZero() {
		return nil, false
	}
	b, err := aead(key).Open(nil, cell[:nonceSize], cell[nonceSize:SealedHeaderSize], binding[:])
	if err != nil {
		return nil, false
	}
	h := &header{}
	b = b[copy(h.dh[:], b):]
	b = b[copy(h.kem[:], b):]
	b = b[copy(h.ct[:], b):]
	h.previous, h.n = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	return h, true
}

// openSkipped tries the keys of messages that were missing. Each distinct header
// key is tried once.
func (s *State) openSkipped(cell *wire.Cell) (*State, *[wire.FrameSize]byte, error) {
	for _, key := range s.oldChains() {
		h, ok := openHeader(key, cell, s.binding)
		if !ok {
			continue
		}
		i := slices.IndexFunc(s.skipped, func(k skippedKey) bool { return k.n == h.n && k.header.Equal(key) })
		if i < 0 {
			break // of a chain that is known, but not missing
		}
		body, err := openBody(cell, s.skipped[i].key)
		if err != nil {
			return nil, nil, err
		}
		next := *s
		next.skipped = slices.Delete(slices.Clone(s.skipped), i, i+1)
		return &next, body, nil
	}
	return nil, nil, ErrOpen
}

// oldChains returns the distinct header keys of the skipped messages.
func (s *State) oldChains() []secret.Key {
	var keys []secret.Key
	for _, k := range s.skipped {
		if !slices.ContainsFunc(keys, k.header.Equal) {
			keys = append(keys, k.header)
		}
	}
	return keys
}

// skipTo stores the keys of the messages of the receiving chain before n.
func (s *State) skipTo(n, day uint32) error {
	if s.receiveChain.IsZero() || n <= s.received {
		return nil
	}
	if n-s.received > MaxSkip {
		return ErrOpen // refused before a single key is derived
	}
	for s.received < n {
		k := skippedKey{header: s.receiveHeader, n: s.received, day: day}
		k.key, s.receiveChain = chainStep(s.receiveChain)
		s.skipped = append(s.skipped, k)
		s.received++
	}
	s.bound()
	return nil
}

// bound drops the oldest skipped keys beyond the limits on keys and on chains.
func (s *State) bound() {
	if extra := len(s.skipped) - MaxStored; extra > 0 {
		s.skipped = slices.Delete(s.skipped, 0, extra)
	}
	for chains := s.oldChains(); len(chains) > maxOldChains; chains = chains[1:] {
		s.skipped = slices.DeleteFunc(s.skipped, func(k skippedKey) bool { return k.header.Equal(chains[0]) })
	}
}

// forget drops the keys that are older than MaxDays.
func forget(keys []skippedKey, day uint32) []skippedKey {
	return slices.DeleteFunc(keys, func(k skippedKey) bool { return day > k.day && day-k.day > MaxDays })
}

// stepReceive takes the receiving half of a ratchet step.
func (s *State) stepReceive(h *header) error {
	if s.dhPrivate.IsZero() || s.stepDue {
		return ErrOpen // the peer cannot step twice without a cell of ours
	}
	if err := kem.Check(&h.kem); err != nil {
		return ErrOpen
	}
	exchanged, err := handshake.Exchange(s.dhPrivate.Bytes(), h.dh[:])
	if err != nil {
		return ErrOpen
	}
	defer clear(exchanged)
	shared := kem.Decapsulate(kem.Expand(s.kemSeed), &h.ct)
	defer shared.Wipe()
	s.peerDH, s.peerKEM = h.dh, &h.kem
	s.receiveHeader, s.received = s.nextReceiveHeader, 0
	s.root, s.receiveChain, s.nextReceiveHeader = rootStep(s.root, exchanged, shared)
	s.stepDue = true
	return nil
}
