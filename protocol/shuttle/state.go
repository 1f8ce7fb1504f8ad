package shuttle

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/secret"
)

// PartySize is the length of a stored party in bytes, whatever it holds.
const PartySize = 3 + 16 + 4 + 1 + MaxSubject + 2*secret.Size + firstSize + secondSize + 2*offerSize + 3*32

func minute(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// Append appends the stored form of p, which is secret, to b. What is not there is
// zeros.
//
//	version 1 ‖ role 1 ‖ stage 1 ‖ ID 16 ‖ expiry 4 ‖ length of the subject 1 ‖ subject 128
//	‖ shared secret 32 ‖ coins 32 ‖ body of the first ‖ body of the second ‖ own offer
//	‖ the other's offer ‖ transcript 32 ‖ nonce of the first 32 ‖ nonce of the second 32
func (p *Party) Append(b []byte) []byte {
	b = append(b, version, byte(p.role), byte(p.stage))
	b = append(b, p.id[:]...)
	b = appendSubject(binary.BigEndian.AppendUint32(b, p.expiry), p.subject)
	b = appendOr(b, bytesOf(p.shared), secret.Size)
	b = appendOr(b, bytesOf(p.coins), secret.Size)
	b = appendOr(b, p.first, firstSize)
	b = appendOr(b, p.second, secondSize)
	for _, offer := range []string{p.offer, p.peer} {
		padded, err := padOffer(offer)
		if err != nil {
			padded = nil // none yet
		}
		b = appendOr(b, padded, offerSize)
	}
	b = append(b, p.transcript[:]...)
	return append(append(b, p.nonces[0][:]...), p.nonces[1][:]...)
}

func bytesOf(k secret.Key) []byte {
	if k.IsZero() {
		return nil
	}
	return k.Bytes()
}

func appendOr(b, field []byte, size int) []byte {
	if field == nil {
		field = make([]byte, size)
	}
	return append(b, field...)
}

// ParseParty parses what Append made. Whatever parses can be carried on.
func ParseParty(b []byte) (*Party, error) {
	if len(b) != PartySize || b[0] != version {
		return nil, ErrFormat
	}
	p := &Party{role: Role(b[1]), stage: Stage(b[2]), id: ID(b[3:19]), expiry: minute(b[19:])}
	var err error
	if p.subject, err = parseSubject(b[23:]); err != nil {
		return nil, err
	}
	b = b[24+MaxSubject:]
	take := func(n int) []byte {
		field := b[:n]
		b = b[n:]
		if zero(field) {
			return nil
		}
		return append([]byte(nil), field...)
	}
	takeKey := func() secret.Key {
		field := take(secret.Size)
		defer clear(field)
		if field == nil {
			return secret.Key{}
		}
		return secret.FromBytes(field)
	}
	p.shared, p.coins = takeKey(), takeKey()
	p.first, p.second = take(firstSize), take(secondSize)
	for _, offer := range []*string{&p.offer, &p.peer} {
		if padded := take(offerSize); padded != nil {
			if *offer, err = parseOffer(padded); err != nil {
				return nil, err
			}
		}
	}
	p.transcript = [32]byte(b)
	p.nonces = [2][32]byte{[32]byte(b[32:]), [32]byte(b[64:])}
	if !p.consistent(!zero(b)) {
		return nil, ErrFormat
	}
	return p, nil
}

// consistent reports whether everything that the stage has brought is there, and
// nothing else is.
func (p *Party) consistent(open bool) bool {
	if !p.role.valid() || open != (p.stage == Opened) || (p.peer != "") != (p.stage == Opened) ||
		(p.offer != "") != (p.stage >= Sealed) {
		return false
	}
	drew := p.stage == Sealed || p.stage == Committed
	if p.coins.IsZero() == drew || (p.second != nil) != (p.stage == Committed) {
		return false
	}
	switch p.stage {
	case Called:
		return p.role == Second || p.first == nil
	case Sealed:
		return (p.role == First) == (p.first != nil)
	case Committed:
		return p.first != nil
	case Opened:
		return p.first == nil && p.shared.IsZero()
	}
	return false
}
