package introduction

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/kem"
)

// Sizes of messages in bytes. All fit into one frame.
const (
	MaxText  = 128
	AskSize  = headerSize + 1 + 4 + 1 + MaxText
	PassSize = headerSize + shareSize // of a share, and of a reply

	headerSize = 2 + 16
	shareSize  = 32 + kem.PublicSize
	replySize  = 32 + kem.CiphertextSize + sealedSize
)

const version = 1

type messageKind byte

const (
	messageAsk   messageKind = 1 + iota // introducer to each
	messageNo                           // to the introducer
	messageYes                          // of the inviter
	messageShare                        // yes of the accepter; later, to the inviter
	messageReply                        // of the inviter; then, to the accepter
)

// An ID names an introduction between the introducer and one of the two. The
// other one has another ID.
type ID [16]byte

// messageSizes has a size that no message has for the kind 0.
var messageSizes = [...]int{
	messageAsk: AskSize, messageNo: headerSize, messageYes: headerSize,
	messageShare: headerSize + shareSize, messageReply: headerSize + replySize,
}

func message(kind messageKind, id ID, body ...[]byte) []byte {
	b := append([]byte{version, byte(kind)}, id[:]...)
	for _, part := range body {
		b = append(b, part...)
	}
	return b
}

// split checks version, kind and length of a message.
func split(b []byte) (kind messageKind, id ID, body []byte, err error) {
	if len(b) < headerSize || b[0] != version || int(b[1]) >= len(messageSizes) || len(b) != messageSizes[b[1]] {
		return 0, ID{}, nil, ErrFormat
	}
	return messageKind(b[1]), ID(b[2:headerSize]), b[headerSize:], nil
}

// IDOf returns the ID in a message, by which a node finds what it belongs to, and
// whether it asks, so that there is nothing yet.
func IDOf(b []byte) (id ID, asks bool, err error) {
	kind, id, _, err := split(b)
	return id, kind == messageAsk, err
}

func appendText(b []byte, text string) []byte {
	b = append(b, byte(len(text)))
	b = append(b, text...)
	return append(b, make([]byte, MaxText-len(text))...)
}

func parseText(b []byte) (string, error) {
	n := int(b[0])
	if n > MaxText {
		return "", ErrFormat
	}
	text := string(b[1 : 1+n])
	for _, x := range b[1+n : 1+MaxText] {
		if x != 0 {
			return "", ErrFormat
		}
	}
	if !plain(text) {
		return "", ErrFormat
	}
	return text, nil
}

// plain reports whether s is one line of text that a screen shows as it stands.
// Format characters are refused because they can turn text around.
func plain(s string) bool {
	if s == "" || len(s) > MaxText || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return false
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}

func ask(id ID, role identity.Side, expiry uint32, text string) []byte {
	b := message(messageAsk, id, []byte{byte(role)})
	return appendText(binary.BigEndian.AppendUint32(b, expiry), text)
}

func parseAsk(body []byte) (role identity.Side, expiry uint32, text string, err error) {
	role, expiry = identity.Side(body[0]), binary.BigEndian.Uint32(body[1:])
	if role != identity.Inviter && role != identity.Accepter {
		return 0, 0, "", ErrFormat
	}
	text, err = parseText(body[5:])
	return role, expiry, text, err
}
