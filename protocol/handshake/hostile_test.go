package handshake

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/flynn/noise"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// altered returns the Noise state of an initiator whose program is another one.
func altered(t *testing.T, cfg Config, change func(*noise.Config)) *noise.HandshakeState {
	t.Helper()
	own, err := PublicKey(cfg.Static.Bytes())
	fatal(t, err)
	psk, err := cfg.firstPSK()
	fatal(t, err)
	nc := noise.Config{
		CipherSuite: noise.NewCipherSuite(x25519{Exchange}, noise.CipherChaChaPoly, noise.HashSHA256),
		Random:      bytes.NewReader(bytes.Repeat([]byte{3}, 64)), Initiator: true, Pattern: mutualPattern,
		Prologue: prologue(cfg.Mode, cfg.LocalCard, cfg.PeerCard), PresharedKey: psk, PresharedKeyPlacement: 3,
		StaticKeypair: noise.DHKey{Private: cfg.Static.Bytes(), Public: own[:]}, PeerStatic: cfg.PeerStatic[:],
	}
	if cfg.Mode == Strict {
		nc.Pattern, nc.StaticKeypair, nc.PeerStatic = strictPattern, noise.DHKey{}, nil
	}
	if change != nil {
		change(&nc)
	}
	hs, err := noise.NewHandshakeState(nc)
	fatal(t, err)
	return hs
}

// TestNothingIsNegotiated starts with another version, another suite, and without
// the place where ML-KEM is mixed in. None is answered: there is no list that
// somebody on the way could shorten.
func TestNothingIsNegotiated(t *testing.T) {
	for _, mode := range []Mode{Mutual, Strict} {
		a, b := known(t, mode)
		answered := func(change func(*noise.Config)) bool {
			m1, _, _, err := write(altered(t, a, change), kem.Public(new([kem.SeedSize]byte))[:])
			fatal(t, err)
			_, _, err = Respond(b, drawn(11), m1)
			if err != nil && !errors.Is(err, ErrHandshake) {
				t.Errorf("%v: not the one error: %v", mode, err)
			}
			return err == nil
		}
		if !answered(nil) {
			t.Fatalf("%v: this program's own start is refused: the rest would prove nothing", mode)
		}
		suite := func(c noise.CipherFunc, h noise.HashFunc) func(*noise.Config) {
			return func(nc *noise.Config) { nc.CipherSuite = noise.NewCipherSuite(x25519{Exchange}, c, h) }
		}
		version := func(v byte, m Mode) func(*noise.Config) {
			p := label.Hash(label.HandshakePrologue, []byte{v, byte(m)}, a.LocalCard[:], a.PeerCard[:])
			return func(nc *noise.Config) { nc.Prologue = p[:] }
		}
		for what, change := range map[string]func(*noise.Config){
			"an older version": version(Version-1, mode),
			"a newer version":  version(Version+1, mode),
			"the other mode":   version(Version, Mutual+Strict-mode),
			"no prologue":      func(nc *noise.Config) { nc.Prologue = nil },
			"AES-GCM":          suite(noise.CipherAESGCM, noise.HashSHA256),
			"BLAKE2s":          suite(noise.CipherChaChaPoly, noise.HashBLAKE2s),
			"ML-KEM one message earlier": func(nc *noise.Config) {
				nc.PresharedKeyPlacement = 2
			},
			"no ML-KEM": func(nc *noise.Config) {
				nc.Pattern.Messages = nc.Pattern.Messages[:2]
				nc.PresharedKeyPlacement = 2
			},
		} {
			if answered(change) {
				t.Errorf("%v: %s is answered", mode, what)
			}
		}
	}
}

// lowOrder are all points of low order and every way to write them in 32 bytes.
func lowOrder(t *testing.T) (points [][32]byte) {
	t.Helper()
	for _, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		p := [32]byte(prototest.Unhex(t, s))
		high := p
		high[31] |= 0x80
		points = append(points, p, high)
	}
	return points
}

// fixed is an X25519 whose key pairs have a public key of the attacker's choice,
// and with it a secret that everybody knows: zero.
type fixed struct {
	x25519
	point [32]byte
}

