package channel

import (
	"bytes"
	"time"

	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A View is what a screen shows of a contact. It holds nothing secret but the
// name.
type View struct {
	ID          ContactID
	Number      uint32
	Name        string
	Stage       Stage
	Side        identity.Side
	Mode        handshake.Mode
	Made        time.Time
	Mark        Mark
	MarkedAt    time.Time
	UsedTwice   bool
	Paused      bool // after a recovery
	OwnConsent  bool
	PeerConsent bool
	HasPeer     bool      // the invitation was used
	Expiry      time.Time // of the invitation; zero when it is of no more use
	Connected   bool      // there is a connection on which both sides resumed
	Heard       time.Time // start of the hour in which the peer was last heard; zero: never
	Waiting     int       // messages that were not acknowledged, or are to be again after a recovery
	WindowFull  bool
	Proposed    int // channels with a draft of the peer's that waits for an answer
	WordsReady  bool
	PeerPlace   identity.Place // where the peer can be reached, if anywhere
	ClockOff    time.Duration  // how far the peer's clock is ahead of ours, when last heard

	Introduced   bool   // the contact came of an introduction
	IntroducedBy string // by whom, while that is a contact
	Route        Policy // by which routes it is talked to
	OtherRelays  bool   // see Conversation.OtherRelays
}

// View returns what a screen shows.
func (v *Conversation) View() View {
	c := v.c
	w := View{
		ID: v.id, Number: c.number, Name: c.name, Stage: c.stage, Side: c.side, Mode: c.mode, Made: fromMinute(c.made),
		Mark: c.mark, UsedTwice: c.usedTwice, Paused: c.paused, OwnConsent: c.ownConsent, PeerConsent: c.peerConsent,
		HasPeer: c.hasPeer, WindowFull: v.WindowFull(), PeerPlace: v.Place(),
		Connected: v.link != nil && v.link.resumeGot, ClockOff: v.clockOff, Route: v.drops.policy, OtherRelays: v.OtherRelays(),
	}
	if c.mark != NotVerified {
		w.MarkedAt = fromMinute(c.markMinute)
	}
	if inv, ok := v.invitationLink(); ok {
		w.Expiry = inv.Expiry
	}
	if v.introducer != nil {
		w.Introduced, w.IntroducedBy = true, v.cfg.Name(*v.introducer)
	}
	if c.heard != 0 {
		w.Heard = time.Unix(int64(c.heard)*3600, 0).UTC()
	}
	for _, m := range v.messages {
		if m.Direction == Out && (m.State.pending() || v.doubtful(m)) && !m.hidden() && !v.silent(m) {
			w.Waiting++
		}
	}
	for _, c := range v.charters {
		if c.Pending() != nil {
			w.Proposed++
		}
	}
	_, err := v.Words()
	w.WordsReady = err == nil
	return w
}

// Place returns where the peer can be reached: where it said it moved to, else
// what its card says, else what the invitation says.
func (v *Conversation) Place() identity.Place {
	switch inv, ok := v.invitationLink(); {
	case !v.c.peerPlace.IsNone():
		return v.c.peerPlace
	case v.c.hasPeer:
		return v.c.peerCard.Place
	case ok && v.c.side == identity.Accepter:
		return inv.Place
	default:
		return identity.Place{}
	}
}

// Name returns the contact's name on this machine.
func (v *Conversation) Name() string { return v.c.name }

// Static returns the peer's static key, if it is known, and the own one.
func (v *Conversation) Static() (peer, own [32]byte) { return v.c.peerCard.Static, v.c.ownCard.Static }

// Transcript returns the messages with a sequence above after, oldest first.
func (v *Conversation) Transcript(after uint64) []Message {
	return v.transcript(Open, after)
}

// Holds reports whether the contact came of this invitation, while that is known,
// and on which side.
func (v *Conversation) Holds(inv identity.Invitation) (bool, identity.Side) {
	return len(v.c.invitation) > 0 && bytes.Equal(v.c.invitation, inv.Append(nil)), v.c.side
}

// ForgeParams returns this side's secrets of the contact, from which a transcript
// with any text can be made: keys that have been used, or invented ones in their
// place, since nothing that was kept could tell.
func (v *Conversation) ForgeParams(ownName string, began uint32, draw func() (secret.Key, error)) (forge.Params, error) {
	pair, err := draw() // the real one has rolled and is gone; any other is as good
	if err != nil {
		return forge.Params{}, err
	}
	role := handshake.Initiator
	if v.s != nil {
		role = v.s.role
	}
	if !v.c.hasPeer {
		return forge.Params{}, ErrNoSession
	}
	return forge.Params{
		Mode: v.c.mode, Role: role, Side: v.c.side, Began: began, OwnName: ownName, PeerName: v.c.name,
		Static: v.c.static.Clone(), OwnCard: v.c.ownCard, PeerCard: v.c.peerCard, Pair: pair,
	}, nil
}

// Close wipes the keys that the conversation holds. It is not used after that.
func (v *Conversation) Close() {
	v.c.wipe()
	v.next.wipe()
	v.drops.root.Wipe()
	if v.former != nil {
		v.former.s.wipe()
	}
	if v.s != nil {
		v.s.box.Wipe()
		v.s.drops.Wipe()
		v.s.words.nonce.Wipe()
		v.s.ratchet.Wipe()
	}
	for _, cell := range v.sealed {
		cell.sealed.Message.Wipe()
	}
	for _, h := range v.held {
		h.seed.Wipe()
	}
	for _, s := range v.signings {
		s.wipe()
	}
	for _, x := range v.introductions {
		x.wipe()
	}
	for _, e := range v.errands {
		e.wipe()
	}
	for _, s := range v.sounded {
		s.wipe()
	}
	for i := range v.messages {
		v.messages[i].Text = ""
	}
}
