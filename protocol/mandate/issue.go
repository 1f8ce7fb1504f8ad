package mandate

import (
	"crypto/subtle"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// GrantSize is the length of an encoded grant in bytes.
const GrantSize = Size + RingSize

// Terms are what the authority says.
type Terms struct {
	Scope    string    // what the envoy may speak about; 1 to [MaxScope] bytes of plain text
	NotAfter time.Time // rounded down to the minute
	Dossier  string    // the matter, for the authority's own eyes; empty: like no other
}

// A Grant is what the authority gives the envoy: the mandate, which he shows,
// and the ring, which is for him alone. He should not keep the ring once he has
// checked it.
type Grant struct {
	Mandate Mandate
	Ring    [RingSize]byte
}

// Issue makes a grant for a request that [OpenRequest] accepted.
func Issue(authority *Private, r Request, t Terms, random io.Reader) (Grant, error) {
	m, err := mint(authority, r, t, random)
	if err != nil {
		return Grant{}, err
	}
	return ForgeGrant(authority, r, m, random)
}

// Forge makes with the listener's key what Issue makes with the authority's. It
// is the reason why a mandate proves nothing to anybody else.
func Forge(listener *Private, r Request, t Terms, random io.Reader) (Mandate, error) {
	return mint(listener, r, t, random)
}

// ForgeGrant puts a ring on any mandate, with the key of the envoy as well as
// with that of the authority.
func ForgeGrant(own *Private, r Request, m Mandate, random io.Reader) (Grant, error) {
	if err := r.check(); err != nil {
		return Grant{}, err
	}
	ring, err := members{r.Authority, r.Envoy}.sign(own, m.Append(nil), random)
	return Grant{Mandate: m, Ring: ring}, err
}

func mint(own *Private, r Request, t Terms, random io.Reader) (Mandate, error) {
	if err := r.check(); err != nil {
		return Mandate{}, err
	}
	end := t.NotAfter.Unix() / 60
	if !plain(t.Scope) || end <= 0 || end > math.MaxUint32 {
		return Mandate{}, ErrTerms
	}
	k, err := pairKey(own, r.Authority, r.Listener)
	if err != nil {
		return Mandate{}, err
	}
	defer k.Wipe()
	var salt [32]byte
	if _, err := io.ReadFull(random, salt[:]); err != nil {
		return Mandate{}, fmt.Errorf("drawing a serial: %w", err)
	}
	m := Mandate{
		Authority: r.Authority, Listener: r.Listener, EnvoyCard: r.EnvoyCard, ListenerCard: r.ListenerCard,
		NotAfter: fromMinutes(uint32(end)), Scope: t.Scope,
	}
	// The serial depends on everything that is said: if randomness repeats itself,
	// two different mandates still have two serials, and so two masks.
	serial := label.MAC(label.MandateSerial, k.Bytes(), salt[:], r.body(), m.body(), []byte(t.Dossier))
	m.Serial = Serial(serial[:16])
	m.masked = m.mask(k, dossierOf(k, t.Dossier, m.Serial))
	m.tag = label.MAC(label.MandateTag, k.Bytes(), m.body())
	return m, nil
}

// dossierOf is a matter as one listener sees it. No matter is a matter of its own
// each time.
func dossierOf(k secret.Key, dossier string, s Serial) Dossier {
	parts := [][]byte{[]byte(dossier)}
	if dossier == "" {
		parts = [][]byte{{}, s[:]}
	}
	h := label.MAC(label.MandateDossier, k.Bytes(), parts...)
	return Dossier(h[:16])
}

// mask hides a dossier under the serial, or shows it again.
func (m Mandate) mask(k secret.Key, d Dossier) Dossier {
	h := label.MAC(label.MandateMask, k.Bytes(), m.Serial[:])
	subtle.XORBytes(d[:], d[:], h[:16])
	return d
}

// Verify is the listener's check of a mandate that was shown to him: by the
// contact whose card has the fingerprint envoyCard, and who has the listener's
// card with the fingerprint listenerCard. It returns the matter.
//
// It does not say whose key m.Authority is: until its words were compared by a
// path that is not the envoy, it may be the envoy's own.
func (m Mandate) Verify(listener *Private, envoyCard, listenerCard [32]byte, now time.Time) (Dossier, error) {
	if listener.public != m.Listener || m.EnvoyCard != envoyCard || m.ListenerCard != listenerCard {
		return Dossier{}, ErrRefused
	}
	k, err := pairKey(listener, m.Authority, m.Listener)
	if err != nil {
		return Dossier{}, ErrRefused
	}
	defer k.Wipe()
	if !tagged(label.MandateTag, k, m.Append(nil)) {
		return Dossier{}, ErrRefused
	}
	if !now.Before(m.NotAfter) {
		return Dossier{}, ErrExpired
	}
	return m.mask(k, m.masked), nil
}

// Append appends the encoding of g, which has [GrantSize] bytes, to b.
func (g Grant) Append(b []byte) []byte { return append(g.Mandate.Append(b), g.Ring[:]...) }

// ParseGrant parses the encoding that Append makes.
func ParseGrant(b []byte) (Grant, error) {
	if len(b) != GrantSize {
		return Grant{}, ErrFormat
	}
	m, err := Parse(b[:Size])
	if err != nil {
		return Grant{}, err
	}
	return Grant{Mandate: m, Ring: [RingSize]byte(b[Size:])}, nil
}

// Check is the envoy's check that the grant answers his request and was made by
// the authority: only he himself could have made it otherwise. Whether the tag
// will convince the listener he has to believe the authority.
func (g Grant) Check(envoy *Private, r Request, now time.Time) error {
	m := g.Mandate
	same := m.Authority == r.Authority && m.Listener == r.Listener &&
		m.EnvoyCard == r.EnvoyCard && m.ListenerCard == r.ListenerCard
	if !same || envoy.public != r.Envoy {
		return ErrRefused
	}
	if !(members{r.Authority, r.Envoy}).verify(m.Append(nil), &g.Ring) {
		return ErrRefused
	}
	if !now.Before(m.NotAfter) {
		return ErrExpired
	}
	return nil
}
