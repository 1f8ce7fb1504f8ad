package charter

import (
	"bytes"

	"github.com/backchannel/backchannel/protocol/identity"
)

type messageKind byte

const (
	messagePropose messageKind = 1 + iota
	messageAccept
	messageDecline
	messageWithdraw
	messageClose
)

// Sizes of messages in bytes. All fit into one frame.
const (
	ProposalSize = 2 + 32 + DraftSize
	AnswerSize   = 2 + 32
)

// parsed is a message in pieces. The digest of a proposal is that of the draft
// that it answers.
type parsed struct {
	kind   messageKind
	digest Digest
	draft  *Draft
}

func simple(kind messageKind, d Digest) []byte { return append([]byte{version, byte(kind)}, d[:]...) }

func (a answer) message() []byte { return simple(a.kind, a.digest) }

// CloseMessage ends a channel. A node that has burned a channel, or knows it no
// more, answers with it whatever comes for it.
func CloseMessage() []byte { return simple(messageClose, Digest{}) }

// Refusal is the answer to a first proposal that could not be taken.
func Refusal(d *Draft) []byte { return simple(messageDecline, d.Digest()) }

func (c *Charter) proposal() []byte {
	return c.own.Append(simple(messagePropose, c.answers))
}

func parseMessage(b []byte) (parsed, error) {
	if len(b) < AnswerSize || b[0] != version {
		return parsed{}, ErrFormat
	}
	m := parsed{kind: messageKind(b[1]), digest: Digest(b[2:34])}
	none := m.digest == Digest{}
	switch m.kind {
	case messagePropose:
		var err error
		m.draft, err = ParseDraft(b[34:])
		return m, err
	case messageAccept, messageDecline, messageWithdraw:
		if len(b) != AnswerSize || none {
			return parsed{}, ErrFormat
		}
	case messageClose:
		if len(b) != AnswerSize || !none {
			return parsed{}, ErrFormat
		}
	default:
		return parsed{}, ErrFormat
	}
	return m, nil
}

// Proposed returns the draft in a message that is a proposal, or nil.
func Proposed(message []byte) *Draft {
	m, _ := parseMessage(message) // with an error there is no draft
	return m.draft
}

// Verb says in a word what a message does, or "" if it is none.
func Verb(message []byte) string {
	m, err := parseMessage(message)
	if err != nil {
		return ""
	}
	return [...]string{
		messagePropose: "proposes", messageAccept: "accepts", messageDecline: "declines",
		messageWithdraw: "withdraws", messageClose: "closes",
	}[m.kind]
}

// Standing returns what this side stands by, oldest first: to be sent after a
// message expired or was lost, and whenever there is doubt. What was received
// already changes nothing.
func (c *Charter) Standing() [][]byte {
	var all [][]byte
	if c.answered.kind != 0 {
		all = append(all, c.answered.message())
	}
	if c.own != nil {
		all = append(all, c.proposal())
	}
	if c.withdrawn {
		all = append(all, simple(messageWithdraw, c.own.Digest()))
	}
	if c.closed[0] {
		all = append(all, CloseMessage())
	}
	return all
}

// An Event is what a message of the other side brought.
type Event byte

// The events.
const (
	EventNone      Event = iota // nothing that was not known
	EventProposed               // a draft that a person has to answer
	EventCrossed                // likewise; it came instead of an answer, and ours is void
	EventAgreed                 // our draft was accepted
	EventDeclined               // our draft was declined, or its withdrawal is confirmed
	EventWithdrawn              // their draft was withdrawn
	EventRefused                // a draft that cannot be; it was declined by the machine
	EventClosed                 // the other side ended the channel
)

// String returns the event in a word.
func (e Event) String() string {
	names := [...]string{"none", "proposed", "crossed", "agreed", "declined", "withdrawn", "refused", "closed"}
	if int(e) >= len(names) {
		return "unknown"
	}
	return names[e]
}

// A Result is what [Charter.Receive] came to. A reply goes out, in the same
// commit, without any person's doing.
type Result struct {
	Event Event
	Reply []byte
}

