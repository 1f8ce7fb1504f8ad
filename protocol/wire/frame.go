package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/backchannel/backchannel/protocol/label"
)

// Sizes in bytes, and limits.
const (
	FrameSize   = 1728
	frameHeader = 28
	// ContentSize is the most content that one frame carries.
	ContentSize = FrameSize - frameHeader // 1700
	// MaxText is the longest text in bytes; it takes 36 frames.
	MaxText = 60_000
	// MaxParts bounds how many frames one message may take.
	MaxParts = (MaxText + ContentSize - 1) / ContentSize
)

// FrameKind says what a frame carries.
type FrameKind byte

// The kinds of frame.
const (
	FrameCommit     FrameKind = 1 + iota // words exchange: own commitment 32, the one that it answers or zeros 32
	FrameReveal                          // words exchange: nonce 32, the other's commitment 32
	FrameText                            // text, UTF-8
	FrameConsent                         // after recovery: this person wants to go on
	FramePlace                           // where the sender can be reached from now on
	FrameFile                            // offer of a file (package file)
	FrameBurn                            // this person has burned the conversation and asks for the same
	FrameMandate                         // for whom the sender speaks, and what that takes (package mandate)
	FrameCommunique                      // a text that both are to sign: drafts and the exchange (package communique)
	FrameDrop                            // a drop that this side chooses: network 8, relay 20, period 1
	FrameDropSet                         // all three, named by the inviter: network 8, relays 60, period 1, first period 8
	FrameDropGone                        // the drops as the sender has them, since one left the network: network 8, three relays 20 each
	FrameBranch                          // chains of boxes at drops: the one that is watched 8, the one that is written on 8, from which day 4
)

// FrameMembership is which relays this side sees: network 8, epoch 4, membership 32
// (package directory).
const FrameMembership FrameKind = 14

// FrameMissing is which numbers were passed over: see [Missing].
const FrameMissing FrameKind = 15

// Kinds of what two people agree on, and of those between them. Each is one
// message of its package, in one frame but for texts that a mediator carries.
const (
	FrameCharter      FrameKind = 16 + iota // of a channel (package charter)
	FrameIntroduction                       // of the contact (package introduction)
	FrameShuttle                            // what a mediator carries (package shuttle)
	FrameSounding                           // of the contact: a call, or a step (package sounding)
)

// String returns the kind's name.
func (k FrameKind) String() string {
	switch k {
	case FrameCommit:
		return "commit"
	case FrameReveal:
		return "reveal"
	case FrameText:
		return "text"
	case FrameConsent:
		return "consent"
	case FramePlace:
		return "place"
	case FrameFile:
		return "file"
	case FrameMembership:
		return "membership"
	case FrameMissing:
		return "missing"
	case FrameBurn:
		return "burn"
	case FrameCharter:
		return "charter"
	case FrameIntroduction:
		return "introduction"
	case FrameShuttle:
		return "shuttle"
	case FrameSounding:
		return "sounding"
	case FrameMandate:
		return "mandate"
	case FrameCommunique:
		return "communique"
	case FrameDrop:
		return "drop"
	case FrameDropSet:
		return "drop set"
	case FrameDropGone:
		return "drop gone"
	case FrameBranch:
		return "branch"
	default:
		return fmt.Sprintf("FrameKind(%d)", byte(k))
	}
}

// MessageID is a random name by which a message sent again in a later session
// is recognised. It means nothing elsewhere.
type MessageID [8]byte

// NewMessageID derives a message ID from 32 random bytes and the message, so that
// a source of randomness that repeats does not give two messages one ID.
func NewMessageID(random *[32]byte, seq uint64, content []byte) MessageID {
	h := label.Hash(label.WireMessage, random[:], binary.BigEndian.AppendUint64(nil, seq), content)
	return MessageID(h[:8])
}

// Frame is what one ratchet message says.
//
//	 0    1  kind
//	 1    1  zero
//	 2    4  number: counts this direction's cells of the session, from 1
//	 6    4  channel: 0 for frames of the contact itself
//	10    8  message ID
//	18    2  part, from 0
//	20    2  parts, at least 1
//	22    4  time, minutes since 1970
//	26    2  length of the content
//	28 1700  content, then zeros
type Frame struct {
	Kind    FrameKind
	Number  uint32
	Channel uint32
	ID      MessageID
	Part    uint16
	Parts   uint16
	Minute  uint32
	Content []byte
}

// Append appends the 1,728-byte encoding of f to b. A frame that no parser would
// take is a programming error and panics.
func (f Frame) Append(b []byte) []byte {
	if len(f.Content) > ContentSize || f.Number == 0 || f.Parts == 0 || f.Parts > MaxParts || f.Part >= f.Parts || f.Kind == 0 {
		panic("wire: a frame that cannot be")
	}
	b = append(b, byte(f.Kind), 0)
	b = binary.BigEndian.AppendUint32(b, f.Number)
	b = binary.BigEndian.AppendUint32(b, f.Channel)
	b = append(b, f.ID[:]...)
	b = binary.BigEndian.AppendUint16(b, f.Part)
	b = binary.BigEndian.AppendUint16(b, f.Parts)
	b = binary.BigEndian.AppendUint32(b, f.Minute)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.Content)))
	b = append(b, f.Content...)
	return append(b, make([]byte, ContentSize-len(f.Content))...)
}

// ParseFrame parses the encoding that Append makes. A kind that this version
// does not know is not an error: the caller acknowledges and sets it aside.
func ParseFrame(b []byte) (Frame, error) {
	if len(b) != FrameSize {
		return Frame{}, ErrFormat
	}
	f := Frame{
		Kind:    FrameKind(b[0]),
		Number:  binary.BigEndian.Uint32(b[2:]),
		Channel: binary.BigEndian.Uint32(b[6:]),
		ID:      MessageID(b[10:18]),
		Part:    binary.BigEndian.Uint16(b[18:]),
		Parts:   binary.BigEndian.Uint16(b[20:]),
		Minute:  binary.BigEndian.Uint32(b[22:]),
	}
	n := int(binary.BigEndian.Uint16(b[26:]))
	switch {
	case f.Kind == 0, b[1] != 0, f.Number == 0,
		f.Parts == 0, f.Parts > MaxParts, f.Part >= f.Parts,
		n > ContentSize, !allZero(b[frameHeader+min(n, ContentSize):]):
		return Frame{}, ErrFormat
	}
	f.Content = append([]byte(nil), b[frameHeader:frameHeader+n]...)
	return f, nil
}

// Split cuts a text into the contents of its frames: at least one, at most
// [MaxParts] for a text of at most [MaxText] bytes.
func Split(text []byte) [][]byte {
	parts := [][]byte{}
	for len(text) > ContentSize {
		parts = append(parts, text[:ContentSize])
		text = text[ContentSize:]
	}
	return append(parts, text)
}
