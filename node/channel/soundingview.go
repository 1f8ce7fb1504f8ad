package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/sounding"
)

// SoundingState says how a sounding stands.
type SoundingState byte

// The states.
const (
	SoundingOpen SoundingState = 1 + iota // topics can be named
	SoundingRuns                          // the machines are at it
	SoundingBoth                          // it is over, and both named a topic
	SoundingNone                          // it is over, and nothing is known
)

// String returns the state in the words that screens show.
func (s SoundingState) String() string {
	switch s {
	case SoundingOpen:
		return "open"
	case SoundingRuns:
		return "under way"
	case SoundingBoth:
		return "both named it"
	case SoundingNone:
		return "no match known"
	default:
		return "no state"
	}
}

// A CommonTopic is one that both sides named.
type CommonTopic struct {
	Topic string // in its normal form
	Bits  int    // that agreed, of 40; fewer when the other side's machine stopped early
}

// A SoundingView is a sounding as a screen shows it. State and Common say nothing
// before the agreed time.
type SoundingView struct {
	State    SoundingState
	Begins   time.Time // from then on nothing can be named
	At       time.Time // when it ends
	Own      bool      // this side called it
	Topics   []string  // of this person; none once it is over
	Common   []CommonTopic
	Answered int // messages of the other side's machine, of 21: they say nothing of its person
}

// Soundings returns the soundings with the contact, by their time, and the earliest
// agreed time of the next one by the budget; zero: any.
func (v *Conversation) Soundings(now time.Time) (list []SoundingView, next time.Time) {
	for _, at := range v.soundingTimes() {
		list = append(list, v.sounded[at].view(now))
	}
	if v.lastAt != 0 {
		next = fromMinute(v.lastAt + soundingWeek)
	}
	return list, next
}

func (s *sounded) view(now time.Time) SoundingView {
	w := SoundingView{State: SoundingOpen, Begins: s.begins(), At: fromMinute(s.at), Own: s.own, Answered: int(s.heard)}
	switch {
	case s.over || !now.Before(w.At): // the latter at a machine that only looks
		c := *s
		if s.run != nil {
			c.run, _ = sounding.Load(s.run.Append(nil)) // what is shown ends a copy
		}
		if w.State, w.Common = SoundingNone, c.result(); len(w.Common) > 0 {
			w.State = SoundingBoth
		}
		return w
	case s.run != nil || !now.Before(w.Begins):
		w.State = SoundingRuns
	}
	w.Topics = append([]string(nil), s.topics...)
	return w
}
