package ratchet_test

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A model is a second implementation, written from the paper's pseudocode and
// docs/spec/ratchet.md with plain bytes, maps and the standard library's ML-KEM.
// It steps eagerly, as the paper does, and shares no code with the package.
type model struct {
	ad                                 []byte
	rk, cks, ckr, hks, hkr, nhks, nhkr []byte
	dh                                 *ecdh.PrivateKey
	dk                                 *mlkem.DecapsulationKey768
	ct                                 []byte
	ns, nr, pn                         uint32
	skipped                            map[string][]byte
	coins                              byte
}

func framed(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return
}

func kdf(label string, ikm, salt []byte, n int, context ...[]byte) []byte {
	info := framed(append([][]byte{[]byte("backchannel/v1/" + label)}, context...)...)
	out, err := hkdf.Key(sha256.New, ikm, salt, string(info), n)
	if err != nil {
		panic(err)
	}
	return out
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func newModel(s *handshake.Session) *model {
	dh, _ := ecdh.X25519().NewPrivateKey(s.PrekeyDH.Bytes())
	dk, _ := mlkem.NewDecapsulationKey768(kdf("kem/seed", s.PrekeyKEM.Bytes(), nil, 64))
	return &model{
		ad: s.Binding[:], rk: s.Root.Bytes(), nhks: s.HeaderR.Bytes(), nhkr: s.HeaderI.Bytes(),
		dh: dh, dk: dk, skipped: map[string][]byte{},
	}
}

func (m *model) chain(ck []byte) (mk, next []byte) {
	return mac(ck, []byte("backchannel/v1/ratchet/chain"), []byte{1}), mac(ck, []byte("backchannel/v1/ratchet/chain"), []byte{2})
}

func (m *model) root(dh, ss []byte) (ck, nhk []byte) {
	out := kdf("ratchet/step", append(append([]byte{}, dh...), ss...), m.rk, 96)
	m.rk = out[:32]
	return out[32:64], out[64:]
}

func open(key, nonce, box, ad []byte) []byte {
	if key == nil {
		return nil
	}
	a, _ := chacha20poly1305.NewX(key)
	out, _ := a.Open(nil, nonce, box, ad)
	return out
}

func (m *model) decrypt(t *testing.T, cell *wire.Cell) []byte {
	t.Helper()
	nonce, box, rest := cell[:24], cell[24:2352], cell[2352:]
	finish := func(mk []byte) []byte {
		out := open(kdf("ratchet/body", mk, nil, 32, nonce), nonce, rest, cell[:2352])
		if out == nil {
			t.Fatal("model: the body does not open")
		}
		return out
	}
	skip := func(until uint32) {
		for m.ckr != nil && m.nr < until {
			var mk []byte
			mk, m.ckr = m.chain(m.ckr)
			m.skipped[string(m.hkr)+string(binary.BigEndian.AppendUint32(nil, m.nr))] = mk
			m.nr++
		}
	}
	for id, mk := range m.skipped {
		if h := open([]byte(id[:32]), nonce, box, m.ad); h != nil && string(h[len(h)-4:]) == id[32:] {
			delete(m.skipped, id)
			return finish(mk)
		}
	}
	h := open(m.hkr, nonce, box, m.ad)
	if h == nil {
		if h = open(m.nhkr, nonce, box, m.ad); h == nil {
			t.Fatal("model: no header key fits")
		}
		skip(binary.BigEndian.Uint32(h[len(h)-8:]))
		peer, err := ecdh.X25519().NewPublicKey(h[:32])
		check(t, err)
		ek, err := mlkem.NewEncapsulationKey768(h[32:1216])
		check(t, err)
		ss, err := m.dk.Decapsulate(h[1216:2304])
		check(t, err)
		x, _ := m.dh.ECDH(peer)
		m.pn, m.ns, m.nr = m.ns, 0, 0
		m.hks, m.hkr = m.nhks, m.nhkr
		m.ckr, m.nhkr = m.root(x, ss)
		// The eager sending half: fresh keys, unlike the package, at once.
		m.coins++
		seed := sha256.Sum256([]byte{m.coins})
		m.dh, _ = ecdh.X25519().NewPrivateKey(seed[:])
		m.dk, _ = mlkem.GenerateKey768()
		ss, m.ct = ek.Encapsulate()
		x, _ = m.dh.ECDH(peer)
		m.cks, m.nhks = m.root(x, ss)
	}
	skip(binary.BigEndian.Uint32(h[len(h)-4:]))
	var mk []byte
	mk, m.ckr = m.chain(m.ckr)
	m.nr++
	return finish(mk)
}

func (m *model) encrypt(body *[wire.FrameSize]byte) *wire.Cell {
	var mk []byte
	mk, m.cks = m.chain(m.cks)
	h := append([]byte{}, m.dh.PublicKey().Bytes()...)
	h = append(h, m.dk.EncapsulationKey().Bytes()...)
	h = append(h, m.ct...)
	h = binary.BigEndian.AppendUint32(h, m.pn)
	h = binary.BigEndian.AppendUint32(h, m.ns)
	m.ns++
	nonce := mac(mk, body[:])[:24] // any nonce will do: only the sender derives it
	a, _ := chacha20poly1305.NewX(m.hks)
	cell := a.Seal(append([]byte{}, nonce...), nonce, h, m.ad)
	b, _ := chacha20poly1305.NewX(kdf("ratchet/body", mk, nil, 32, nonce))
	cell = b.Seal(cell, nonce, body[:], append([]byte{}, cell...))
	return (*wire.Cell)(cell)
}

// TestAgainstTheModel holds the package against the second implementation, with
// gaps and late cells in both directions over many steps.
func TestAgainstTheModel(t *testing.T) {
	_, sb := sessions(t)
	a, _ := pair(t)
	m := newModel(sb)
	n := 0
	for step := range 20 {
		var late []*wire.Cell
		var lateN []int
		for i := range 1 + step%4 {
			n++
			cell := a.seal(n)
			if i%3 == 1 {
				late, lateN = append(late, cell), append(lateN, n)
			} else if got := m.decrypt(t, cell); number((*[wire.FrameSize]byte)(got)) != n {
				t.Fatalf("the model read %d as %d", n, number((*[wire.FrameSize]byte)(got)))
			}
		}
		var lateBack []*wire.Cell
		for i := range 1 + step%3 {
			n++
			cell := m.encrypt(body(n))
			if i == 1 {
				lateBack = append(lateBack, cell)
				continue
			}
			a.mustOpen(cell, n)
		}
		for i, cell := range late {
			if got := m.decrypt(t, cell); number((*[wire.FrameSize]byte)(got)) != lateN[i] {
				t.Fatal("the model read a late cell wrongly")
			}
		}
		for _, cell := range lateBack {
			if _, ok := a.open(cell); !ok {
				t.Fatal("a late cell of the model does not open")
			}
		}
	}
}
