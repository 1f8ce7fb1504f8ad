package communique

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"io"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// The messages of an exchange, in their order. Odd ones are the initiator's.
const (
	messageCommitA uint8 = iota + 1
	messageCommitB
	messageOpenA
	messageOpenB
	messagePreSignA
	messagePreSignB
	messageRelease
)

// MaxMessage is the length of the longest message of an exchange in bytes.
const MaxMessage = 2 + 96

// An Exchange is one side of the way to one communiqué. It has one caller at a
// time. Store it, see [Exchange.Append], after every change and before a message
// is sent: everything else can be made again from it.
type Exchange struct {
	role   Role
	seen   uint8 // messages that exist, sent or received
	expiry uint32
	key    Key
	coins  secret.Key // all that this side draws; forgotten once it has pre-signed
	text   string

	contribution     [32]byte
	peerCommitment   [32]byte
	peer             PublicKey
	peerContribution [32]byte

	adaptor [32]byte   // T
	secret  secret.Key // t; the responder learns it by the release
	pre     preSignature
	peerPre preSignature
}

// Begin starts an exchange over a text, which must be in the form that [CheckText]
// wants. Both sides begin with the same text and expiry (minutes since 1970) and
// with different roles. 32 bytes are drawn from random; nothing is drawn later.
func Begin(role Role, key Key, text string, expiry uint32, random io.Reader) (*Exchange, error) {
	if role != Initiator && role != Responder {
		panic("communique: an exchange without a role")
	}
	if err := CheckText(text); err != nil {
		return nil, err
	}
	coins, err := secret.Read(random)
	if err != nil {
		return nil, err
	}
	if coins.Equal(secret.New(new([secret.Size]byte))) {
		return nil, ErrRandom
	}
	x := &Exchange{role: role, expiry: expiry, key: key, coins: coins, text: text}
	digest := x.Digest()
	x.contribution = [32]byte(label.Derive(label.CommuniqueContribution, key.seed.Bytes(), coins.Bytes(), 32, []byte{byte(role)}, digest[:]))
	return x, nil
}

// Role returns this side's role.
func (x *Exchange) Role() Role { return x.role }

// Expiry returns the minute since 1970 from which this side no longer signs. It
// binds only machines that keep to it, and no file shows it.
func (x *Exchange) Expiry() uint32 { return x.expiry }

// Text returns what is to be signed.
func (x *Exchange) Text() string { return x.text }

// Digest is SHA-256 of the text.
func (x *Exchange) Digest() [32]byte { return sha256.Sum256([]byte(x.text)) }

// Keys returns the publication key of this side and that of the other, which is
// known once it was opened.
func (x *Exchange) Keys() (own, other PublicKey, known bool) {
	return x.key.public, x.peer, x.peerOpened()
}

// Turn reports whether this side sends the next message.
func (x *Exchange) Turn() bool { return !x.Done() && sender(x.seen+1) == x.role }

// SignsNext reports whether the next message of this side holds its pre-signature:
// the last moment to refuse.
func (x *Exchange) SignsNext() bool {
	return x.Turn() && (x.seen+1 == messagePreSignA || x.seen+1 == messagePreSignB)
}

// Done reports whether both signatures are there.
func (x *Exchange) Done() bool { return x.seen >= messageRelease }

// Expired reports whether the exchange came to nothing in time: nothing more is
// signed in it. The initiator must delete its store of it then, because with both
// pre-signatures there it could still publish; now is in minutes since 1970.
func (x *Exchange) Expired(now uint32) bool { return !x.Done() && now >= x.expiry }

// Wipe clears the secrets of the exchange, but not the publication key.
func (x *Exchange) Wipe() {
	x.coins.Wipe()
	x.secret.Wipe()
}

func sender(message uint8) Role {
	if message%2 == 1 {
		return Initiator
	}
	return Responder
}

func (x *Exchange) peerOpened() bool {
	return x.seen >= messageOpenB || x.seen == messageOpenA && x.role == Responder
}

// commitment binds a side to its key, its contribution, the text and the expiry
// before it has seen those of the other. Its role keeps it from being echoed.
func (x *Exchange) commitment(role Role, key PublicKey, contribution [32]byte) [32]byte {
	digest := x.Digest()
	expiry := binary.BigEndian.AppendUint32(nil, x.expiry)
	return label.Hash(label.CommuniqueCommit, []byte{byte(role)}, key[:], contribution[:], digest[:], expiry)
}

// communique is what will be published, still without signatures. The random
// bytes are the sum of both contributions: whoever has the file can name two that
// fit, so that an opening shown with it shows nothing.
func (x *Exchange) communique() *Communique {
	c := &Communique{Keys: [2]PublicKey{x.key.public, x.peer}, Text: x.text}
	if !x.ownFirst() {
		c.Keys[0], c.Keys[1] = c.Keys[1], c.Keys[0]
	}
	subtle.XORBytes(c.Random[:], x.contribution[:], x.peerContribution[:])
	return c
}

func (x *Exchange) ownFirst() bool { return bytes.Compare(x.key.public[:], x.peer[:]) < 0 }

// preSign makes this side's pre-signature, and for the initiator the adaptor point
// before it. The coins are forgotten then: with them a store would show, beside a
// published file, who initiated.
func (x *Exchange) preSign() error {
	signed := x.communique().signed()
	if x.role == Initiator {
		t := uniform(label.CommuniqueAdaptor, x.key, x.coins, signed)
		x.secret = secret.FromBytes(t.Bytes())
		x.adaptor = adaptorPoint(t)
	}
	pre, err := preSign(x.key, x.coins, signed, x.adaptor)
	if err != nil {
		return err
	}
	x.pre = pre
	x.coins.Wipe()
	x.coins = secret.Key{}
	return nil
}

// File returns the communiqué as it is published. It returns ErrUnfinished before
// the exchange is done. The initiator should send the release before it publishes.
func (x *Exchange) File() ([]byte, error) {
	if !x.Done() {
		return nil, ErrUnfinished
	}
	c, err := x.completed()
	if err != nil {
		return nil, err
	}
	return c.append(nil), nil
}

// completed adapts both pre-signatures and verifies what came out, as everybody
// will.
func (x *Exchange) completed() (*Communique, error) {
	c := x.communique()
	signed := c.signed()
	pres := [2]preSignature{x.pre, x.peerPre}
	if !x.ownFirst() {
		pres[0], pres[1] = pres[1], pres[0]
	}
	for i, pre := range pres {
		sig, err := pre.adapt(x.secret, x.adaptor)
		if err != nil {
			return nil, err
		}
		if !verify(c.Keys[i], signed, sig) {
			return nil, ErrSignature
		}
		c.Signatures[i] = sig
	}
	return c, nil
}
