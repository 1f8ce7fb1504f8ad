package channel

import (
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/backchannel/backchannel/protocol/wire"
)

// resendBatch is how many cells are sent again at once.
const resendBatch = 16

// Send puts a text into the outbox. It leaves when there is a session and a
// connection, and may leave in the same Output's successor: call Flush after the
// commit.
func (v *Conversation) Send(now time.Time, text string) (Message, *Output, error) {
	return v.SendIn(now, Open, text)
}

// SendIn is Send in a channel.
func (v *Conversation) SendIn(now time.Time, channel uint32, text string) (Message, *Output, error) {
	v.Lapse(now)
	v.now = now
	if err := v.mayFlow(channel); err != nil {
		return Message{}, nil, err
	}
	switch {
	case text == "":
		return Message{}, nil, ErrEmptyText
	case len(text) > wire.MaxText:
		return Message{}, nil, ErrTooLong
	case !utf8.ValidString(text):
		return Message{}, nil, ErrNotText
	case v.suspect():
		return Message{}, nil, ErrUsedTwice
	}
	v.begin(now)
	m := Message{Direction: Out, Channel: channel, State: Waiting, Minute: minute(now), Text: text, ID: v.messageID(v.nextSeq, text)}
	i := v.add(m)
	v.queue = append(v.queue, v.messages[i].Seq)
	out := v.end()
	out.More = true
	return v.messages[i], out, nil
}

// Recall takes a message back that still waits here.
func (v *Conversation) Recall(now time.Time, seq uint64) (*Output, error) {
	v.Lapse(now) // before there is an index
	i, ok := v.find(seq)
	if !ok || v.messages[i].Direction != Out || v.messages[i].hidden() {
		return nil, ErrNoMessage
	}
	if v.messages[i].State != Waiting {
		return nil, ErrTooLate
	}
	if v.messages[i].Craft == CharterCraft {
		return nil, ErrCharterLine
	}
	v.begin(now)
	v.removeLine(i)
	return v.end(), nil
}

func (v *Conversation) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(v.messages, seq, func(m Message, seq uint64) int {
		switch {
		case m.Seq < seq:
			return -1
		case m.Seq > seq:
			return 1
		default:
			return 0
		}
	})
}

// requeue works out which messages have parts that are not sealed in this
// session: all that are neither delivered nor expired, less the sealed ones.
func (v *Conversation) requeue() {
	sealed := map[uint64]bool{}
	for _, cell := range v.sealed {
		sealed[cell.message] = true
	}
	v.queue = v.queue[:0]
	for _, m := range v.messages {
		if m.Direction != Out || !m.State.pending() && !v.doubtful(m) {
			continue
		}
		if t := v.files[m.Seq]; m.File && (t == nil || t.final() || v.s != nil && t.told == v.s.epoch) {
			continue
		}
		switch {
		case v.s != nil && v.s.partSeq == m.Seq:
			v.queue = slices.Insert(v.queue, 0, m.Seq) // nothing comes between its parts
		case !sealed[m.Seq] && v.mayLeave(m):
			v.queue = append(v.queue, m.Seq)
		}
	}
}

// doubtful reports whether a message was delivered before a recovery and has not
// been confirmed again since. Of a charter all is said again, however old: what was
// said under it makes no sense without it.
func (v *Conversation) doubtful(m Message) bool {
	return m.Direction == Out && !m.File && m.State == Delivered && v.s != nil && v.s.repeat && m.Seq > v.s.repeated && v.saidAgain(&m, v.s.began)
}

// saidAgain reports whether a message is not too old for a session that began at a minute.
func (v *Conversation) saidAgain(m *Message, began uint32) bool {
	return m.Stored+uint32(v.cfg.Life/time.Minute) >= began || v.outlasts(m)
}

// doubtsEnded ends, before a session that begins now takes the place of the one in use, the life of
// what is in doubt, and too old for it: else that would be shown as delivered again. It reports
// false if this is more than a commit holds; what the session begins with comes again.
func (v *Conversation) doubtsEnded() bool {
	for i := range v.messages {
		m := &v.messages[i]
		if !v.doubtful(*m) || v.saidAgain(m, minute(v.now)) {
			continue
		}
		if v.full() {
			return false
		}
		v.setState(i, Expired)
		v.unseal(m.Seq)
	}
	return !v.full()
}

