package onion

import (
	"encoding/binary"
	"fmt"

	"github.com/backchannel/backchannel/protocol/wire"
)

// A Command says what an exit is asked to do. Every one is answered by one reply.
type Command byte

// The commands. A loop that its exit must not recognize is a Get of a random
// address.
const (
	Put  Command = 1 // store a box under the hash of a write key
	Get  Command = 2 // return the box at an address
	Loop Command = 3 // return anything
)

// String is the command as it is counted and shown.
func (c Command) String() string {
	switch c {
	case Put:
		return "put"
	case Get:
		return "get"
	case Loop:
		return "loop"
	}
	return fmt.Sprintf("command %d", byte(c))
}

// A Body is what a packet brings to its exit.
//
//	   0   32  zeros: the payload was not altered
//	  32    1  command
//	  33   32  write key (put), address (get), random (loop)
//	  65 4200  box (put), random (get, loop)
//	4265    n  SURB, 390 or 5,830
//	   …    n  token, 127 or 511; zeros after it
//
// As [Relay.Unwrap] returns it, Box and Token lie in the memory of the packet.
type Body struct {
	Command Command
	Key     [KeySize]byte
	Box     *wire.Box
	SURB    SURB
	Token   []byte
}

// appendBody appends a body without its zeros in front.
func appendBody(b []byte, g Geometry, body Body) []byte {
	b = append(b, byte(body.Command))
	b = append(b, body.Key[:]...)
	b = append(b, body.Box[:]...)
	b = body.SURB.append(b)
	b = append(b, body.Token...)
	return append(b, make([]byte, g.Token-len(body.Token))...)
}

// parseBody parses a whole payload at relay self.
func parseBody(suite Suite, b []byte, self ID) (Body, error) {
	if !allZero(b[:zeroSize]) {
		return Body{}, ErrPayload
	}
	b = b[zeroSize:]
	body := Body{Command: Command(b[0]), Key: [KeySize]byte(b[1:]), Box: (*wire.Box)(b[1+KeySize:])}
	switch body.Command {
	case Put, Get, Loop:
	default:
		return Body{}, ErrFormat
	}
	g := suite.Geometry()
	var err error
	if body.SURB, err = parseSURB(suite, b[bodyFixed:bodyFixed+g.SURB]); err != nil {
		return Body{}, err
	}
	if body.SURB.First == self {
		return Body{}, ErrRoute
	}
	body.Token = b[bodyFixed+g.SURB:]
	return body, nil
}

// An Answer is what an exit returns in a reply, whatever it was asked and
// whatever came of it.
//
//	 0   32  zeros
//	32    1  status: the drop's word
//	33    4  time: the drop's clock, seconds since 1970
//	37 4200  box, or random bytes
//	 …    n  zeros to the end
type Answer struct {
	Status byte
	Time   uint32
	Box    *wire.Box
}

func (a Answer) write(payload []byte) {
	clear(payload)
	b := payload[zeroSize:]
	b[0] = a.Status
	binary.BigEndian.PutUint32(b[1:], a.Time)
	copy(b[5:], a.Box[:])
}

// parseAnswer parses a whole payload; the box lies in it.
func parseAnswer(b []byte) (Answer, error) {
	if !allZero(b[:zeroSize]) {
		return Answer{}, ErrPayload
	}
	b = b[zeroSize:]
	if !allZero(b[answerFixed:]) {
		return Answer{}, ErrFormat
	}
	return Answer{Status: b[0], Time: binary.BigEndian.Uint32(b[1:]), Box: (*wire.Box)(b[5:])}, nil
}
