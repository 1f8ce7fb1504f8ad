package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
)

// askCame takes the question of an introducer. A person answers it.
func (v *Conversation) askCame(m []byte) {
	p, err := introduction.NewParty(m, minute(v.now))
	if err != nil {
		return
	}
	n, err := v.newIntroduction(&introducing{party: p})
	if err != nil {
		return
	}
	v.saveIntroduction(n)
	v.note(NoteIntroductionAsked)
}

// Offered finds the introduction that this person is to answer, and whether he would
// make the invitation or accept it. 0 stands for the only one.
func (v *Conversation) Offered(now time.Time, n uint64) (number uint64, side identity.Side, err error) {
	if n == 0 {
		if n, err = v.onlyOffer(now); err != nil {
			return 0, 0, err
		}
	}
	x := v.introductions[n]
	switch {
	case x == nil || x.party == nil:
		return 0, 0, ErrNoIntroduction
	case x.party.Stage() != introduction.Asked || !now.Before(x.ends()):
		return 0, 0, ErrIntroductionOver
	}
	return n, x.party.Role(), nil
}

func (v *Conversation) onlyOffer(now time.Time) (n uint64, err error) {
	for k, x := range v.introductions {
		if x.party == nil || x.party.Stage() != introduction.Asked || !now.Before(x.ends()) {
			continue
		}
		if n != 0 {
			return 0, ErrWhichIntroduction
		}
		n = k
	}
	if n == 0 {
		return 0, ErrNoIntroduction
	}
	return n, nil
}

// AnswerIntroduction says yes or no to the introducer; 0 stands for the only one that
// waits. With a yes, name is what the new contact will be called here.
func (v *Conversation) AnswerIntroduction(now time.Time, n uint64, yes bool, name string) (IntroductionView, *Output, error) {
	if err := v.mayTalk(); err != nil {
		return IntroductionView{}, nil, err
	}
	n, _, err := v.Offered(now, n)
	if err != nil {
		return IntroductionView{}, nil, err
	}
	x := v.introductions[n]
	var m []byte
	if yes {
		m, err = x.party.Consent(v.cfg.Random, minute(now))
	} else {
		m, err = x.party.Refuse()
	}
	if err != nil {
		return IntroductionView{}, nil, ErrIntroductionOver
	}
	v.begin(now)
	if yes {
		x.name = name
	}
	v.sayHidden(x, m)
	v.saveIntroduction(n)
	out := v.finish()
	return v.introductionView(n), out, nil
}

// ToMeet lists the introductions in which both have said yes, and a contact is to be
// made: see [Conversation.MeetIntroduced].
func (v *Conversation) ToMeet() (numbers []uint64) {
	for _, n := range v.introductionNumbers() {
		if x := v.introductions[n]; x.party != nil && len(x.came) > 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// A Meeter makes the contact of an introduction. The inviter is given no invitation and
// returns the fresh one; the accepter is given the other's, and returns it.
type Meeter func(side identity.Side, inv identity.Invitation, name string, until time.Time) (identity.Invitation, ContactID, error)

// MeetIntroduced goes on with an introduction in which both have said yes. Its Output
// and that of the new contact are one commit. If meet fails there is none, and the same
// call can be repeated. It reports whether a contact was made: not of a message that is
// refused, which is forgotten.
func (v *Conversation) MeetIntroduced(now time.Time, n uint64, meet Meeter) (out *Output, met bool) {
	x := v.introductions[n]
	next, err := introduction.ParseParty(x.party.Append(nil))
	if err != nil {
		return nil, false // not reached: it was parsed before
	}
	defer next.Wipe() // when it is done, there is nothing to wipe
	var inv identity.Invitation
	if next.Role() == identity.Accepter {
		if inv, err = next.Open(x.came, minute(now)); err != nil {
			return v.forgetCame(now, n), false
		}
	}
	inv, id, err := meet(next.Role(), inv, x.name, fromMinute(next.Expiry()))
	if err != nil {
		x.trouble = err
		return nil, false
	}
	v.begin(now)
	if next.Role() == identity.Inviter {
		reply, err := next.Invite(x.came, inv, v.cfg.Random, minute(now))
		if err != nil {
			v.end()
			return v.forgetCame(now, n), false
		}
		v.sayHidden(x, reply)
	}
	x.party.Wipe()
	x.party, x.contact, x.came, x.trouble = next, id, nil, nil
	v.saveIntroduction(n)
	v.note(NoteIntroductionMet)
	return v.finish(), true
}

// forgetCame drops a message that was refused. Nothing else changes: the right one may
// come yet.
func (v *Conversation) forgetCame(now time.Time, n uint64) *Output {
	v.begin(now)
	v.introductions[n].came = nil
	v.saveIntroduction(n)
	return v.end()
}
