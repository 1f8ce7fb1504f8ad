package mandate

import (
	"crypto/subtle"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// RequestSize is the length of an encoded request in bytes.
const RequestSize = requestBody + tagSize

const (
	requestBody = 1 + 3*KeySize + 2*32
	tagSize     = 32
	version     = 1
)

// A Request is what an envoy takes to the authority, by file: between whom the
// mandate is to stand. Cards are named by their fingerprints.
type Request struct {
	Authority PublicKey
	Envoy     PublicKey // the envoy's key for the ring
	Listener  PublicKey // the listener's key for this authority

	EnvoyCard    [32]byte // the card that the listener has of the envoy
	ListenerCard [32]byte // the card that the envoy has of the listener
}

func (r Request) body() []byte {
	b := make([]byte, 0, RequestSize)
	b = append(b, version)
	b = append(b, r.Authority[:]...)
	b = append(b, r.Envoy[:]...)
	b = append(b, r.Listener[:]...)
	b = append(b, r.EnvoyCard[:]...)
	return append(b, r.ListenerCard[:]...)
}

// check refuses keys that are not points, and two parts under one key.
func (r Request) check() error {
	for _, k := range []PublicKey{r.Authority, r.Envoy, r.Listener} {
		if _, err := k.point(); err != nil {
			return err
		}
	}
	if r.Authority == r.Envoy || r.Authority == r.Listener || r.Envoy == r.Listener {
		return ErrRefused
	}
	return nil
}

// Seal encodes r with a tag that shows the authority, and nobody else, that the
// envoy holds the private half of his key. Without that the key might be one
// that nobody holds, and then the ring would be the authority's plain signature.
func (r Request) Seal(envoy *Private) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	k, err := pairKey(envoy, r.Authority, r.Envoy)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	return appendTag(label.MandateRequest, k, r.body()), nil
}

// OpenRequest checks a request that was made for this authority.
func OpenRequest(authority *Private, b []byte) (Request, error) {
	if len(b) != RequestSize || b[0] != version {
		return Request{}, ErrFormat
	}
	r := Request{
		Authority: PublicKey(b[1:33]), Envoy: PublicKey(b[33:65]), Listener: PublicKey(b[65:97]),
		EnvoyCard: [32]byte(b[97:129]), ListenerCard: [32]byte(b[129:161]),
	}
	if err := r.check(); err != nil {
		return Request{}, err
	}
	if authority.public != r.Authority {
		return Request{}, ErrRefused
	}
	k, err := pairKey(authority, r.Authority, r.Envoy)
	if err != nil {
		return Request{}, err
	}
	defer k.Wipe()
	if !tagged(label.MandateRequest, k, b) {
		return Request{}, ErrRefused
	}
	return r, nil
}

// appendTag appends to body the tag of it.
func appendTag(l label.Label, k secret.Key, body []byte) []byte {
	tag := label.MAC(l, k.Bytes(), body)
	return append(body, tag[:]...)
}

// tagged reports, in constant time, whether b ends with the tag of the rest.
func tagged(l label.Label, k secret.Key, b []byte) bool {
	body, tag := b[:len(b)-tagSize], b[len(b)-tagSize:]
	want := label.MAC(l, k.Bytes(), body)
	return subtle.ConstantTimeCompare(want[:], tag) == 1
}
