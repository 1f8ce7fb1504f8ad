package communique

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"math/big"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/label"
)

// A second implementation, slow and from the papers: RFC 8032 §5.1 in affine
// coordinates, and Schnorr adaptor signatures as they are defined. It shares no
// line with the first but the hash.

var (
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	groupOrder = func() *big.Int {
		tail, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
		return tail.Add(tail, new(big.Int).Lsh(big.NewInt(1), 252))
	}()
	curveD = func() *big.Int { // -121665/121666
		d := new(big.Int).ModInverse(big.NewInt(121666), fieldPrime)
		return modP(d.Mul(d, big.NewInt(-121665)))
	}()
)

func modP(x *big.Int) *big.Int { return x.Mod(x, fieldPrime) }

func mul(x ...*big.Int) *big.Int {
	out := big.NewInt(1)
	for _, f := range x {
		modP(out.Mul(out, f))
	}
	return out
}

type affine struct{ x, y *big.Int }

func (p affine) add(q affine) affine {
	one := big.NewInt(1)
	k := mul(curveD, p.x, q.x, p.y, q.y)
	over := func(n, d *big.Int) *big.Int { return mul(n, new(big.Int).ModInverse(modP(d), fieldPrime)) }
	return affine{
		over(new(big.Int).Add(mul(p.x, q.y), mul(q.x, p.y)), new(big.Int).Add(one, k)),
		over(new(big.Int).Add(mul(p.y, q.y), mul(p.x, q.x)), new(big.Int).Sub(one, k)),
	}
}

func (p affine) mul(k *big.Int) affine {
	sum := affine{big.NewInt(0), big.NewInt(1)}
	for i := k.BitLen() - 1; i >= 0; i-- {
		sum = sum.add(sum)
		if k.Bit(i) == 1 {
			sum = sum.add(p)
		}
	}
	return sum
}

func (p affine) bytes() [32]byte {
	b := toLittle(p.y)
	b[31] |= byte(p.x.Bit(0) << 7)
	return b
}

func toLittle(x *big.Int) (b [32]byte) {
	x.FillBytes(b[:])
	slices.Reverse(b[:])
	return b
}

func fromLittle(b []byte) *big.Int {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

// decode is RFC 8032 §5.1.3: x² = (y²-1)/(dy²+1).
func decode(t *testing.T, b [32]byte) affine {
	t.Helper()
	sign := uint(b[31] >> 7)
	b[31] &= 0x7f
	y := fromLittle(b[:])
	one := big.NewInt(1)
	yy := mul(y, y)
	d := new(big.Int).ModInverse(modP(new(big.Int).Add(mul(curveD, yy), one)), fieldPrime)
	x := new(big.Int).ModSqrt(mul(modP(new(big.Int).Sub(yy, one)), d), fieldPrime)
	if x == nil {
		t.Fatal("not a point")
	}
	if x.Bit(0) != sign {
		x.Sub(fieldPrime, x)
	}
	return affine{x, y}
}

func basePoint(t *testing.T) affine {
	b := [32]byte(bytes.Repeat([]byte{0x66}, 32))
	b[0] = 0x58
	return decode(t, b)
}

func slowChallenge(n [32]byte, pub PublicKey, signed []byte) *big.Int {
	h := sha512.Sum512(slices.Concat(n[:], pub[:], signed))
	c := fromLittle(h[:])
	return c.Mod(c, groupOrder)
}

func slowScalar(k Key) *big.Int {
	h := sha512.Sum512(k.seed.Bytes())
	h[0] &= 248
	h[31] = h[31]&127 | 64
	return fromLittle(h[:32])
}

// slowNonce is the scalar that a page of the specification derives.
func slowNonce(l label.Label, x *Exchange, context ...[]byte) *big.Int {
	n := fromLittle(label.Derive(l, x.key.seed.Bytes(), x.coins.Bytes(), 64, context...))
	return n.Mod(n, groupOrder)
}

// TestTheSlowImplementationAgrees runs an exchange beside the slow one: adaptor
// point, both pre-signatures, both signatures and the extracted secret.
func TestTheSlowImplementationAgrees(t *testing.T) {
	runs := 6
	if testing.Short() {
		runs = 1
	}
	base := basePoint(t)
	for i := range runs {
		a, b := pair(t, testText, byte(50+i))
		runTo(t, a, b, messageOpenB)
		signed := a.communique().signed()
		secretT := slowNonce(label.CommuniqueAdaptor, a, signed)
		point := base.mul(secretT)
		adaptor := point.bytes()
		type half struct {
			nonce  affine
			scalar *big.Int
			final  [32]byte
		}
		var halves [2]half
		for k, x := range []*Exchange{a, b} {
			n := slowNonce(label.CommuniqueNonce, x, adaptor[:], signed)
			own := base.mul(n)
			final := own.add(point).bytes()
			s := new(big.Int).Mul(slowChallenge(final, x.key.public, signed), slowScalar(x.key))
			halves[k] = half{own, s.Mod(s.Add(s, n), groupOrder), final}
			if base.mul(slowScalar(x.key)).bytes() != x.key.public {
				t.Fatal("another public key")
			}
		}
		runTo(t, a, b, messageRelease)
		if a.adaptor != adaptor || b.adaptor != adaptor || !bytes.Equal(reverse(b.secret.Bytes()), secretT.FillBytes(make([]byte, 32))) {
			t.Fatal("another adaptor point or secret")
		}
		c := mustComplete(t, b)
		for k, x := range []*Exchange{a, b} {
			h := halves[k]
			if x.pre.nonce != h.nonce.bytes() || x.pre.scalar != toLittle(h.scalar) {
				t.Errorf("run %d: the %v's pre-signature differs", i, x.role)
			}
			s := new(big.Int).Add(h.scalar, secretT)
			s.Mod(s, groupOrder)
			last := toLittle(s)
			sig := slices.Concat(h.final[:], last[:])
			if !ed25519.Verify(x.key.public[:], signed, sig) {
				t.Errorf("run %d: crypto/ed25519 refuses the slow signature", i)
			}
			if [64]byte(sig) != c.Signatures[0] && [64]byte(sig) != c.Signatures[1] {
				t.Errorf("run %d: the %v's signature differs", i, x.role)
			}
			// sB = N + cA, by the slow group.
			right := decode(t, h.final).add(decode(t, x.key.public).mul(slowChallenge(h.final, x.key.public, signed)))
			if base.mul(s).bytes() != right.bytes() {
				t.Errorf("run %d: the equation does not hold", i)
			}
		}
	}
}

func reverse(b []byte) []byte {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return b
}

// addOrder returns s + L, which fits: s is below L, and 2L below 2^254.
func addOrder(s [32]byte) [32]byte {
	return toLittle(new(big.Int).Add(fromLittle(s[:]), groupOrder))
}

// TestSmallOrderBySlowMeans: the slow group finds LP ≠ 0 for each bad point that
// is a point at all, and LP = 0 for good ones.
func TestSmallOrderBySlowMeans(t *testing.T) {
	neutral := affine{big.NewInt(0), big.NewInt(1)}.bytes()
	bad := badPoints(t)
	for i, b := range [][32]byte{bad[4], bad[9]} {
		if decode(t, b).mul(groupOrder).bytes() == neutral {
			t.Errorf("bad point %d is of prime order", i)
		}
	}
	for seed := range byte(2) {
		p := newKey(t, seed+60).public
		if decode(t, p).mul(groupOrder).bytes() != neutral || p.Check() != nil {
			t.Error("a public key is not of prime order")
		}
	}
}
