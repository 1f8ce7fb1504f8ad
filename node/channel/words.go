package channel

import (
	"bytes"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/wire"
)

// MaxTries is how often a person may type the same words wrongly before they are
// thrown away. maxDraws is how many exchanges are taken part in on one day,
// whoever begins them: each is one draw from 2^33 for somebody in the middle, who
// sees what he drew before the people do.
const (
	MaxTries = 3
	maxDraws = 32
)

// manyDraws reports whether there were enough exchanges for today.
func (v *Conversation) manyDraws() bool {
	return v.c.drawDay == handshake.Day(v.now) && v.c.draws >= maxDraws
}

// drawWords counts and begins an exchange; it reports false when there were
// enough for today. The first one of a session is always held: how many sessions
// there can be is bounded elsewhere.
func (v *Conversation) drawWords() bool {
	if v.manyDraws() && v.s.opened {
		return false
	}
	if day := handshake.Day(v.now); v.c.drawDay != day {
		v.c.drawDay, v.c.draws = day, 0
	}
	if v.c.draws < maxDraws {
		if v.c.draws++; v.c.draws == maxDraws {
			v.note(NoteManyDraws)
		}
	}
	v.saveContact()
	v.s.controls = slices.DeleteFunc(v.s.controls, func(c controlFrame) bool {
		return c.kind == wire.FrameCommit || c.kind == wire.FrameReveal // of an exchange that is over
	})
	nonce := v.draw()
	v.s.words = words{
		nonce:  nonce,
		commit: identity.Commitment(v.c.side, [32]byte(nonce.Bytes()), v.s.ratchet.Binding()),
	}
	return true
}

// beginWords starts an exchange: the commitment goes out, the nonce only after
// the peer's commitment has come. The peer's answer names this commitment, so an
// answer to an older one is passed over.
func (v *Conversation) beginWords() bool {
	if !v.drawWords() {
		return false
	}
	v.s.words.started = true
	v.control(wire.FrameCommit, append(v.s.words.commit[:], make([]byte, 32)...))
	return true
}

// control queues a frame of the contact itself; the caller saves the session.
func (v *Conversation) control(kind wire.FrameKind, content []byte) {
	if kind == wire.FrameConsent || kind == wire.FramePlace || kind == wire.FrameBurn || kind == wire.FrameDrop || kind == wire.FrameDropGone || kind == wire.FrameBranch { // the last counts
		v.s.controls = slices.DeleteFunc(v.s.controls, func(c controlFrame) bool { return c.kind == kind })
	}
	v.s.controls = append(v.s.controls, controlFrame{kind, bytes.Clone(content)})
}

// commitCame handles a commitment: 32 bytes, then 32 that name the commitment
// which it answers, or zeros. If both sides begin at once, the inviter's counts.
func (v *Conversation) commitCame(content []byte) {
	if len(content) != 64 {
		return
	}
	w := &v.s.words
	theirs, answers := [32]byte(content[:32]), [32]byte(content[32:])
	waiting := w.started && !w.hasCommit
	switch {
	case answers != [32]byte{}:
		if !waiting || answers != w.commit {
			return
		}
	case waiting && v.c.side == identity.Inviter:
		return
	default:
		if !v.drawWords() {
			return
		}
		w = &v.s.words
		v.control(wire.FrameCommit, append(w.commit[:], theirs[:]...))
	}
	w.peerCommit, w.hasCommit = theirs, true
	v.s.opened = true
	v.control(wire.FrameReveal, append(bytes.Clone(w.nonce.Bytes()), theirs[:]...))
}

// revealCame handles a nonce: 32 bytes, then 32 that name our commitment.
func (v *Conversation) revealCame(content []byte) {
	w := &v.s.words
	if len(content) != 64 || !w.hasCommit || w.hasNonce || [32]byte(content[32:]) != w.commit {
		return
	}
	nonce := [32]byte(content[:32])
	if !identity.CheckCommitment(w.peerCommit, v.c.side.Other(), nonce, v.s.ratchet.Binding()) {
		v.note(NoteBadWords)
		v.s.words = words{}
		return
	}
	w.peerNonce, w.hasNonce = nonce, true
}

// Words returns what this person reads aloud.
func (v *Conversation) Words() (identity.Spoken, error) {
	if v.s == nil || v.s.dead || !v.s.words.ready() {
		return identity.Spoken{}, ErrNoWords
	}
	return v.spoken(v.c.side), nil
}

func (v *Conversation) spoken(side identity.Side) identity.Spoken {
	inviter, accepter := v.s.words.nonces(v.c.side)
	return identity.SpokenBy(side, v.s.ratchet.Binding(), inviter, accepter)
}

// Heard is what a person typed of what the other read: words or digits.
type Heard struct {
	Words  [identity.WordCount]string
	Digits string // used if not empty
}

// A Verdict is the outcome of one comparison.
type Verdict struct {
	Fit   [identity.WordCount]bool // which words fit
	Match bool
	Left  int // tries left at these words; 0: they were thrown away
}

// Compare compares what was heard with the other side's words. If all fit, the
// contact is verified: this side's own check, whatever the other side does. After
// three misses the words are thrown away and new ones are drawn.
func (v *Conversation) Compare(now time.Time, heard Heard) (Verdict, *Output, error) {
	if _, err := v.Words(); err != nil {
		return Verdict{}, nil, err
	}
	v.begin(now)
	var d Verdict
	theirs := v.spoken(v.c.side.Other())
	if heard.Digits != "" {
		d.Match = theirs.MatchDigits(heard.Digits)
	} else {
		d.Fit, d.Match = theirs.MatchWords(heard.Words)
	}
	w := &v.s.words
	if d.Match {
		v.c.mark, v.c.markMinute = WordsCompared, minute(now)
		w.tries = 0
		v.consent()
		v.saveContact()
		d.Left = MaxTries
	} else {
		w.tries++
		if d.Left = MaxTries - int(w.tries); d.Left <= 0 && !v.beginWords() {
			v.s.words = words{} // enough for today
		}
	}
	v.saveSession()
	out := v.end()
	out.More = true
	return d, out, nil
}

// RenewWords throws the present words away and draws new ones.
func (v *Conversation) RenewWords(now time.Time) (*Output, error) {
	if v.s == nil || v.s.dead {
		return nil, ErrNoWords
	}
	v.begin(now)
	if !v.beginWords() {
		v.end()
		return nil, ErrManyDraws
	}
	v.saveSession()
	out := v.end()
	out.More = true
	return out, nil
}

// Consent tells that this person wants to go on after a recovery.
func (v *Conversation) Consent(now time.Time) (*Output, error) {
	if !v.c.paused || v.c.ownConsent || v.s == nil {
		return nil, ErrNotPaused
	}
	v.begin(now)
	v.consent()
	v.saveContact()
	v.saveSession()
	out := v.end()
	out.More = true
	return out, nil
}

// consent records and sends this side's consent, once.
func (v *Conversation) consent() {
	if !v.c.paused || v.c.ownConsent {
		return
	}
	v.c.ownConsent = true
	v.control(wire.FrameConsent, nil)
	v.goOn()
}

// goOn lifts the pause when both have consented.
func (v *Conversation) goOn() {
	if v.c.paused && v.c.ownConsent && v.c.peerConsent {
		v.c.paused = false
		v.note(NoteGoOn)
	}
	v.saveContact()
}
