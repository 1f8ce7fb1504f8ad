package forge

import (
	"bytes"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A Line is what one message of a transcript says.
type Line struct {
	FromPeer bool
	Minute   uint32 // minutes since 1970
	Text     string // or the bytes of a message, if Kind is not zero
	// Kind is zero for a text, or that of a tool: FrameCharter, FrameIntroduction,
	// FrameShuttle, FrameMandate, FrameCommunique or FrameSounding.
	Kind wire.FrameKind
	// Channel is where it was said; zero stands for the one that is open without a
	// charter, or for the contact itself if Kind has its place there.
	Channel uint32
	// Crossed says, to Forge, that the line was sent before the one above it had
	// arrived: both wrote at once. Check leaves it false.
	Crossed bool
}

// Check replays the whole transcript as its discloser's machine would have done
// and returns the texts. It accepts whatever fits, whoever made it.
func (t *Transcript) Check() ([]Line, error) {
	session, err := t.replayHandshake()
	if err != nil {
		return nil, err
	}
	state := ratchet.NewResponder(session)
	if t.Role == handshake.Initiator {
		state = ratchet.NewInitiator(session)
	}
	var lines []Line
	next := map[bool]uint32{false: 1, true: 1} // next number of each side
	pending := map[bool]unfinished{}
	pacts := newPacts(t.Side)
	for i := range t.Entries {
		e := &t.Entries[i]
		if state, err = e.replay(state, t.Hour/24); err != nil {
			return nil, err
		}
		f, err := wire.ParseFrame(e.Body[:])
		if err != nil || f.Number != next[e.FromPeer] {
			return nil, ErrStructure
		}
		next[e.FromPeer]++
		if !plausible(t.Hour, f.Minute) {
			return nil, ErrTimes
		}
		if f.Kind != wire.FrameText && !isPact(f.Kind) {
			continue
		}
		p := pending[e.FromPeer]
		if int(f.Part) != p.parts || f.Part > 0 && (f.ID != p.id || f.Kind != p.kind) {
			return nil, ErrStructure
		}
		p = unfinished{f.ID, f.Kind, p.parts + 1, append(p.text, f.Content...)}
		if f.Part+1 == f.Parts {
			l := lineOf(e.FromPeer, f, p.text)
			if err := pacts.follow(l); err != nil {
				return nil, err
			}
			lines = append(lines, l)
			p = unfinished{}
		}
		pending[e.FromPeer] = p
	}
	return lines, nil
}

// unfinished is a text of which not all parts have come.
type unfinished struct {
	id    wire.MessageID
	kind  wire.FrameKind
	parts int
	text  []byte
}

// plausible reports whether a message of this minute can be part of a session
// that began in this hour: written at most the life of a message before, sent at
// most the life of a session after, by clocks that are a day off at most. The two
// sides' clocks differ, and texts wait: so nothing is said of their order.
func plausible(hour, minute uint32) bool {
	const day = 24 * 60
	start := int64(hour) * 60
	return int64(minute) >= start-15*day && int64(minute) <= start+32*day
}

// config is the discloser's side of the handshake.
func (t *Transcript) config() handshake.Config {
	return handshake.Config{
		Mode: t.Mode, Static: t.Static, PeerStatic: t.PeerCard.Static,
		LocalCard: t.OwnCard.Fingerprint(), PeerCard: t.PeerCard.Fingerprint(), Pair: t.Pair,
	}
}

func (t *Transcript) replayHandshake() (*handshake.Session, error) {
	own, err := handshake.PublicKey(t.Static.Bytes())
	strict := t.Mode == handshake.Strict
	if err != nil || own != t.OwnCard.Static || t.OwnCard.Strict != strict || t.PeerCard.Strict != strict {
		return nil, ErrKeys
	}
	m1, m2, m3 := &t.Messages[0], &t.Messages[1], &t.Messages[2]
	if t.Role == handshake.Initiator {
		run, made, err := handshake.Initiate(t.config(), t.Coins)
		if err != nil || *made != *m1 {
			return nil, ErrKeys
		}
		made, session, err := run.Finish(m2)
		if err != nil || *made != *m3 {
			return nil, ErrKeys
		}
		return session, nil
	}
	run, made, err := handshake.Respond(t.config(), t.Coins, m1)
	if err != nil || *made != *m2 {
		return nil, ErrKeys
	}
	session, err := run.Finish(m3)
	if err != nil {
		return nil, ErrKeys
	}
	return session, nil
}

// replay seals or opens one entry and compares.
func (e *Entry) replay(state *ratchet.State, day uint32) (*ratchet.State, error) {
	if e.FromPeer {
		next, body, err := state.Open(&e.Cell, day)
		if err != nil || !bytes.Equal(body[:], e.Body[:]) || e.Coins != [secret.Size]byte{} {
			return nil, ErrKeys
		}
		return next, nil
	}
	next, cell, _, err := state.Seal(secret.New(&e.Coins), &e.Body)
	if err != nil || *cell != e.Cell {
		return nil, ErrKeys
	}
	return next, nil
}
