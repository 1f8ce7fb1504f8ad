package forge

import (
	"errors"
	"io"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
	"github.com/backchannel/backchannel/protocol/shuttle"
	"github.com/backchannel/backchannel/protocol/wire"
)

// ErrPact is returned for messages of a charter or another tool that no two sides
// would have sent one after the other.
var ErrPact = errors.New("what was agreed on cannot have come about like this")

// isPact reports whether a frame of this kind is a line of a transcript though it
// is no text.
func isPact(kind wire.FrameKind) bool {
	switch kind {
	case wire.FrameCharter, wire.FrameIntroduction, wire.FrameShuttle, wire.FrameMandate, wire.FrameCommunique, wire.FrameSounding:
		return true
	default:
		return false
	}
}

// inTalk reports whether lines of this kind stand in the channel of the texts.
func inTalk(kind wire.FrameKind) bool {
	return kind == wire.FrameText || kind == wire.FrameMandate || kind == wire.FrameCommunique
}

// place is the frame's kind and channel of a line.
func (l Line) place() (wire.FrameKind, uint32) {
	kind := l.Kind
	if kind == 0 {
		kind = wire.FrameText
	}
	if inTalk(kind) && l.Channel == 0 {
		return kind, 1
	}
	return kind, l.Channel
}

// lineOf is the line that a whole message says.
func lineOf(fromPeer bool, f wire.Frame, content []byte) Line {
	l := Line{FromPeer: fromPeer, Minute: f.Minute, Text: string(content), Kind: f.Kind, Channel: f.Channel}
	if l.Kind == wire.FrameText {
		l.Kind = 0
	}
	if inTalk(f.Kind) && l.Channel == 1 {
		l.Channel = 0
	}
	return l
}

// pacts follows the charters of a transcript as the discloser's machine did.
type pacts struct {
	side     identity.Side
	charters map[uint32]*charter.Charter
}

func newPacts(side identity.Side) *pacts {
	return &pacts{side, map[uint32]*charter.Charter{}}
}

// follow holds a line against what was agreed before: a text in a channel with a
// charter only while that is open, and a charter's message only where this side's
// machine would have sent or taken it.
func (p *pacts) follow(l Line) error {
	clock := charter.CheckClock(time.Unix(int64(l.Minute)*60, 0), 0, nil)
	switch l.Kind {
	case wire.FrameCharter:
		return p.charter(l, clock)
	case wire.FrameIntroduction:
		if _, _, err := introduction.IDOf([]byte(l.Text)); err != nil || l.Channel != 0 {
			return ErrPact
		}
	case wire.FrameShuttle:
		_, text := shuttle.ParseText([]byte(l.Text))
		if _, _, err := shuttle.IDOf([]byte(l.Text)); err != nil && text != nil || l.Channel != 0 {
			return ErrPact
		}
	case wire.FrameMandate, wire.FrameCommunique, wire.FrameSounding:
		if !wellFormed(l) {
			return ErrPact
		}
	default:
		if c := p.charters[l.Channel]; l.Channel > 1 && (c == nil || !flows(c, l, clock)) {
			return ErrPact
		}
	}
	return nil
}

// flows reports whether a text can have been said. What the peer wrote before it
// learned that this side closed the channel was on its way.
func flows(c *charter.Charter, l Line, clock charter.Clock) bool {
	own, other := c.ClosedBy()
	return c.Agreed() != nil && c.Passed(clock) == charter.Running && !other && (l.FromPeer || !own)
}

func (p *pacts) charter(l Line, clock charter.Clock) error {
	m, known := []byte(l.Text), p.charters[l.Channel]
	var err error
	switch d := charter.Proposed(m); {
	case known != nil && l.FromPeer:
		// A machine passes over what two messages that crossed have left behind.
		if _, err = known.Receive(m, clock); errors.Is(err, charter.ErrStale) {
			err = nil
		}
	case known != nil:
		err = known.Sent(m, clock)
	case d == nil || d.Channel != l.Channel:
		return ErrPact
	case l.FromPeer:
		p.charters[l.Channel], err = charter.Receive(p.side, m, clock)
	default:
		var c *charter.Charter
		if c, err = charter.Propose(p.side, l.Channel, d.Terms, clock); err == nil {
			p.charters[l.Channel], err = c, c.Sent(m, clock)
		}
	}
	if err != nil {
		return ErrPact
	}
	return nil
}

