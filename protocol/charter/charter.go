package charter

import (
	"bytes"

	"github.com/backchannel/backchannel/protocol/identity"
)

// A Phase says where a channel stands.
type Phase byte

// The phases. Whether the deadline has come is told by [Charter.Passed].
const (
	Drafting Phase = 1 + iota // nothing is agreed yet
	Open                      // both accepted the same text
	Declined                  // nothing was agreed, and nothing will be
	Closed                    // one side ended it before the deadline
)

// String returns the phase in a word.
func (p Phase) String() string {
	switch p {
	case Drafting:
		return "drafting"
	case Open:
		return "open"
	case Declined:
		return "declined"
	case Closed:
		return "closed"
	}
	return "no phase"
}

// A Charter is one side of a channel's agreement. It has one caller at a time.
// Store it, see [Charter.Append], in the commit that queues a message: whatever is
// sent can be made again from it, see [Charter.Standing].
type Charter struct {
	side     identity.Side // this side's in the contact
	channel  uint32
	number   uint16 // the highest of any draft
	until    uint32 // the latest deadline proposed; it counts while nothing is agreed, or capped
	capped   bool   // what is agreed was accepted too late: its deadline, later than until, does not count
	declined bool
	closed   [2]bool // by this side, by the other

	agreed    *Draft
	own       *Draft // of this side, without an answer
	answers   Digest // the draft of the other side that own answers, or zero
	withdrawn bool   // own was withdrawn, and the other side has not confirmed it
	arrived   bool   // the withdrawal has come to the other side's machine
	pending   *Draft // of the other side, without an answer
	answered  answer // the last one that this side gave
}

// answer is a verdict on a draft of the other side.
type answer struct {
	kind   messageKind // messageAccept, messageDecline or zero
	digest Digest
}

// MayOpen reports whether a side gives this number to a new channel: from 2 on,
// the inviter even ones and the accepter odd ones, each once.
func MayOpen(side identity.Side, channel uint32) bool {
	return channel >= 2 && (channel%2 == 0) == (side == identity.Inviter)
}

// Propose begins a channel. Its message is in [Charter.Standing].
func Propose(side identity.Side, channel uint32, t Terms, clock Clock) (*Charter, error) {
	if !MayOpen(side, channel) {
		return nil, ErrChannel
	}
	c := &Charter{side: side, channel: channel}
	if _, err := c.Amend(t, clock); err != nil {
		return nil, err
	}
	return c, nil
}

// Receive begins a channel with the first message of the other side's. A draft
// whose deadline cannot be gives ErrDeadline, and is answered by [Refusal].
func Receive(side identity.Side, message []byte, clock Clock) (*Charter, error) {
	m, err := parseMessage(message)
	if err != nil {
		return nil, err
	}
	if m.kind != messagePropose {
		return nil, ErrStale
	}
	if !MayOpen(side.Other(), m.draft.Channel) {
		return nil, ErrChannel
	}
	c := &Charter{side: side, channel: m.draft.Channel}
	r, err := c.takeDraft(m.draft, m.digest, clock)
	if err != nil {
		return nil, err
	}
	if r.Event != EventProposed {
		return nil, ErrDeadline
	}
	return c, nil
}

