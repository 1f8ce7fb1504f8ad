package handshake

import (
	"github.com/flynn/noise"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/secret"
)

// An InitiatorRun waits for m2. It is made anew from the same coins after a
// restart, and used once.
type InitiatorRun struct {
	hs     *noise.HandshakeState
	pair   secret.Key
	seed   *[kem.SeedSize]byte
	public *[kem.PublicSize]byte

	ephemeral secret.Key
}

// Initiate starts a handshake and returns m1. The same config and coins give the
// same m1; the coins are 32 random bytes, drawn for this attempt alone.
func Initiate(cfg Config, seed secret.Key) (*InitiatorRun, *Message, error) {
	hs, err := cfg.state(Initiator, seed)
	if err != nil {
		return nil, nil, err
	}
	r := &InitiatorRun{hs: hs, pair: cfg.Pair, seed: coins{seed}.kemSeed(), ephemeral: Ephemeral(seed)}
	r.public = kem.Public(r.seed)
	m1, _, _, err := write(hs, r.public[:])
	if err != nil {
		return nil, nil, err
	}
	return r, m1, nil
}

// Finish reads m2 and returns m3 and the session. The peer has proved itself.
// After an error the run is spent: rebuild it for the next m2.
func (r *InitiatorRun) Finish(m2 *Message) (*Message, *Session, error) {
	if r.hs == nil {
		return nil, nil, ErrHandshake
	}
	hs := r.hs
	r.hs = nil
	defer clear(r.seed[:])
	payload, _, _, err := read(hs, m2, kem.CiphertextSize+dhSize+kem.PublicSize)
	if err != nil {
		return nil, nil, err
	}
	ct := (*[kem.CiphertextSize]byte)(payload)
	s := &Session{Prekeys: Prekeys{
		DH:  [dhSize]byte(payload[kem.CiphertextSize:]),
		KEM: [kem.PublicSize]byte(payload[kem.CiphertextSize+dhSize:]),
	}}
	// Prekeys that nothing could be sealed to are refused here, not at the first
	// text.
	if _, err := Exchange(r.ephemeral.Bytes(), s.Prekeys.DH[:]); err != nil || kem.Check(&s.Prekeys.KEM) != nil {
		return nil, nil, ErrHandshake
	}
	shared := kem.Decapsulate(r.seed, ct)
	defer shared.Wipe()
	if err := hs.SetPresharedKey(kemPSK(shared, hs.ChannelBinding(), r.public[:], ct[:])); err != nil {
		return nil, nil, ErrHandshake
	}
	m3, cs1, cs2, err := write(hs, nil)
	if err != nil {
		return nil, nil, err
	}
	s.derive(cs1.UnsafeKey(), cs2.UnsafeKey(), hs.ChannelBinding(), r.pair)
	return m3, s, nil
}
