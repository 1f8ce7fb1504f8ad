package forge_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
	"github.com/backchannel/backchannel/protocol/wire"
)

func drawTerms(random *rand.ChaCha8) charter.Terms {
	names := []string{"river gauges", "harbour dues"}
	return charter.Terms{
		Name: names[random.Uint64()%2], Purpose: "agree a first joint reading", Kind: charter.Kind(1 + random.Uint64()%2),
		Route: charter.RouteRelays, Receipts: charter.ReceiptsLate, Files: uint16(random.Uint64() % 9), Deadline: start + 2 + uint32(random.Uint64()%9999),
	}
}

// realCharter has two machines: one proposes, the other accepts what it was shown.
func realCharter(opener bool) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		clock := charter.CheckClock(time.Unix(start*60+int64(random.Uint64()%60), 0), 0, nil)
		side, channel := identity.Inviter, uint32(2)
		if !opener {
			side, channel = identity.Accepter, 3
		}
		a, err := charter.Propose(side, channel, drawTerms(random), clock)
		check(t, err)
		proposal := a.Standing()[0]
		b, err := charter.Receive(side.Other(), proposal, clock)
		check(t, err)
		answer, err := b.Accept(b.Pending().Digest(), clock)
		check(t, err)
		_, err = a.Receive(answer, clock)
		check(t, err)
		own := a
		if !opener {
			own = b
		}
		line := func(openers bool, m []byte) forge.Line {
			return forge.Line{FromPeer: openers != opener, Minute: start, Text: string(m), Kind: wire.FrameCharter, Channel: channel}
		}
		return shown{[]forge.Line{line(true, proposal), line(false, answer)}, own.Append(nil), own.Flows(clock)}
	}
}

func forgedCharter(opener bool) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		channel := uint32(2)
		if !opener {
			channel = 3
		}
		random.Uint64() // the second at which the real ones sit there
		lines, err := forge.Agree(forge.Params{Side: identity.Inviter}, opener, channel, drawTerms(random), start, start)
		check(t, err)
		own := replayCharter(t, lines)
		return shown{lines, own.Append(nil), own.Flows(charter.CheckClock(time.Unix(start*60, 0), 0, nil))}
	}
}

// replayCharter gives the lines to the discloser's machine.
func replayCharter(t testing.TB, lines []forge.Line) *charter.Charter {
	clock := charter.CheckClock(time.Unix(start*60, 0), 0, nil)
	first := []byte(lines[0].Text)
	if lines[0].FromPeer {
		c, err := charter.Receive(identity.Inviter, first, clock)
		check(t, err)
		check(t, c.Sent([]byte(lines[1].Text), clock))
		return c
	}
	c, err := charter.Propose(identity.Inviter, lines[0].Channel, charter.Proposed(first).Terms, clock)
	check(t, err)
	check(t, c.Sent(first, clock))
	_, err = c.Receive([]byte(lines[1].Text), clock)
	check(t, err)
	return c
}

const threeDays = 3 * 24 * 60

func drawIntroduction(t testing.TB, of forge.Introduction, random *rand.ChaCha8) forge.Introduction {
	texts := []string{"a colleague upstream", "a friend at the dams"}
	of.OfInviter, of.OfAccepter, of.Minute = texts[random.Uint64()%2], texts[random.Uint64()%2], start
	place, err := identity.PlaceOf("192.0.2.7:4127")
	check(t, err)
	of.Invitation, err = identity.NewInvitation(random, place, time.Unix((start+threeDays)*60, 0), false)
	check(t, err)
	return of
}

