package file

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/backchannel/backchannel/protocol/secret"
)

const (
	offerFixed   = 1 + 8 + 32 + 32 + 1
	offerVersion = 1
)

// Offer is the content of a frame of kind [wire.FrameFile].
//
//	 0  1  version, 1
//	 1  8  size of the file
//	 9 32  file key
//	41 32  SHA-256 of the file
//	73  1  length of the name, at least 1
//	74  n  name, UTF-8: a word of the sender's about the file, to be distrusted
type Offer struct {
	Size uint64
	Key  secret.Key
	Sum  [32]byte
	Name string
}

// Append appends the encoding of o to b. An offer that no parser would take is a
// programming error and panics.
func (o Offer) Append(b []byte) []byte {
	if !o.Valid() {
		panic("file: an offer that cannot be")
	}
	b = append(b, offerVersion)
	b = binary.BigEndian.AppendUint64(b, o.Size)
	b = append(b, o.Key.Bytes()...)
	b = append(b, o.Sum[:]...)
	b = append(b, byte(len(o.Name)))
	return append(b, o.Name...)
}

// ParseOffer parses the encoding that Append makes. It refuses another version, a
// size above [MaxSize], a zero key and a name that is empty or not UTF-8.
func ParseOffer(b []byte) (Offer, error) {
	if len(b) <= offerFixed || b[0] != offerVersion || len(b) != offerFixed+int(b[offerFixed-1]) || allZero(b[9:41]) {
		return Offer{}, ErrFormat
	}
	o := Offer{
		Size: binary.BigEndian.Uint64(b[1:]),
		Key:  secret.FromBytes(b[9:41]),
		Sum:  [32]byte(b[41:73]),
		Name: string(b[offerFixed:]),
	}
	if !o.Valid() {
		return Offer{}, ErrFormat
	}
	return o, nil
}

// Valid reports whether a parser would take the offer.
func (o Offer) Valid() bool { return o.Size <= MaxSize && !o.Key.IsZero() && validName(o.Name) }

func validName(name string) bool {
	return name != "" && len(name) <= MaxName && utf8.ValidString(name)
}
