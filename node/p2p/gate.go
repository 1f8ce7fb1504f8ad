package p2p

import (
	"crypto/subtle"

	"golang.org/x/crypto/salsa20"

	"github.com/backchannel/backchannel/protocol/secret"
)

// What a dialler sends first (docs/spec/gate.md, "The first 44 bytes").
const (
	nonceSize   = 24
	headerSize  = len(multistreamHeader)
	openingSize = nonceSize + headerSize
)

// multistreamHeader is the plaintext behind the nonce: what every libp2p dialler
// says first. The gate needs no message of its own.
const multistreamHeader = "\x13/multistream/1.0.0\n"

// An opening is the first 44 bytes of a connection: a nonce, and the multistream
// header encrypted with XSalsa20 under it and the pair's network key.
type opening [openingSize]byte

func (o *opening) nonce() [nonceSize]byte { return [nonceSize]byte(o[:nonceSize]) }

// fits reports, in constant time, whether the opening was made under the network
// key. A stranger succeeds with probability 2^-160.
func (o *opening) fits(network secret.Key) bool {
	var plain [headerSize]byte
	salsa20.XORKeyStream(plain[:], o[nonceSize:], o[:nonceSize], (*[secret.Size]byte)(network.Bytes()))
	return subtle.ConstantTimeCompare(plain[:], []byte(multistreamHeader)) == 1
}

// choose finds the pair that an opening belongs to, or nil: for a stranger, for
// a nonce seen before, and for a pair that has all the connections it may have.
// The caller treats these alike. Every key is tried, so that the time to an
// answer does not tell the place in a list. The pair's link is already counted.
func (n *Network) choose(o *opening) *pair {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var chosen *pair
	for _, p := range n.pairs {
		if o.fits(p.Network) {
			chosen = p
		}
	}
	if chosen == nil || !chosen.nonces.add(o.nonce()) || !chosen.reserve(inbound) {
		return nil
	}
	return chosen
}