// Flush goes on with what one commit could not hold, and seals and sends what can
// be sent now.
func (v *Conversation) Flush(now time.Time) *Output {
	v.begin(now)
	v.flush()
	return v.end()
}

func (v *Conversation) flush() {
	if v.s == nil || v.s.dead {
		return
	}
	if v.link != nil && v.link.greets {
		v.greet()
		return
	}
	v.dropAcknowledged()
	v.advanceFormer()
	before := v.s.received
	if v.advance(); v.s.received != before {
		v.saveSession()
	}
	v.sendReport()
	if !v.canSend() {
		return
	}
	began := v.s.sent
	for v.s.partSeq == 0 && len(v.s.controls) > 0 && v.room(1) && !v.full() && !v.s.dead {
		v.sealControl()
	}
	for len(v.queue) > 0 && v.maySpeak() && v.room(1) && !v.full() && !v.s.dead {
		v.sealNext()
	}
	if v.s.sent > began {
		v.saveSession()
	}
}

// sealControl seals the frame of the contact itself that waits first.
func (v *Conversation) sealControl() {
	c := v.s.controls[0]
	v.s.controls = v.s.controls[1:]
	channel, content := c.charterFrame()
	v.sealFrame(wire.Frame{
		Kind: c.kind, Channel: channel, ID: v.messageID(uint64(v.s.sent), string(c.content)), Parts: 1, Minute: minute(v.now), Content: content,
	}, 0)
}

// suspect reports whether somebody else may be at the other end.
func (v *Conversation) suspect() bool { return v.c.usedTwice && v.c.mark != WordsCompared }

// maySpeak reports whether texts may leave.
// A session begins with the words exchange: texts wait until this side has done its part.
func (v *Conversation) maySpeak() bool { return !v.c.paused && !v.suspect() && v.s.opened }

func (v *Conversation) messageID(seq uint64, content string) wire.MessageID {
	var random [32]byte
	v.random(random[:])
	return wire.NewMessageID(&random, seq, []byte(content))
}

// sealNext seals the next part of the message at the head of the queue. All parts
// of a message have neighbouring numbers.
func (v *Conversation) sealNext() {
	i, ok := v.find(v.queue[0])
	if !ok || v.messages[i].State == Expired || v.s.partSeq != v.queue[0] && !v.mayLeave(v.messages[i]) {
		v.queue = v.queue[1:] // what may not leave now is queued again by Tick
		return
	}
	m := v.messages[i]
	kind, parts := wire.FrameText, wire.Split([]byte(m.Text))
	if m.File {
		t := v.files[m.Seq]
		if t == nil || t.final() {
			v.queue = v.queue[1:]
			return
		}
		kind, parts = wire.FrameFile, [][]byte{t.offer(m.Text)}
	}
	if m.Craft != NoCraft {
		kind = m.Craft.frame()
	}
	p := int(v.s.partNext)
	if v.s.partSeq != m.Seq {
		p = 0
	}
	v.s.partSeq, v.s.partNext = m.Seq, uint32(p+1)
	if p == len(parts)-1 {
		v.s.partSeq, v.s.partNext = 0, 0
		v.queue = v.queue[1:]
	}
	f := wire.Frame{
		Kind: kind, Channel: m.Channel, ID: m.ID, Minute: m.Minute,
		Part: uint16(p), Parts: uint16(len(parts)), Content: parts[p],
	}
	if v.sealFrame(f, m.Seq) && (m.State == Waiting || m.State == InMailbox) { // the latter in a session before
		v.setState(i, OnItsWay)
	}
}

// canSend reports whether cells may leave: a session that both sides resumed on
// this connection, and a ratchet that can seal.
func (v *Conversation) canSend() bool {
	return v.link != nil && v.s != nil && !v.s.dead && v.link.resumeGot && v.s.ratchet.Ready()
}

// lowest is the lowest number that is still owed, or the next one.
func (v *Conversation) lowest() uint32 {
	low := v.s.sent + 1
	for n := range v.sealed {
		low = min(low, n)
	}
	return low
}

// room reports whether n more cells fit into the window.
func (v *Conversation) room(n int) bool {
	return int(v.s.sent)+n-int(v.lowest())+1 <= wire.Window
}

// WindowFull reports whether messages wait because too many are unacknowledged.
func (v *Conversation) WindowFull() bool {
	return v.s != nil && len(v.queue) > 0 && !v.room(1)
}

