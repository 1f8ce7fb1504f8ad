package channel

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/sounding"
	"github.com/backchannel/backchannel/protocol/wire"
)

// What a frame of kind sounding says stands in its first byte: docs/spec/sounding.md.
const (
	soundingCall byte = 1 + iota // agreed minute 4, minutes of the window 4
	soundingStep                 // agreed minute 4, a message of package sounding
	callSize     = 9
	stepHeader   = 5
)

// Limits, in minutes.
const (
	soundingWeek   = 7 * 24 * 60
	soundingLead   = 30              // from a call to the window, at least
	soundingMost   = 14 * 24 * 60    // from a call to its end
	soundingSlack  = 2 * 24 * 60     // clocks differ
	soundingWindow = 2 * 60          // over a direct connection
	shortestWindow = 30              // that is taken part in
	longestWindow  = 7 * 24 * 60     //
	maxSounded     = 8               // that are over
	slotsOfWindow  = soundingAll + 2 // the last two are for who is late
	soundingAll    = 2 * (sounding.Rounds + 1)
)

// Lines of the program about a sounding. Nothing in them depends on what either
// person named.
const (
	NoteSoundingCalled = "The other side's machine has begun a sounding. Yours takes part in it whether or not you name anything, and nobody can tell which: backchannel sounding new"
	NoteSoundingOver   = "A sounding has ended: backchannel sounding show"
)

// Errors that a person meets.
var (
	ErrSoundingTopic = errors.New("a topic has 1 to 128 bytes of text, is named once, and there are 1 to 8")
	ErrSoundingTime  = errors.New("the agreed time is too near or too far; there must be time to look, and for the machines")
	ErrSoundingWeek  = errors.New("there is one sounding a week with a contact")
	ErrSoundingOpen  = errors.New("a sounding with another agreed time is open already")
	ErrSoundingNamed = errors.New("you have named topics already")
	ErrSoundingRuns  = errors.New("the machines are at it: nothing can be changed until the agreed time")
	ErrNoSounding    = errors.New("there is no sounding")
)

// Sound names what this person would talk about: in the sounding that is open, or in
// a new one that ends at the given time. With a zero time it is the open one.
func (v *Conversation) Sound(now, at time.Time, topics []string) (SoundingView, *Output, error) {
	normal, err := soundingTopics(topics)
	if err != nil {
		return SoundingView{}, nil, err
	}
	if err := v.mayTalk(); err != nil {
		return SoundingView{}, nil, err
	}
	s := v.openSounding(now)
	switch {
	case s == nil:
		if s, err = v.newSounding(now, at); err != nil {
			return SoundingView{}, nil, err
		}
	case !at.IsZero() && minute(at) != s.at:
		return SoundingView{}, nil, ErrSoundingOpen
	case s.run != nil || !now.Before(s.begins()):
		return SoundingView{}, nil, ErrSoundingRuns
	case len(s.topics) > 0:
		return SoundingView{}, nil, ErrSoundingNamed
	}
	v.begin(now)
	s.topics = normal
	if v.sounded[s.at] == nil {
		v.keepSounding(s)
	}
	v.speak(s)
	v.saveSounding(s)
	return s.view(now), v.finish(), nil
}

// A SoundingTimeError is an [ErrSoundingTime] that tells between which times one may end.
// The first has a minute to spare, in which it can be typed.
type SoundingTimeError struct{ Earliest, Latest time.Time }

// Error names the times as the command takes them.
func (e *SoundingTimeError) Error() string {
	const layout = "2006-01-02T15:04"
	return ErrSoundingTime.Error() + ": from " + e.Earliest.UTC().Format(layout) + " to " + e.Latest.UTC().Format(layout) + " UTC"
}

// Is reports whether the target is [ErrSoundingTime].
func (e *SoundingTimeError) Is(target error) bool { return target == ErrSoundingTime }

func soundingTopics(topics []string) ([]string, error) {
	var normal []string
	for _, t := range topics {
		n, err := sounding.Normalize(t)
		if err != nil || slices.Contains(normal, n) {
			return nil, ErrSoundingTopic
		}
		normal = append(normal, n)
	}
	if len(normal) == 0 || len(normal) > sounding.Entries {
		return nil, ErrSoundingTopic
	}
	return normal, nil
}

// newSounding makes one that this person calls, and takes it out of the budget.
func (v *Conversation) newSounding(now, at time.Time) (*sounded, error) {
	window := v.soundingWindow()
	switch earliest := now.Add(time.Duration(window+soundingLead) * time.Minute); {
	case at.Before(earliest) || at.After(now.Add(soundingMost*time.Minute)):
		return nil, &SoundingTimeError{earliest.Truncate(time.Minute).Add(2 * time.Minute), now.Add(soundingMost * time.Minute)}
	case !soundingAllowed(v.lastAt, minute(at)):
		return nil, ErrSoundingWeek
	}
	return &sounded{at: minute(at), window: window, own: true, before: v.lastAt}, nil
}

