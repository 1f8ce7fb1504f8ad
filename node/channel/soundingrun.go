package channel

import (
	"bytes"
	"time"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/sounding"
)

// sounded is a sounding with the contact: called, under way, or over.
type sounded struct {
	at      uint32   // the agreed minute, at which it ends; its name, too
	window  uint32   // minutes: how long before it begins
	own     bool     // this side called it, and moves first
	before  uint32   // the agreed minute of the one before
	topics  []string // of this person, in their normal form; none once it is over
	early   []byte   // the other side's first message, which came before our clock began
	run     *sounding.Sounding
	stopped bool // a machine was put back: this side says nothing more
	over    bool
	heard   byte   // messages of the other side that were taken
	said    byte   // what was queued in the session of that epoch: 1 the call, n + 2 message n
	epoch   uint32 //

	common []CommonTopic // once it is over
}

// begins is when the window opens: from then on nothing can be named.
func (s *sounded) begins() time.Time { return fromMinute(s.at - s.window) }

// due is the message that this side owes now. Each has a moment in the window,
// whatever is in it; one that waits for the other side's is late and leaves at once.
func (s *sounded) due(now time.Time) []byte {
	if s.run == nil {
		return nil
	}
	m := s.run.Outgoing()
	if len(m) < 2 || now.Before(s.slot(m[1])) {
		return nil
	}
	return m
}

// calls reports whether the other side may not have heard of it yet.
func (s *sounded) calls() bool { return s.own && s.heard == 0 && !s.stopped }

// slot is the moment of this side's message with a number.
func (s *sounded) slot(number byte) time.Time {
	turn := 2 * int(number)
	if !s.own {
		turn++
	}
	return s.begins().Add(time.Duration(turn) * time.Duration(s.window) * time.Minute / slotsOfWindow)
}

// binding is what the soundings of two contacts hang on: it is secret, the same on
// both sides, and stays what it is when sessions are replaced.
func (v *Conversation) soundingBinding() [32]byte {
	k := label.DeriveKey(label.SoundingBinding, v.c.recovery)
	defer k.Wipe()
	return [32]byte(k.Bytes())
}

// tickSoundings does what time brings about: windows open, messages fall due, and at
// the agreed time it ends, whatever is missing.
func (v *Conversation) tickSoundings() {
	for _, at := range v.soundingTimes() {
		if v.full() {
			return
		}
		s := v.sounded[at]
		switch {
		case s.over:
			continue
		case !v.now.Before(fromMinute(at)):
			v.endSounding(s)
		case s.run == nil && !s.stopped && !v.now.Before(s.begins()):
			v.beginSounding(s)
		}
		v.speak(s)
	}
}

// soundingNext is when there is something to do for a sounding.
func (v *Conversation) soundingNext(s *sounded, now time.Time) time.Time {
	next := now.Add(time.Hour)
	switch end := fromMinute(s.at); {
	case s.over:
		return next
	case s.run == nil && !s.stopped:
		next = s.begins()
	default:
		next = end
	}
	if !v.maySound() {
		return next
	}
	said := s.said
	if s.epoch != v.s.epoch {
		said = 0
	}
	if s.calls() && said == 0 {
		return now
	}
	if s.run == nil {
		return next
	}
	if m := s.run.Outgoing(); len(m) > 1 && said < m[1]+2 {
		if slot := s.slot(m[1]); slot.Before(next) {
			return slot
		}
	}
	return next
}

// beginSounding draws the entries: with what this person named, or with nothing.
func (v *Conversation) beginSounding(s *sounded) {
	role := sounding.Second
	if s.own {
		role = sounding.First
	}
	run, err := sounding.New(sounding.NewID(v.soundingBinding(), uint64(s.at)), role, s.topics, v.cfg.Random)
	if err != nil {
		panic("channel: the source of randomness failed") // topics were checked when they were named and read
	}
	s.run = run
	if len(s.early) > 0 {
		v.takeStep(s, s.early)
		s.early = nil
	}
	v.saveSounding(s)
}

// soundingStepCame takes a message of the other side.
func (v *Conversation) soundingStepCame(at uint32, m []byte) {
	s := v.sounded[at]
	if s == nil || s.over || s.stopped || !v.now.Before(fromMinute(at)) {
		return
	}
	if s.run == nil && v.now.Before(s.begins()) {
		if len(m) == sounding.SharesSize && !s.own && s.early == nil { // its clock is ahead
			s.early = bytes.Clone(m)
			v.saveSounding(s)
		}
		return
	}
	if s.run == nil {
		v.beginSounding(s)
	}
	v.takeStep(s, m)
	v.speak(s)
	v.saveSounding(s)
}

func (v *Conversation) takeStep(s *sounded, m []byte) {
	if s.run.Receive(m) == nil {
		s.heard++
	}
}

// stopSoundings is for a machine that was put back, or whose peer was: nothing that
// may have been answered is answered once more.
func (v *Conversation) stopSoundings() {
	for _, s := range v.sounded {
		if s.over || s.run == nil && v.now.Before(s.begins()) {
			continue
		}
		if s.stopped = true; s.run != nil {
			s.run.Close()
		}
		v.saveSounding(s)
	}
}

// endSounding keeps of a sounding what both named, and nothing else.
func (v *Conversation) endSounding(s *sounded) {
	s.common = s.result()
	s.wipe()
	s.over, s.topics, s.early, s.run = true, nil, nil, nil
	v.saveSounding(s)
	v.note(NoteSoundingOver)
}

// result ends the run and says what both named. It is empty for many reasons, which
// are one to whoever asks.
func (s *sounded) result() (list []CommonTopic) {
	if s.run == nil {
		return s.common
	}
	s.run.Close()
	common, err := s.run.Result()
	if err != nil {
		return nil
	}
	for _, c := range common {
		if c.Topic < len(s.topics) {
			list = append(list, CommonTopic{s.topics[c.Topic], c.Bits})
		}
	}
	return list
}

func (s *sounded) wipe() {
	if s.run != nil {
		s.run.Wipe()
	}
}
