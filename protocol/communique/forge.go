package communique

import (
	"crypto/subtle"
	"io"

	"filippo.io/edwards25519"

	"github.com/backchannel/backchannel/protocol/secret"
)

// Forge makes an exchange with the holder of any public key, who had no part in
// it: what a real one leaves in the store of this side just before it could make
// the other's signature. That is after the own pre-signature for the initiator,
// and after both for the responder. This is why a pre-signature proves nothing.
func Forge(role Role, key Key, peer PublicKey, text string, expiry uint32, random io.Reader) (*Exchange, error) {
	if err := peer.Check(); err != nil {
		return nil, err
	}
	if peer == key.public {
		return nil, ErrKey
	}
	x, err := Begin(role, key, text, expiry, random)
	if err != nil {
		return nil, err
	}
	x.peer, x.seen = peer, messagePreSignA
	if _, err := io.ReadFull(random, x.peerContribution[:]); err != nil {
		return nil, err
	}
	x.peerCommitment = x.commitment(role.other(), peer, x.peerContribution)
	if role == Responder {
		if err := x.forgePreSignature(random); err != nil {
			return nil, err
		}
		x.seen = messagePreSignB
	}
	if err := x.preSign(); err != nil {
		return nil, err
	}
	return x, nil
}

// forgePreSignature makes the initiator's pre-signature from its public key: the
// nonce point R'+T is drawn first, and the adaptor point is what is left,
// T = (R'+T) - (s'B - cA).
func (x *Exchange) forgePreSignature(random io.Reader) error {
	n, err := drawScalar(random)
	if err != nil {
		return err
	}
	s, err := drawScalar(random)
	if err != nil {
		return err
	}
	a, err := decodePoint(x.peer)
	if err != nil {
		return err
	}
	final := new(edwards25519.Point).ScalarBaseMult(n)
	c := challenge(final, x.peer, x.communique().signed())
	own := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(c, a.Negate(a), s)
	copy(x.adaptor[:], final.Subtract(final, own).Bytes())
	copy(x.peerPre.nonce[:], own.Bytes())
	copy(x.peerPre.scalar[:], s.Bytes())
	return nil
}

// ForgeFrom makes, from a published file and the key of one of both, a finished
// exchange that could have led to it, in either role and with any expiry. It is why
// a store shows nothing about a communiqué that the file does not.
func ForgeFrom(file []byte, role Role, key Key, expiry uint32, random io.Reader) (*Exchange, error) {
	c, err := Verify(file)
	if err != nil {
		return nil, err
	}
	own := 0
	if key.public == c.Keys[1] {
		own = 1
	} else if key.public != c.Keys[0] {
		return nil, ErrKey
	}
	x := &Exchange{role: role, seen: messageRelease, expiry: expiry, key: key, text: c.Text, peer: c.Keys[1-own]}
	t, err := drawScalar(random)
	if err != nil {
		return nil, err
	}
	x.secret, x.adaptor = secret.FromBytes(t.Bytes()), adaptorPoint(t)
	if x.pre, err = unadapt(c.Signatures[own], t); err != nil {
		return nil, err
	}
	if x.peerPre, err = unadapt(c.Signatures[1-own], t); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(random, x.contribution[:]); err != nil {
		return nil, err
	}
	subtle.XORBytes(x.peerContribution[:], c.Random[:], x.contribution[:])
	x.peerCommitment = x.commitment(role.other(), x.peer, x.peerContribution)
	return x, nil
}

// unadapt takes t out of a signature: (N - tB, s - t).
func unadapt(sig [64]byte, t *edwards25519.Scalar) (preSignature, error) {
	final, err := decodePoint([32]byte(sig[:32]))
	if err != nil {
		return preSignature{}, err
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return preSignature{}, ErrSignature
	}
	var p preSignature
	copy(p.nonce[:], final.Subtract(final, new(edwards25519.Point).ScalarBaseMult(t)).Bytes())
	copy(p.scalar[:], s.Subtract(s, t).Bytes())
	return p, nil
}

func drawScalar(random io.Reader) (*edwards25519.Scalar, error) {
	var b [64]byte
	defer clear(b[:])
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, err
	}
	return new(edwards25519.Scalar).SetUniformBytes(b[:])
}
