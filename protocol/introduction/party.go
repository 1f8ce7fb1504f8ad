package introduction

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Stage says how far one of the two has come.
type Stage byte

// The stages.
const (
	Asked   Stage = 1 + iota // a person has to answer
	Refused                  // this person said no
	Waiting                  // this person said yes
	Done                     // there is an invitation
)

// String returns the stage in a word.
func (s Stage) String() string {
	switch s {
	case Asked:
		return "asked"
	case Refused:
		return "refused"
	case Waiting:
		return "waiting"
	case Done:
		return "done"
	}
	return "no stage"
}

// A Party is one of the two who are introduced. It has one caller at a time.
// Store it, see [Party.Append], in the commit that queues a message.
type Party struct {
	id     ID
	role   identity.Side
	stage  Stage
	expiry uint32
	text   string
	coins  secret.Key // the accepter's, while it waits
}

// NewParty begins with the introducer's question; now is in minutes since 1970.
func NewParty(message []byte, now uint32) (*Party, error) {
	kind, id, body, err := split(message)
	if err != nil {
		return nil, err
	}
	if kind != messageAsk {
		return nil, ErrOrder
	}
	p := &Party{id: id, stage: Asked}
	if p.role, p.expiry, p.text, err = parseAsk(body); err != nil {
		return nil, err
	}
	if now >= p.expiry {
		return nil, ErrExpired
	}
	if p.expiry-now > MaxLife+clocksApart {
		return nil, ErrExpiry
	}
	return p, nil
}

// ID names the introduction.
func (p *Party) ID() ID { return p.id }

// Role says whether this party would make the invitation or accept it.
func (p *Party) Role() identity.Side { return p.role }

// Text is what the introducer says of the other: nothing else is known of him.
func (p *Party) Text() string { return p.text }

// Expiry is the minute since 1970 from which nothing comes of it any more.
func (p *Party) Expiry() uint32 { return p.expiry }

// Stage says how far it has come.
func (p *Party) Stage() Stage { return p.stage }

// Failed reports whether nothing came of it. It is told at the expiry and never
// before, so that a refusal, a silence and an introducer who never asked are one.
func (p *Party) Failed(now uint32) bool { return p.stage != Done && now >= p.expiry }

// Refuse says no. It returns the message for the introducer.
func (p *Party) Refuse() ([]byte, error) {
	if p.stage != Asked {
		return nil, ErrOrder
	}
	p.stage = Refused
	return message(messageNo, p.id), nil
}

// Consent says yes. It returns the message for the introducer. The accepter draws
// 32 bytes from random, the inviter none.
func (p *Party) Consent(random io.Reader, now uint32) ([]byte, error) {
	if p.stage != Asked {
		return nil, ErrOrder
	}
	if now >= p.expiry {
		return nil, ErrExpired
	}
	if p.role == identity.Inviter {
		p.stage = Waiting
		return message(messageYes, p.id), nil
	}
	coins, err := secret.Read(random)
	if err != nil {
		return nil, err
	}
	if coins.Equal(secret.New(new([secret.Size]byte))) {
		return nil, ErrRandom
	}
	h := newHalf(coins, p.id)
	defer h.wipe()
	share, err := h.share()
	if err != nil {
		return nil, err
	}
	p.coins, p.stage = coins, Waiting
	return message(messageShare, p.id, share), nil
}

// Invite is the inviter's part when both have said yes: it seals a fresh
// invitation of its own for whoever made the share. It returns the message for
// the introducer. 32 bytes are drawn from random.
func (p *Party) Invite(share []byte, inv identity.Invitation, random io.Reader, now uint32) ([]byte, error) {
	body, err := p.next(messageShare, identity.Inviter, share, now)
	if err != nil {
		return nil, err
	}
	coins, err := secret.Read(random)
	if err != nil {
		return nil, err
	}
	defer coins.Wipe()
	reply, err := sealInvitation(body, inv, coins)
	if err != nil {
		return nil, err
	}
	p.stage = Done
	return message(messageReply, p.id, reply), nil
}

// Open is the accepter's part: it returns the invitation of the other. Nothing
// shows that it is his and not the introducer's but the words, later.
func (p *Party) Open(reply []byte, now uint32) (identity.Invitation, error) {
	body, err := p.next(messageReply, identity.Accepter, reply, now)
	if err != nil {
		return identity.Invitation{}, err
	}
	h := newHalf(p.coins, p.id)
	defer h.wipe()
	inv, err := h.openInvitation(body)
	if err != nil {
		return identity.Invitation{}, err
	}
	p.Wipe()
	p.stage = Done
	return inv, nil
}

// next checks that a message is the one that this party waits for.
func (p *Party) next(want messageKind, role identity.Side, m []byte, now uint32) ([]byte, error) {
	kind, id, body, err := split(m)
	switch {
	case err != nil:
		return nil, err
	case kind != want || p.role != role || p.stage != Waiting || id != p.id:
		return nil, ErrOrder
	case now >= p.expiry:
		return nil, ErrExpired
	}
	return body, nil
}

// Wipe clears the coins.
func (p *Party) Wipe() {
	p.coins.Wipe()
	p.coins = secret.Key{}
}

// Format implements [fmt.Formatter] for every verb.
func (*Party) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[introduction]") }

// PartySize is the length of a stored party in bytes.
const PartySize = 3 + 16 + 4 + 1 + MaxText + secret.Size

// Append appends the stored form of p, which is secret, to b.
//
//	version 1 ‖ role 1 ‖ stage 1 ‖ ID 16 ‖ expiry 4 ‖ length of the text 1 ‖ text 128
//	‖ coins 32, zeros if there are none
func (p *Party) Append(b []byte) []byte {
	b = append(b, version, byte(p.role), byte(p.stage))
	b = append(b, p.id[:]...)
	b = appendText(binary.BigEndian.AppendUint32(b, p.expiry), p.text)
	if p.coins.IsZero() {
		return append(b, make([]byte, secret.Size)...)
	}
	return append(b, p.coins.Bytes()...)
}

// ParseParty parses what Append made.
func ParseParty(b []byte) (*Party, error) {
	if len(b) != PartySize || b[0] != version {
		return nil, ErrFormat
	}
	p := &Party{role: identity.Side(b[1]), stage: Stage(b[2]), id: ID(b[3:19]), expiry: binary.BigEndian.Uint32(b[19:])}
	var err error
	if p.text, err = parseText(b[23:]); err != nil {
		return nil, err
	}
	coins := [secret.Size]byte(b[PartySize-secret.Size:])
	defer clear(coins[:])
	if coins != [secret.Size]byte{} {
		p.coins = secret.New(&coins)
	}
	needs := p.role == identity.Accepter && p.stage == Waiting
	if p.role != identity.Inviter && p.role != identity.Accepter || p.stage < Asked || p.stage > Done || needs == p.coins.IsZero() {
		return nil, ErrFormat
	}
	return p, nil
}
