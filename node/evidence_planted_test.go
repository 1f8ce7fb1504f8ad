package node_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// montgomery is the X25519 key that stands for the same point as an Ed25519 key.
func montgomery(public ed25519.PublicKey) []byte {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	le := bytes.Clone(public)
	le[31] &= 0x7f
	slices.Reverse(le)
	y, one := new(big.Int).SetBytes(le), big.NewInt(1)
	u := new(big.Int).ModInverse(new(big.Int).Mod(new(big.Int).Sub(one, y), p), p)
	out := u.Mod(u.Mul(u, new(big.Int).Add(one, y)), p).FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return out
}

// TestEvidenceExaminerSeesPlantedSignatures hides signatures under one party's key
// where a careless change could put them.
func TestEvidenceExaminerSeesPlantedSignatures(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, static, noise := []byte("We would drop annex seven."), bytes.Repeat([]byte{7}, 32), make([]byte, 1000)
	_, _ = rand.Read(noise)
	announced := slices.Concat(evidenceKeyPrefix, public)
	for where, layer := range map[string][]byte{
		"after a text, as its signer":      slices.Concat(announced, text, ed25519.Sign(private, slices.Concat(announced, text))),
		"after 32 bytes in noise":          slices.Concat(noise, static, ed25519.Sign(private, static), noise),
		"a static key's, far from the key": slices.Concat(noise, ed25519.Sign(private, slices.Concat([]byte(evidenceNoiseSigned), static))),
		"before what it signs":             slices.Concat(ed25519.Sign(private, text), text),
	} {
		for _, by := range []string{"its own party", "both parties", "a static key for Diffie-Hellman"} {
			x := &evidenceExaminer{messages: [][]byte{slices.Concat([]byte(evidenceNoiseSigned), static)}}
			want := !strings.HasPrefix(by, "both")
			switch {
			case !want:
				x.shared = append(x.shared, public)
			case strings.HasPrefix(by, "a static"):
				x.suspectX25519(montgomery(public))
			default:
				x.suspects = append(x.suspects, public)
			}
			x.examine("a layer", layer, evidenceInnermost)
			found := strings.Contains(strings.Join(x.finish(), "\n"), "unknown signature")
			if found != want || !want && x.forgeable == 0 {
				t.Errorf("a signature %s, under a key of %s: found is %v", where, by, found)
			}
		}
	}
}
