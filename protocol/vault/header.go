package vault

import (
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// formatVersion is the first byte of every header.
const formatVersion = 1

// header is the body of a header block:
//
//	version 1 ‖ level 1 ‖ root 32 of levels 0 … level ‖ KEK 32 of levels 0 … level-1 ‖ zeros
type header struct {
	roots []secret.Key // of level 0 up to this one
	keks  []secret.Key // of level 0 up to the one before
}

// KEK derives the key of a level's header from the stretched passphrase, 32 bytes
// or more, of a store. Another passphrase is taken with [Vault.Refresh].
func KEK(store *[32]byte, stretched []byte) secret.Key {
	if len(stretched) < secret.Size {
		panic("vault: a stretched passphrase has at least 32 bytes")
	}
	out := label.Derive(label.VaultKEK, stretched, store[:], secret.Size)
	defer clear(out)
	return secret.FromBytes(out)
}

// headerKeys are the keys of a header. The second secret, unless it is zero, is
// mixed in here and not into the KEK: a header holds the KEKs of shallower levels,
// so that it can be exchanged by who knows none of their passphrases.
func headerKeys(kek, second secret.Key) *slotKeys {
	if second.IsZero() {
		return deriveSlotKeys(label.VaultHeader, kek)
	}
	mixed := label.DeriveKey(label.VaultSecond, kek, second.Bytes())
	defer mixed.Wipe()
	return deriveSlotKeys(label.VaultHeader, mixed)
}

func levelKeys(root secret.Key) *slotKeys { return deriveSlotKeys(label.VaultLevel, root) }
func (c *Coins) noKeys() *slotKeys        { return deriveSlotKeys(label.VaultNone, secret.FromBytes(c[:])) }
func dummyKeys(kek secret.Key) *slotKeys  { return deriveSlotKeys(label.VaultNone, kek) }
func (h header) level() int               { return len(h.keks) }
func newRoot(kek secret.Key, coins [32]byte) secret.Key {
	return label.DeriveKey(label.VaultRoot, kek, coins[:])
}

func (h header) plain() *plain {
	var p plain
	p.setFront(front{kind: kindHeader})
	b := p.body()[:0]
	b = append(b, formatVersion, byte(h.level()))
	for _, k := range h.roots {
		b = append(b, k.Bytes()...)
	}
	for _, k := range h.keks {
		b = append(b, k.Bytes()...)
	}
	return &p
}

func (h header) wipe() {
	for _, k := range h.roots {
		k.Wipe()
	}
	for _, k := range h.keks {
		k.Wipe()
	}
}

// parseHeader is the inverse of plain.
func parseHeader(p *plain) (header, error) {
	b := p.body()
	level := int(b[1])
	if p.front() != (front{kind: kindHeader}) || b[0] != formatVersion || level >= MaxLevels {
		return header{}, ErrFormat
	}
	b = b[2:]
	var h header
	for i := range 2*level + 1 {
		k := secret.FromBytes(b[:secret.Size])
		if b = b[secret.Size:]; i <= level {
			h.roots = append(h.roots, k)
		} else {
			h.keks = append(h.keks, k)
		}
	}
	if !allZero(b) {
		return header{}, ErrFormat
	}
	return h, nil
}
