package channel

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/wire"
)

// What a frame of kind communique says stands in its first byte: docs/spec/communique.md.
const (
	communiqueAgree  byte = 1 + iota // this person agrees that something may be published together
	communiqueDraft                  // version 2, text
	communiqueStep                   // tag of the exchange 8, a message of package communique
	communiqueLeave                  // tag of the exchange 8: this side will not go on with it
	tagSize          = 8
	draftHeader      = 3
	signingLife      = 14 * 24 * time.Hour // the longest; a line lives no longer
	maxDraft         = 16_000
	maxDraftVersions = 1<<16 - 3
	maxVersionStep   = 64 // by which a draft of the peer's may go beyond all that were here
)

// MaxDraft is the longest text of a draft, in bytes.
const MaxDraft = maxDraft

// NoteDraftNumber is the program's line about a draft that was not kept.
const NoteDraftNumber = "A draft of theirs was not kept: its version is not a new one, or far from all others. Ask them to send the text again."

// Errors that a person meets.
var (
	ErrNotPublishable  = errors.New("nothing said here may be published yet: both of you have to say first that it may")
	ErrDraftLong       = errors.New("a draft has at most 16000 bytes")
	ErrNoDraft         = errors.New("there is no draft of this version")
	ErrOtherText       = errors.New("the text of this version is not the one that you were shown: nothing was signed")
	ErrOtherProposal   = errors.New("another version is being signed already")
	ErrSigningTime     = errors.New("a signing ends between one minute and 14 days from now, and before the deadline of its channel")
	ErrNoSigning       = errors.New("nothing is being signed")
	ErrSignedAway      = errors.New("your signature is given: they can complete it, and nothing takes it back")
	ErrNotSigned       = errors.New("this version is not signed by both")
	ErrManyCommuniques = errors.New("there are too many communiqués in this conversation")
)

// A DraftView is one version of a text.
type DraftView struct {
	Version   uint32 // odd ones are the inviter's
	Direction Direction
	Delivery  State // of own ones
	When      time.Time
	Text      string
	Digest    [sha256.Size]byte
}

// A ShownDraft names the draft that a person was shown.
type ShownDraft struct {
	Version uint32
	Digest  [sha256.Size]byte // of the text on the screen
}

// A CommuniqueView is how the drafts of a channel stand, and what is signed.
type CommuniqueView struct {
	OwnAgreed, PeerAgreed bool // that something may be published together
	Drafts                []DraftView
	Signings              []SigningView
}

// Communique returns how drafts and signings of a channel stand.
func (v *Conversation) Communique(now time.Time, n uint32) (w CommuniqueView, err error) {
	v.Lapse(now)
	v.now = now
	if err := v.mayShow(n); err != nil {
		return w, err
	}
	w.OwnAgreed, w.PeerAgreed = v.publishable(n)
	for _, m := range v.messages {
		if d, ok := draftOf(v.shown(m)); ok && m.in(n) {
			w.Drafts = append(w.Drafts, d)
		}
	}
	for _, key := range v.signingNumbers() {
		if s := v.signings[key]; s.channel == n {
			w.Signings = append(w.Signings, s.view(now))
		}
	}
	return w, nil
}

// publishable reports who has agreed that a channel may lead to something published.
// Without it nothing is signed. A charter says it for both; in the conversation that has
// none, each person says it for himself, by drafting or by saying so.
func (v *Conversation) publishable(n uint32) (own, peer bool) {
	if n > Open {
		c := v.charters[n]
		both := c != nil && c.Agreed() != nil && c.Agreed().Kind == charter.Publishable
		return both, both
	}
	for _, m := range v.messages {
		if m.Craft == CommuniqueCraft && m.in(Open) && (m.Text[0] == communiqueAgree || m.Text[0] == communiqueDraft) {
			own, peer = own || m.Direction == Out, peer || m.Direction == In
		}
	}
	return own, peer
}

// Agree says that this person agrees that something may be published together. Said
// again, and in a channel whose charter says it, it says nothing.
func (v *Conversation) Agree(now time.Time, n uint32) (*Output, error) {
	if err := v.mayPublish(now, n); err != nil {
		return nil, err
	}
	v.begin(now)
	if own, _ := v.publishable(n); !own {
		v.sayIn(n, CommuniqueCraft, []byte{communiqueAgree})
	}
	return v.finish(), nil
}

// mayPublish refuses what leads to something published: in a channel, unless it is open
// and was agreed to be publishable; in the conversation without a charter, while there
// is a channel with the contact that was agreed to stay secret.
func (v *Conversation) mayPublish(now time.Time, n uint32) error {
	v.Lapse(now)
	v.now = now
	if n > Open {
		if err := v.mayFlow(n); err != nil {
			return err
		}
		if v.charters[n].Agreed().Kind == charter.Secret {
			return ErrStaysSecret
		}
		return v.mayTalk()
	}
	for _, c := range v.charters {
		if d := c.Agreed(); d != nil && d.Kind == charter.Secret {
			return ErrSecret
		}
	}
	return v.mayTalk()
}

func (v *Conversation) mayTalk() error {
	switch {
	case v.c.stage != Met:
		return ErrNoSession
	case v.suspect():
		return ErrUsedTwice
	default:
		return nil
	}
}

// Draft sends a further version of the text, and thereby agrees that it may be
// published together. The text is brought into the form that is signed.
func (v *Conversation) Draft(now time.Time, n uint32, text string) (DraftView, *Output, error) {
	text = communique.TidyText(text)
	if err := v.mayPublish(now, n); err != nil {
		return DraftView{}, nil, err
	}
	if len(text) > maxDraft {
		return DraftView{}, nil, ErrDraftLong
	}
	if err := communique.CheckText(text); err != nil {
		return DraftView{}, nil, err
	}
	version := v.nextVersion(n)
	if version > maxDraftVersions {
		return DraftView{}, nil, ErrManyCommuniques
	}
	v.begin(now)
	m := v.sayIn(n, CommuniqueCraft, append(binary.BigEndian.AppendUint16([]byte{communiqueDraft}, uint16(version)), text...))
	d, _ := draftOf(m)
	return d, v.finish(), nil
}

