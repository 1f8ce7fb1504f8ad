package communique

import (
	"bytes"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/binary"
)

const messageVersion = 1

// messageSizes holds the length of each message, version and number included.
var messageSizes = [messageRelease + 1]int{
	messageCommitA:  2 + 32 + 32 + 4,
	messageCommitB:  2 + 32 + 32 + 4,
	messageOpenA:    2 + 32 + 32,
	messageOpenB:    2 + 32 + 32,
	messagePreSignA: 2 + 32 + 64,
	messagePreSignB: 2 + 64,
	messageRelease:  2 + 32,
}

// Send makes this side's next message. now is in minutes since 1970; from the
// expiry on there is none, and ErrExpired. Before a message that
// [Exchange.SignsNext] announces, somebody must have agreed.
func (x *Exchange) Send(now uint32) ([]byte, error) {
	if !x.Turn() {
		return nil, ErrTurn
	}
	if x.Expired(now) {
		return nil, ErrExpired
	}
	if x.SignsNext() {
		if err := x.preSign(); err != nil {
			return nil, err
		}
	}
	x.seen++
	return x.message(x.seen), nil
}

// Messages returns what both have sent so far, in its order: the initiator's first.
func (x *Exchange) Messages() [][]byte {
	var all [][]byte
	for n := uint8(1); n <= x.seen; n++ {
		all = append(all, x.message(n))
	}
	return all
}

// IsMessage reports whether b has the form of a message of an exchange.
func IsMessage(b []byte) bool {
	return len(b) >= 2 && b[0] == messageVersion && b[1] <= messageRelease && len(b) == messageSizes[b[1]]
}

// Last returns this side's latest message again, or nil if it has sent none: the
// same bytes, to be sent anew after a restart.
func (x *Exchange) Last() []byte {
	for n := x.seen; n > 0; n-- {
		if sender(n) == x.role {
			return x.message(n)
		}
	}
	return nil
}

// message writes a message that exists, whoever sent it.
func (x *Exchange) message(n uint8) []byte {
	own := sender(n) == x.role
	pick := func(mine, theirs []byte) []byte {
		if own {
			return mine
		}
		return theirs
	}
	b := []byte{messageVersion, n}
	switch n {
	case messageCommitA, messageCommitB:
		mine := x.commitment(x.role, x.key.public, x.contribution)
		digest := x.Digest()
		b = append(b, pick(mine[:], x.peerCommitment[:])...)
		b = append(b, digest[:]...)
		b = binary.BigEndian.AppendUint32(b, x.expiry)
	case messageOpenA, messageOpenB:
		b = append(b, pick(x.key.public[:], x.peer[:])...)
		b = append(b, pick(x.contribution[:], x.peerContribution[:])...)
	case messagePreSignA, messagePreSignB:
		if n == messagePreSignA {
			b = append(b, x.adaptor[:]...)
		}
		b = append(b, pick(x.pre.nonce[:], x.peerPre.nonce[:])...)
		b = append(b, pick(x.pre.scalar[:], x.peerPre.scalar[:])...)
	case messageRelease:
		pre := x.peerPre
		if own {
			pre = x.pre
		}
		// Both were checked when they came in, so adapting cannot fail.
		sig, err := pre.adapt(x.secret, x.adaptor)
		if err != nil {
			panic("communique: a release that cannot be")
		}
		b = append(b, sig[32:]...)
	}
	return b
}

// Receive takes the other side's next message; now is in minutes since 1970. After
// an error the exchange is as it was before. A message that came already changes
// nothing. A release is taken also after the expiry: the other side has both
// signatures then.
func (x *Exchange) Receive(message []byte, now uint32) error {
	if !IsMessage(message) {
		return ErrMessage
	}
	n := message[1]
	if sender(n) == x.role || n > x.seen+1 {
		return ErrOrder
	}
	if n <= x.seen {
		if !bytes.Equal(message, x.message(n)) {
			return ErrChanged
		}
		return nil
	}
	if n != messageRelease && now >= x.expiry {
		return ErrExpired
	}
	if err := x.take(n, message[2:]); err != nil {
		return err
	}
	x.seen = n
	return nil
}

// take checks the body of the message that is due, and keeps it.
func (x *Exchange) take(n uint8, body []byte) error {
	switch n {
	case messageCommitA, messageCommitB:
		return x.takeCommitment(body)
	case messageOpenA, messageOpenB:
		return x.takeOpening(PublicKey(body[:32]), [32]byte(body[32:]))
	case messagePreSignA:
		return x.takePreSignature([32]byte(body[:32]), body[32:])
	case messagePreSignB:
		return x.takePreSignature(x.adaptor, body)
	default:
		t, err := x.peerPre.extract([32]byte(body), x.adaptor)
		if err != nil {
			return err
		}
		x.secret = t
		return nil
	}
}

func (x *Exchange) takeCommitment(body []byte) error {
	digest := x.Digest()
	if !bytes.Equal(body[32:64], digest[:]) {
		return ErrOtherText
	}
	if binary.BigEndian.Uint32(body[64:]) != x.expiry {
		return ErrOtherExpiry
	}
	x.peerCommitment = [32]byte(body)
	return nil
}

func (x *Exchange) takeOpening(peer PublicKey, contribution [32]byte) error {
	if err := peer.Check(); err != nil {
		return err
	}
	if peer == x.key.public {
		return ErrKey
	}
	want := x.commitment(x.role.other(), peer, contribution)
	if subtle.ConstantTimeCompare(want[:], x.peerCommitment[:]) != 1 {
		return ErrCommitment
	}
	x.peer, x.peerContribution = peer, contribution
	return nil
}

func (x *Exchange) takePreSignature(adaptor [32]byte, body []byte) error {
	pre := preSignature{[32]byte(body[:32]), [32]byte(body[32:])}
	if err := pre.check(x.peer, x.communique().signed(), adaptor); err != nil {
		return err
	}
	x.adaptor, x.peerPre = adaptor, pre
	return nil
}

// Recover finishes the exchange of a responder who got no release, but met one
// completed signature, of either side: in a file, or from somebody to whom it was
// shown. It returns ErrRelease if the signature does not belong to the exchange.
func (x *Exchange) Recover(signature [ed25519.SignatureSize]byte) error {
	if x.Done() {
		return nil
	}
	if x.role != Responder || x.seen != messagePreSignB {
		return ErrTurn
	}
	for _, pre := range []preSignature{x.peerPre, x.pre} {
		t, err := pre.extract([32]byte(signature[32:]), x.adaptor)
		if err == nil {
			x.secret, x.seen = t, messageRelease
			return nil
		}
	}
	return ErrRelease
}
