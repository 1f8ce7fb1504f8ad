package shuttle

import (
	"fmt"
	"io"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Stage says how far one of the two has come.
type Stage byte

// The stages.
const (
	Called    Stage = 1 + iota // a person may make an offer
	Sealed                     // this side's offer is fixed
	Committed                  // both are, and this side's opening was sent
	Opened                     // the other side's was read
)

// String returns the stage in a word.
func (s Stage) String() string {
	switch s {
	case Called:
		return "called"
	case Sealed:
		return "sealed"
	case Committed:
		return "committed"
	case Opened:
		return "opened"
	}
	return "no stage"
}

// A Party is one of the two in an exchange of sealed offers. It has one caller at
// a time. Store it, see [Party.Append], in the commit that queues a message: who
// seals twice has made two offers.
type Party struct {
	id      ID
	role    Role
	stage   Stage
	expiry  uint32
	subject string

	shared secret.Key // of both, from elsewhere; or empty
	coins  secret.Key // from Sealed until Opened
	first  []byte     // share and commitment of the first, once they are known
	second []byte     // of the second
	offer  string
	peer   string // the other side's offer

	transcript [32]byte
	nonces     [2][32]byte // of the first and of the second, when both are open
}

// NewParty begins with the mediator's call; now is in minutes since 1970. shared
// is a secret that the two have from elsewhere and the mediator does not, or
// empty: with it he cannot stand between them, and without it their words tell.
// Both must have it, or nothing opens.
func NewParty(message []byte, shared secret.Key, now uint32) (*Party, error) {
	kind, id, body, err := split(message)
	if err != nil {
		return nil, err
	}
	if kind != messageCall {
		return nil, ErrOrder
	}
	p := &Party{id: id, role: Role(body[0]), stage: Called, expiry: minute(body[1:]), shared: shared.Clone()}
	if !p.role.valid() {
		return nil, ErrFormat
	}
	if p.subject, err = parseSubject(body[5:]); err != nil {
		return nil, err
	}
	if now >= p.expiry {
		return nil, ErrExpired
	}
	return p, nil
}

// ID names the exchange.
func (p *Party) ID() ID { return p.id }

// Role is this side's place in it.
func (p *Party) Role() Role { return p.role }

// Subject is what the mediator says that the offers are about.
func (p *Party) Subject() string { return p.subject }

// Expiry is the minute since 1970 from which nothing is sent any more. What was
// released before may still come and be opened.
func (p *Party) Expiry() uint32 { return p.expiry }

// Stage says how far it has come.
func (p *Party) Stage() Stage { return p.stage }

// Failed reports whether the time is over and the other side's offer was not read.
func (p *Party) Failed(now uint32) bool { return p.stage != Opened && now >= p.expiry }

// Seal fixes this side's offer, for good. It returns what goes to the mediator: a
// commitment and, for the second if the first has sealed, its opening; or nothing
// yet. 32 bytes are drawn from random.
func (p *Party) Seal(offer string, random io.Reader, now uint32) ([][]byte, error) {
	if p.stage != Called {
		return nil, ErrOrder
	}
	if now >= p.expiry {
		return nil, ErrExpired
	}
	coins, err := secret.Read(random)
	if err != nil {
		return nil, err
	}
	if coins.Equal(secret.New(new([secret.Size]byte))) {
		return nil, ErrRandom
	}
	sealed := *p
	sealed.offer, sealed.coins, sealed.stage = offer, coins, Sealed
	out, err := sealed.commit()
	if err != nil {
		return nil, err
	}
	*p = sealed
	return out, nil
}

// commit makes what is due from a side that has sealed.
func (p *Party) commit() ([][]byte, error) {
	padded, err := padOffer(p.offer)
	if err != nil {
		return nil, err
	}
	if p.role == First {
		d := drawFirst(p.coins, p.id, padded)
		defer d.wipe()
		if p.first, err = d.firstBody(padded); err != nil {
			return nil, err
		}
		return [][]byte{message(messageFirst, p.id, p.first)}, nil
	}
	if p.first == nil {
		return nil, nil
	}
	d := drawSecond(p.coins, p.id, padded, p.first)
	defer d.wipe()
	second, k, err := d.secondBody(p.first, padded, p.shared)
	if err != nil {
		return nil, err
	}
	defer k.wipe()
	p.second, p.stage = second, Committed
	return [][]byte{message(messageSecond, p.id, second), message(messageOpening, p.id, k.seal(Second, d.nonce, padded))}, nil
}

// Receive takes a message that the mediator passed on, and returns what is to be
// sent, without any person's doing. After an error nothing is changed. An opening is
// taken after the expiry as well: he released it in time, for the other side too.
func (p *Party) Receive(m []byte, now uint32) ([][]byte, error) {
	kind, id, body, err := split(m)
	switch {
	case err != nil:
		return nil, err
	case id != p.id:
		return nil, ErrOrder
	case now >= p.expiry && (kind != messageOpening || p.stage != Committed):
		return nil, ErrExpired
	}
	next := *p
	var out [][]byte
	switch {
	case kind == messageFirst && p.role == Second && p.first == nil && p.stage <= Sealed && !zero(body):
		next.first = append([]byte(nil), body...)
		if err = checkFirst(body); err == nil && p.stage == Sealed {
			out, err = next.commit()
		}
	case kind == messageSecond && p.role == First && p.stage == Sealed && !zero(body):
		out, err = next.takeSecond(body)
	case kind == messageOpening && p.stage == Committed:
		err = next.takeOpening(body)
	default:
		return nil, ErrOrder
	}
	if err != nil {
		return nil, err
	}
	*p = next
	return out, nil
}

func (p *Party) takeSecond(body []byte) ([][]byte, error) {
	p.second = append([]byte(nil), body...)
	k, d, padded, err := p.keys()
	if err != nil {
		return nil, err
	}
	defer d.wipe()
	defer k.wipe()
	p.stage = Committed
	return [][]byte{message(messageOpening, p.id, k.seal(First, d.nonce, padded))}, nil
}

func (p *Party) takeOpening(body []byte) error {
	k, d, _, err := p.keys()
	if err != nil {
		return err
	}
	defer d.wipe()
	defer k.wipe()
	other := p.role.Other()
	nonce, offer, err := k.open(other, body, p.first, p.second)
	if err != nil {
		return err
	}
	p.transcript, p.peer, p.stage = k.transcript, offer, Opened
	p.nonces[p.role-First], p.nonces[other-First] = [32]byte(d.nonce), nonce
	p.Wipe()
	p.coins, p.shared, p.first, p.second = secret.Key{}, secret.Key{}, nil, nil
	return nil
}

// keys makes anew what a side that knows both commitments shares and has drawn.
func (p *Party) keys() (keys, drawn, []byte, error) {
	padded, err := padOffer(p.offer)
	if err != nil {
		return keys{}, drawn{}, nil, err
	}
	if p.role == First {
		d := drawFirst(p.coins, p.id, padded)
		k, err := d.meet(p.first, p.second, p.shared)
		return k, d, padded, err
	}
	d := drawSecond(p.coins, p.id, padded, p.first)
	_, k, err := d.secondBody(p.first, padded, p.shared)
	return k, d, padded, err
}

// Offers returns this side's offer and the other's, which is empty until it was
// opened.
func (p *Party) Offers() (own, other string) { return p.offer, p.peer }

// Words returns what this side and the other read aloud, if they ever speak by a
// way that the mediator does not control. ErrOrder before both are open.
func (p *Party) Words() (own, other identity.Spoken, err error) {
	if p.stage != Opened {
		return own, other, ErrOrder
	}
	own = identity.SpokenBy(identity.Inviter, p.transcript, p.nonces[0], p.nonces[1])
	other = identity.SpokenBy(identity.Accepter, p.transcript, p.nonces[0], p.nonces[1])
	if p.role == Second {
		own, other = other, own
	}
	return own, other, nil
}

// Wipe clears the secrets; p is of no use after it.
func (p *Party) Wipe() {
	p.coins.Wipe()
	p.shared.Wipe()
}

// Format implements [fmt.Formatter] for every verb.
func (*Party) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[sealed offers]") }
