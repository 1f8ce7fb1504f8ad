package onion

import (
	"fmt"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A Suite says which key exchanges a packet uses, and so how large it is. A
// network has one suite for everybody: two would divide those who hide in it.
type Suite byte

// The suites.
const (
	// X25519 makes packets of 5,120 bytes. Who recorded them and breaks X25519 later
	// learns their ways.
	X25519 Suite = 1
	// Hybrid is X25519 and ML-KEM-768 together; packets of 16,384 bytes.
	Hybrid Suite = 2
)

// String names the key exchanges.
func (s Suite) String() string {
	switch s {
	case X25519:
		return "X25519"
	case Hybrid:
		return "X25519+ML-KEM-768"
	}
	return fmt.Sprintf("suite %d", byte(s))
}

// A Geometry is every size of a suite, in bytes. All of them follow from the
// first three.
type Geometry struct {
	Packet     int // on the wire
	Ciphertext int // of the KEM, one for each hop
	PublicKey  int // of a relay

	Block   int // what one hop finds in the header: command, flags, next hop, its MAC, its ciphertext
	Header  int // version, suite, ciphertext, MaxHops blocks, MAC
	SURB    int // first hop, header, key
	Payload int // the packet without its header
	Token   int // what a body leaves free
}

const (
	blockFixed  = 1 + 3 + IDSize + macSize      // 40
	bodyFixed   = 1 + KeySize + wire.BoxSize    // 4233
	answerFixed = 1 + 4 + wire.BoxSize          // 4205
	exchange    = 32                            // an X25519 key, private, public or shared
	hybridCT    = exchange + kem.CiphertextSize // 1120
	hybridKey   = exchange + kem.PublicSize     // 1216
	surbFixed   = IDSize + replyKeySize         // 52
	headerFixed = adSize + macSize              // 18
)

func newGeometry(packet, ciphertext, publicKey int) Geometry {
	g := Geometry{Packet: packet, Ciphertext: ciphertext, PublicKey: publicKey}
	g.Block = blockFixed + ciphertext
	g.Header = headerFixed + ciphertext + MaxHops*g.Block
	g.SURB = surbFixed + g.Header
	g.Payload = packet - g.Header
	g.Token = g.Payload - zeroSize - bodyFixed - g.SURB
	return g
}

// Geometry returns the sizes of a suite, and the zero Geometry for one that does
// not exist.
func (s Suite) Geometry() Geometry {
	switch s {
	case X25519:
		return newGeometry(5120, exchange, exchange)
	case Hybrid:
		return newGeometry(16384, hybridCT, hybridKey)
	}
	return Geometry{}
}

// Valid reports whether the suite exists.
func (s Suite) Valid() bool { return s == X25519 || s == Hybrid }
