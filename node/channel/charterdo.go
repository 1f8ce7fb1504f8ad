package channel

import (
	"encoding/binary"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/wire"
)

// OpenChannel proposes a channel. It is open when the other side has accepted the
// same text.
func (v *Conversation) OpenChannel(now time.Time, t charter.Terms) (ChannelView, *Output, error) {
	if err := v.mayTalk(); err != nil {
		return ChannelView{}, nil, err
	}
	v.Lapse(now)
	v.now = now
	n := v.nextChannel()
	if n == 0 {
		return ChannelView{}, nil, ErrManyChannels
	}
	c, err := charter.Propose(v.c.side, n, t, v.clock())
	if err != nil {
		return ChannelView{}, nil, err
	}
	v.begin(now)
	v.charters[n] = c
	v.used.floor = max(v.used.floor, v.floor())
	v.saveUsed()
	v.standBy(n)
	return v.channelView(n), v.finish(), nil
}

// nextChannel is the number of this side's next channel, or 0.
func (v *Conversation) nextChannel() uint32 {
	if len(v.charters) >= maxChannels {
		return 0
	}
	for n := uint32(2); n <= maxNumber; n++ {
		if charter.MayOpen(v.c.side, n) && !v.used.has(n) && v.charters[n] == nil {
			return n
		}
	}
	return 0
}

// change does what a person decides about a channel, and queues its message.
func (v *Conversation) change(now time.Time, n uint32, f func(*charter.Charter, charter.Clock) ([]byte, error)) (ChannelView, *Output, error) {
	if err := v.mayTalk(); err != nil {
		return ChannelView{}, nil, err
	}
	v.Lapse(now)
	v.now = now
	c := v.charters[n]
	if c == nil {
		return ChannelView{}, nil, v.notThere(n)
	}
	message, err := f(c, v.clock())
	if err != nil {
		return ChannelView{}, nil, err
	}
	v.begin(now)
	if c.Phase() == charter.Closed {
		v.endUnsent(n)
	}
	v.endForbidden(n) // as it was accepted
	v.sayCharter(n, message)
	v.saveCharter(n)
	return v.channelView(n), v.finish(), nil
}

// AcceptChannel accepts the other side's draft, named by what the person was shown.
func (v *Conversation) AcceptChannel(now time.Time, n uint32, shown charter.Digest) (ChannelView, *Output, error) {
	return v.change(now, n, func(c *charter.Charter, clock charter.Clock) ([]byte, error) { return c.Accept(shown, clock) })
}

// DeclineChannel declines it.
func (v *Conversation) DeclineChannel(now time.Time, n uint32, shown charter.Digest) (ChannelView, *Output, error) {
	return v.change(now, n, func(c *charter.Charter, _ charter.Clock) ([]byte, error) { return c.Decline(shown) })
}

// AmendChannel proposes other terms. They count when the other side has accepted.
func (v *Conversation) AmendChannel(now time.Time, n uint32, t charter.Terms) (ChannelView, *Output, error) {
	return v.change(now, n, func(c *charter.Charter, clock charter.Clock) ([]byte, error) {
		if c.Drafts() >= maxDrafts {
			return nil, charter.ErrTooMany
		}
		return c.Amend(t, clock)
	})
}

// WithdrawDraft takes this side's draft back, if the other side has not accepted it.
func (v *Conversation) WithdrawDraft(now time.Time, n uint32) (ChannelView, *Output, error) {
	return v.change(now, n, func(c *charter.Charter, _ charter.Clock) ([]byte, error) { return c.Withdraw() })
}

// CloseChannel ends a channel for both sides. It is burned at its deadline.
func (v *Conversation) CloseChannel(now time.Time, n uint32) (ChannelView, *Output, error) {
	return v.change(now, n, func(c *charter.Charter, _ charter.Clock) ([]byte, error) { return c.Close() })
}

// BurnChannel burns this side's copy of a channel at once, and closes it for the
// other side, whose copy is burned at the deadline.
func (v *Conversation) BurnChannel(now time.Time, n uint32) (*Output, error) {
	v.Lapse(now)
	if v.charters[n] == nil {
		return nil, v.notThere(n)
	}
	v.begin(now)
	v.burnChannel(n)
	v.burnLapsed()
	v.burning = false // the caller sweeps, and has the store's keys rotated
	v.answerFor(n, charter.CloseMessage())
	if v.s != nil {
		v.saveSession()
	}
	return v.finish(), nil
}

// sayCharter puts a message of a charter into the outbox, unless it is on its way, or
// is said again after a recovery: then it keeps its place, before the texts that came
// after it.
func (v *Conversation) sayCharter(n uint32, message []byte) {
	for i := len(v.messages) - 1; i >= 0; i-- {
		m := v.messages[i]
		if m.Channel != n || m.Craft != CharterCraft || m.Direction != Out || m.Text != string(message) {
			continue
		}
		if m.under() || v.doubtful(m) {
			return
		}
		v.removeLine(i)
	}
	v.sayIn(n, CharterCraft, message)
}

// charterArrived notes that the peer's machine has a message of a charter.
func (v *Conversation) charterArrived(m Message) {
	if c := v.charters[m.Channel]; m.Craft == CharterCraft && c != nil && c.Arrived([]byte(m.Text)) {
		v.saveCharter(m.Channel)
	}
}

// standBy says what this side stands by in a channel.
func (v *Conversation) standBy(n uint32) {
	for _, message := range v.charters[n].Standing() {
		v.sayCharter(n, message)
	}
	v.saveCharter(n)
}

// standByAll does so after a recovery, when it is not known what the peer still has.
func (v *Conversation) standByAll() {
	for n := range v.charters {
		v.standBy(n)
	}
}

// answerFor queues an answer of the machine for a channel that has no charter here.
func (v *Conversation) answerFor(n uint32, message []byte) {
	if v.s == nil || v.s.dead {
		return
	}
	content := string(append(binary.BigEndian.AppendUint32(nil, n), message...))
	waiting := 0
	for _, c := range v.s.controls {
		if c.kind == wire.FrameCharter {
			if waiting++; string(c.content) == content || waiting >= maxUnknown {
				return // said, or too much at once: what comes next is answered again
			}
		}
	}
	v.control(wire.FrameCharter, []byte(content))
	v.out.More = true
}

// charterFrame splits an answer of the machine into channel and message.
func (c *controlFrame) charterFrame() (channel uint32, content []byte) {
	if c.kind != wire.FrameCharter || len(c.content) < 4 {
		return 0, c.content
	}
	return binary.BigEndian.Uint32(c.content), c.content[4:]
}
