package onion

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"

	curve "github.com/cloudflare/circl/dh/x25519"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A PublicKey is what a relay's descriptor says of one epoch. The zero PublicKey
// is none.
type PublicKey struct {
	suite Suite
	b     []byte // X25519 32, then ML-KEM-768 1,184 in suite Hybrid
}

// ParsePublicKey checks the key of a relay: its length, that it is canonical, and
// that its point is not of low order.
func ParsePublicKey(suite Suite, b []byte) (PublicKey, error) {
	if !suite.Valid() || len(b) != suite.Geometry().PublicKey || !canonical(b) {
		return PublicKey{}, ErrFormat
	}
	var shared, one, point curve.Key
	copy(point[:], b)
	if !curve.Shared(&shared, &one, &point) {
		return PublicKey{}, ErrPoint
	}
	if suite == Hybrid && kem.Check((*[kem.PublicSize]byte)(b[exchange:])) != nil {
		return PublicKey{}, ErrFormat
	}
	return PublicKey{suite, bytes.Clone(b)}, nil
}

// Bytes returns the encoding of the key; the caller does not change it.
func (k PublicKey) Bytes() []byte { return k.b }

// canonical reports whether b begins with a number below 2^255 - 19: another
// encoding of a point would open as well as the one.
func canonical(b []byte) bool {
	if b[31] != 0x7f {
		return b[31] < 0x7f
	}
	for _, c := range b[1:31] {
		if c != 0xff {
			return true
		}
	}
	return b[0] < 0xed
}

// A PrivateKey is a relay's for one epoch. It does not change after it was made,
// so that several Relays may share it.
type PrivateKey struct {
	dh     curve.Key
	kem    *kem.Private // nil in suite X25519
	public PublicKey
}

// NewPrivateKey derives the key of an epoch from a fresh random seed.
func NewPrivateKey(suite Suite, seed secret.Key) (*PrivateKey, error) {
	if !suite.Valid() {
		return nil, ErrFormat
	}
	drawn := label.Derive(label.OnionRelay, seed.Bytes(), nil, exchange+kem.SeedSize, []byte{byte(suite)})
	defer clear(drawn)
	k := &PrivateKey{dh: curve.Key(drawn[:exchange])}
	var public curve.Key
	curve.KeyGen(&public, &k.dh)
	k.public = PublicKey{suite, public[:]}
	if suite == Hybrid {
		seed := (*[kem.SeedSize]byte)(drawn[exchange:])
		k.kem = kem.NewPrivate(seed)
		k.public.b = append(k.public.b, kem.Public(seed)[:]...)
	}
	return k, nil
}

// Public returns what a descriptor shows of k.
func (k *PrivateKey) Public() PublicKey { return k.public }

// Wipe clears the key, at the end of its epoch. It opens nothing any more.
func (k *PrivateKey) Wipe() {
	clear(k.dh[:])
	if k.kem != nil {
		k.kem.Wipe()
	}
}

// Format implements [fmt.Formatter] for every verb.
func (*PrivateKey) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }

// hopKeys are what one hop and the sender share for one packet, in the order in
// which they are derived.
type hopKeys struct {
	mac    [32]byte
	stream [32]byte
	wide   [wideKeySize]byte
	delay  Seed
	replay Tag
}

const hopKeysSize = 32 + 32 + wideKeySize + SeedSize + TagSize

// A deriver makes hop keys:
//
//	Derive(onion/keys, shared X25519 ‖ shared ML-KEM ‖ ciphertext ‖ public key ‖ relay, no salt, 224, suite)
//
// which is [label.Derive] in two steps and without its allocations. The relay's
// name is in it, so that one that shows another's key as its own gets nothing.
type deriver struct {
	hash   *hasher
	ikm    []byte
	info   []byte
	secret [sha256.Size]byte // HKDF's key: all of a hop follows from it
	out    [hopKeysSize]byte
}

func newDeriver(suite Suite) *deriver {
	info := label.AppendFramed(nil, []byte(label.OnionKeys), []byte{byte(suite)})
	return &deriver{
		hash: newHasher(),
		ikm:  make([]byte, sharedSize(suite)+suite.Geometry().Ciphertext+suite.Geometry().PublicKey+IDSize),
		info: append(info, 0), // the counter
	}
}

// sharedSize is the length of what the key exchanges of a suite give.
func sharedSize(suite Suite) int {
	if suite == Hybrid {
		return exchange + secret.Size
	}
	return exchange
}

// extract mixes the shared secrets, which already stand at the beginning of ikm,
// with the ciphertext, the key and the relay that they belong to.
func (d *deriver) extract(ciphertext []byte, to Hop) {
	n := sharedSize(to.Key.suite)
	n += copy(d.ikm[n:], ciphertext)
	n += copy(d.ikm[n:], to.Key.b)
	copy(d.ikm[n:], to.ID[:])
	d.hash.mac(&d.secret, nil, d.ikm)
	clear(d.ikm)
}

func (d *deriver) expand(k *hopKeys) {
	d.hash.expand(d.out[:], &d.secret, d.info)
	b := d.out[:]
	b = b[copy(k.mac[:], b):]
	b = b[copy(k.stream[:], b):]
	b = b[copy(k.wide[:], b):]
	b = b[copy(k.delay[:], b):]
	copy(k.replay[:], b)
	clear(d.out[:])
}

// encapsulate makes a ciphertext for a relay from 64 secret bytes, and the keys
// of that hop.
func (d *deriver) encapsulate(k *hopKeys, ciphertext []byte, to Hop, coins *[64]byte) error {
	var shared, private, public, own curve.Key
	defer clear(private[:])
	copy(private[:], coins[:32])
	copy(public[:], to.Key.b)
	curve.KeyGen(&own, &private)
	if !curve.Shared(&shared, &private, &public) {
		return ErrPoint
	}
	copy(d.ikm, shared[:])
	copy(ciphertext, own[:])
	if to.Key.suite == Hybrid {
		ct, ss, err := kem.Encapsulate((*[kem.PublicSize]byte)(to.Key.b[exchange:]), (*[kem.CoinsSize]byte)(coins[32:]))
		if err != nil {
			return ErrFormat
		}
		defer ss.Wipe()
		copy(d.ikm[exchange:], ss.Bytes())
		copy(ciphertext[exchange:], ct[:])
	}
	d.extract(ciphertext, to)
	d.expand(k)
	return nil
}

// decapsulate recovers the keys of a hop, named id, from a ciphertext.
func (d *deriver) decapsulate(k *hopKeys, ciphertext []byte, id ID, key *PrivateKey) error {
	if !canonical(ciphertext) {
		return ErrFormat
	}
	if !curve.Shared((*curve.Key)(d.ikm), &key.dh, (*curve.Key)(ciphertext)) {
		return ErrPoint
	}
	if key.kem != nil {
		key.kem.Decapsulate((*[secret.Size]byte)(d.ikm[exchange:]), (*[kem.CiphertextSize]byte)(ciphertext[exchange:]))
	}
	d.extract(ciphertext, Hop{id, key.public})
	d.expand(k)
	return nil
}