func (f fixed) GenerateKeypair(r io.Reader) (noise.DHKey, error) {
	k, err := f.x25519.GenerateKeypair(r)
	k.Public = f.point[:]
	return k, err
}

// TestPointsOfLowOrder has somebody who knows every long-term secret come with an
// ephemeral key of low order, so that what is agreed on would be known: refused at
// the exchange itself, in either role, before anything is mixed.
func TestPointsOfLowOrder(t *testing.T) {
	for _, mode := range []Mode{Mutual, Strict} {
		a, b := known(t, mode)
		for _, p := range lowOrder(t) {
			met := 0
			watched := b
			watched.Exchange = func(private, public []byte) ([]byte, error) {
				out, err := Exchange(private, public)
				if bytes.Equal(public, p[:]) {
					if met++; err == nil {
						t.Errorf("%v: an exchange with %x gives something", mode, p)
					}
				}
				return out, err
			}
			hs := altered(t, a, func(nc *noise.Config) {
				zero := func(private, public []byte) ([]byte, error) {
					if bytes.Equal(public, b.publicKey(t)) && !bytes.Equal(private, a.Static.Bytes()) {
						return make([]byte, dhSize), nil // es, of a point of low order
					}
					return Exchange(private, public)
				}
				nc.CipherSuite = noise.NewCipherSuite(fixed{x25519{zero}, p}, noise.CipherChaChaPoly, noise.HashSHA256)
			})
			m1, _, _, err := write(hs, kem.Public(new([kem.SeedSize]byte))[:])
			fatal(t, err)
			if _, _, err := Respond(watched, drawn(11), m1); !errors.Is(err, ErrHandshake) || met != 1 {
				t.Errorf("%v: m1 with %x: %v after %d exchanges", mode, p, err, met)
			}

			// And as the ephemeral key of m2.
			met = 0
			looking := a
			looking.Exchange = watched.Exchange
			run, good, err := Initiate(looking, drawn(10))
			fatal(t, err)
			_, m2, err := Respond(b, drawn(11), good)
			fatal(t, err)
			copy(m2[:], p[:])
			if _, _, err := run.Finish(m2); !errors.Is(err, ErrHandshake) || met != 1 {
				t.Errorf("%v: m2 with %x: %v after %d exchanges", mode, p, err, met)
			}
		}
	}
}

func (c Config) publicKey(t *testing.T) []byte {
	t.Helper()
	p, err := PublicKey(c.Static.Bytes())
	fatal(t, err)
	return p[:]
}

// TestKeysAreTheirBytes states the rule for a key that can be written in two ways:
// X25519 looks past the highest bit, the transcript does not. Two who have the same
// bytes agree, two who have not, do not; and one's own key is one's own only as it
// is written.
func TestKeysAreTheirBytes(t *testing.T) {
	high := func(k [dhSize]byte) [dhSize]byte { k[31] ^= 0x80; return k }
	shake := func(a, b Config) bool {
		initiator, m1, err := Initiate(a, drawn(10))
		if err != nil {
			return false
		}
		responder, m2, err := Respond(b, drawn(11), m1)
		if err != nil {
			return false
		}
		m3, _, err := initiator.Finish(m2)
		if err != nil {
			return false
		}
		_, err = responder.Finish(m3)
		return err == nil
	}
	a, b := known(t, Mutual)
	if !shake(a, b) {
		t.Fatal("two who know each other do not agree: the rest would prove nothing")
	}
	both := a
	both.StaticPublic = high(b.PeerStatic)
	other := b
	other.PeerStatic = high(b.PeerStatic)
	if !shake(both, other) {
		t.Error("the same bytes on both sides, and they do not agree")
	}
	if shake(a, other) || shake(both, b) {
		t.Error("two who have other bytes agree")
	}
	for _, mode := range []Mode{Mutual, Strict} {
		a, _ := known(t, mode)
		_, m1, err := Initiate(a, drawn(10))
		fatal(t, err)
		mine, err := PublicKey(a.Static.Bytes())
		fatal(t, err)
		swapped := a
		swapped.LocalCard, swapped.PeerCard = a.PeerCard, a.LocalCard
		oneself, otherwise := swapped, swapped
		oneself.PeerStatic, otherwise.PeerStatic = mine, high(mine)
		for what, mirror := range map[string]Config{
			"its own message": a, "it as its own peer": oneself, "it as its own peer, written otherwise": otherwise,
		} {
			if _, _, err := Respond(mirror, drawn(11), m1); !errors.Is(err, ErrHandshake) {
				t.Errorf("%v: a machine answers %s: %v", mode, what, err)
			}
		}
		talking := a // to itself, with both cards its own
		talking.PeerStatic = mine
		if _, _, err := Initiate(talking, drawn(10)); !errors.Is(err, ErrHandshake) || shake(talking, oneself) {
			t.Errorf("%v: a machine begins with itself: %v", mode, err)
		}
	}
}

