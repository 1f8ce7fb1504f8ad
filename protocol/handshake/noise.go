package handshake

import (
	"bytes"
	"io"

	curve "github.com/cloudflare/circl/dh/x25519"
	"github.com/flynn/noise"

	"github.com/backchannel/backchannel/protocol/secret"
)

// mutualPattern is KKpsk0 with a third, bare message; the library appends psk3
// to it. flynn/noise takes one psk position, so psk0 is written out here and the
// key is exchanged between the messages.
var mutualPattern = noise.HandshakePattern{
	Name:                 "KKpsk0+",
	InitiatorPreMessages: []noise.MessagePattern{noise.MessagePatternS},
	ResponderPreMessages: []noise.MessagePattern{noise.MessagePatternS},
	Messages: [][]noise.MessagePattern{
		{noise.MessagePatternPSK, noise.MessagePatternE, noise.MessagePatternDHES, noise.MessagePatternDHSS},
		{noise.MessagePatternE, noise.MessagePatternDHEE, noise.MessagePatternDHSE},
		{},
	},
}

var strictPattern = noise.HandshakePattern{
	Name: "NNpsk0+",
	Messages: [][]noise.MessagePattern{
		{noise.MessagePatternPSK, noise.MessagePatternE},
		{noise.MessagePatternE, noise.MessagePatternDHEE},
		{},
	},
}

// x25519 is the DH function for flynn/noise on circl, which takes a third of the
// time of the library's own and refuses points of low order as well.
// GenerateKeypair does not generate: the ephemeral key comes from the coins.
type x25519 struct {
	exchange func(private, public []byte) ([]byte, error)
}

func (x25519) DHLen() int     { return dhSize }
func (x25519) DHName() string { return "25519" }

func (x x25519) GenerateKeypair(ephemeral io.Reader) (noise.DHKey, error) {
	private := make([]byte, dhSize)
	if _, err := io.ReadFull(ephemeral, private); err != nil {
		return noise.DHKey{}, ErrHandshake
	}
	public, err := PublicKey(private)
	if err != nil {
		return noise.DHKey{}, err
	}
	return noise.DHKey{Private: private, Public: public[:]}, nil
}

func (x x25519) DH(private, public []byte) ([]byte, error) { return x.exchange(private, public) }

// Exchange is X25519 (RFC 7748). A public key of low order is refused.
func Exchange(private, public []byte) ([]byte, error) {
	if len(private) != dhSize || len(public) != dhSize {
		return nil, ErrHandshake
	}
	var shared, sk, pk curve.Key
	copy(sk[:], private)
	copy(pk[:], public)
	defer clear(sk[:])
	if !curve.Shared(&shared, &sk, &pk) {
		return nil, ErrHandshake
	}
	return shared[:], nil
}

// PublicKey returns the X25519 public key of a private one.
func PublicKey(private []byte) ([dhSize]byte, error) {
	if len(private) != dhSize {
		return [dhSize]byte{}, ErrHandshake
	}
	var public, sk curve.Key
	copy(sk[:], private)
	defer clear(sk[:])
	curve.KeyGen(&public, &sk)
	return public, nil
}

func (c Config) exchange() func(private, public []byte) ([]byte, error) {
	if c.Exchange != nil {
		return c.Exchange
	}
	return Exchange
}

// state makes a fresh Noise state: one for every attempt, since flynn/noise does
// not restore all of a state after a refused message.
func (c Config) state(role Role, seed secret.Key) (*noise.HandshakeState, error) {
	own := c.StaticPublic
	if own == [dhSize]byte{} {
		var err error
		if own, err = PublicKey(c.Static.Bytes()); err != nil {
			return nil, err
		}
	}
	if own == c.PeerStatic {
		return nil, ErrHandshake // reflection: a session with oneself
	}
	psk, err := c.firstPSK()
	if err != nil {
		return nil, err
	}
	defer clear(psk)
	cfg := noise.Config{
		CipherSuite:           noise.NewCipherSuite(x25519{c.exchange()}, noise.CipherChaChaPoly, noise.HashSHA256),
		Random:                bytes.NewReader(coins{seed}.ephemeral()),
		Initiator:             role == Initiator,
		PresharedKey:          psk,
		PresharedKeyPlacement: 3,
	}
	if role == Initiator {
		cfg.Prologue = prologue(c.Mode, c.LocalCard, c.PeerCard)
	} else {
		cfg.Prologue = prologue(c.Mode, c.PeerCard, c.LocalCard)
	}
	switch c.Mode {
	case Mutual:
		cfg.Pattern = mutualPattern
		cfg.StaticKeypair = noise.DHKey{Private: c.Static.Bytes(), Public: own[:]}
		cfg.PeerStatic = c.PeerStatic[:]
	case Strict:
		cfg.Pattern = strictPattern
	default:
		return nil, ErrHandshake
	}
	hs, err := noise.NewHandshakeState(cfg)
	if err != nil {
		return nil, ErrHandshake
	}
	return hs, nil
}

// write pads the payload with zeros so that the message has its one size, and
// writes it.
func write(hs *noise.HandshakeState, payload []byte) (*Message, *noise.CipherState, *noise.CipherState, error) {
	size := MessageSize - tagSize
	if hs.MessageIndex() < 2 {
		size -= dhSize
	}
	padded := make([]byte, size)
	copy(padded, payload)
	out, cs1, cs2, err := hs.WriteMessage(make([]byte, 0, MessageSize), padded)
	if err != nil || len(out) != MessageSize {
		return nil, nil, nil, ErrHandshake
	}
	return (*Message)(out), cs1, cs2, nil
}

// read opens a message and returns the first n bytes of its payload; all others
// must be zero.
func read(hs *noise.HandshakeState, m *Message, n int) ([]byte, *noise.CipherState, *noise.CipherState, error) {
	payload, cs1, cs2, err := hs.ReadMessage(nil, m[:])
	if err != nil || len(payload) < n {
		return nil, nil, nil, ErrHandshake
	}
	for _, b := range payload[n:] {
		if b != 0 {
			return nil, nil, nil, ErrHandshake
		}
	}
	return payload[:n], cs1, cs2, nil
}