// Amend proposes other terms: in answer to the other side's draft, which it
// declines, or in place of what is agreed. It returns the message.
func (c *Charter) Amend(t Terms, clock Clock) ([]byte, error) {
	if err := c.mayChange(clock); err != nil {
		return nil, err
	}
	if c.own != nil {
		return nil, ErrWaiting
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	if c.agreed != nil && c.agreed.Terms == t {
		return nil, ErrSame
	}
	if clock.Passed(t.Deadline) != Running || t.Deadline-clock.Now > MaxLife {
		return nil, ErrDeadline
	}
	if c.number+1 == 0 {
		return nil, ErrTooMany
	}
	d, err := t.after(c.agreed, c.channel, c.number+1)
	if err != nil {
		return nil, err
	}
	c.answers = Digest{}
	if c.pending != nil {
		c.answers = c.pending.Digest()
	}
	c.own, c.withdrawn, c.arrived, c.pending = d, false, false, nil
	c.note(d)
	return c.proposal(), nil
}

// Accept accepts the other side's draft, named by the digest of the text that the
// person was shown. It returns the message.
func (c *Charter) Accept(shown Digest, clock Clock) ([]byte, error) {
	if err := c.mayChange(clock); err != nil {
		return nil, err
	}
	if c.pending == nil || c.pending.Digest() != shown {
		return nil, ErrNothing
	}
	if clock.Passed(c.pending.Deadline) != Running {
		return nil, ErrDeadline
	}
	c.answered = answer{messageAccept, shown}
	c.agree(c.pending)
	return c.answered.message(), nil
}

// Decline declines the other side's draft. What was agreed before stays; if
// nothing was, the channel has ended. It returns the message.
func (c *Charter) Decline(shown Digest) ([]byte, error) {
	if c.pending == nil || c.pending.Digest() != shown {
		return nil, ErrNothing
	}
	c.decline()
	return c.answered.message(), nil
}

// Withdraw takes back this side's draft. If the other side accepted it before it
// learned that, it is agreed all the same. It returns the message.
func (c *Charter) Withdraw() ([]byte, error) {
	if c.own == nil || c.Phase() == Closed {
		return nil, ErrNothing
	}
	c.withdrawn = true
	return simple(messageWithdraw, c.own.Digest()), nil
}

// Close ends the channel for both sides before its time: nothing flows any more.
// What was said is burned on the other side at the deadline. It returns the
// message.
func (c *Charter) Close() ([]byte, error) {
	if p := c.Phase(); p == Closed || p == Declined {
		return nil, ErrEnded
	}
	c.closed[0], c.pending = true, nil
	return CloseMessage(), nil
}

func (c *Charter) mayChange(clock Clock) error {
	switch {
	case c.number > 0 && c.Passed(clock) == Over:
		return ErrOver
	case c.Phase() == Declined || c.Phase() == Closed:
		return ErrEnded
	case !clock.Sound():
		return ErrClock
	}
	return nil
}

// Arrived notes that a message of this side's has come to the other side's machine, and
// reports whether that changes anything: an acceptance that comes after a withdrawal has
// arrived moves no deadline on.
func (c *Charter) Arrived(message []byte) bool {
	if !c.withdrawn || c.arrived || !bytes.Equal(message, simple(messageWithdraw, c.own.Digest())) {
		return false
	}
	c.arrived = true
	return true
}

func (c *Charter) note(d *Draft) {
	c.number = d.Number
	if !c.capped {
		c.until = max(c.until, d.Deadline)
	}
}

func (c *Charter) agree(d *Draft) {
	if c.capped {
		c.until, c.capped = max(c.until, d.Deadline), false
	}
	c.agreed, c.pending = d, nil
	c.dropOwn()
}

// agreeOwn agrees on the own draft, which the other side has accepted. If this side had
// taken its word back the text is agreed on, since the other side holds it for agreed;
// but nothing is kept here for longer than this side still wants.
func (c *Charter) agreeOwn() {
	before, late := c.Deadline(), c.arrived || c.closed[0]
	c.agree(c.own)
	if late && c.agreed.Deadline > before {
		c.until, c.capped = before, true
	}
}

func (c *Charter) dropOwn() { c.own, c.withdrawn, c.arrived, c.answers = nil, false, false, Digest{} }

func (c *Charter) decline() {
	c.answered = answer{messageDecline, c.pending.Digest()}
	c.pending = nil
	c.declined = c.agreed == nil
}

// Phase says where the channel stands.
func (c *Charter) Phase() Phase {
	switch {
	case c.closed[0] || c.closed[1]:
		return Closed
	case c.declined:
		return Declined
	case c.agreed != nil:
		return Open
	}
	return Drafting
}

// ClosedBy reports which sides have closed the channel.
func (c *Charter) ClosedBy() (own, other bool) { return c.closed[0], c.closed[1] }

// Channel returns the channel's number, which its frames bear.
func (c *Charter) Channel() uint32 { return c.channel }

// Drafts returns how many drafts there were, of both sides.
func (c *Charter) Drafts() uint16 { return c.number }

// Agreed returns what both sides accepted, or nil.
func (c *Charter) Agreed() *Draft { return copied(c.agreed) }

// Own returns this side's draft that waits for an answer, or nil, and whether it
// was withdrawn.
func (c *Charter) Own() (d *Draft, withdrawn bool) { return copied(c.own), c.withdrawn }

// Pending returns the other side's draft that waits for an answer, or nil.
func (c *Charter) Pending() *Draft { return copied(c.pending) }

func copied(d *Draft) *Draft {
	if d == nil {
		return nil
	}
	e := *d
	return &e
}

// Deadline returns the minute since 1970 at which all of the channel is burned:
// the agreed one, or the latest of any draft while nothing is agreed. An extension that
// was accepted after this side had closed or taken it back does not count.
func (c *Charter) Deadline() uint32 {
	if c.agreed != nil && !c.capped {
		return c.agreed.Deadline
	}
	return c.until
}

// Passed says whether the channel's time is over. A node asks at its start,
// before it shows anything, and burns what is Over.
func (c *Charter) Passed(clock Clock) Passing { return clock.Passed(c.Deadline()) }

// Flows reports whether texts and files of the channel may be sent and taken.
func (c *Charter) Flows(clock Clock) bool {
	return c.Phase() == Open && c.Passed(clock) == Running
}
