package shuttle

import "github.com/backchannel/backchannel/protocol/secret"

// Reseal is the second's last trick: it knows the keys, and seals as its own
// opening what the first's opening holds.
func Reseal(p *Party, opening []byte) ([]byte, error) {
	k, _, _, err := p.keys()
	if err != nil {
		return nil, err
	}
	nonce, offer, err := k.open(p.role.Other(), opening[headerSize:], p.first, p.second)
	if err != nil {
		return nil, err
	}
	padded, err := padOffer(offer)
	if err != nil {
		return nil, err
	}
	return message(messageOpening, p.id, k.seal(p.role, nonce[:], padded)), nil
}

// SealOther seals another offer, or another nonce, than the one committed to.
func SealOther(p *Party, offer string, otherNonce bool) ([]byte, error) {
	k, d, padded, err := p.keys()
	if err != nil {
		return nil, err
	}
	if offer != "" {
		if padded, err = padOffer(offer); err != nil {
			return nil, err
		}
	}
	if otherNonce {
		d.nonce[0] ^= 1
	}
	return message(messageOpening, p.id, k.seal(p.role, d.nonce, padded)), nil
}

// Coins returns what a party has drawn.
func Coins(p *Party) secret.Key { return p.coins }

// SecondWith is a second who commits to what is no offer, and opens it: the messages
// are its commitment and its opening. It was called, and has the first's commitment.
func SecondWith(p *Party, padded []byte, coins secret.Key) ([2][]byte, error) {
	d := drawSecond(coins, p.id, padded, p.first)
	second, k, err := d.secondBody(p.first, padded, p.shared)
	if err != nil {
		return [2][]byte{}, err
	}
	return [2][]byte{message(messageSecond, p.id, second), message(messageOpening, p.id, k.seal(Second, d.nonce, padded))}, nil
}

// OfferSize is the length of what is committed to.
const OfferSize = offerSize
