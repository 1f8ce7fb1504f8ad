package communique

import (
	"crypto/ed25519"
	"crypto/sha512"
	"io"
	"strings"

	"filippo.io/edwards25519"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// KeyWords is how many words name a publication key: 88 bits. Nobody searches for
// a key with the words of another; for the first three alone, somebody would.
const KeyWords = 8

// A Key is a publication key: the one kind of key in the project whose signatures
// convince everybody. It is made for communiqués and used for nothing else. The
// zero Key is empty.
type Key struct {
	seed   secret.Key
	public PublicKey
}

// A PublicKey is the public half of a [Key], as RFC 8032 encodes it.
type PublicKey [32]byte

// NewKey draws a publication key.
func NewKey(random io.Reader) (Key, error) {
	seed, err := secret.Read(random)
	if err != nil {
		return Key{}, err
	}
	return KeyFromSeed(seed), nil
}

// KeyFromSeed returns the key that belongs to an Ed25519 seed. It shares the
// seed's bytes: wiping one wipes the other.
func KeyFromSeed(seed secret.Key) Key {
	private := ed25519.NewKeyFromSeed(seed.Bytes())
	defer clear(private)
	return Key{seed: seed, public: PublicKey(private[ed25519.SeedSize:])}
}

// Seed returns what is stored of the key.
func (k Key) Seed() secret.Key { return k.seed }

// Public returns the public half.
func (k Key) Public() PublicKey { return k.public }

// scalar is the private scalar of RFC 8032 §5.1.5.
func (k Key) scalar() *edwards25519.Scalar {
	h := sha512.Sum512(k.seed.Bytes())
	defer clear(h[:])
	a, err := new(edwards25519.Scalar).SetBytesWithClamping(h[:32])
	if err != nil {
		panic("communique: 32 bytes are a scalar")
	}
	return a
}

// Check reports whether p is the canonical encoding of a point of the prime-order
// group. Only for such keys do all verifiers of Ed25519 agree.
func (p PublicKey) Check() error {
	if _, err := decodePoint(p); err != nil {
		return ErrKey
	}
	return nil
}

// Words names the key, to be read aloud and compared by a way that the other
// side does not control.
func (p PublicKey) Words() [KeyWords]string {
	h := label.Hash(label.CommuniqueWords, p[:])
	var words [KeyWords]string
	for i := range words {
		var n uint16
		for bit := 11 * i; bit < 11*(i+1); bit++ {
			n = n<<1 | uint16(h[bit/8]>>(7-bit%8)&1)
		}
		words[i] = identity.WordAt(n)
	}
	return words
}

// String is the words of the key, joined by hyphens.
func (p PublicKey) String() string {
	words := p.Words()
	return strings.Join(words[:], "-")
}
