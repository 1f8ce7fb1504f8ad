package handshake

import (
	"github.com/flynn/noise"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A ResponderRun waits for m3. It is made anew from the same coins and m1 after
// a restart, and used once.
type ResponderRun struct {
	hs      *noise.HandshakeState
	pair    secret.Key
	session *Session
}

// Respond reads m1 and returns m2. The caller must have stored [Seen] of m1,
// atomically and before m2 leaves; the same config, coins and m1 give the same
// m2, so answering a repetition of the pending m1 reveals nothing new.
func Respond(cfg Config, seed secret.Key, m1 *Message) (*ResponderRun, *Message, error) {
	hs, err := cfg.state(Responder, seed)
	if err != nil {
		return nil, nil, err
	}
	payload, _, _, err := read(hs, m1, kem.PublicSize)
	if err != nil {
		return nil, nil, err
	}
	ek := (*[kem.PublicSize]byte)(payload)
	ct, shared, err := kem.Encapsulate(ek, coins{seed}.encapsulation())
	if err != nil {
		return nil, nil, ErrHandshake
	}
	defer shared.Wipe()
	s := &Session{PrekeyDH: coins{seed}.prekeyDH(), PrekeyKEM: coins{seed}.prekeyKEM()}
	if s.Prekeys.DH, err = PublicKey(s.PrekeyDH.Bytes()); err != nil {
		return nil, nil, err
	}
	s.Prekeys.KEM = *kem.Public(kem.Expand(s.PrekeyKEM))

	out := append(append(append([]byte(nil), ct[:]...), s.Prekeys.DH[:]...), s.Prekeys.KEM[:]...)
	m2, _, _, err := write(hs, out)
	if err != nil {
		return nil, nil, err
	}
	if err := hs.SetPresharedKey(kemPSK(shared, hs.ChannelBinding(), ek[:], ct[:])); err != nil {
		return nil, nil, ErrHandshake
	}
	return &ResponderRun{hs: hs, pair: cfg.Pair, session: s}, m2, nil
}

// Finish reads m3 and returns the session. The peer has proved itself. After an
// error the run is spent: rebuild it for the next m3.
func (r *ResponderRun) Finish(m3 *Message) (*Session, error) {
	if r.hs == nil {
		return nil, ErrHandshake
	}
	hs := r.hs
	r.hs = nil
	_, cs1, cs2, err := read(hs, m3, 0)
	if err != nil {
		return nil, err
	}
	r.session.derive(cs1.UnsafeKey(), cs2.UnsafeKey(), hs.ChannelBinding(), r.pair)
	return r.session, nil
}

// Seen is the name under which an answered m1 is remembered for as long as its
// pair secret is kept, so that a recorded m1 is never answered again.
func Seen(m1 *Message) [32]byte { return label.Hash(label.HandshakeSeen, m1[:]) }
