package kem_test

import (
	"bytes"
	"crypto/mlkem"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/backchannel/backchannel/protocol/kem"
)

func TestAgainstTheStandardLibrary(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	for range 50 {
		var seed [kem.SeedSize]byte
		var coins [kem.CoinsSize]byte
		rng.Read(seed[:])
		rng.Read(coins[:])
		std, err := mlkem.NewDecapsulationKey768(seed[:])
		if err != nil {
			t.Fatal(err)
		}
		ek := kem.Public(&seed)
		if !bytes.Equal(ek[:], std.EncapsulationKey().Bytes()) {
			t.Fatal("one seed gives two encapsulation keys")
		}
		ct, ours, err := kem.Encapsulate(ek, &coins)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := std.Decapsulate(ct[:])
		if err != nil || !bytes.Equal(ours.Bytes(), theirs) {
			t.Fatal("the standard library opens our ciphertext differently")
		}
		want, stdCT := std.EncapsulationKey().Encapsulate()
		if got := kem.Decapsulate(&seed, (*[kem.CiphertextSize]byte)(stdCT)); !bytes.Equal(got.Bytes(), want) {
			t.Fatal("we open the standard library's ciphertext differently")
		}
		stdCT[7] ^= 1
		want, _ = std.Decapsulate(stdCT)
		if got := kem.Decapsulate(&seed, (*[kem.CiphertextSize]byte)(stdCT)); !bytes.Equal(got.Bytes(), want) {
			t.Fatal("implicit rejection differs from the standard library")
		}
	}
}

// TestWycheproofEncapsulation runs the published cases of FIPS 203's modulus
// check and of known answers.
func TestWycheproofEncapsulation(t *testing.T) {
	raw, err := fs.ReadFile(wycheproof.TestVectors, "mlkem_768_encaps_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		TestGroups []struct {
			Tests []struct {
				TcID            int
				M, Ek, C, K     string
				Result, Comment string
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	ran, refused := 0, 0
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			ek, m := unhex(t, c.Ek), unhex(t, c.M)
			if len(ek) != kem.PublicSize || len(m) != kem.CoinsSize {
				continue // the array types refuse other lengths
			}
			ran++
			ct, k, err := kem.Encapsulate((*[kem.PublicSize]byte)(ek), (*[kem.CoinsSize]byte)(m))
			if c.Result == "invalid" {
				refused++
				if !errors.Is(err, kem.ErrPublicKey) {
					t.Errorf("case %d (%s): %v, want ErrPublicKey", c.TcID, c.Comment, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(ct[:], unhex(t, c.C)) || !bytes.Equal(k.Bytes(), unhex(t, c.K)) {
				t.Errorf("case %d (%s): wrong result or %v", c.TcID, c.Comment, err)
			}
		}
	}
	if ran < 100 || refused < 50 {
		t.Errorf("ran %d cases, %d of them to be refused: the file is not what it was", ran, refused)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func BenchmarkEncapsulate(b *testing.B) {
	ek := kem.Public(new([kem.SeedSize]byte))
	for b.Loop() {
		_, _, _ = kem.Encapsulate(ek, new([kem.CoinsSize]byte))
	}
}

func BenchmarkDecapsulate(b *testing.B) {
	ct, _, _ := kem.Encapsulate(kem.Public(new([kem.SeedSize]byte)), new([kem.CoinsSize]byte))
	for b.Loop() {
		kem.Decapsulate(new([kem.SeedSize]byte), ct)
	}
}

func BenchmarkDecapsulateStandardLibrary(b *testing.B) {
	ct, _, _ := kem.Encapsulate(kem.Public(new([kem.SeedSize]byte)), new([kem.CoinsSize]byte))
	for b.Loop() {
		dk, _ := mlkem.NewDecapsulationKey768(make([]byte, kem.SeedSize))
		_, _ = dk.Decapsulate(ct[:])
	}
}