// Agree makes the lines of a channel that one side proposes and the other accepts,
// at these minutes. The channel's number has to be one of the opener's.
func Agree(p Params, opener bool, channel uint32, t charter.Terms, proposed, accepted uint32) ([]Line, error) {
	clock := func(m uint32) charter.Clock { return charter.CheckClock(time.Unix(int64(m)*60, 0), 0, nil) }
	side := p.Side
	if !opener {
		side = side.Other()
	}
	a, err := charter.Propose(side, channel, t, clock(proposed))
	if err != nil {
		return nil, err
	}
	proposal := a.Standing()[0]
	b, err := charter.Receive(side.Other(), proposal, clock(accepted))
	if err != nil {
		return nil, err
	}
	answer, err := b.Accept(b.Pending().Digest(), clock(accepted))
	if err != nil {
		return nil, err
	}
	line := func(fromOpener bool, minute uint32, m []byte) Line {
		return Line{FromPeer: fromOpener != opener, Minute: minute, Text: string(m), Kind: wire.FrameCharter, Channel: channel}
	}
	return []Line{line(true, proposed, proposal), line(false, accepted, answer)}, nil
}

// An Introduction is what [Introduce] makes up.
type Introduction struct {
	Introducer bool          // the discloser introduces; else the peer does
	Role       identity.Side // of the one of the two whose contact this is
	OfInviter  string        // what is said of the one to the other
	OfAccepter string
	Minute     uint32 // of all of it
	Invitation identity.Invitation
}

// Introduce makes the lines between an introducer and one of the two whom he
// brought together: question, answer, and what was passed on. The other one is
// made up, and says yes too.
func Introduce(of Introduction, random io.Reader) ([]Line, error) {
	const threeDays = 3 * 24 * 60
	minute := of.Minute
	i, err := introduction.New(of.OfInviter, of.OfAccepter, minute+threeDays, minute, random)
	if err != nil {
		return nil, err
	}
	var lines []Line
	say := func(byIntroducer bool, with identity.Side, m []byte) {
		if with == of.Role && m != nil {
			lines = append(lines, Line{FromPeer: byIntroducer != of.Introducer, Minute: minute, Text: string(m), Kind: wire.FrameIntroduction})
		}
	}
	var parties [2]*introduction.Party
	var share []byte
	for n, with := range []identity.Side{identity.Inviter, identity.Accepter} {
		question := i.Ask(with)
		if parties[n], err = introduction.NewParty(question, minute); err != nil {
			return nil, err
		}
		yes, err := parties[n].Consent(random, minute)
		if err != nil {
			return nil, err
		}
		say(true, with, question)
		say(false, with, yes)
		if share, err = i.Receive(with, yes, minute); err != nil {
			return nil, err
		}
	}
	say(true, identity.Inviter, share)
	reply, err := parties[0].Invite(share, of.Invitation, random, minute)
	if err != nil {
		return nil, err
	}
	say(false, identity.Inviter, reply)
	if reply, err = i.Receive(identity.Inviter, reply, minute); err != nil {
		return nil, err
	}
	say(true, identity.Accepter, reply)
	return lines, nil
}

// Summary is what a line says in text that can be shown: the text itself, or in
// angle brackets what was done. It is as hostile as the file that it comes from.
func (l Line) Summary() string {
	switch l.Kind {
	case wire.FrameCharter:
		d := charter.Proposed([]byte(l.Text))
		if d == nil {
			return "<charter: " + charter.Verb([]byte(l.Text)) + ">"
		}
		until := time.Unix(int64(d.Deadline)*60, 0).UTC().Format("2 Jan 2006 15:04 UTC")
		return "<charter: proposes " + d.Name + ": " + d.Purpose + ", " + d.Kind.String() + ", until " + until + ">"
	case wire.FrameIntroduction:
		return "<introduction>"
	case wire.FrameShuttle:
		if text, err := shuttle.ParseText([]byte(l.Text)); err == nil {
			return "<carried> " + text
		}
		return "<sealed offers>"
	case wire.FrameMandate, wire.FrameCommunique, wire.FrameSounding:
		return toolSummary(l)
	default:
		return l.Text
	}
}