// soundingWindow is long enough for all messages, one after the other, by the slower
// of the two routes.
func (v *Conversation) soundingWindow() uint32 {
	if v.drops.policy == DirectRoute || v.drops.Period == 0 {
		return soundingWindow
	}
	return uint32(slotsOfWindow) * (uint32(v.drops.Period)*3/2 + 3)
}

// soundingAllowed is the budget: a week between two agreed times. Both machines hold
// to it, and it outlives what is burned.
func soundingAllowed(last, at uint32) bool { return last == 0 || at >= last+soundingWeek }

// keepSounding takes up a new one, and lets an old one go that is over.
func (v *Conversation) keepSounding(s *sounded) {
	var over []uint32
	for _, at := range v.soundingTimes() {
		if v.sounded[at].over {
			over = append(over, at)
		}
	}
	if len(over) >= maxSounded {
		v.dropSounding(over[0])
	}
	v.sounded[s.at], v.lastAt = s, s.at
	v.put(KindSounding, 0, binary.BigEndian.AppendUint32([]byte{soundedVersion}, v.lastAt))
}

// DropSounding takes out what this person named, as long as it can be: the machine
// goes on as if nothing had been named. If nothing is open, what is kept of those
// that are over is deleted. The budget stays.
func (v *Conversation) DropSounding(now time.Time) (*Output, error) {
	s := v.openSounding(now)
	switch {
	case s != nil && (s.run != nil || !now.Before(s.begins())):
		return nil, ErrSoundingRuns
	case s != nil && len(s.topics) > 0:
		v.begin(now)
		s.topics = nil
		v.saveSounding(s)
		return v.finish(), nil
	case len(v.sounded) == 0 || s != nil && len(v.sounded) == 1:
		return nil, ErrNoSounding
	}
	v.begin(now)
	for _, at := range v.soundingTimes() {
		if v.sounded[at] != s {
			v.dropSounding(at)
		}
	}
	return v.finish(), nil
}

// openSounding is the one that has not ended: there is one at a time.
func (v *Conversation) openSounding(now time.Time) *sounded {
	for _, s := range v.sounded {
		if !s.over && now.Before(fromMinute(s.at)) {
			return s
		}
	}
	return nil
}

// soundingCame acts on a frame of kind sounding. What does not fit is set aside, and
// answered with nothing.
func (v *Conversation) soundingCame(content []byte) {
	if len(content) < stepHeader {
		return
	}
	at := binary.BigEndian.Uint32(content[1:])
	switch {
	case content[0] == soundingCall && len(content) == callSize:
		v.calledSounding(at, binary.BigEndian.Uint32(content[stepHeader:]))
	case content[0] == soundingStep:
		v.soundingStepCame(at, content[stepHeader:])
	}
}

// calledSounding takes part in what the other side's machine has begun, if the budget
// allows it and the window is still to come: a person must be able to name something
// for what it costs of the budget. Of two calls that cross the inviter's counts.
func (v *Conversation) calledSounding(at, window uint32) {
	now, last := minute(v.now), v.lastAt
	if at <= now || at-now > soundingMost+soundingSlack || window < shortestWindow || window > longestWindow || at-now <= window {
		return
	}
	s := &sounded{at: at, window: window}
	if open := v.openSounding(v.now); open != nil {
		if !open.own || open.run != nil || v.c.side == identity.Inviter {
			return
		}
		last, s.topics = open.before, open.topics
	}
	if !soundingAllowed(last, at) {
		return
	}
	if open := v.openSounding(v.now); open != nil {
		v.dropSounding(open.at)
	}
	s.before = last
	v.keepSounding(s)
	v.saveSounding(s)
	v.note(NoteSoundingCalled)
}

// speak queues what is due of this side. In a new session it is said again, because
// the one before may have taken it along; the other side passes over what it has.
func (v *Conversation) speak(s *sounded) {
	if !v.maySound() || s.over {
		return
	}
	if s.epoch != v.s.epoch {
		s.epoch, s.said = v.s.epoch, 0
	}
	said := s.said
	say := func(what byte, body []byte) {
		content := append(binary.BigEndian.AppendUint32([]byte{what}, s.at), body...)
		v.control(wire.FrameSounding, content)
		v.out.More = true
	}
	if s.calls() && said == 0 {
		say(soundingCall, binary.BigEndian.AppendUint32(nil, s.window))
		said = 1
	}
	if m := s.due(v.now); len(m) > 1 && said < m[1]+2 {
		say(soundingStep, m)
		said = m[1] + 2
	}
	if said != s.said {
		s.said = said
		v.saveSession()
		v.saveSounding(s)
	}
}

// maySound reports whether something can be said now that is not said to a stranger.
func (v *Conversation) maySound() bool {
	return v.s != nil && !v.s.dead && !v.c.paused && !v.suspect()
}
