package communique

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/secret"
)

const (
	stateVersion = 1
	stateFixed   = 3 + 4 + 12*32 + 4
)

// Append appends the stored form of the exchange, which is secret, to b. What a
// step has not brought yet is zero.
//
//	version 1 ‖ role 1 ‖ messages seen 1 ‖ expiry 4 ‖ seed 32 ‖ coins 32
//	‖ contribution 32 ‖ the other's commitment 32, key 32, contribution 32
//	‖ adaptor point 32 ‖ its secret 32 ‖ own pre-signature 64 ‖ the other's 64
//	‖ length of the text 4 ‖ text
func (x *Exchange) Append(b []byte) []byte {
	b = append(b, stateVersion, byte(x.role), x.seen)
	b = binary.BigEndian.AppendUint32(b, x.expiry)
	b = append(b, x.key.seed.Bytes()...)
	b = appendSecret(b, x.coins)
	for _, f := range x.fields() {
		b = append(b, f[:]...)
	}
	b = appendSecret(b, x.secret)
	for _, p := range []preSignature{x.pre, x.peerPre} {
		b = append(b, p.nonce[:]...)
		b = append(b, p.scalar[:]...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(x.text)))
	return append(b, x.text...)
}

// fields lists the public values of an exchange in the order in which they are
// stored.
func (x *Exchange) fields() []*[32]byte {
	return []*[32]byte{&x.contribution, &x.peerCommitment, (*[32]byte)(&x.peer), &x.peerContribution, &x.adaptor}
}

func appendSecret(b []byte, k secret.Key) []byte {
	if k.IsZero() {
		return append(b, make([]byte, secret.Size)...)
	}
	return append(b, k.Bytes()...)
}

// ParseState parses what Append made. It checks everything again that can be
// checked, so that whatever parses can be carried on.
func ParseState(b []byte) (*Exchange, error) {
	if len(b) < stateFixed || b[0] != stateVersion {
		return nil, ErrState
	}
	x := &Exchange{role: Role(b[1]), seen: b[2], expiry: binary.BigEndian.Uint32(b[3:])}
	if x.role != Initiator && x.role != Responder || x.seen > messageRelease {
		return nil, ErrState
	}
	b = b[7:]
	next := func() (f [32]byte) {
		b = b[copy(f[:], b):]
		return f
	}
	nextSecret := func() secret.Key {
		f := next()
		defer clear(f[:])
		if f == [32]byte{} {
			return secret.Key{}
		}
		return secret.New(&f)
	}
	seed := next()
	defer clear(seed[:])
	x.key = KeyFromSeed(secret.New(&seed))
	x.coins = nextSecret()
	for _, f := range x.fields() {
		*f = next()
	}
	x.secret = nextSecret()
	x.pre = preSignature{next(), next()}
	x.peerPre = preSignature{next(), next()}
	size := binary.BigEndian.Uint32(b)
	if x.text = string(b[4:]); uint64(size) != uint64(len(x.text)) || CheckText(x.text) != nil || !x.consistent() {
		return nil, ErrState
	}
	return x, nil
}

// has reports whether a message exists that one of both sides sends: its number is
// that of the initiator's or of the responder's, and own says which side is meant.
func (x *Exchange) has(initiators, responders uint8, own bool) bool {
	if (x.role == Initiator) == own {
		return x.seen >= initiators
	}
	return x.seen >= responders
}

// consistent reports whether everything that the messages so far have brought is
// there and fits, and nothing else is.
func (x *Exchange) consistent() bool {
	none, noPre := [32]byte{}, preSignature{}
	committed := x.has(messageCommitA, messageCommitB, false)
	opened := x.peerOpened()
	signed := x.has(messagePreSignA, messagePreSignB, true)
	peerSigned := x.has(messagePreSignA, messagePreSignB, false)
	knows := signed && x.role == Initiator || x.Done()
	if committed == (x.peerCommitment == none) || opened == (x.peer == PublicKey{}) ||
		!opened && x.peerContribution != none || signed != x.coins.IsZero() || knows == x.secret.IsZero() ||
		(signed || peerSigned) == (x.adaptor == none) || !signed && x.pre != noPre || !peerSigned && x.peerPre != noPre {
		return false
	}
	if opened && (x.peer.Check() != nil || x.peer == x.key.public ||
		x.commitment(x.role.other(), x.peer, x.peerContribution) != x.peerCommitment) {
		return false
	}
	if knows && !opens(x.secret, x.adaptor) {
		return false
	}
	text := x.communique().signed()
	return (!signed || x.pre.check(x.key.public, text, x.adaptor) == nil) &&
		(!peerSigned || x.peerPre.check(x.peer, text, x.adaptor) == nil)
}
