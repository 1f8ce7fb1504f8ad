package shuttle

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/kem"
)

// Sizes in bytes. All messages of sealed offers fit into one frame.
const (
	MaxOffer    = 1024
	MaxSubject  = 128
	CallSize    = headerSize + 1 + 4 + 1 + MaxSubject
	FirstSize   = headerSize + firstSize
	SecondSize  = headerSize + secondSize
	OpeningSize = headerSize + openingSize

	headerSize  = 2 + 16
	commitSize  = 32
	offerSize   = 2 + MaxOffer
	firstSize   = 32 + kem.PublicSize + commitSize
	secondSize  = 32 + kem.CiphertextSize + commitSize
	openedSize  = 32 + offerSize
	openingSize = openedSize + chacha20poly1305.Overhead
)

const version = 1

type messageKind byte

const (
	messageText    messageKind = 1 + iota // any of the three: a text to carry
	messageCall                           // mediator to each: to make an offer
	messageFirst                          // share and commitment of the first
	messageSecond                         // of the second
	messageOpening                        // of each
)

// messageSizes has a size that no message has for the kinds that are none.
var messageSizes = [...]int{
	messageCall: CallSize, messageFirst: FirstSize, messageSecond: SecondSize, messageOpening: OpeningSize,
}

// An ID names an exchange between the mediator and one of the two. The other one
// has another ID.
type ID [16]byte

func message(kind messageKind, id ID, body ...[]byte) []byte {
	b := append([]byte{version, byte(kind)}, id[:]...)
	for _, part := range body {
		b = append(b, part...)
	}
	return b
}

// split checks version, kind and length of a message of an exchange.
func split(b []byte) (kind messageKind, id ID, body []byte, err error) {
	if len(b) < headerSize || b[0] != version || int(b[1]) >= len(messageSizes) || len(b) != messageSizes[b[1]] {
		return 0, ID{}, nil, ErrFormat
	}
	return messageKind(b[1]), ID(b[2:headerSize]), b[headerSize:], nil
}

// IDOf returns the ID in a message of an exchange, by which a node finds what it
// belongs to, and whether it calls, so that there is nothing yet.
func IDOf(b []byte) (id ID, calls bool, err error) {
	kind, id, _, err := split(b)
	return id, kind == messageCall, err
}

func call(id ID, role Role, expiry uint32, subject string) []byte {
	b := message(messageCall, id, []byte{byte(role)})
	return appendSubject(binary.BigEndian.AppendUint32(b, expiry), subject)
}

func appendSubject(b []byte, subject string) []byte {
	b = append(b, byte(len(subject)))
	b = append(b, subject...)
	return append(b, make([]byte, MaxSubject-len(subject))...)
}

func parseSubject(b []byte) (string, error) {
	n := int(b[0])
	if n > MaxSubject || !zero(b[1+min(n, MaxSubject):1+MaxSubject]) {
		return "", ErrFormat
	}
	subject := string(b[1 : 1+n])
	if !plain(subject) {
		return "", ErrFormat
	}
	return subject, nil
}

// plain reports whether s is one line of text that a screen shows as it stands.
// Format characters are refused because they can turn text around.
func plain(s string) bool {
	if s == "" || len(s) > MaxSubject || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return false
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}

// padOffer brings an offer to its one size, so that its length does not show.
func padOffer(offer string) ([]byte, error) {
	if offer == "" || len(offer) > MaxOffer || !utf8.ValidString(offer) {
		return nil, ErrText
	}
	b := binary.BigEndian.AppendUint16(make([]byte, 0, offerSize), uint16(len(offer)))
	b = append(b, offer...)
	return b[:offerSize], nil // zeros: make cleared them
}

func parseOffer(b []byte) (string, error) {
	n := int(binary.BigEndian.Uint16(b))
	if n == 0 || n > MaxOffer || !zero(b[2+n:offerSize]) || !utf8.Valid(b[2:2+n]) {
		return "", ErrFormat
	}
	return string(b[2 : 2+n]), nil
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
