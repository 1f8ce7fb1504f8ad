package communique

import (
	"crypto/ed25519"
	"crypto/sha512"

	"filippo.io/edwards25519"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A preSignature (R', s') under an adaptor point T = tB becomes the Ed25519
// signature (R' + T, s' + t). Without t it is nothing: everybody can make one for
// any public key, if he may choose T.
type preSignature struct {
	nonce  [32]byte // R'
	scalar [32]byte // s'
}

// uniform derives a scalar from the seed of a key, the coins of an exchange and
// everything that the scalar is for. Two signed texts or two adaptor points never
// share one, if the coins repeat neither: and where all is the same, so is the
// challenge, and nothing new is told.
func uniform(l label.Label, k Key, coins secret.Key, context ...[]byte) *edwards25519.Scalar {
	b := label.Derive(l, k.seed.Bytes(), coins.Bytes(), 64, context...)
	defer clear(b)
	s, err := new(edwards25519.Scalar).SetUniformBytes(b)
	if err != nil {
		panic("communique: 64 bytes are a scalar")
	}
	return s
}

// preSign makes the pre-signature of k on signed under the adaptor point.
func preSign(k Key, coins secret.Key, signed []byte, adaptor [32]byte) (preSignature, error) {
	point, err := decodePoint(adaptor)
	if err != nil {
		return preSignature{}, err
	}
	n := uniform(label.CommuniqueNonce, k, coins, adaptor[:], signed)
	own := new(edwards25519.Point).ScalarBaseMult(n)
	final := new(edwards25519.Point).Add(own, point)
	c := challenge(final, k.public, signed)
	var p preSignature
	copy(p.nonce[:], own.Bytes())
	copy(p.scalar[:], new(edwards25519.Scalar).MultiplyAdd(c, k.scalar(), n).Bytes())
	return p, nil
}

// check reports whether p becomes a signature of pub on signed as soon as somebody
// adds the secret of the adaptor point: s'B = R' + cA.
func (p preSignature) check(pub PublicKey, signed []byte, adaptor [32]byte) error {
	a, err := decodePoint(pub)
	if err != nil {
		return ErrKey
	}
	own, final, err := p.points(adaptor)
	if err != nil {
		return err
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(p.scalar[:])
	if err != nil {
		return ErrPreSignature
	}
	c := challenge(final, pub, signed)
	// R' = s'B - cA
	want := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(c, a.Negate(a), s)
	if want.Equal(own) != 1 {
		return ErrPreSignature
	}
	return nil
}

// points returns the own nonce point R' and that of the signature, R' + T.
func (p preSignature) points(adaptor [32]byte) (own, final *edwards25519.Point, err error) {
	own, err = decodePoint(p.nonce)
	if err != nil {
		return nil, nil, err
	}
	point, err := decodePoint(adaptor)
	if err != nil {
		return nil, nil, err
	}
	final = point.Add(own, point)
	if final.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, nil, ErrPoint
	}
	return own, final, nil
}

// adapt completes the signature with the secret of the adaptor point. It checks
// nothing but encodings: the caller verifies what it made.
func (p preSignature) adapt(t secret.Key, adaptor [32]byte) ([ed25519.SignatureSize]byte, error) {
	var sig [ed25519.SignatureSize]byte
	_, final, err := p.points(adaptor)
	if err != nil {
		return sig, err
	}
	add, err := new(edwards25519.Scalar).SetCanonicalBytes(t.Bytes())
	if err != nil {
		return sig, ErrRelease
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(p.scalar[:])
	if err != nil {
		return sig, ErrPreSignature
	}
	copy(sig[:32], final.Bytes())
	copy(sig[32:], s.Add(s, add).Bytes())
	return sig, nil
}

// extract takes the secret of the adaptor point out of the scalar of a completed
// signature: t = s - s'. It returns ErrRelease unless tB is that point.
func (p preSignature) extract(completed, adaptor [32]byte) (secret.Key, error) {
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(completed[:])
	if err != nil {
		return secret.Key{}, ErrRelease
	}
	pre, err := new(edwards25519.Scalar).SetCanonicalBytes(p.scalar[:])
	if err != nil {
		return secret.Key{}, ErrPreSignature
	}
	t := secret.FromBytes(s.Subtract(s, pre).Bytes())
	if !opens(t, adaptor) {
		return secret.Key{}, ErrRelease
	}
	return t, nil
}

// opens reports whether t is the secret of the adaptor point.
func opens(t secret.Key, adaptor [32]byte) bool {
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(t.Bytes())
	return err == nil && [32]byte(new(edwards25519.Point).ScalarBaseMult(s).Bytes()) == adaptor
}

// challenge is c of RFC 8032 §5.1.6: SHA-512(R ‖ A ‖ M).
func challenge(final *edwards25519.Point, pub PublicKey, signed []byte) *edwards25519.Scalar {
	h := sha512.New()
	h.Write(final.Bytes())
	h.Write(pub[:])
	h.Write(signed)
	c, err := new(edwards25519.Scalar).SetUniformBytes(h.Sum(nil))
	if err != nil {
		panic("communique: 64 bytes are a scalar")
	}
	return c
}

// decodePoint accepts the one encoding of a point of the prime-order group, and
// not the neutral element. An encoding that is not reduced needs no check of its
// own: there are 38, and none of them is of such a point.
func decodePoint(b [32]byte) (*edwards25519.Point, error) {
	p, err := new(edwards25519.Point).SetBytes(b[:])
	if err != nil || p.Equal(edwards25519.NewIdentityPoint()) == 1 || !torsionFree(p) {
		return nil, ErrPoint
	}
	return p, nil
}

// torsionFree reports whether p has no part of small order: LP = 0, reckoned as
// (L-1)P = -P, because L itself is no scalar.
func torsionFree(p *edwards25519.Point) bool {
	one, err := new(edwards25519.Scalar).SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		panic("communique: one is a scalar")
	}
	last := one.Negate(one) // L-1
	q := new(edwards25519.Point).ScalarMult(last, p)
	return q.Add(q, p).Equal(edwards25519.NewIdentityPoint()) == 1
}

// adaptorPoint is T = tB.
func adaptorPoint(t *edwards25519.Scalar) [32]byte {
	return [32]byte(new(edwards25519.Point).ScalarBaseMult(t).Bytes())
}
