package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
)

// IntroductionState says how an introduction stands on this machine.
type IntroductionState byte

// The states. The first five are those of who is asked, the others an introducer's.
const (
	IntroductionOffered   IntroductionState = 1 + iota // a person has to answer
	IntroductionDeclined                               // he said no
	IntroductionAccepted                               // he said yes; nothing is known of the other
	IntroductionAgreed                                 // both did, and something is in the way of the contact
	IntroductionMet                                    // there is a contact
	IntroductionOut                                    // not both have answered, or one said no and the other nothing yet
	IntroductionPassing                                // both said yes, and the last message is not passed on
	IntroductionDone                                   // it is, and this side is out of it
	IntroductionForNought                              // it is over, and was not done
)

// String returns the state in the words that screens show.
func (s IntroductionState) String() string {
	switch s {
	case IntroductionOffered:
		return "waits for your answer"
	case IntroductionDeclined:
		return "declined by you"
	case IntroductionAccepted:
		return "accepted by you"
	case IntroductionAgreed:
		return "both said yes"
	case IntroductionMet:
		return "met"
	case IntroductionOut:
		return "waits for their answers"
	case IntroductionPassing:
		return "being passed on"
	case IntroductionDone:
		return "done"
	case IntroductionForNought:
		return "came to nothing"
	default:
		return "no state"
	}
}

// An IntroductionView is an introduction as a screen shows it.
type IntroductionView struct {
	Number uint64 // among those with the contact
	State  IntroductionState
	When   time.Time // when it began here
	Until  time.Time // from then on nothing comes of it any more

	// Of one who is asked.
	Text    string    // what the introducer says of the other
	Inviter bool      // this machine would make the invitation
	Name    string    // what the new contact is to be called here
	Contact ContactID // the new contact; zero: none yet
	Trouble error     // why not, though both said yes

	// Of an introducer.
	Made   bool
	Side   identity.Side // the contact's: the inviter's machine makes the invitation
	Other  ContactID
	Reads  string              // what the contact reads of the other, while it is not over
	Theirs string              // what the other reads of the contact
	Known  bool                // both answers may be shown
	Own    introduction.Answer // the contact's
	Their  introduction.Answer // the other's
}

// Introductions returns the introductions with the contact, by number.
func (v *Conversation) Introductions(now time.Time) (views []IntroductionView) {
	v.now = now
	for _, n := range v.introductionNumbers() {
		views = append(views, v.introductionView(n))
	}
	return views
}

// Introduction returns one.
func (v *Conversation) Introduction(now time.Time, n uint64) (IntroductionView, error) {
	if v.now = now; v.introductions[n] == nil {
		return IntroductionView{}, ErrNoIntroduction
	}
	return v.introductionView(n), nil
}

func (v *Conversation) introductionView(n uint64) IntroductionView {
	x := v.introductions[n]
	w := IntroductionView{Number: n, When: fromMinute(x.minute)}
	if x.party == nil {
		v.madeView(x, &w)
		return w
	}
	w.Until, w.Text, w.Inviter = fromMinute(x.party.Expiry()), x.party.Text(), x.party.Role() == identity.Inviter
	w.Name, w.Contact, w.Trouble = x.name, x.contact, x.trouble
	switch x.party.Stage() {
	case introduction.Asked:
		w.State = IntroductionOffered
	case introduction.Refused:
		w.State = IntroductionDeclined
	case introduction.Done:
		w.State = IntroductionMet
	default:
		if w.State = IntroductionAccepted; len(x.came) > 0 && x.trouble != nil {
			w.State = IntroductionAgreed
		}
	}
	return w
}

func (v *Conversation) madeView(x *introducing, w *IntroductionView) {
	w.Made, w.Side, w.Other, w.Until = true, x.side, x.other, fromMinute(x.expiry)
	answers := x.answers
	if w.Known = x.state == nil; x.state != nil {
		w.Reads, w.Theirs = x.state.Text(x.side), x.state.Text(x.side.Other())
		answers[0], answers[1], w.Known = x.state.Answers(minute(v.now))
	}
	w.Own, w.Their = answers[0], answers[1]
	if x.side == identity.Accepter {
		w.Own, w.Their = w.Their, w.Own
	}
	both := w.Own == introduction.AnswerYes && w.Their == introduction.AnswerYes
	_, under := v.find(x.line)
	switch {
	case x.state != nil && both:
		w.State = IntroductionPassing
	case x.state != nil:
		w.State = IntroductionOut
	case x.done && under && x.side == identity.Accepter && v.now.Before(w.Until):
		w.State = IntroductionPassing
	case x.done:
		w.State = IntroductionDone
	default:
		w.State = IntroductionForNought
	}
}