// sealFrame numbers, seals and sends a frame. When the numbers or a chain of the
// ratchet are used up it does not: then the session is replaced.
func (v *Conversation) sealFrame(f wire.Frame, message uint64) bool {
	if v.s.sent == math.MaxUint32-1 { // the next but one is a number, too: see lowest
		v.recover()
		return false
	}
	f.Number = v.s.sent + 1
	body := (*[wire.FrameSize]byte)(f.Append(nil))
	next, cell, sealed, err := v.s.ratchet.Seal(v.draw(), body)
	if err != nil {
		v.recover()
		return false
	}
	v.s.ratchet = next
	v.s.sent++
	v.order++
	kept := &sealedCell{sealed: *sealed, body: *body, message: message, last: f.Part+1 == f.Parts, order: v.order}
	v.sealed[f.Number] = kept
	v.put(KindSealed, v.cellKey(f.Number), kept.append(nil))
	if v.mail.filling {
		v.mail.number, v.mail.cell = f.Number, cell
	} else {
		v.sendBox(0, cell)
	}
	return true
}

// acknowledged takes note of how far the peer has come.
func (v *Conversation) acknowledged(c wire.Control) {
	v.ackedTo = max(v.ackedTo, c.Received)
	v.dropAcknowledged()
}

// dropAcknowledged drops what the peer has, up to its received number, and only
// that is delivered. The bitmap saves sending again; it proves nothing to a
// person, since a session that is replaced loses what lies beyond a gap.
func (v *Conversation) dropAcknowledged() {
	if v.ackedTo <= v.s.acked {
		return
	}
	for _, n := range v.unacknowledged() {
		if n > v.ackedTo || v.full() {
			break
		}
		cell := v.sealed[n]
		if cell.last && !v.passedBy(cell.message) {
			break
		}
		if wire.FrameKind(cell.body[0]) == wire.FrameBurn && v.c.tellBurn {
			v.c.tellBurn = false
			v.saveContact()
		}
		if wire.FrameKind(cell.body[0]) == wire.FrameDropSet {
			v.sureOfDrops()
		}
		delete(v.sealed, n)
		v.drop(KindSealed, v.cellKey(n))
		cell.sealed.Message.Wipe()
		if i, ok := v.find(cell.message); ok && cell.last && v.messages[i].State != Expired {
			v.s.repeated = max(v.s.repeated, cell.message) // it is not in doubt any more
			switch {
			case v.messages[i].File:
				v.offered(cell.message)
			case v.messages[i].hidden():
				v.removeLine(i)
			default:
				v.setState(i, Delivered)
				v.charterArrived(v.messages[i])
			}
		}
	}
	v.s.acked = min(v.ackedTo, v.lowest()-1)
	v.saveSession()
}

// passedBy has a message stand as on its way that is in doubt since a recovery, and did not leave
// before one that is confirmed now: its channel does not let it. It is said again when it may be,
// or expires. It reports false if this is more than a commit holds.
func (v *Conversation) passedBy(confirmed uint64) bool {
	if !v.s.repeat {
		return true
	}
	i, _ := v.find(v.s.repeated + 1)
	for ; i < len(v.messages) && v.messages[i].Seq < confirmed; i++ {
		if !v.doubtful(v.messages[i]) {
			continue
		}
		if v.full() {
			return false
		}
		v.setState(i, OnItsWay)
	}
	return true
}

// unacknowledged returns the numbers of the sealed cells in order.
func (v *Conversation) unacknowledged() []uint32 {
	numbers := make([]uint32, 0, len(v.sealed))
	for n := range v.sealed {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// resendAll sends again what the peer's resume says it lacks: the same cells.
func (v *Conversation) resendAll(c wire.Control) {
	for _, n := range v.unacknowledged() {
		if !c.Has(n) {
			v.resend(n)
		}
	}
}

func (v *Conversation) resend(n uint32) {
	cell := v.sealed[n]
	v.order++
	cell.order = v.order
	v.sendBox(0, cell.sealed.Cell(&cell.body))
}

// resendOldest sends again the least recently sent cells of a connection that
// lives but does not acknowledge.
func (v *Conversation) resendOldest() {
	numbers := v.unacknowledged()
	slices.SortStableFunc(numbers, func(a, b uint32) int {
		return int(int64(v.sealed[a].order) - int64(v.sealed[b].order))
	})
	for _, n := range numbers[:min(len(numbers), resendBatch)] {
		v.resend(n)
	}
}