// answering plays a responder that puts into m2 what it likes, and reports whether
// the initiator goes on, and whether the responder then comes to a session.
func answering(t *testing.T, mode Mode, change func(ct, dh, ek []byte)) (goesOn, ends bool) {
	t.Helper()
	a, b := known(t, mode)
	initiator, m1, err := Initiate(a, drawn(10))
	fatal(t, err)
	hs, err := b.state(Responder, drawn(11))
	fatal(t, err)
	ek, _, _, err := read(hs, m1, kem.PublicSize)
	fatal(t, err)
	ct, shared, err := kem.Encapsulate((*[kem.PublicSize]byte)(ek), new([kem.CoinsSize]byte))
	fatal(t, err)
	dh, err := PublicKey(drawn(12).Bytes())
	fatal(t, err)
	sent, prekey := *ct, kem.Public(new([kem.SeedSize]byte))
	change(sent[:], dh[:], prekey[:])
	m2, _, _, err := write(hs, bytes.Join([][]byte{sent[:], dh[:], prekey[:]}, nil))
	fatal(t, err)
	fatal(t, hs.SetPresharedKey(kemPSK(shared, hs.ChannelBinding(), ek, ct[:])))
	m3, _, err := initiator.Finish(m2)
	if err != nil {
		if !errors.Is(err, ErrHandshake) {
			t.Errorf("not the one error: %v", err)
		}
		return false, false
	}
	_, _, _, err = read(hs, m3, 0)
	return true, err == nil
}

// TestKEMKeysAndCiphertexts comes with keys that are not canonical, which are
// refused, and with a ciphertext that was altered inside: ML-KEM says nothing, and
// the two do not agree.
func TestKEMKeysAndCiphertexts(t *testing.T) {
	tooLarge := func(ek []byte) { ek[0], ek[1] = 0xff, ek[1]|0x0f } // a coefficient of 4095
	for _, mode := range []Mode{Mutual, Strict} {
		for what, c := range map[string]struct {
			change       func(ct, dh, ek []byte)
			goesOn, ends bool
		}{
			"as it should be":            {func(_, _, _ []byte) {}, true, true},
			"an altered ciphertext":      {func(ct, _, _ []byte) { ct[7] ^= 1 }, true, false},
			"a ciphertext of zeros":      {func(ct, _, _ []byte) { clear(ct) }, true, false},
			"a prekey of low order":      {func(_, dh, _ []byte) { clear(dh) }, false, false},
			"a prekey not canonical":     {func(_, _, ek []byte) { tooLarge(ek) }, false, false},
			"the last coefficient large": {func(_, _, ek []byte) { ek[1150], ek[1151] = 0xf0|ek[1150], 0xff }, false, false},
		} {
			if goesOn, ends := answering(t, mode, c.change); goesOn != c.goesOn || ends != c.ends {
				t.Errorf("%v, %s: goes on %v, ends in a session %v", mode, what, goesOn, ends)
			}
		}
		a, b := known(t, mode)
		for _, bad := range []bool{false, true} {
			ek := *kem.Public(new([kem.SeedSize]byte))
			if bad {
				tooLarge(ek[:])
			}
			m1, _, _, err := write(altered(t, a, nil), ek[:])
			fatal(t, err)
			if _, _, err := Respond(b, drawn(11), m1); (err == nil) == bad || bad && !errors.Is(err, ErrHandshake) {
				t.Errorf("%v: m1 with a key that is not canonical, %v: %v", mode, bad, err)
			}
		}
	}
}
