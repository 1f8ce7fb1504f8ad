package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A Meeting is what a first contact at a drop wants done in each meeting time
// (docs/spec/drop.md): one box written, and some read.
type Meeting struct {
	Drop  onion.ID
	Write *Rendezvous // nil: nothing is due
	Cell  *wire.Cell  // what is written
	Read  []Rendezvous
}

// A Rendezvous is where boxes of a meeting lie.
type Rendezvous struct {
	Root      secret.Key
	Direction drop.Direction
	Numbers   int  // of boxes; who writes draws one of them
	Cards     bool // the boxes are for cards
}

// Meeting returns what the first contact wants done now; ok is false if there is none at
// a drop, or nothing is to be done for it any more.
func (v *Conversation) Meeting(now time.Time) (m Meeting, ok bool) {
	inv, known := v.invitationLink()
	at, isDrop := inv.Place.Drop()
	if !known || !isDrop {
		return m, false
	}
	m.Drop = onion.ID(at)
	root := drop.MeetingRoot(inv.Secret[:], v.c.invitation)
	cards := Rendezvous{root, drop.FromAccepter, drop.MeetingBoxes, true}
	card := v.c.ownCard
	if v.c.side == identity.Inviter {
		card = v.c.peerCard
		if now.Before(inv.Expiry) || v.c.stage != Met && now.Before(inv.Expiry.Add(lateAnswer)) {
			m.Read = append(m.Read, cards) // also of a second machine, which is to be seen
		}
	}
	if v.c.side == identity.Accepter || v.c.hasPeer {
		v.answers(&m, drop.AnswerRoot(root, card.Fingerprint()), cards)
	}
	return m, m.Write != nil || len(m.Read) > 0
}

// answers adds what lies under the answer root: m1 and m3 from the inviter, m2 from the
// accepter. The accepter's card goes out until m1 has come.
func (v *Conversation) answers(m *Meeting, root secret.Key, cards Rendezvous) {
	own, theirs := drop.FromInviter, drop.FromAccepter
	if v.c.side == identity.Accepter {
		own, theirs = theirs, own
	}
	if v.s == nil {
		m.Read = append(m.Read, Rendezvous{root, theirs, 1, false})
	}
	write := func(at Rendezvous, f *handshake.Flight) { m.Write, m.Cell = &at, f.Cell() }
	at := Rendezvous{root, own, 1, false}
	switch a := &v.c.attempt; {
	case v.c.m3 != nil:
		write(at, &handshake.Flight{Tag: v.c.m3Tag, Message: *v.c.m3})
	case v.s != nil:
	case a.role == handshake.Initiator && a.reason == first:
		write(at, &handshake.Flight{Tag: a.tag, Message: a.m1, Card: &v.c.ownCard})
	case a.role == handshake.Responder && a.reason == first:
		if _, m2, err := handshake.Respond(v.c.config(a.pair), a.coins, &a.m1); err == nil {
			write(at, &handshake.Flight{Tag: handshake.AnswerTag(a.pair, 2, &a.m1), Message: *m2})
		}
	case v.c.side == identity.Accepter:
		if inv, ok := v.invitationLink(); ok {
			f := &handshake.Flight{Tag: handshake.CardTag(inv.Link().Box), Card: &v.c.ownCard}
			v.random(f.Message[:])
			write(cards, f)
		}
	}
}

// Met handles a flight from a box of the meeting. third names the drop of neither side,
// when the accepter's choice is known.
func (v *Conversation) Met(now time.Time, cell *wire.Cell, third func(inviter, accepter onion.ID) (onion.ID, bool)) *Output {
	v.begin(now)
	f, err := handshake.ParseFlight(cell)
	switch {
	case err != nil:
	case !v.isCard(f):
		v.flight(f)
	case v.c.hasPeer && *f.Card != v.c.peerCard:
		v.secondUse()
	case v.c.hasPeer:
		v.cardCame(f)
	case f.Card.Drop == (identity.RelayID{}) || f.Card.Network != v.c.ownCard.Network:
	default:
		if id, ok := third(onion.ID(v.c.ownCard.Drop), onion.ID(f.Card.Drop)); ok {
			v.c.ownCard.Third = identity.RelayID(id) // nobody has seen the card yet
			v.cardCame(f)
		}
	}
	return v.end()
}

// dropsOfCards takes the drops that the two cards name, if they name any, for a first
// session and for one after a recovery. Its boxes begin with the hour that m1 named.
func (v *Conversation) dropsOfCards(hour uint32) {
	s, ok := v.setOfCards()
	if !ok {
		return
	}
	v.drops.root.Wipe()
	v.drops = drops{policy: v.drops.policy, believed: v.drops.believed, peerNetwork: s.Network, said: s.Relays, sure: true, Drops: Drops{
		Epoch: v.s.epoch, Network: s.Network, Own: onion.ID(v.c.ownCard.Drop), Peer: onion.ID(v.c.peerCard.Drop),
		Period: s.Period, Hour: hour, Set: s,
	}}
	v.takeRoot()
	v.saveDrops()
}
