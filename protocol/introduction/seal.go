package introduction

import (
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

const (
	plainSize  = 80 // length 1, an invitation of at most 71 bytes, zeros
	sealedSize = plainSize + chacha20poly1305.Overhead
)

// half is the accepter's private half of the exchange, made anew from its coins
// whenever it is needed.
type half struct {
	x    []byte
	seed *[kem.SeedSize]byte
}

func newHalf(coins secret.Key, id ID) half {
	out := label.Derive(label.IntroductionShare, coins.Bytes(), nil, 32+kem.SeedSize, id[:])
	return half{x: out[:32], seed: (*[kem.SeedSize]byte)(out[32:])}
}

func (h half) wipe() {
	clear(h.x)
	clear(h.seed[:])
}

func (h half) share() ([]byte, error) {
	public, err := handshake.PublicKey(h.x)
	if err != nil {
		return nil, err
	}
	return append(public[:], kem.Public(h.seed)[:]...), nil
}

// sealInvitation seals an invitation for whoever made the share. All that is
// drawn depends on both, so a random source that repeats itself never seals two
// invitations under one key.
func sealInvitation(share []byte, inv identity.Invitation, coins secret.Key) ([]byte, error) {
	raw := inv.Append(nil)
	plain := make([]byte, plainSize)
	defer clear(plain)
	plain[0] = byte(len(raw))
	copy(plain[1:], raw)
	return sealPlain(share, raw, plain, coins)
}

func sealPlain(share, raw, plain []byte, coins secret.Key) ([]byte, error) {
	drawn := label.Derive(label.IntroductionReply, coins.Bytes(), nil, 32+kem.CoinsSize, share, raw)
	defer clear(drawn)
	public, err := handshake.PublicKey(drawn[:32])
	if err != nil {
		return nil, err
	}
	dh, err := handshake.Exchange(drawn[:32], share[:32])
	if err != nil {
		return nil, ErrRefused
	}
	defer clear(dh)
	ct, shared, err := kem.Encapsulate((*[kem.PublicSize]byte)(share[32:]), (*[kem.CoinsSize]byte)(drawn[32:]))
	if err != nil {
		return nil, ErrRefused
	}
	defer shared.Wipe()
	reply := append(public[:], ct[:]...)
	return sealer(dh, shared, share, reply).Seal(reply, make([]byte, chacha20poly1305.NonceSize), plain, nil), nil
}

// openInvitation opens what sealInvitation made for the share of h.
func (h half) openInvitation(reply []byte) (identity.Invitation, error) {
	share, err := h.share()
	if err != nil {
		return identity.Invitation{}, err
	}
	dh, err := handshake.Exchange(h.x, reply[:32])
	if err != nil {
		return identity.Invitation{}, ErrRefused
	}
	defer clear(dh)
	shared := kem.Decapsulate(h.seed, (*[kem.CiphertextSize]byte)(reply[32:]))
	defer shared.Wipe()
	head, sealed := reply[:32+kem.CiphertextSize], reply[32+kem.CiphertextSize:]
	plain, err := sealer(dh, shared, share, head).Open(nil, make([]byte, chacha20poly1305.NonceSize), sealed, nil)
	if err != nil {
		return identity.Invitation{}, ErrRefused
	}
	defer clear(plain)
	n := int(plain[0])
	if n >= plainSize {
		return identity.Invitation{}, ErrFormat
	}
	for _, b := range plain[1+n:] {
		if b != 0 {
			return identity.Invitation{}, ErrFormat
		}
	}
	inv, err := identity.ParseBinary(plain[1 : 1+n])
	if err != nil {
		return identity.Invitation{}, ErrFormat
	}
	return inv, nil
}

type aead interface {
	Seal(dst, nonce, plaintext, data []byte) []byte
	Open(dst, nonce, ciphertext, data []byte) ([]byte, error)
}

// sealer is the cipher under the key of both halves. Either of both secrets that
// stays unknown hides the key.
func sealer(dh []byte, shared secret.Key, share, head []byte) aead {
	both := slices.Concat(shared.Bytes(), dh)
	defer clear(both)
	key := label.Derive(label.IntroductionKey, both, nil, chacha20poly1305.KeySize, share, head)
	defer clear(key)
	a, err := chacha20poly1305.New(key)
	if err != nil {
		panic(fmt.Sprintf("introduction: a key of %d bytes", len(key)))
	}
	return a
}
