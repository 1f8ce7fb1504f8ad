package shuttle

import (
	"crypto/subtle"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// drawn is all that one side draws: its private half of the key exchange, and the
// nonce of its commitment. It depends on the offer, and for the second on what the
// first sent: a random source that repeats itself commits to two offers under two
// nonces, and seals nothing twice under one key.
type drawn struct {
	x     []byte
	coins []byte // the first's KEM seed 64, the second's encapsulation coins 32
	nonce []byte
}

func drawFirst(coins secret.Key, id ID, offer []byte) drawn {
	out := label.Derive(label.ShuttleCoins, coins.Bytes(), nil, 32+kem.SeedSize+32, []byte{byte(First)}, id[:], offer)
	return drawn{out[:32], out[32 : 32+kem.SeedSize], out[32+kem.SeedSize:]}
}

func drawSecond(coins secret.Key, id ID, offer, first []byte) drawn {
	out := label.Derive(label.ShuttleCoins, coins.Bytes(), nil, 32+kem.CoinsSize+32, []byte{byte(Second)}, id[:], offer, first)
	return drawn{out[:32], out[32 : 32+kem.CoinsSize], out[32+kem.CoinsSize:]}
}

func (d drawn) wipe() {
	clear(d.x)
	clear(d.coins)
	clear(d.nonce)
}

// firstBody is the first's share and commitment.
func (d drawn) firstBody(offer []byte) ([]byte, error) {
	public, err := handshake.PublicKey(d.x)
	if err != nil {
		return nil, err
	}
	share := append(public[:], kem.Public((*[kem.SeedSize]byte)(d.coins))[:]...)
	c := commitFirst(share, d.nonce, offer)
	return append(share, c[:]...), nil
}

// checkFirst refuses a first's share that nothing could be sealed under.
func checkFirst(first []byte) error {
	scalar := make([]byte, 32) // any: a point is refused by its order
	scalar[0] = 8
	if _, err := handshake.Exchange(scalar, first[:32]); err != nil {
		return ErrRefused
	}
	if kem.Check((*[kem.PublicSize]byte)(first[32:])) != nil {
		return ErrRefused
	}
	return nil
}

func commitFirst(share, nonce, offer []byte) [32]byte {
	return label.Hash(label.ShuttleCommit, []byte{byte(First)}, share, nonce, offer)
}

// commitSecond is bound to all that the first sent, so it is worth nothing in any
// other exchange.
func commitSecond(first, share, nonce, offer []byte) [32]byte {
	return label.Hash(label.ShuttleCommit, []byte{byte(Second)}, first, share, nonce, offer)
}

// secondBody is the second's share and commitment, and what it shares with the
// first from now on.
func (d drawn) secondBody(first, offer []byte, shared secret.Key) ([]byte, keys, error) {
	public, err := handshake.PublicKey(d.x)
	if err != nil {
		return nil, keys{}, err
	}
	dh, err := handshake.Exchange(d.x, first[:32])
	if err != nil {
		return nil, keys{}, ErrRefused
	}
	defer clear(dh)
	ct, ss, err := kem.Encapsulate((*[kem.PublicSize]byte)(first[32:]), (*[kem.CoinsSize]byte)(d.coins))
	if err != nil {
		return nil, keys{}, ErrRefused
	}
	defer ss.Wipe()
	share := append(public[:], ct[:]...)
	c := commitSecond(first, share, d.nonce, offer)
	body := slices.Concat(share, c[:])
	return body, newKeys(first, body, ss, dh, shared), nil
}

// meet is what the first shares with the second once it has his share.
func (d drawn) meet(first, second []byte, shared secret.Key) (keys, error) {
	dh, err := handshake.Exchange(d.x, second[:32])
	if err != nil {
		return keys{}, ErrRefused
	}
	defer clear(dh)
	ss := kem.Decapsulate((*[kem.SeedSize]byte)(d.coins), (*[kem.CiphertextSize]byte)(second[32:]))
	defer ss.Wipe()
	return newKeys(first, second, ss, dh, shared), nil
}

// keys is what both have when both have committed.
type keys struct {
	transcript [32]byte
	openings   [2]secret.Key // of the first and of the second
}

func newKeys(first, second []byte, ss secret.Key, dh []byte, shared secret.Key) keys {
	k := keys{transcript: label.Hash(label.ShuttleTranscript, first, second)}
	both := slices.Concat(ss.Bytes(), dh)
	defer clear(both)
	var salt []byte
	if !shared.IsZero() {
		salt = shared.Bytes()
	}
	out := label.Derive(label.ShuttleKey, both, salt, 2*secret.Size, k.transcript[:])
	defer clear(out)
	k.openings = [2]secret.Key{secret.FromBytes(out[:32]), secret.FromBytes(out[32:])}
	return k
}

func (k keys) wipe() {
	k.openings[0].Wipe()
	k.openings[1].Wipe()
}

// seal seals an opening. Each key seals one: nonce and offer are under the
// transcript that it comes from.
func (k keys) seal(role Role, nonce, offer []byte) []byte {
	plain := append(append(make([]byte, 0, openedSize), nonce...), offer...)
	defer clear(plain)
	a, err := chacha20poly1305.New(k.openings[role-First].Bytes())
	if err != nil {
		panic("shuttle: a key has 32 bytes")
	}
	return a.Seal(nil, make([]byte, chacha20poly1305.NonceSize), plain, nil)
}

// open opens the opening of a side, and holds it against the commitment.
func (k keys) open(role Role, sealed, first, second []byte) (nonce [32]byte, offer string, err error) {
	a, err := chacha20poly1305.New(k.openings[role-First].Bytes())
	if err != nil {
		panic("shuttle: a key has 32 bytes")
	}
	plain, err := a.Open(nil, make([]byte, chacha20poly1305.NonceSize), sealed, nil)
	if err != nil {
		return nonce, "", ErrRefused
	}
	defer clear(plain)
	body, c := first, commitFirst(first[:firstSize-commitSize], plain[:32], plain[32:])
	if role == Second {
		body, c = second, commitSecond(first, second[:secondSize-commitSize], plain[:32], plain[32:])
	}
	if subtle.ConstantTimeCompare(c[:], body[len(body)-commitSize:]) != 1 {
		return nonce, "", ErrRefused
	}
	if offer, err = parseOffer(plain[32:]); err != nil {
		return nonce, "", err
	}
	return [32]byte(plain), offer, nil
}
