package handshake

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A thief is somebody who recorded a handshake and broke all of its secrets but
// one: he runs the responder's own code on what he has. He must not arrive at the
// session, whichever the one is; with all of them he does, so that the test would
// notice a secret that is mixed into nothing. That the last secret cannot be
// computed is what X25519 and ML-KEM promise, and no test's matter.
func TestEachSecretAloneHides(t *testing.T) {
	for _, mode := range []Mode{Mutual, Strict} {
		a, b := known(t, mode)
		coinsA, coinsB := drawn(10), drawn(11)
		initiator, m1, err := Initiate(a, coinsA)
		fatal(t, err)
		calls := 0
		b.Exchange = func(private, public []byte) ([]byte, error) {
			calls++
			return Exchange(private, public)
		}
		responder, m2, err := Respond(b, coinsB, m1)
		fatal(t, err)
		m3, session, err := initiator.Finish(m2)
		fatal(t, err)
		_, err = responder.Finish(m3)
		fatal(t, err)

		thief := func(cfg Config, shared func(secret.Key) secret.Key) bool {
			run, _, err := Respond(cfg, coinsB, m1)
			if err != nil {
				return false
			}
			// m2 of the record, not the thief's own: its body is what he reads.
			again, _, err := Initiate(a, coinsA)
			fatal(t, err)
			ct := ciphertext(t, a, coinsA, m2)
			broken := kem.Decapsulate(again.seed, ct)
			fatal(t, run.hs.SetPresharedKey(kemPSK(shared(broken), run.hs.ChannelBinding(), again.public[:], ct[:])))
			got, err := run.Finish(m3)
			return err == nil && got.Root.Equal(session.Root)
		}
		same := func(k secret.Key) secret.Key { return k }
		other := func(secret.Key) secret.Key { return drawn(99) }
		b.Exchange = nil
		if !thief(b, same) {
			t.Fatalf("%v: with every secret the session is not found: the test shows nothing", mode)
		}
		if thief(b, other) {
			t.Errorf("%v: found without ML-KEM", mode)
		}
		if want := map[Mode]int{Mutual: 4, Strict: 2}[mode]; calls != want {
			t.Fatalf("%v: %d Diffie-Hellman, not %d", mode, calls, want)
		}
		for missing := range calls {
			t.Run(fmt.Sprint(mode, " without X25519 number ", missing), func(t *testing.T) {
				cfg, call := b, 0
				cfg.Exchange = func(private, public []byte) ([]byte, error) {
					out, err := Exchange(private, public)
					if call == missing {
						out = bytes.Repeat([]byte{7}, dhSize)
					}
					call++
					return out, err
				}
				if thief(cfg, same) {
					t.Error("found")
				}
			})
		}
		cfg := b
		cfg.Pair = drawn(98)
		if thief(cfg, same) {
			t.Errorf("%v: found without the pair secret", mode)
		}
	}
}

// ciphertext opens m2 and returns the KEM ciphertext in it.
func ciphertext(t *testing.T, cfg Config, coins secret.Key, m2 *Message) *[kem.CiphertextSize]byte {
	t.Helper()
	run, _, err := Initiate(cfg, coins)
	fatal(t, err)
	payload, _, _, err := read(run.hs, m2, kem.CiphertextSize+dhSize+kem.PublicSize)
	fatal(t, err)
	return (*[kem.CiphertextSize]byte)(payload)
}

func known(t *testing.T, mode Mode) (a, b Config) {
	t.Helper()
	a = Config{Mode: mode, Static: drawn(1), LocalCard: [32]byte{1}, PeerCard: [32]byte{2}, Pair: drawn(3)}
	b = Config{Mode: mode, Static: drawn(2), LocalCard: [32]byte{2}, PeerCard: [32]byte{1}, Pair: drawn(3)}
	var err error
	a.PeerStatic, err = PublicKey(b.Static.Bytes())
	fatal(t, err)
	b.PeerStatic, err = PublicKey(a.Static.Bytes())
	fatal(t, err)
	return a, b
}

func drawn(b byte) secret.Key {
	k, _ := secret.Read(prototest.Reader(b))
	return k
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
