package onion

import (
	"bytes"
	"fmt"
	"io"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

const replyKeySize = secret.Size

// A SURB is a reply block: with it the exit of a packet answers once, and does
// not learn whom.
//
//	 0  20  first hop of the way back
//	20   n  header, 338 or 5,778
//	 …  32  key under which the answer is sealed
type SURB struct {
	First  ID
	suite  Suite
	header []byte
	key    secret.Key
}

func (s SURB) append(b []byte) []byte {
	b = append(b, s.First[:]...)
	b = append(b, s.header...)
	return append(b, s.key.Bytes()...)
}

// parseSURB parses the reply block in a body. Its header lies in b.
func parseSURB(suite Suite, b []byte) (SURB, error) {
	header := b[IDSize : len(b)-replyKeySize]
	if header[0] != version || header[1] != byte(suite) || !canonical(header[adSize:]) || allZero(b[:IDSize]) {
		return SURB{}, ErrFormat
	}
	return SURB{ID(b), suite, header, secret.FromBytes(b[len(b)-replyKeySize:])}, nil
}

// Use makes the reply, which is sent to s.First. A second one with the same block
// is refused by the first relay that it comes to.
func (s SURB) Use(a Answer) []byte {
	g := s.suite.Geometry()
	packet := make([]byte, g.Packet)
	copy(packet, s.header)
	a.write(packet[g.Header:])
	newLioness().encrypt(replyWide(s.key), packet[g.Header:])
	return packet
}

func replyWide(key secret.Key) *[wideKeySize]byte {
	return (*[wideKeySize]byte)(label.Derive(label.OnionReply, key.Bytes(), nil, wideKeySize))
}

// ReplyKeys open the one reply to one packet. The sender keeps them by their Tag
// until the reply has come, or cannot come any more, and then calls Wipe.
type ReplyKeys struct {
	Tag Tag
	// Out and Back are what the delays are drawn from at the relays of the two ways, in
	// their order. The last of Out is that of the exit, which keeps the reply so long.
	Out, Back []Seed

	wide [][wideKeySize]byte // of each hop, in the order of the way
	key  secret.Key
	g    Geometry
	s    Suite
}

// ReplyTag returns the tag of the reply that a guard delivered.
func ReplyTag(suite Suite, packet []byte) (Tag, error) {
	g := suite.Geometry()
	if !suite.Valid() || len(packet) != g.Packet || packet[0] != version || packet[1] != byte(suite) {
		return Tag{}, ErrFormat
	}
	return Tag(packet[g.Header-macSize:]), nil
}

// Open opens a reply, in its own memory. A reply that was altered, or that
// belongs to another packet, is [ErrPayload].
func (k *ReplyKeys) Open(packet []byte) (Answer, error) {
	tag, err := ReplyTag(k.s, packet)
	if err != nil {
		return Answer{}, err
	}
	if !bytes.Equal(tag[:], k.Tag[:]) {
		return Answer{}, ErrPayload
	}
	payload, wide := packet[k.g.Header:], newLioness()
	for i := len(k.wide) - 1; i >= 0; i-- {
		wide.encrypt(&k.wide[i], payload)
	}
	wide.decrypt(replyWide(k.key), payload)
	return parseAnswer(payload)
}

// Wipe clears the keys.
func (k *ReplyKeys) Wipe() {
	clear(k.wide)
	clear(k.Out)
	clear(k.Back)
	k.key.Wipe()
}

// Format implements [fmt.Formatter] for every verb.
func (*ReplyKeys) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }
