package vault

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A slot; docs/spec/vault.md, section Slot.
//
//	 0   16  draw: from an HMAC over coins, the place and what is sealed
//	16    8  mark: PRF of the draw under the match key; both are the nonce
//	24   21  front: type, ID, version, number, sealed from here on
//	45 4035  body, under a key of its own besides
//
// and the tag, 16.
const (
	drawSize  = 16
	markSize  = 8
	nonceSize = drawSize + markSize
	blockSize = SlotSize - nonceSize - chacha20poly1305.Overhead // 4056
	frontSize = 1 + 4 + 8 + 8
	bodySize  = blockSize - frontSize // 4035
)

// A Slot is what lies on the disk under one index.
type Slot [SlotSize]byte

// plain is the content of a slot before sealing: front ‖ body.
type plain [blockSize]byte

// slotKeys are the keys of everything that one root or KEK seals.
type slotKeys struct {
	match, nonce, seal secret.Key
	body               secret.Key // of bodies that belong to no object
}

func deriveSlotKeys(l label.Label, from secret.Key) *slotKeys {
	return &slotKeys{
		match: label.DeriveKey(l, from, []byte("match")),
		nonce: label.DeriveKey(l, from, []byte("nonce")),
		seal:  label.DeriveKey(l, from, []byte("seal")),
		body:  label.DeriveKey(l, from, []byte("body")),
	}
}

func (k *slotKeys) wipe() {
	for _, key := range []secret.Key{k.match, k.nonce, k.seal, k.body} {
		key.Wipe()
	}
}

// place is where a slot lies; it is the associated data of the seal.
func place(store *[32]byte, index uint32) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, 36), store[:]...), index)
}

// sealSlot seals p for one place. The nonce is taken from an HMAC over the coins
// and all that is sealed, so that coins that come again give a nonce twice only
// for the same bytes in the same place.
func (k *slotKeys) sealSlot(body secret.Key, at []byte, coins *[32]byte, p *plain) *Slot {
	var s Slot
	draw := label.MAC(label.VaultNonce, k.nonce.Bytes(), coins[:], at, p[:])
	copy(s[:drawSize], draw[:])
	mark := k.mark(s[:drawSize])
	copy(s[drawSize:nonceSize], mark[:])
	sealed := s[nonceSize : nonceSize+blockSize]
	copy(sealed, p[:])
	crypt(body, s[:nonceSize], sealed[frontSize:])
	aead(k.seal).Seal(sealed[:0], s[:nonceSize], sealed, at)
	return &s
}

// mark is how the slots of a level are told from others before they are opened:
// to who has not the key it is as random as the rest of the nonce, and it is
// another one whenever the slot is written.
func (k *slotKeys) mark(draw []byte) [markSize]byte {
	out, err := chacha20.HChaCha20(k.match.Bytes(), draw)
	if err != nil {
		panic("vault: a draw that HChaCha20 does not take")
	}
	return [markSize]byte(out)
}

// matches reports whether a nonce is that of a slot under these keys.
func (k *slotKeys) matches(nonce []byte) bool {
	mark := k.mark(nonce[:drawSize])
	return subtle.ConstantTimeCompare(mark[:], nonce[drawSize:nonceSize]) == 1
}

// openSlot opens a slot; the body is still under its own key.
func (k *slotKeys) openSlot(at []byte, s *Slot) (*plain, error) {
	var p plain
	if _, err := aead(k.seal).Open(p[:0], s[:nonceSize], s[nonceSize:], at); err != nil {
		return nil, ErrFormat
	}
	return &p, nil
}

// crypt turns a body into its cipher text or back.
func crypt(key secret.Key, nonce, body []byte) {
	c, err := chacha20.NewUnauthenticatedCipher(key.Bytes(), nonce)
	if err != nil {
		panic("vault: a secret.Key is not a key of XChaCha20")
	}
	c.XORKeyStream(body, body)
}

func aead(key secret.Key) cipher.AEAD {
	a, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		panic("vault: a secret.Key is not a key of XChaCha20-Poly1305")
	}
	return a
}

// front is what stands before a body.
type front struct {
	kind    blockKind
	id      uint32 // of a page
	version uint64 // of a page: the commit that wrote it; of a head: its number
	number  uint64 // of the object that a page belongs to
}

// blockKind says what a slot holds.
type blockKind byte

const (
	kindHeader blockKind = 1 + iota // keys, under the KEK
	kindHead                        // state of the level
	kindPage                        // records
)

// String names a kind of block.
func (k blockKind) String() string {
	switch k {
	case kindHeader:
		return "header"
	case kindHead:
		return "head"
	case kindPage:
		return "page"
	}
	return "unknown"
}

func (p *plain) setFront(f front) {
	p[0] = byte(f.kind)
	binary.BigEndian.PutUint32(p[1:], f.id)
	binary.BigEndian.PutUint64(p[5:], f.version)
	binary.BigEndian.PutUint64(p[13:], f.number)
}

func (p *plain) front() front {
	return front{
		kind: blockKind(p[0]), id: binary.BigEndian.Uint32(p[1:]),
		version: binary.BigEndian.Uint64(p[5:]), number: binary.BigEndian.Uint64(p[13:]),
	}
}

func (p *plain) body() []byte { return p[frontSize:] }

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
