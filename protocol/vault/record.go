package vault

import (
	"cmp"
	"encoding/binary"
)

// A Kind says what a record is for; the callers hand them out. Kind 0 is the
// vault's own.
type Kind byte

// A Key names a record. Records of one kind and object are ordered by Seq.
type Key struct {
	Kind   Kind
	Object [16]byte
	Seq    uint64
}

// Compare orders keys by kind, then object, then sequence number.
func (k Key) Compare(other Key) int {
	return cmp.Or(
		cmp.Compare(k.Kind, other.Kind),
		cmp.Compare(binary.BigEndian.Uint64(k.Object[:8]), binary.BigEndian.Uint64(other.Object[:8])),
		cmp.Compare(binary.BigEndian.Uint64(k.Object[8:]), binary.BigEndian.Uint64(other.Object[8:])),
		cmp.Compare(k.Seq, other.Seq))
}

// A Write is one step of a commit: Value is stored under Key, or with Delete the
// record is removed and Value is ignored. Of several writes to one key in a
// commit the last one counts.
type Write struct {
	Key    Key
	Value  []byte
	Delete bool
}

// Limits of one commit.
const (
	MaxValue  = 64 << 10  // bytes in a value
	MaxWrites = 256       // writes in a commit
	MaxCommit = 144 << 10 // bytes in a commit: those of the values, and 32 for each write
)

// CheckWrites reports whether a commit is within the limits: nil, [ErrKind] or
// [ErrTooLarge].
func CheckWrites(writes []Write) error {
	if len(writes) > MaxWrites {
		return ErrTooLarge
	}
	total := 0
	for _, w := range writes {
		if w.Key.Kind == 0 {
			return ErrKind
		}
		total += 32
		if w.Delete {
			continue
		}
		if len(w.Value) > MaxValue {
			return ErrTooLarge
		}
		total += len(w.Value)
	}
	if total > MaxCommit {
		return ErrTooLarge
	}
	return nil
}

// A page holds pieces of the records of one object:
//
//	used 2 ‖ pieces ‖ zeros
//
// A piece is
//
//	kind 1 ‖ seq 8 ‖ version 8 ‖ total 4 ‖ offset 4 ‖ length 2 ‖ bytes
//
// where version is that of the commit, total the length of the whole value, or
// gone if the record was deleted.
const (
	usedSize  = 2
	pageSize  = bodySize - usedSize // 4033 bytes for pieces
	pieceSize = 1 + 8 + 8 + 4 + 4 + 2
	gone      = 1<<32 - 1
)

// piece is a part of the value of a record, as it stands in a page.
type piece struct {
	kind          Kind
	seq, version  uint64
	total, offset uint32
	data          []byte
}

func (p piece) size() int { return pieceSize + len(p.data) }

func appendPiece(b []byte, p piece) []byte {
	b = append(b, byte(p.kind))
	b = binary.BigEndian.AppendUint64(b, p.seq)
	b = binary.BigEndian.AppendUint64(b, p.version)
	b = binary.BigEndian.AppendUint32(b, p.total)
	b = binary.BigEndian.AppendUint32(b, p.offset)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.data)))
	return append(b, p.data...)
}

// parsePieces reads the body of a page. The pieces share its memory.
func parsePieces(body []byte) ([]piece, error) {
	used := int(binary.BigEndian.Uint16(body))
	if used > pageSize || !allZero(body[usedSize+used:]) {
		return nil, ErrFormat
	}
	b := body[usedSize : usedSize+used]
	var pieces []piece
	for len(b) > 0 {
		if len(b) < pieceSize {
			return nil, ErrFormat
		}
		p := piece{
			kind: Kind(b[0]), seq: binary.BigEndian.Uint64(b[1:]), version: binary.BigEndian.Uint64(b[9:]),
			total: binary.BigEndian.Uint32(b[17:]), offset: binary.BigEndian.Uint32(b[21:]),
		}
		n := int(binary.BigEndian.Uint16(b[25:]))
		if b = b[pieceSize:]; n > len(b) || !p.possible(n) {
			return nil, ErrFormat
		}
		p.data, b = b[:n:n], b[n:]
		pieces = append(pieces, p)
	}
	return pieces, nil
}

// possible reports whether a piece can have n bytes: some of a value, all of an
// empty one, none of a record that was deleted.
func (p piece) possible(n int) bool {
	if p.total == gone || p.total == 0 {
		return n == 0 && p.offset == 0
	}
	return p.total <= MaxValue && n > 0 && uint64(p.offset)+uint64(n) <= uint64(p.total)
}

// The table of a level is a page like others, of number 0 and kind 0. Its records
// are named by the number of an object and hold
//
//	object 16 ‖ key 32
const tableValue = 16 + 32

// head is the body of a head block, which a level writes in every tick:
//
//	tick 8 ‖ version 8 ‖ pages 4 ‖ rolled back 1 ‖ digest 32 ‖ zeros
//
// Pages up to this version count, those of a higher one are of a commit that did
// not come to its end. The digest is over the versions of all pages.
type head struct {
	number     uint64 // in the front: the level's heads are counted, the highest is the newest
	tick       uint64 // of the store
	version    uint64
	pages      uint32
	rolledBack bool
	digest     [32]byte
}

func (h head) plain() *plain {
	var p plain
	p.setFront(front{kind: kindHead, version: h.number})
	b := binary.BigEndian.AppendUint64(p.body()[:0], h.tick)
	b = binary.BigEndian.AppendUint64(b, h.version)
	b = binary.BigEndian.AppendUint32(b, h.pages)
	flag := byte(0)
	if h.rolledBack {
		flag = 1
	}
	copy(p.body()[len(b):], append([]byte{flag}, h.digest[:]...))
	return &p
}

// parseHead is the inverse of plain.
func parseHead(p *plain) (head, error) {
	b := p.body()
	h := head{
		number: p.front().version, tick: binary.BigEndian.Uint64(b), version: binary.BigEndian.Uint64(b[8:]),
		pages: binary.BigEndian.Uint32(b[16:]), rolledBack: b[20] == 1, digest: [32]byte(b[21:53]),
	}
	if p.front() != (front{kind: kindHead, version: h.number}) || b[20] > 1 || h.pages > MaxSlots/share || !allZero(b[53:]) {
		return head{}, ErrFormat
	}
	return h, nil
}
