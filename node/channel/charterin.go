package channel

import (
	"bytes"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/wire"
)

// charterCame acts on a message of a charter.
func (v *Conversation) charterCame(f wire.Frame, content string) {
	message, c := []byte(content), v.charters[f.Channel]
	if c == nil {
		v.firstCame(f, message)
		return
	}
	draft := charter.Proposed(message)
	if draft != nil && draft.Number > maxDrafts {
		v.closeHere(f.Channel, noteManyDrafts)
		return
	}
	r, err := c.Receive(message, v.clock())
	if err != nil {
		return // it does not belong to where things stand, and changes nothing
	}
	if r.Event != charter.EventNone {
		v.craftCame(CharterCraft, f, content)
	}
	switch r.Event {
	case charter.EventCrossed:
		v.noteIn(f.Channel, noteCrossed)
	case charter.EventRefused:
		v.noteIn(f.Channel, noteRefused)
	case charter.EventClosed:
		v.endUnsent(f.Channel)
	case charter.EventAgreed:
		v.endForbidden(f.Channel)
	case charter.EventNone, charter.EventProposed, charter.EventDeclined, charter.EventWithdrawn: // the line says it
	}
	if r.Reply != nil {
		v.sayCharter(f.Channel, r.Reply)
	}
	v.saveCharter(f.Channel)
}

// firstCame takes the first message of a channel, or says that there is none. What
// closes a channel is not answered: two machines that know nothing would go on for
// ever.
func (v *Conversation) firstCame(f wire.Frame, message []byte) {
	if bytes.Equal(message, charter.CloseMessage()) {
		return
	}
	d := charter.Proposed(message)
	if d == nil || d.Channel != f.Channel || f.Channel > maxNumber || v.used.has(f.Channel) || !charter.MayOpen(v.c.side.Other(), f.Channel) {
		v.answerFor(f.Channel, charter.CloseMessage())
		return
	}
	c, err := charter.Receive(v.c.side, message, v.clock())
	if err != nil || len(v.charters) >= maxChannels {
		v.used.mark(f.Channel)
		v.saveUsed()
		v.answerFor(f.Channel, charter.Refusal(d))
		return
	}
	v.charters[f.Channel] = c
	v.used.floor = max(v.used.floor, v.floor())
	v.saveUsed()
	v.saveCharter(f.Channel)
	v.craftCame(CharterCraft, f, string(message))
}

// endUnsent ends what waits here for a channel that was closed.
func (v *Conversation) endUnsent(n uint32) {
	v.endForbidden(n)
	for i := range v.messages {
		if m := &v.messages[i]; m.Channel == n && m.Craft != CharterCraft && m.Direction == Out && m.State == Waiting && !v.isSealed(m.Seq) {
			v.setState(i, Expired)
		}
	}
	v.requeue()
}

// noteIn adds a line of the program's own to a channel.
func (v *Conversation) noteIn(n uint32, text string) {
	if n == Open {
		v.note(text)
		return
	}
	v.add(Message{Direction: Notice, Channel: n, Minute: minute(v.now), Text: text})
}

// charterText says what a line of a charter is about, for a transcript.
func charterText(m Message) string {
	message := []byte(m.Text)
	verb := charter.Verb(message)
	if verb == "" {
		return "charter: malformed"
	}
	if d := charter.Proposed(message); d != nil {
		return "charter: " + verb + " draft " + itoa(uint64(d.Number)) + ": " + d.Name + ": " + d.Purpose + ", " + d.Kind.String() +
			", until " + fromMinute(d.Deadline).Format("2 Jan 2006 15:04") + " UTC"
	}
	return "charter: " + verb
}
