package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/wire"
)

// MaxTries is how often a person may type the same words wrongly before they are
// thrown away; maxPeerRestarts is how many exchanges a peer may begin in one
// session. Each exchange is one draw from 2^33 for somebody in the middle.
const (
	MaxTries        = 3
	maxPeerRestarts = 16
)

// beginWords starts an exchange with a fresh nonce: the commitment goes out, the
// nonce only after the peer's commitment has come.
func (v *Conversation) beginWords() {
	v.s.words = words{nonce: v.draw(), peerRestarts: v.s.words.peerRestarts}
	v.commit()
}

func (v *Conversation) commit() {
	w := &v.s.words
	w.committed = true
	c := identity.Commitment(v.c.side, [32]byte(w.nonce.Bytes()), v.s.ratchet.Binding())
	v.control(wire.FrameCommit, c[:])
}

// control queues a frame of the contact itself; the caller saves the session.
func (v *Conversation) control(kind wire.FrameKind, content []byte) {
	v.s.controls = append(v.s.controls, controlFrame{kind, content})
}

func (v *Conversation) commitCame(content []byte) {
	w := &v.s.words
	if len(content) != 32 {
		return
	}
	if w.hasCommit || w.nonce.IsZero() {
		// The peer begins, for the first time or anew.
		if w.hasCommit {
			if w.peerRestarts++; w.peerRestarts > maxPeerRestarts {
				return
			}
		}
		v.beginWords()
		w = &v.s.words
	}
	copy(w.peerCommit[:], content)
	w.hasCommit = true
	if !w.revealed {
		w.revealed = true
		v.control(wire.FrameReveal, append([]byte(nil), w.nonce.Bytes()...))
	}
}

func (v *Conversation) revealCame(content []byte) {
	w := &v.s.words
	if len(content) != 32 || !w.hasCommit || w.hasNonce {
		return
	}
	nonce := [32]byte(content)
	if !identity.CheckCommitment(w.peerCommit, v.c.side.Other(), nonce, v.s.ratchet.Binding()) {
		v.note(NoteBadWords)
		v.s.words = words{peerRestarts: w.peerRestarts}
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
	} else if w.tries++; w.tries >= MaxTries {
		v.beginWords()
	}
	d.Left = MaxTries - int(v.s.words.tries)
	if !d.Match && v.s.words.tries == 0 {
		d.Left = 0
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
	v.beginWords()
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
