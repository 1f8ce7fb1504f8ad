package file

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Plain lays a plaintext out that may be none of Seal's.
func Plain(index uint64, length uint16, piece []byte) []byte {
	b := make([]byte, headerSize+ContentSize)
	binary.BigEndian.PutUint64(b, index)
	binary.BigEndian.PutUint16(b[8:], length)
	copy(b[10:], piece)
	return b
}

// SealPlain seals any plaintext.
func SealPlain(key secret.Key, plain []byte) *wire.Cell {
	var cell wire.Cell
	aead(key).Seal(cell[nonceSize:nonceSize], cell[:nonceSize], plain, nil)
	return &cell
}

// OpenPlain opens a cell without judging what is in it.
func OpenPlain(key secret.Key, cell *wire.Cell) []byte {
	plain, err := aead(key).Open(nil, cell[:nonceSize], cell[nonceSize:], nil)
	if err != nil {
		panic(err)
	}
	return plain
}
