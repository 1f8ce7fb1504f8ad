package store

import (
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A record; docs/spec/store.md, section Record. In Badger it is a name of 16
// bytes and a sealed value
//
//	nonce 24 ‖ XChaCha20-Poly1305(plaintext), with the name as associated data
//
// of one of five sizes. The plaintext is
//
//	generation 8 ‖ kind 1 ‖ object 16 ‖ seq 8 ‖ length 4 ‖ value ‖ zeros
//
// The generation is under the seal and not beside it, because a reader must open
// a record before it can know its generation, and no field may lie open.
const (
	nameSize      = 16
	plainOverhead = 8 + 1 + 16 + 8 + 4
	sealOverhead  = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

// sealedSizes are the sizes that a sealed value can have.
var sealedSizes = [...]int{256, 1280, 5120, 16640, 65792}

var (
	errRecord = errors.New("reading a record")
	errSize   = errors.New("value over the limit")
)

// SealedSize returns the bytes that a value of n bytes takes on disk once padded
// and sealed, or -1 if it is over [MaxValue].
func SealedSize(n int) int {
	if n > MaxValue {
		return -1
	}
	for _, size := range sealedSizes {
		if n+plainOverhead+sealOverhead <= size {
			return size
		}
	}
	return -1
}

// plain is what a sealed value holds.
type plain struct {
	generation uint64
	key        Key
	value      []byte
}

// appendPlain appends p with its padding.
func appendPlain(b []byte, p plain) ([]byte, error) {
	size := SealedSize(len(p.value))
	if size < 0 {
		return nil, errSize
	}
	end := len(b) + size - sealOverhead
	b = binary.BigEndian.AppendUint64(b, p.generation)
	b = append(b, byte(p.key.Kind))
	b = append(b, p.key.Object[:]...)
	b = binary.BigEndian.AppendUint64(b, p.key.Seq)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.value)))
	b = append(b, p.value...)
	return append(b, make([]byte, end-len(b))...), nil
}

// parsePlain is the inverse of appendPlain. It takes the one padding that
// appendPlain makes and no other. The value shares memory with b.
func parsePlain(b []byte) (plain, error) {
	if len(b) < plainOverhead {
		return plain{}, errRecord
	}
	n := binary.BigEndian.Uint32(b[33:])
	if n > MaxValue || SealedSize(int(n)) != len(b)+sealOverhead {
		return plain{}, errRecord
	}
	for _, c := range b[plainOverhead+int(n):] {
		if c != 0 {
			return plain{}, errRecord
		}
	}
	p := plain{
		generation: binary.BigEndian.Uint64(b),
		key:        Key{Kind: Kind(b[8]), Object: [16]byte(b[9:25]), Seq: binary.BigEndian.Uint64(b[25:])},
		value:      b[plainOverhead : plainOverhead+int(n) : plainOverhead+int(n)],
	}
	return p, nil
}

// nameOf is the record's name in Badger: a PRF of the key.
func (k keys) nameOf(key Key) [nameSize]byte {
	var b [1 + 16 + 8]byte
	b[0] = byte(key.Kind)
	copy(b[1:], key.Object[:])
	binary.BigEndian.PutUint64(b[17:], key.Seq)
	mac := label.MAC(label.StoreName, k.name.Bytes(), b[:])
	return [nameSize]byte(mac[:])
}

// seal seals p under its name.
func (k keys) seal(random io.Reader, p plain) (name [nameSize]byte, sealed []byte, err error) {
	name = k.nameOf(p.key)
	b, err := appendPlain(nil, p)
	if err != nil {
		return name, nil, err
	}
	defer clear(b)
	sealed, err = sealBox(random, k.value, k.nonce, b, name[:])
	return name, sealed, err
}

// open is the inverse of seal, for the name that the value was found under.
func (k keys) open(name, sealed []byte) (plain, error) {
	b, err := openBox(k.value, sealed, name)
	if err != nil {
		return plain{}, errRecord
	}
	p, err := parsePlain(b)
	if err != nil {
		return plain{}, err
	}
	if want := k.nameOf(p.key); string(want[:]) != string(name) {
		return plain{}, errRecord
	}
	return p, nil
}

// sealBox seals plaintext under key. The nonce is an HMAC over fresh randomness
// and what is sealed, so that a random source that repeats (a cloned machine)
// gives the same nonce only for the same plaintext under the same data.
func sealBox(random io.Reader, key, nonceKey secret.Key, plaintext, data []byte) ([]byte, error) {
	var coins [32]byte
	if _, err := io.ReadFull(random, coins[:]); err != nil {
		return nil, errors.New("drawing a nonce")
	}
	mac := label.MAC(label.StoreValue, nonceKey.Bytes(), coins[:], data, plaintext)
	aead, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		return nil, err
	}
	box := make([]byte, chacha20poly1305.NonceSizeX, len(plaintext)+sealOverhead)
	copy(box, mac[:])
	return aead.Seal(box, box, plaintext, data), nil
}

// openBox is the inverse of sealBox.
func openBox(key secret.Key, box, data []byte) ([]byte, error) {
	if len(box) < sealOverhead {
		return nil, errRecord
	}
	aead, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		return nil, err
	}
	nonce, sealed := box[:chacha20poly1305.NonceSizeX], box[chacha20poly1305.NonceSizeX:]
	return aead.Open(nil, nonce, sealed, data)
}
