package forge

import (
	"io"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Offers is what [Offer] makes up.
type Offers struct {
	Mediator      bool         // the discloser carries; else the peer does
	Role          shuttle.Role // of the one of the two whose contact this is
	Subject       string
	First, Second string // what they offer
	Minute        uint32 // of all of it
}

// Offer makes the lines between a mediator and one of two who open sealed offers at
// once, and that one's machine at the end. The other one is made up.
func Offer(of Offers, random io.Reader) ([]Line, *shuttle.Party, error) {
	const threeDays = 3 * 24 * 60
	r, err := shuttle.NewRound(of.Subject, of.Minute+threeDays, of.Minute, random)
	if err != nil {
		return nil, nil, err
	}
	m := &mediation{of: of, round: r}
	for i := range m.parties {
		role := shuttle.First + shuttle.Role(i)
		if m.parties[i], err = shuttle.NewParty(r.Call(role), secret.Key{}, of.Minute); err != nil {
			return nil, nil, err
		}
		m.say(true, role, r.Call(role))
	}
	for i, offer := range []string{of.First, of.Second} {
		out, err := m.parties[i].Seal(offer, random, of.Minute)
		if err != nil {
			return nil, nil, err
		}
		if err := m.carry(shuttle.First+shuttle.Role(i), out); err != nil {
			return nil, nil, err
		}
	}
	toFirst, toSecond, err := r.Release(of.Minute)
	if err != nil {
		return nil, nil, err
	}
	for i, opening := range [][]byte{toFirst, toSecond} {
		m.say(true, shuttle.First+shuttle.Role(i), opening)
		if _, err := m.parties[i].Receive(opening, of.Minute); err != nil {
			return nil, nil, err
		}
	}
	return m.lines, m.parties[of.Role-shuttle.First], nil
}

// mediation holds all three of an exchange that is made up.
type mediation struct {
	of      Offers
	round   *shuttle.Round
	parties [2]*shuttle.Party
	lines   []Line
}

// say keeps a message, if it is with the one whose contact this is.
func (m *mediation) say(byMediator bool, with shuttle.Role, content []byte) {
	if with == m.of.Role {
		m.lines = append(m.lines, Line{
			FromPeer: byMediator != m.of.Mediator, Minute: m.of.Minute, Text: string(content), Kind: wire.FrameShuttle,
		})
	}
}

// carry gives messages of one to the mediator, and what he passes on to the other.
func (m *mediation) carry(from shuttle.Role, messages [][]byte) error {
	for _, content := range messages {
		m.say(false, from, content)
		pass, err := m.round.Receive(from, content, m.of.Minute)
		if err != nil {
			return err
		}
		if pass == nil {
			continue
		}
		m.say(true, from.Other(), pass)
		out, err := m.parties[from.Other()-shuttle.First].Receive(pass, m.of.Minute)
		if err != nil {
			return err
		}
		if err := m.carry(from.Other(), out); err != nil {
			return err
		}
	}
	return nil
}
