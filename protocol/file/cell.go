package file

import (
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

const (
	nonceSize  = chacha20poly1305.NonceSizeX
	tagSize    = chacha20poly1305.Overhead
	headerSize = wire.CellSize - nonceSize - ContentSize - tagSize // 56
)

// CellKey is the key under which the cells of a file are sealed.
func CellKey(file secret.Key, id ID) secret.Key { return label.DeriveKey(label.FileCell, file, id[:]) }

// Seal seals the piece of a file that begins at index times [ContentSize]. Only
// the last piece of a file is shorter than that; none is empty.
//
//	 0   24  nonce: taken from an HMAC over 32 random bytes and the index
//	24    8  index, sealed from here on
//	32    2  length of the content
//	34   46  zeros
//	80 4000  content, then zeros
//
// and the tag, 16.
func Seal(key secret.Key, random *[32]byte, index uint64, content []byte) *wire.Cell {
	if len(content) == 0 || len(content) > ContentSize {
		panic("file: a piece that cannot be")
	}
	var cell wire.Cell
	plain := cell[nonceSize : wire.CellSize-tagSize]
	binary.BigEndian.PutUint64(plain, index)
	binary.BigEndian.PutUint16(plain[8:], uint16(len(content)))
	copy(plain[headerSize:], content)
	// The key seals one content at an index, which the sums of the offer vouch for:
	// with the index the nonce is that of one plaintext, even if random comes again.
	nonce := label.MAC(label.FileNonce, key.Bytes(), random[:], plain[:8])
	copy(cell[:nonceSize], nonce[:])
	aead(key).Seal(plain[:0], cell[:nonceSize], plain, nil)
	return &cell
}

// Open opens a cell and returns the place of its content in a file of the given
// size. A wrong key, an altered byte, and a piece that such a file does not have
// are one error, [ErrOpen].
func Open(key secret.Key, size uint64, cell *wire.Cell) (index uint64, content []byte, err error) {
	plain, err := aead(key).Open(nil, cell[:nonceSize], cell[nonceSize:], nil)
	if err != nil {
		return 0, nil, ErrOpen
	}
	index = binary.BigEndian.Uint64(plain)
	n := int(binary.BigEndian.Uint16(plain[8:]))
	if index >= Cells(size) || n != Piece(size, index) || !allZero(plain[10:headerSize]) || !allZero(plain[headerSize+n:]) {
		return 0, nil, ErrOpen
	}
	return index, plain[headerSize : headerSize+n], nil
}

// Piece returns the length of a piece of a file that has it.
func Piece(size, index uint64) int {
	return int(min(ContentSize, size-index*ContentSize))
}

func aead(key secret.Key) interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
} {
	a, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		panic("file: a secret.Key is not a key of XChaCha20-Poly1305")
	}
	return a
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
