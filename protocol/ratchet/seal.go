package ratchet

import (
	"encoding/binary"
	"math"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Sealed is what a sender keeps of a cell until it is acknowledged: with the
// body it makes the same cell again, and nothing else.
type Sealed struct {
	Header  [SealedHeaderSize]byte
	Message secret.Key
}

// Cell rebuilds the cell from the body that was sealed.
func (s *Sealed) Cell(body *[wire.FrameSize]byte) *wire.Cell {
	var cell wire.Cell
	copy(cell[:], s.Header[:])
	sealBody(&cell, s.Message, body)
	return &cell
}

// Binding names the session that the state belongs to.
func (s *State) Binding() [32]byte { return s.binding }

// Seal seals a body. It returns the next state, which must be stored before the
// cell leaves, the cell, and what rebuilds it. The coins are 32 random bytes for
// this call alone; they are hedged with the keys of the state, so that bad ones
// cost only what they must.
func (s *State) Seal(coins secret.Key, body *[wire.FrameSize]byte) (*State, *wire.Cell, *Sealed, error) {
	if !s.Ready() {
		return nil, nil, nil, ErrNotReady
	}
	next := *s
	if next.stepDue {
		if err := next.stepSend(coins); err != nil {
			return nil, nil, nil, err
		}
	}
	if next.sent == math.MaxUint32 {
		return nil, nil, nil, ErrExhausted
	}
	var sealed Sealed
	sealed.Message, next.sendChain = chainStep(next.sendChain)
	n := next.sent
	next.sent++

	var cell wire.Cell
	fillNonce(&cell, sealed.Message, hedge(coins, s.root, "nonce", 32), body)
	header := next.appendHeader(cell[nonceSize:nonceSize], n)
	aead(next.sendHeader).Seal(header[:0], cell[:nonceSize], header, s.binding[:])
	copy(sealed.Header[:], cell[:])
	sealBody(&cell, sealed.Message, body)
	return &next, &cell, &sealed, nil
}

// fillNonce makes the nonce of a cell. Its start does not depend on the body: so what a
// receiver keeps of it says nothing of what the cell said. Its end does, so that no two
// bodies have one nonce, whatever the randomness.
func fillNonce(cell *wire.Cell, message secret.Key, random []byte, body *[wire.FrameSize]byte) {
	start := label.MAC(label.RatchetNonce, message.Bytes(), random)
	end := label.MAC(label.RatchetNonce, message.Bytes(), random, body[:])
	copy(cell[:NonceStart], start[:])
	copy(cell[NonceStart:nonceSize], end[:])
}

// stepSend takes the sending half of a ratchet step: new own keys, and an
// encapsulation to the peer's.
func (s *State) stepSend(coins secret.Key) error {
	s.previous, s.sent = s.sent, 0
	s.sendHeader = s.nextSendHeader
	dh := hedge(coins, s.root, "dh", dhSize)
	s.dhPrivate = secret.FromBytes(dh)
	s.kemSeed = secret.FromBytes(hedge(coins, s.root, "kem", secret.Size))
	ct, shared, err := kem.Encapsulate(s.peerKEM, (*[kem.CoinsSize]byte)(hedge(coins, s.root, "encapsulation", kem.CoinsSize)))
	if err != nil {
		return ErrOpen // checked when the peer's keys came
	}
	defer shared.Wipe()
	exchanged, err := handshake.Exchange(dh, s.peerDH[:])
	if err != nil {
		return ErrOpen
	}
	defer clear(exchanged)
	if s.ownDH, err = handshake.PublicKey(dh); err != nil {
		return ErrOpen
	}
	s.ownKEM, s.ownCT = kem.Public(kem.Expand(s.kemSeed)), ct
	s.root, s.sendChain, s.nextSendHeader = rootStep(s.root, exchanged, shared)
	s.stepDue = false
	return nil
}

// appendHeader appends the plain header of message n of the sending chain.
func (s *State) appendHeader(b []byte, n uint32) []byte {
	b = append(b, s.ownDH[:]...)
	b = append(b, s.ownKEM[:]...)
	b = append(b, s.ownCT[:]...)
	b = binary.BigEndian.AppendUint32(b, s.previous)
	return binary.BigEndian.AppendUint32(b, n)
}

// hedge derives one value from the coins and a secret of the state.
func hedge(coins, root secret.Key, what string, n int) []byte {
	return label.Derive(label.RatchetCoins, coins.Bytes(), root.Bytes(), n, []byte(what))
}