// realIntroduction has three machines that draw for themselves.
func realIntroduction(kind forge.Introduction) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		of := drawIntroduction(t, kind, random)
		own := func() *rand.ChaCha8 { return rand.NewChaCha8([32]byte(draw(t, random).Bytes())) }
		i, err := introduction.New(of.OfInviter, of.OfAccepter, start+threeDays, start, own())
		check(t, err)
		inviter, err := introduction.NewParty(i.Ask(identity.Inviter), start)
		check(t, err)
		accepter, err := introduction.NewParty(i.Ask(identity.Accepter), start)
		check(t, err)
		yes, err := inviter.Consent(own(), start)
		check(t, err)
		share, err := accepter.Consent(own(), start)
		check(t, err)
		_, err = i.Receive(identity.Inviter, yes, start)
		check(t, err)
		passed, err := i.Receive(identity.Accepter, share, start)
		check(t, err)
		reply, err := inviter.Invite(passed, of.Invitation, own(), start)
		check(t, err)
		toAccepter, err := i.Receive(identity.Inviter, reply, start)
		check(t, err)
		got, err := accepter.Open(toAccepter, start)
		check(t, err)
		var lines []forge.Line
		say := func(byIntroducer bool, m []byte) {
			lines = append(lines, forge.Line{FromPeer: byIntroducer != of.Introducer, Minute: start, Text: string(m), Kind: wire.FrameIntroduction})
		}
		say(true, i.Ask(of.Role))
		if of.Role == identity.Inviter {
			say(false, yes)
			say(true, passed)
			say(false, reply)
		} else {
			say(false, share)
			say(true, toAccepter)
		}
		return shown{lines, nil, got == of.Invitation}
	}
}

func forgedIntroduction(kind forge.Introduction) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		lines, err := forge.Introduce(drawIntroduction(t, kind, random), random)
		check(t, err)
		return shown{lines, nil, true}
	}
}

func drawOffers(of forge.Offers, random *rand.ChaCha8) forge.Offers {
	offers := []string{"three days", "a fortnight, and not one day more", "none"}
	of.Subject, of.Minute = "days of access", start
	of.First, of.Second = offers[random.Uint64()%3], offers[random.Uint64()%3]
	return of
}

// realOffers has three machines that draw for themselves.
func realOffers(kind forge.Offers) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		of := drawOffers(kind, random)
		own := func() *rand.ChaCha8 { return rand.NewChaCha8([32]byte(draw(t, random).Bytes())) }
		r, err := shuttle.NewRound(of.Subject, start+threeDays, start, own())
		check(t, err)
		first, err := shuttle.NewParty(r.Call(shuttle.First), secret.Key{}, start)
		check(t, err)
		second, err := shuttle.NewParty(r.Call(shuttle.Second), secret.Key{}, start)
		check(t, err)
		pass := func(from shuttle.Role, m []byte) []byte {
			passed, err := r.Receive(from, m, start)
			check(t, err)
			return passed
		}
		a, err := first.Seal(of.First, own(), start)
		check(t, err)
		toSecond := pass(shuttle.First, a[0])
		_, err = second.Receive(toSecond, start)
		check(t, err)
		b, err := second.Seal(of.Second, own(), start)
		check(t, err)
		toFirst := pass(shuttle.Second, b[0])
		opening, err := first.Receive(toFirst, start)
		check(t, err)
		pass(shuttle.Second, b[1])
		pass(shuttle.First, opening[0])
		openedFirst, openedSecond, err := r.Release(start)
		check(t, err)
		_, err = first.Receive(openedFirst, start)
		check(t, err)
		_, err = second.Receive(openedSecond, start)
		check(t, err)
		var lines []forge.Line
		say := func(byMediator bool, m []byte) {
			lines = append(lines, forge.Line{FromPeer: byMediator != of.Mediator, Minute: start, Text: string(m), Kind: wire.FrameShuttle})
		}
		say(true, r.Call(of.Role))
		if of.Role == shuttle.First {
			say(false, a[0])
			say(true, toFirst)
			say(false, opening[0])
			say(true, openedFirst)
			return judgeOffers(of, lines, first)
		}
		say(true, toSecond)
		say(false, b[0])
		say(false, b[1])
		say(true, openedSecond)
		return judgeOffers(of, lines, second)
	}
}

func forgedOffers(kind forge.Offers) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		of := drawOffers(kind, random)
		lines, p, err := forge.Offer(of, random)
		check(t, err)
		return judgeOffers(of, lines, p)
	}
}

// judgeOffers looks into the store of the one whose contact it is. A mediator has none
// of it to show.
func judgeOffers(of forge.Offers, lines []forge.Line, p *shuttle.Party) shown {
	own, other := p.Offers()
	if of.Role == shuttle.Second {
		own, other = other, own
	}
	good := own == of.First && other == of.Second
	if of.Mediator {
		return shown{lines, nil, good}
	}
	return shown{lines, p.Append(nil), good}
}