// nextVersion is the number of this side's next draft in a channel. The inviter has the
// odd ones and the accepter the even ones, so that two drafts at once have two numbers.
func (v *Conversation) nextVersion(n uint32) uint32 {
	next := uint32(1)
	for _, m := range v.messages {
		if d, ok := draftOf(m); ok && m.in(n) {
			next = max(next, d.Version+1)
		}
	}
	if odd := next%2 == 1; odd != (v.c.side == identity.Inviter) {
		next++
	}
	return next
}

func draftOf(m Message) (DraftView, bool) {
	if m.Craft != CommuniqueCraft || m.Text[0] != communiqueDraft || len(m.Text) <= draftHeader {
		return DraftView{}, false
	}
	d := DraftView{
		Version: uint32(binary.BigEndian.Uint16([]byte(m.Text[1:]))), Direction: m.Direction, Delivery: m.State, When: m.Written(),
		Text: m.Text[draftHeader:],
	}
	d.Digest = sha256.Sum256([]byte(d.Text))
	return d, true
}

// DraftText returns a draft of a channel by its version.
func (v *Conversation) DraftText(n, version uint32) (DraftView, error) {
	for _, m := range slices.Backward(v.messages) {
		if d, ok := draftOf(m); ok && m.in(n) && d.Version == version {
			return d, nil
		}
	}
	return DraftView{}, ErrNoDraft
}

// draftBy finds a draft of a channel by the digest of its text.
func (v *Conversation) draftBy(n uint32, digest [sha256.Size]byte) (DraftView, bool) {
	for _, m := range slices.Backward(v.messages) {
		if d, ok := draftOf(m); ok && m.in(n) && d.Digest == digest {
			return d, true
		}
	}
	return DraftView{}, false
}

// mayTakeCommunique reports whether a frame of kind communique has its place in the
// channel that it names. In one that was agreed to stay secret, nothing is begun; what
// was begun before that was agreed comes to its end.
func (v *Conversation) mayTakeCommunique(f wire.Frame, content string) bool {
	if f.Channel <= Open {
		return f.Channel == Open && content != ""
	}
	if !v.mayTake(f) || content == "" {
		return false
	}
	both, _ := v.publishable(f.Channel)
	return both || content[0] == communiqueLeave || content[0] == communiqueStep && len(content) > tagSize && v.signingBy(f.Channel, [tagSize]byte([]byte(content[1:]))) != nil
}

// communiqueCame acts on a frame of kind communique. What is malformed is set aside.
func (v *Conversation) communiqueCame(f wire.Frame, content string) {
	switch body := []byte(content[1:]); content[0] {
	case communiqueAgree:
		if len(body) == 0 {
			v.craftCame(CommuniqueCraft, f, content)
		}
	case communiqueDraft:
		switch {
		case !v.draftFits(content):
		case !v.versionFits(f.Channel, uint32(binary.BigEndian.Uint16(body))):
			v.noteIn(f.Channel, NoteDraftNumber)
		default:
			v.craftCame(CommuniqueCraft, f, content)
		}
	case communiqueStep:
		if len(body) > tagSize+2 && len(body) <= tagSize+communique.MaxMessage {
			v.craftCame(CommuniqueCraft, f, content)
			v.stepCame(f.Channel, [tagSize]byte(body), body[tagSize:])
		}
	case communiqueLeave:
		if len(body) == tagSize {
			v.craftCame(CommuniqueCraft, f, content)
			v.leaveCame(f.Channel, [tagSize]byte(body))
		}
	}
}

// draftFits reports whether what the peer calls a draft can be one of its own.
func (v *Conversation) draftFits(content string) bool {
	if len(content) <= draftHeader || len(content) > draftHeader+maxDraft || communique.CheckText(content[draftHeader:]) != nil {
		return false
	}
	odd := content[2]%2 == 1
	return odd == (v.c.side == identity.Accepter)
}

// versionFits reports whether a version can be the peer's next one: more than all of
// the peer's own, which come in the order in which they were written, so that no
// version ever has two texts; and not so far on that none would be left. It may be less
// than one of this side's, which the peer had not seen when it wrote.
func (v *Conversation) versionFits(n, version uint32) bool {
	theirs, highest := uint32(0), uint32(0)
	for _, m := range v.messages {
		if d, ok := draftOf(m); ok && m.in(n) {
			highest = max(highest, d.Version)
			if d.Direction == In {
				theirs = max(theirs, d.Version)
			}
		}
	}
	return version > theirs && version <= highest+maxVersionStep
}

// communiqueText says what a line of kind communique is about, for a transcript.
func communiqueText(m Message) string {
	switch m.Text[0] {
	case communiqueAgree:
		return "communiqué: agrees that something may be published together"
	case communiqueDraft:
		if d, ok := draftOf(m); ok {
			return "communiqué: draft v" + strconv.Itoa(int(d.Version)) + ", SHA-256 " + shortDigest(d.Digest)
		}
	case communiqueStep:
		if len(m.Text) > 1+tagSize+1 {
			return "communiqué: step " + strconv.Itoa(int(m.Text[1+tagSize+1])) + " of 7 of the signing"
		}
	case communiqueLeave:
		return "communiqué: does not go on with the signing"
	}
	return "communiqué: malformed"
}