// Receive takes a message of the other side. After an error the charter is as it
// was before; ErrOver says that it is to be burned.
func (c *Charter) Receive(message []byte, clock Clock) (Result, error) {
	m, err := parseMessage(message)
	if err != nil {
		return Result{}, err
	}
	if c.Passed(clock) == Over {
		return Result{}, ErrOver
	}
	switch m.kind {
	case messagePropose:
		return c.takeDraft(m.draft, m.digest, clock)
	case messageAccept:
		return c.takeAccept(m.digest)
	case messageDecline:
		return c.takeDecline(m.digest)
	case messageWithdraw:
		return c.takeWithdrawal(m.digest)
	case messageClose:
		event := EventClosed
		if c.closed[1] {
			event = EventNone
		}
		// An acceptance of ours may have been lost on the way here: our draft stays.
		c.closed[1], c.pending = true, nil
		return Result{Event: event}, nil
	}
	return Result{}, ErrFormat
}

// Sent does again what this side must have done to send a message, for who
// replays a transcript. What it stands by already changes nothing. ErrStale: it
// cannot have sent it.
func (c *Charter) Sent(message []byte, clock Clock) error {
	m, err := parseMessage(message)
	if err != nil {
		return err
	}
	for _, standing := range c.Standing() {
		if bytes.Equal(standing, message) {
			return nil
		}
	}
	var made []byte
	switch m.kind {
	case messagePropose:
		made, err = c.Amend(m.draft.Terms, clock)
	case messageAccept:
		made, err = c.Accept(m.digest, clock)
	case messageDecline:
		made, err = c.Decline(m.digest)
	case messageWithdraw:
		made, err = c.Withdraw()
	case messageClose:
		made, err = c.Close()
	}
	if err == nil && !bytes.Equal(made, message) {
		return ErrStale
	}
	return err
}

func (c *Charter) takeDraft(d *Draft, answers Digest, clock Clock) (Result, error) {
	digest := d.Digest()
	switch {
	case d.Channel != c.channel:
		return Result{}, ErrStale
	case c.pending != nil && c.pending.Digest() == digest:
		return Result{}, nil
	case c.answered.digest == digest:
		return Result{Reply: c.answered.message()}, nil
	case c.closed[0]:
		return Result{Reply: CloseMessage()}, nil
	case c.Phase() == Declined || c.closed[1]:
		return Result{}, ErrStale
	}
	// Who builds on our draft has accepted it, though the message was lost.
	base, accepted := c.agreed, c.own != nil && d.Before == c.own.Digest()
	if accepted {
		base = c.own
	}
	event := EventProposed
	switch {
	case c.own == nil || accepted:
		if answers != (Digest{}) || c.pending != nil || d.Number != c.number+1 {
			return Result{}, ErrStale
		}
	case answers == c.own.Digest():
		if d.Number != c.number+1 {
			return Result{}, ErrStale
		}
	case answers == Digest{} && d.Number == c.own.Number && c.answers == Digest{}:
		if c.side == identity.Inviter {
			return Result{}, nil // both proposed at once: ours stands, and they know
		}
		event = EventCrossed
	default:
		return Result{}, ErrStale
	}
	want, err := d.after(base, c.channel, d.Number)
	if err == nil && want.Before != d.Before {
		return Result{}, ErrStale
	}
	fits := err == nil && *want == *d && clock.Passed(d.Deadline) != Over && d.Deadline <= clock.Now+MaxLife+slack
	if accepted {
		c.agreeOwn()
	}
	c.dropOwn()
	c.pending = d
	if !fits {
		c.number = d.Number
		c.decline()
		return Result{EventRefused, c.answered.message()}, nil
	}
	c.note(d)
	return Result{Event: event}, nil
}

func (c *Charter) takeAccept(digest Digest) (Result, error) {
	if c.own != nil && c.own.Digest() == digest {
		c.agreeOwn()
		return Result{Event: EventAgreed}, nil
	}
	if c.agreed != nil && c.agreed.Digest() == digest {
		return Result{}, nil
	}
	return Result{}, ErrStale
}

func (c *Charter) takeDecline(digest Digest) (Result, error) {
	if c.own == nil || c.own.Digest() != digest {
		return Result{}, ErrStale
	}
	c.dropOwn()
	c.declined = c.agreed == nil
	return Result{Event: EventDeclined}, nil
}

func (c *Charter) takeWithdrawal(digest Digest) (Result, error) {
	if c.pending != nil && c.pending.Digest() == digest {
		c.decline()
		return Result{EventWithdrawn, c.answered.message()}, nil
	}
	if c.answered.digest == digest {
		return Result{Reply: c.answered.message()}, nil
	}
	return Result{}, ErrStale
}
