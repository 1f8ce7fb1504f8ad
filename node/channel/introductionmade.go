package channel

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
)

// MayIntroduce reports whether this contact can be introduced to another one.
func (v *Conversation) MayIntroduce() error {
	if err := v.mayTalk(); err != nil {
		return err
	}
	if len(v.introductions) >= maxIntroductions && !slices.ContainsFunc(v.introductionNumbers(), func(n uint64) bool { return v.introductions[n].over() }) {
		return ErrManyIntroductions
	}
	return nil
}

// Introduce asks a contact whether it wants to meet the other one, of whom x says
// something. It is called on both, with the same tag, and both Outputs are one commit.
func (v *Conversation) Introduce(now time.Time, side identity.Side, other ContactID, tag [16]byte, x *introduction.Introduction) (uint64, *Output, error) {
	if err := v.MayIntroduce(); err != nil {
		return 0, nil, err
	}
	own, err := introduction.Parse(x.Append(nil))
	if err != nil {
		return 0, nil, err
	}
	v.begin(now)
	made := &introducing{side: side, other: other, tag: tag, expiry: x.Expiry(), state: own}
	n, err := v.newIntroduction(made)
	if err != nil {
		v.end()
		return 0, nil, err
	}
	v.sayHidden(made, x.Ask(side))
	v.saveIntroduction(n)
	return n, v.finish(), nil
}

// A Pair is an introduction at one of the two contacts that this person introduces.
type Pair struct {
	Number uint64
	Other  ContactID
	Tag    [16]byte
}

// Pairs lists the introductions that this person makes of the contact.
func (v *Conversation) Pairs() (pairs []Pair) {
	for _, n := range v.introductionNumbers() {
		if x := v.introductions[n]; x.party == nil {
			pairs = append(pairs, Pair{n, x.other, x.tag})
		}
	}
	return pairs
}

// paired finds an introduction by its tag.
func (v *Conversation) paired(tag [16]byte) (uint64, *introducing) {
	for n, x := range v.introductions {
		if x.party == nil && x.tag == tag {
			return n, x
		}
	}
	return 0, nil
}

// DropPair forgets an introduction whose other contact was removed or burned. To this
// one it looks like silence.
func (v *Conversation) DropPair(now time.Time, n uint64) *Output {
	v.begin(now)
	if x := v.introductions[n]; x != nil {
		if i, ok := v.find(x.line); ok && v.messages[i].hidden() && v.messages[i].State == Waiting {
			v.removeLine(i)
		}
		v.dropIntroduction(n)
	}
	return v.end()
}

// PassOn hands on what came from one contact in an introduction to the other, if
// anything did. Both Outputs are one commit. It reports whether the other still has
// its part of it.
func PassOn(now time.Time, from *Conversation, p Pair, to *Conversation) (one, other *Output, paired bool) {
	k, y := to.paired(p.Tag)
	x := from.introductions[p.Number]
	if y == nil {
		return nil, nil, false
	}
	if x.state == nil || y.state == nil || len(x.came) == 0 {
		return nil, nil, true
	}
	from.begin(now)
	to.begin(now)
	pass, err := x.state.Receive(x.side, x.came, minute(now))
	if x.came = nil; err == nil {
		if copied, err := introduction.Parse(x.state.Append(nil)); err == nil { // it always is
			y.state = copied
		}
		switch id, _, err := introduction.IDOf(pass); {
		case err != nil: // there is nothing to pass on
		case id == x.state.ID(x.side):
			from.sayHidden(x, pass)
		default:
			to.sayHidden(y, pass)
		}
	}
	from.settleIntroduction(p.Number)
	to.settleIntroduction(k)
	return from.finish(), to.finish(), true
}

// settleIntroduction stores how an introduction stands, and ends it if nothing more can come.
func (v *Conversation) settleIntroduction(n uint64) {
	x := v.introductions[n]
	inviter, accepter, known := x.state.Answers(minute(v.now))
	refused := known && (inviter != introduction.AnswerYes || accepter != introduction.AnswerYes)
	if x.state.Done() || refused {
		v.endIntroduction(n)
		return
	}
	v.saveIntroduction(n)
}

// endIntroduction forgets all of an introduction but what both answered, which its
// introducer can read for a while.
func (v *Conversation) endIntroduction(n uint64) {
	x := v.introductions[n]
	inviter, accepter, _ := x.state.Answers(x.expiry)
	x.answers, x.done, x.state, x.came = [2]introduction.Answer{inviter, accepter}, x.state.Done(), nil, nil
	v.saveIntroduction(n)
	v.note(NoteIntroductionOver)
}
