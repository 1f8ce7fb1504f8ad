package channel

import (
	"errors"
	"time"

	"github.com/backchannel/backchannel/protocol/wire"
)

// A Craft says of which tool of statecraft a line is. Such a line goes the way of a
// text: numbered, stored, sent again until it is acknowledged, removed and burned
// with the rest.
type Craft byte

// The tools. Most lines are of none.
const (
	NoCraft Craft = iota
	MandateCraft
	CommuniqueCraft
	CharterCraft
	IntroductionCraft // it is on no screen, and goes when it has arrived
	ShuttleCraft
)

// String returns the tool in one word; nothing for none, and for one on no screen.
func (c Craft) String() string {
	switch c {
	case MandateCraft:
		return "mandate"
	case CommuniqueCraft:
		return "communique"
	case CharterCraft:
		return "charter"
	case ShuttleCraft:
		return "shuttle"
	default:
		return ""
	}
}

func (c Craft) frame() wire.FrameKind {
	switch c {
	case MandateCraft:
		return wire.FrameMandate
	case CharterCraft:
		return wire.FrameCharter
	case IntroductionCraft:
		return wire.FrameIntroduction
	case ShuttleCraft:
		return wire.FrameShuttle
	default:
		return wire.FrameCommunique
	}
}

// ErrNoText is returned for a line that cannot be given another text.
var ErrNoText = errors.New("this line is no text: it can be removed, and not changed")

// What a line holds, as it is stored.
const (
	holdsText byte = iota
	holdsFile
	holdsCraft // and more: 2 for a mandate, 3 for a communiqué, 4 for a charter, 5 for an introduction, 6 for a shuttle
)

func (m *Message) holds() byte {
	switch {
	case m.File:
		return holdsFile
	case m.Craft != NoCraft:
		return holdsCraft + byte(m.Craft-MandateCraft)
	default:
		return holdsText
	}
}

func (d *decoder) holds() (file bool, c Craft) {
	switch b := d.u8(); {
	case b == holdsText:
	case b == holdsFile:
		file = true
	case b <= holdsCraft+byte(ShuttleCraft-MandateCraft):
		c = MandateCraft + Craft(b-holdsCraft)
	default:
		d.bad = true
	}
	return file, c
}

// say puts a line of a tool into the outbox; the caller is between begin and end.
func (v *Conversation) say(c Craft, content []byte) Message { return v.sayIn(Open, c, content) }

func (v *Conversation) sayIn(channel uint32, c Craft, content []byte) Message {
	text := string(content)
	i := v.add(Message{
		Direction: Out, Channel: channel, State: Waiting, Minute: minute(v.now), Craft: c, Text: text, ID: v.messageID(v.nextSeq, text),
	})
	v.queue = append(v.queue, v.messages[i].Seq)
	v.out.More = true
	return v.messages[i]
}

// hidden reports whether a line is on no screen.
func (m *Message) hidden() bool { return m.Craft == IntroductionCraft }

// craftCame adds a line of a tool that came.
func (v *Conversation) craftCame(c Craft, f wire.Frame, content string) {
	v.add(Message{Direction: In, Channel: f.Channel, ID: f.ID, Minute: f.Minute, Craft: c, Text: content})
}

// under reports whether a line of this side is still on its way.
func (m *Message) under() bool { return m.Direction == Out && m.State.pending() }

// finish ends an event of a person that may lead to more.
func (v *Conversation) finish() *Output {
	out := v.end()
	out.More = true
	return out
}

// Written is when a line was written, by its sender's clock.
func (m Message) Written() time.Time { return fromMinute(m.Minute) }
