package channel

import (
	"errors"
	"io"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/shuttle"
)

// The methods here are the mediator's. What concerns both of the two is kept with the
// first; the owner of both conversations commits what one step writes in both at once.

// OpenShuttle calls for an offer of the contact, who has a role in it.
func (v *Conversation) OpenShuttle(now time.Time, r *shuttle.Round, role shuttle.Role, other ContactID) (*Output, error) {
	if err := v.mayTalk(); err != nil {
		return nil, err
	}
	v.begin(now)
	e := &errand{id: r.ID(role), role: role, other: other, expiry: r.Expiry(), subject: r.Subject()}
	if role == shuttle.First {
		e.round = r
	}
	if !v.keepErrand(e) {
		v.end()
		return nil, ErrShuttleMany
	}
	v.say(ShuttleCraft, r.Call(role))
	return v.finish(), nil
}

// NewShuttle begins an exchange for the mediator.
func NewShuttle(now, until time.Time, subject string, random io.Reader) (*shuttle.Round, error) {
	if until.Before(now.Add(time.Hour)) || until.After(now.Add(shuttleLife)) {
		return nil, ErrShuttleTime
	}
	r, err := shuttle.NewRound(subject, minute(until), minute(now), random)
	if errors.Is(err, shuttle.ErrText) {
		return nil, ErrShuttleSubject
	}
	return r, err
}

// An Unseen is a message of one of the two that the mediator has to see to.
type Unseen struct {
	ID      shuttle.ID
	From    shuttle.Role
	Other   ContactID
	Message []byte
}

// Unseen returns the next message that is to be seen to.
func (v *Conversation) Unseen() (Unseen, bool) {
	for _, n := range v.errandNumbers() {
		if e := v.errands[n]; len(e.unseen) > 0 {
			return Unseen{e.id, e.role, e.other, e.unseen[0]}, true
		}
	}
	return Unseen{}, false
}

// Seen lets go of a message that was seen to.
func (v *Conversation) Seen(now time.Time, u Unseen) *Output {
	v.begin(now)
	if n, e := v.errandBy(u.ID); e != nil && len(e.unseen) > 0 {
		e.unseen = e.unseen[1:]
		v.saveErrand(n)
	}
	return v.finish()
}

// See takes a message into the exchange that is kept with the first, and returns what
// goes on to the other one; nil: nothing.
func (v *Conversation) See(now time.Time, u Unseen) (pass []byte, out *Output) {
	v.begin(now)
	if n, e := v.roundFor(u.ID); e != nil {
		var err error
		if pass, err = e.round.Receive(u.From, u.Message, minute(now)); err == nil {
			v.saveErrand(n)
			if pass != nil {
				v.note(NoteShuttleSealed)
			}
		}
	}
	if n, e := v.errandBy(u.ID); e != nil && u.From == shuttle.First && len(e.unseen) > 0 {
		e.unseen = e.unseen[1:]
		v.saveErrand(n)
	}
	return pass, v.finish()
}

// Pass queues what goes on to the contact.
func (v *Conversation) Pass(now time.Time, m []byte) *Output {
	v.begin(now)
	v.say(ShuttleCraft, m)
	return v.finish()
}

// Release opens both offers: it returns what goes to the second. It is called on the
// conversation with the first.
func (v *Conversation) Release(now time.Time, id shuttle.ID) (toSecond []byte, out *Output, err error) {
	n, e := v.roundFor(id)
	switch {
	case e == nil:
		return nil, nil, ErrNoShuttle
	case e.round.Released():
		return nil, nil, ErrReleased
	case minute(now) >= e.round.Expiry():
		return nil, nil, ErrShuttleOver
	}
	v.begin(now)
	toFirst, toSecond, err := e.round.Release(minute(now))
	if err != nil {
		v.end()
		return nil, nil, ErrNotReady
	}
	v.saveErrand(n)
	v.say(ShuttleCraft, toFirst)
	return toSecond, v.finish(), nil
}

// Carried returns the exchange of a number in which the contact is one of the two; 0
// stands for the latest. ok is false if there is none.
func (v *Conversation) Carried(number uint64) (u Unseen, ok bool) {
	for _, n := range slices.Backward(v.errandNumbers()) {
		if e := v.errands[n]; e.party == nil && !e.dropped && (number == 0 || n == number) {
			return Unseen{ID: e.id, From: e.role, Other: e.other}, true
		}
	}
	return Unseen{}, false
}

// TakeHeld takes a text of the contact that goes on to somebody else: it is forgotten
// here.
func (v *Conversation) TakeHeld(now time.Time, seq uint64) (message []byte, out *Output, err error) {
	v.Lapse(now) // before there is an index
	i, ok := v.find(seq)
	if !ok || v.messages[i].Craft != ShuttleCraft || v.messages[i].Direction != In {
		return nil, nil, ErrNotHeld
	}
	m := []byte(v.messages[i].Text)
	if _, err := shuttle.ParseText(m); err != nil {
		return nil, nil, ErrNotHeld
	}
	v.begin(now)
	v.removeLine(i)
	return m, v.finish(), nil
}
