package directory

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"slices"
)

// signatures of founders, each with the founder's place, rising.
type signatures []signature

type signature struct {
	by  byte
	sig [signSize]byte
}

func bySorting(founders []Founder) []Founder {
	return slices.SortedFunc(slices.Values(founders), func(a, b Founder) int { return bytes.Compare(a.Key[:], b.Key[:]) })
}

func (s signatures) append(b []byte) []byte {
	b = append(b, byte(len(s)))
	for _, x := range s {
		b = append(b, x.by)
		b = append(b, x.sig[:]...)
	}
	return b
}

func parseSignatures(c *cursor) signatures {
	var s signatures
	n := int(c.u8())
	c.require(n <= MaxFounders)
	for i := 0; i < n && !c.bad; i++ {
		s = append(s, signature{c.u8(), [signSize]byte(c.take(signSize))})
		c.require(i == 0 || s[i-1].by < s[i].by)
	}
	return s
}

// sign returns s with the founder's signature, in the place of an earlier one.
func (s signatures) sign(n *Network, key ed25519.PrivateKey, said []byte) (signatures, error) {
	i, ok := n.founder(key.Public().(ed25519.PublicKey))
	if !ok {
		return nil, ErrFounder
	}
	x := signature{byte(i), [signSize]byte(ed25519.Sign(key, said))}
	at, found := slices.BinarySearchFunc(s, x.by, func(x signature, by byte) int { return cmp.Compare(x.by, by) })
	if found {
		return slices.Replace(slices.Clone(s), at, at+1, x), nil
	}
	return slices.Insert(slices.Clone(s), at, x), nil
}

// check verifies every signature that is there; one that does not belong is no
// reason to count the others.
func (s signatures) check(n *Network, said []byte) error {
	for _, x := range s {
		if int(x.by) >= len(n.Founders) {
			return ErrFormat
		}
		if !ed25519.Verify(n.Founders[x.by].Key[:], said, x.sig[:]) {
			return ErrSignature
		}
	}
	return nil
}

// names are those of the founders who have signed.
func (s signatures) names(n *Network) []string {
	var out []string
	for _, x := range s {
		out = append(out, n.Founders[x.by].Name)
	}
	return out
}
