package channel

import (
	"errors"
	"time"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
	"github.com/backchannel/backchannel/protocol/wire"
)

// shuttleLife is how long an exchange may take: a line lives no longer.
const shuttleLife = 14 * 24 * time.Hour

// Lines of the program about what a mediator carries.
const (
	NoteShuttleCalled = "A mediator asks for a sealed offer: backchannel shuttle show"
	NoteShuttleOpened = "Both sealed offers are open: backchannel shuttle show"
	NoteShuttleSealed = "A side has sealed its offer: backchannel shuttle show"
	NoteShuttleMisfit = "The other side's opening does not fit, and shows no offer; they may have read yours: backchannel shuttle show"
	NoteShuttleMany   = "A mediator asked for a sealed offer, and it was not taken, because too many exchanges with him are kept. What is open is never deleted for a new one; burning the conversation deletes it."
)

// Errors that a person meets.
var (
	ErrNoCall         = errors.New("no sealed offer is asked for")
	ErrOfferSealed    = errors.New("your offer is sealed, and cannot be changed")
	ErrOfferLong      = errors.New("a sealed offer has 1 to 1024 bytes of text")
	ErrCarryLong      = errors.New("a text that is carried has 1 to 59000 bytes")
	ErrShuttleTime    = errors.New("an exchange ends between one hour and 14 days from now")
	ErrWhichShuttle   = errors.New("there are several exchanges of sealed offers with this contact")
	ErrShuttleMany    = errors.New("there are too many exchanges with this contact")
	ErrNoShuttle      = errors.New("there is no exchange of sealed offers with this contact")
	ErrNotReady       = errors.New("not both have sealed their offers yet: there is nothing to open")
	ErrNotHeld        = errors.New("there is no such text to carry")
	ErrReleased       = errors.New("both offers were released already")
	ErrShuttleOver    = errors.New("the exchange has expired")
	ErrShuttleSelf    = errors.New("a mediator is between two contacts, and these are one")
	ErrShuttleSubject = errors.New("a subject is one line of 1 to 128 bytes")
)

// Carry hands a text to the mediator, to be carried to somebody else. It goes on
// without its sender.
func (v *Conversation) Carry(now time.Time, text string) (Message, *Output, error) {
	m, err := shuttle.TextMessage(text)
	if err != nil {
		return Message{}, nil, ErrCarryLong
	}
	if err := v.mayTalk(); err != nil {
		return Message{}, nil, err
	}
	v.begin(now)
	line := v.say(ShuttleCraft, m)
	return line, v.finish(), nil
}

// Offer seals this person's offer in an exchange that the mediator has called for: that
// of a number, because another call may have come since the person read of it; 0 stands
// for the latest.
func (v *Conversation) Offer(now time.Time, number uint64, offer string) (ShuttleView, *Output, error) {
	if err := v.mayTalk(); err != nil {
		return ShuttleView{}, nil, err
	}
	n, e := v.called(now, number)
	if e == nil {
		return ShuttleView{}, nil, v.noCall(now, number)
	}
	v.begin(now)
	messages, err := e.party.Seal(offer, v.cfg.Random, minute(now))
	if err != nil {
		v.end()
		return ShuttleView{}, nil, ErrOfferLong
	}
	v.answerErrand(n, messages)
	return e.view(n, now), v.finish(), nil
}

// called is the exchange of a number, or the latest, if this person can make an offer
// in it.
func (v *Conversation) called(now time.Time, want uint64) (number uint64, found *errand) {
	for _, n := range v.errandNumbers() {
		if e := v.errands[n]; (want == 0 || n == want) && e.party != nil && e.party.Stage() == shuttle.Called && minute(now) < e.party.Expiry() {
			number, found = n, e
		}
	}
	return number, found
}

func (v *Conversation) noCall(now time.Time, want uint64) error {
	for n, e := range v.errands {
		if (want == 0 || n == want) && e.party != nil && !e.over(minute(now)) {
			return ErrOfferSealed
		}
	}
	return ErrNoCall
}

// answerErrand stores an exchange and queues what is due in it, in one commit.
func (v *Conversation) answerErrand(n uint64, messages [][]byte) {
	for _, m := range messages {
		v.say(ShuttleCraft, m)
	}
	v.saveErrand(n)
}

// shuttleCame acts on a frame of kind shuttle. What is malformed, or belongs to no
// exchange, is set aside.
func (v *Conversation) shuttleCame(f wire.Frame, content string) {
	m := []byte(content)
	if _, err := shuttle.ParseText(m); err == nil {
		v.craftCame(ShuttleCraft, f, content)
		return
	}
	id, calls, err := shuttle.IDOf(m)
	if err != nil {
		return
	}
	n, e := v.errandBy(id)
	switch {
	case e == nil && calls:
		v.shuttleCalled(m)
	case e == nil || calls || e.dropped:
	case e.party != nil:
		messages, err := e.party.Receive(m, minute(v.now))
		if err != nil {
			if misfit := errors.Is(err, shuttle.ErrRefused) || errors.Is(err, shuttle.ErrFormat); misfit && e.party.Stage() == shuttle.Committed {
				v.noteOnce(NoteShuttleMisfit)
			}
			return
		}
		v.answerErrand(n, messages)
		if e.party.Stage() == shuttle.Opened {
			v.note(NoteShuttleOpened)
		}
	case len(e.unseen) < maxUnseen:
		e.unseen = append(e.unseen, m)
		v.saveErrand(n)
	}
}

func (v *Conversation) shuttleCalled(m []byte) {
	p, err := shuttle.NewParty(m, secret.Key{}, minute(v.now))
	if err != nil || time.Duration(p.Expiry()-minute(v.now))*time.Minute > shuttleLife+48*time.Hour {
		return
	}
	if !v.keepErrand(&errand{party: p}) {
		v.noteOnce(NoteShuttleMany)
		return
	}
	v.note(NoteShuttleCalled)
}

// noteOnce is note, unless the latest line says it already.
func (v *Conversation) noteOnce(text string) {
	if n := len(v.messages); n == 0 || v.messages[n-1].Direction != Notice || v.messages[n-1].Text != text {
		v.note(text)
	}
}

// shuttleText is what a line of kind shuttle shows in a transcript.
func shuttleText(m Message) string {
	if text, err := shuttle.ParseText([]byte(m.Text)); err == nil {
		return "shuttle: " + text
	}
	switch m.Text[1] {
	case 2:
		return "shuttle: asks for a sealed offer"
	case 3, 4:
		return "shuttle: an offer is sealed"
	case 5:
		return "shuttle: a sealed offer can be opened"
	}
	return "shuttle: malformed"
}
