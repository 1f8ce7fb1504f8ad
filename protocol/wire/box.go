package wire

import (
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Sizes in bytes.
const (
	BoxSize   = nonceSize + ControlSize + CellSize + tagSize // 4200
	HelloSize = 32
	nonceSize = chacha20poly1305.NonceSizeX
	tagSize   = chacha20poly1305.Overhead
)

// A Box is what travels.
type Box [BoxSize]byte

// A Hello is the random value that each end writes first on a connection, the
// dialler first. It makes the box keys of every connection new.
type Hello [HelloSize]byte

// LinkKeys are the two box keys of one connection under one root.
type LinkKeys struct {
	FromDialler, FromListener secret.Key
}

// DeriveLinkKeys mixes a root with both hellos of a connection. The root is a
// session's, a contact's or an invitation's (docs/spec/box.md §3).
func DeriveLinkKeys(root secret.Key, dialler, listener Hello) LinkKeys {
	return LinkKeys{
		FromDialler:  label.DeriveKey(label.WireLink, root, dialler[:], listener[:], []byte{'d'}),
		FromListener: label.DeriveKey(label.WireLink, root, dialler[:], listener[:], []byte{'l'}),
	}
}

// SealBox seals a control block and a cell under key: [Seal] of its encoding.
func SealBox(key secret.Key, random *[32]byte, c Control, cell *Cell) *Box {
	return Seal(key, random, (*[ControlSize]byte)(c.Append(nil)), cell)
}

// OpenBox opens a box. A wrong key, an altered byte and a control block that is
// not canonical are one error, [ErrFormat].
func OpenBox(key secret.Key, box *Box) (Control, *Cell, error) {
	control, cell, err := Open(key, box)
	if err != nil {
		return Control{}, nil, err
	}
	c, err := ParseControl(control[:])
	if err != nil {
		return Control{}, nil, err
	}
	return c, cell, nil
}

// Seal seals an encoded control block and a cell under key with XChaCha20-Poly1305.
// The nonce is taken from an HMAC over 32 random bytes and what is sealed, so that a
// source of randomness that repeats does not seal two boxes under one nonce.
func Seal(key secret.Key, random *[32]byte, control *[ControlSize]byte, cell *Cell) *Box {
	aead, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		panic("wire: a secret.Key is not a key of XChaCha20-Poly1305")
	}
	var box Box
	plain := box[nonceSize : nonceSize+ControlSize+CellSize]
	copy(plain, control[:])
	copy(plain[ControlSize:], cell[:])
	nonce := label.MAC(label.WireNonce, key.Bytes(), random[:], plain)
	copy(box[:nonceSize], nonce[:])
	aead.Seal(plain[:0], box[:nonceSize], plain, nil)
	return &box
}

// Open opens a box and leaves its control block to the caller's parser. Any failure
// is [ErrFormat].
func Open(key secret.Key, box *Box) (*[ControlSize]byte, *Cell, error) {
	aead, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		panic("wire: a secret.Key is not a key of XChaCha20-Poly1305")
	}
	plain, err := aead.Open(nil, box[:nonceSize], box[nonceSize:], nil)
	if err != nil {
		return nil, nil, ErrFormat
	}
	return (*[ControlSize]byte)(plain), (*Cell)(plain[ControlSize:]), nil
}
