package mandate

import (
	"io"

	"github.com/backchannel/backchannel/protocol/label"
)

// SignRing signs as a member of any ring.
func SignRing(a, b PublicKey, own *Private, message []byte, random io.Reader) ([RingSize]byte, error) {
	return members{a, b}.sign(own, message, random)
}

// VerifyRing verifies a signature of any ring.
func VerifyRing(a, b PublicKey, message []byte, sig [RingSize]byte) bool {
	return members{a, b}.verify(message, &sig)
}

// Masked is the dossier as everybody sees it.
func Masked(m Mandate) Dossier { return m.masked }

// SealAny seals a request that Seal refuses.
func SealAny(r Request, envoy *Private) ([]byte, error) {
	k, err := pairKey(envoy, r.Authority, r.Envoy)
	if err != nil {
		return nil, err
	}
	return appendTag(label.MandateRequest, k, r.body()), nil
}
