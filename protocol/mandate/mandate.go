package mandate

import (
	"encoding/binary"
	"time"
	"unicode"
	"unicode/utf8"
)

// Size is the length of an encoded mandate in bytes, whatever its scope.
const Size = 512

// MaxScope is the longest scope, in bytes.
const MaxScope = Size - tagSize - scopeAt

// Places in a mandate.
const (
	serialAt  = 1 + 2*KeySize + 2*32
	endAt     = serialAt + 16
	dossierAt = endAt + 4
	lengthAt  = dossierAt + 16
	scopeAt   = lengthAt + 2
)

// A Serial is the number of a mandate: random, so that it tells neither how many
// there are nor in which order they were issued.
type Serial [16]byte

// A Dossier is what mandates for one matter have in common in the eyes of their
// listener. Equal ones mean one matter of one authority; every other listener,
// and every envoy, sees something else.
type Dossier [16]byte

// A Mandate says what an envoy may speak about for an authority, to one listener,
// and until when. Only [Mandate.Verify] tells whether it is real.
type Mandate struct {
	Authority    PublicKey
	Listener     PublicKey
	EnvoyCard    [32]byte
	ListenerCard [32]byte
	Serial       Serial
	NotAfter     time.Time // to the minute, UTC
	Scope        string

	masked Dossier
	tag    [tagSize]byte
}

// Append appends the encoding of m, which has [Size] bytes, to b.
func (m Mandate) Append(b []byte) []byte {
	return append(append(b, m.body()...), m.tag[:]...)
}

// body is everything but the tag.
func (m Mandate) body() []byte {
	b := make([]byte, scopeAt, Size)
	b[0] = version
	copy(b[1:], m.Authority[:])
	copy(b[1+KeySize:], m.Listener[:])
	copy(b[1+2*KeySize:], m.EnvoyCard[:])
	copy(b[1+2*KeySize+32:], m.ListenerCard[:])
	copy(b[serialAt:], m.Serial[:])
	binary.BigEndian.PutUint32(b[endAt:], minutes(m.NotAfter))
	copy(b[dossierAt:], m.masked[:])
	binary.BigEndian.PutUint16(b[lengthAt:], uint16(len(m.Scope)))
	b = append(b, m.Scope...)
	return b[:Size-tagSize] // zeros: make cleared them
}

// Parse parses the encoding that Append makes. It says nothing about who made it.
func Parse(b []byte) (Mandate, error) {
	if len(b) != Size || b[0] != version {
		return Mandate{}, ErrFormat
	}
	m := Mandate{
		EnvoyCard:    [32]byte(b[1+2*KeySize:]),
		ListenerCard: [32]byte(b[1+2*KeySize+32:]),
		Serial:       Serial(b[serialAt:]),
		NotAfter:     fromMinutes(binary.BigEndian.Uint32(b[endAt:])),
		masked:       Dossier(b[dossierAt:]),
		tag:          [tagSize]byte(b[Size-tagSize:]),
	}
	var err error
	if m.Authority, err = ParseKey(b[1 : 1+KeySize]); err != nil {
		return Mandate{}, err
	}
	if m.Listener, err = ParseKey(b[1+KeySize : 1+2*KeySize]); err != nil {
		return Mandate{}, err
	}
	n := int(binary.BigEndian.Uint16(b[lengthAt:]))
	if n > MaxScope {
		return Mandate{}, ErrFormat
	}
	m.Scope = string(b[scopeAt : scopeAt+n])
	if !plain(m.Scope) {
		return Mandate{}, ErrFormat
	}
	for _, x := range b[scopeAt+n : Size-tagSize] {
		if x != 0 {
			return Mandate{}, ErrFormat
		}
	}
	return m, nil
}

// plain reports whether s can be a scope: text in UTF-8 that a screen shows as
// it stands. Format characters are refused because they can turn text around.
func plain(s string) bool {
	if s == "" || len(s) > MaxScope || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}

// minutes counts whole minutes since 1970: a finer moment would tell when
// somebody sat at a machine.
func minutes(t time.Time) uint32 { return uint32(t.Unix() / 60) }

func fromMinutes(m uint32) time.Time { return time.Unix(int64(m)*60, 0).UTC() }
