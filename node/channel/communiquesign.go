package channel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/identity"
)

const (
	signingVersion = 1
	// maxSignings bounds what is kept of signings; those that are done are not dropped.
	maxSignings = 16
)

// Lines of the program about a signing.
const (
	NoteSigningOver  = "The signing has expired. Nothing was signed by both, and nothing more of it is sent."
	NoteSigningLeft  = "The other side does not go on with the signing. Nothing was signed by both."
	NoteSigningWrong = "The other side's machine sent a step of the signing that does not fit. It was set aside."
	NoteSigned       = "Both signatures are here. The communiqué can be published: backchannel communique publish"
	NoteSignedIn     = "Both signatures are here. Write the communiqué to a file before the deadline, at which this channel is burned: backchannel communique publish --channel "
)

// signing is one exchange of signatures: proposed by the peer, under way, or done.
type signing struct {
	channel  uint32
	version  uint32 // of the draft
	tag      [tagSize]byte
	expiry   uint32               // minute
	proposal []byte               // the peer's first message, until this person takes it up
	exchange *communique.Exchange // under way
	file     []byte               // done: what is published
	own      communique.PublicKey // done
}

func (s *signing) append(b []byte) []byte {
	e := encoder{b}
	e.u8(signingVersion)
	e.u32(s.channel)
	e.u32(s.version)
	e.fixed(s.tag[:])
	e.u32(s.expiry)
	e.bytes(s.proposal)
	e.flag(s.exchange != nil)
	if s.exchange != nil {
		e.bytes(s.exchange.Append(nil))
	}
	e.bytes(s.file)
	e.fixed(s.own[:])
	return e.b
}

func parseSigning(b []byte) (*signing, error) {
	d := decoder{b: b}
	if err := d.version(signingVersion); err != nil {
		return nil, err
	}
	s := &signing{channel: d.u32(), version: d.u32(), tag: [tagSize]byte(d.fixed(tagSize)), expiry: d.u32(), proposal: d.bytes()}
	if d.flag() {
		raw := d.bytes()
		defer clear(raw)
		x, err := communique.ParseState(raw)
		d.bad = d.bad || err != nil
		s.exchange = x
	}
	s.file = d.bytes()
	copy(s.own[:], d.fixed(len(s.own)))
	if !d.bad && (len(s.proposal) == 0 && s.exchange == nil && len(s.file) == 0 || s.channel < Open) {
		return nil, ErrRecord
	}
	return s, d.end()
}

func (v *Conversation) loadSignings() error {
	for r, err := range v.cfg.Records.Scan(KindCommunique, v.id) {
		if err != nil {
			return err
		}
		if v.c.stage == Leaving {
			v.stale = append(v.stale, r.Key)
			continue
		}
		s, err := parseSigning(r.Value)
		if err != nil {
			return err
		}
		if v.used.has(s.channel) { // burned
			s.wipe()
			v.stale, v.burning = append(v.stale, r.Key), true
			continue
		}
		v.signings[r.Key.Seq] = s
	}
	return nil
}

func (v *Conversation) saveSigning(n uint64) { v.put(KindCommunique, n, v.signings[n].append(nil)) }

func (v *Conversation) dropSigning(n uint64) {
	v.signings[n].wipe()
	delete(v.signings, n)
	v.drop(KindCommunique, n)
}

// burnSignings takes those of a channel out of memory, and has their records deleted.
func (v *Conversation) burnSignings(n uint32) {
	for key, s := range v.signings {
		if s.channel == n {
			s.wipe()
			delete(v.signings, key)
			v.stale = append(v.stale, store.Key{Kind: KindCommunique, Object: v.id, Seq: key})
		}
	}
}

func (s *signing) wipe() {
	if s.exchange != nil {
		s.exchange.Wipe()
	}
}

func (v *Conversation) signingNumbers() []uint64 {
	numbers := make([]uint64, 0, len(v.signings))
	for n := range v.signings {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// signingNow is the signing that is proposed or under way: there is one at a time in a
// channel. One that has expired is none, though who has signed waits for a release all
// the same.
func (v *Conversation) signingNow(channel uint32) (uint64, *signing) {
	for n, s := range v.signings {
		if s.channel == channel && len(s.file) == 0 && minute(v.now) < s.expiry {
			return n, s
		}
	}
	return 0, nil
}

// signingBy is the signing of a channel with this tag, or nil.
func (v *Conversation) signingBy(channel uint32, tag [tagSize]byte) *signing {
	for _, s := range v.signings {
		if s.channel == channel && s.tag == tag {
			return s
		}
	}
	return nil
}

func (v *Conversation) newSigning(s *signing) uint64 {
	n := uint64(1)
	for used := range v.signings {
		n = max(n, used+1)
	}
	for _, k := range v.stale { // the record of one that was burned is still to be deleted
		if k.Kind == KindCommunique {
			n = max(n, k.Seq+1)
		}
	}
	v.signings[n] = s
	return n
}

// Sign goes on with the signing of a draft, named by its version and by the SHA-256 of
// the text that the person was shown: it proposes one, takes up the peer's proposal, or, if agreed and it is this side's turn, signs. The expiry counts for a
// proposal. Signing is the one step for which a person must have been shown who can
// walk away with what.
func (v *Conversation) Sign(now time.Time, channel, version uint32, shown [sha256.Size]byte, expiry time.Time, agreed bool) (SigningView, *Output, error) {
	if err := v.maySign(now, channel); err != nil {
		return SigningView{}, nil, err
	}
	draft, err := v.DraftText(channel, version)
	if err != nil {
		return SigningView{}, nil, err
	}
	if draft.Digest != shown {
		return SigningView{}, nil, ErrOtherText
	}
	v.begin(now)
	n, s := v.signingNow(channel)
	switch {
	case s == nil:
		n, err = v.propose(channel, draft, expiry)
	case s.exchange == nil && s.digest() == draft.Digest:
		err = v.takeUp(n, draft)
	case s.exchange == nil || s.exchange.Digest() != draft.Digest:
		err = ErrOtherProposal
	case agreed && s.exchange.SignsNext():
		err = v.step(n)
	}
	if err != nil {
		v.end()
		return SigningView{}, nil, err
	}
	view := v.signings[n].view(now)
	return view, v.finish(), nil
}

func (v *Conversation) maySign(now time.Time, channel uint32) error {
	if err := v.mayPublish(now, channel); err != nil {
		return err
	}
	if own, peer := v.publishable(channel); !own || !peer {
		return ErrNotPublishable
	}
	return nil
}

// digest is that of the text that the peer's proposal is about.
func (s *signing) digest() (d [32]byte) {
	copy(d[:], s.proposal[34:])
	return d
}

// outlives reports whether a moment, in minutes, comes after a channel's deadline.
func (v *Conversation) outlives(channel, at uint32) bool {
	c := v.charters[channel]
	return c != nil && at > c.Deadline()
}

// propose begins an exchange as its initiator. The key is made for it alone.
func (v *Conversation) propose(channel uint32, draft DraftView, expiry time.Time) (uint64, error) {
	if expiry.Before(v.now.Add(time.Minute)) || expiry.After(v.now.Add(signingLife)) || v.outlives(channel, minute(expiry)) {
		return 0, ErrSigningTime
	}
	if len(v.signings) >= maxSignings {
		return 0, ErrManyCommuniques
	}
	x, err := v.newExchange(communique.Initiator, draft.Text, minute(expiry))
	if err != nil {
		return 0, err
	}
	n := v.newSigning(&signing{channel: channel, version: draft.Version, expiry: minute(expiry), exchange: x})
	if err := v.step(n); err != nil {
		return 0, err
	}
	return n, nil
}

func (v *Conversation) newExchange(role communique.Role, text string, expiry uint32) (*communique.Exchange, error) {
	key, err := communique.NewKey(v.cfg.Random)
	if err != nil {
		return nil, err
	}
	return communique.Begin(role, key, text, expiry, v.cfg.Random)
}

// tagOf names an exchange: the beginning of the initiator's commitment.
func tagOf(first []byte) [tagSize]byte { return [tagSize]byte(first[2:]) }

// takeUp begins an exchange as the responder to the peer's proposal.
func (v *Conversation) takeUp(n uint64, draft DraftView) error {
	s := v.signings[n]
	x, err := v.newExchange(communique.Responder, draft.Text, s.expiry)
	if err != nil {
		return err
	}
	if err := x.Receive(s.proposal, minute(v.now)); err != nil {
		return err
	}
	s.exchange, s.proposal = x, nil
	return v.step(n)
}

// step sends this side's next message, and those that nobody has to be asked for.
// The state is stored in the commit with which they leave.
func (v *Conversation) step(n uint64) error {
	s := v.signings[n]
	message, err := s.exchange.Send(minute(v.now))
	if err != nil {
		return err
	}
	if s.tag == ([tagSize]byte{}) {
		s.tag = tagOf(message)
	}
	v.sayIn(s.channel, CommuniqueCraft, append(s.begins(), message...))
	return v.goOnSigning(n)
}

// goOnSigning takes what has come of a signing, and sends what it leads to, until it
// is the other side's turn or a person has to sign.
func (v *Conversation) goOnSigning(n uint64) error {
	s := v.signings[n]
	// A machine that was put back has the steps that came since only as lines.
	for _, m := range v.messages {
		if begins := s.begins(); m.Direction == In && m.Craft == CommuniqueCraft && m.in(s.channel) && strings.HasPrefix(m.Text, string(begins)) {
			_ = s.exchange.Receive([]byte(m.Text[len(begins):]), minute(v.now)) // one that does not fit changes nothing
		}
	}
	if s.exchange.Turn() && !s.exchange.SignsNext() {
		return v.step(n)
	}
	return v.settleSigning(n)
}

// begins is how the lines of an exchange begin.
func (s *signing) begins() []byte { return append([]byte{communiqueStep}, s.tag[:]...) }

// settleSigning stores how a signing stands. When both signatures are there, what is
// published is kept, and nothing else.
func (v *Conversation) settleSigning(n uint64) error {
	s := v.signings[n]
	if s.exchange.Done() {
		file, err := s.exchange.File()
		if err != nil {
			return err
		}
		s.own, _, _ = s.exchange.Keys()
		s.exchange.Wipe()
		s.file, s.exchange = file, nil
		if s.channel > Open {
			v.noteIn(s.channel, NoteSignedIn+itoa(uint64(s.channel)))
		} else {
			v.note(NoteSigned)
		}
	}
	v.saveSigning(n)
	return nil
}

// stepCame takes a message of the peer's.
func (v *Conversation) stepCame(channel uint32, tag [tagSize]byte, message []byte) {
	v.expireSignings()
	for n, s := range v.signings {
		if s.tag != tag || s.channel != channel {
			continue
		}
		if s.exchange == nil {
			return // known: a proposal that came again, or one that is done
		}
		err := s.exchange.Receive(message, minute(v.now))
		if err == nil {
			err = v.goOnSigning(n)
		}
		if err != nil && !errors.Is(err, communique.ErrExpired) && !errors.Is(err, communique.ErrOrder) {
			v.noteIn(channel, NoteSigningWrong)
		}
		return
	}
	v.proposalCame(channel, tag, message)
}

// proposalCame keeps the peer's proposal until this person takes it up. If both
// proposed at once, the inviter's stands.
func (v *Conversation) proposalCame(channel uint32, tag [tagSize]byte, message []byte) {
	s := &signing{channel: channel, tag: tag, proposal: message}
	if len(message) != 70 || message[0] != 1 || message[1] != 1 || tagOf(message) != tag {
		return
	}
	d := decoder{b: message[66:]}
	s.expiry = d.u32()
	draft, ok := v.draftBy(channel, s.digest())
	if !ok || s.expiry <= minute(v.now) || s.expiry > minute(v.now.Add(signingLife+lateClock)) || v.outlives(channel, s.expiry) {
		return
	}
	s.version = draft.Version
	if n, other := v.signingNow(channel); other != nil {
		crossed := other.exchange != nil && other.exchange.Role() == communique.Initiator && other.exchange.Last()[1] == 1
		if other.exchange != nil && (!crossed || v.c.side == identity.Inviter) {
			return // the peer's machine has dropped it, or will
		}
		v.unsay(other)
		v.dropSigning(n)
	}
	if len(v.signings) >= maxSignings {
		return
	}
	v.saveSigning(v.newSigning(s))
}

// leaveCame takes note that the peer does not go on. Who has signed keeps waiting:
// they could still complete it.
func (v *Conversation) leaveCame(channel uint32, tag [tagSize]byte) {
	for n, s := range v.signings {
		if s.channel == channel && s.tag == tag && len(s.file) == 0 && !s.givenAway() {
			v.unsay(s)
			v.dropSigning(n)
			v.noteIn(channel, NoteSigningLeft)
			return
		}
	}
}

// LeaveSigning ends the signing under way, while this side can.
func (v *Conversation) LeaveSigning(now time.Time, channel uint32) (*Output, error) {
	v.Lapse(now)
	v.now = now
	n, s := v.signingNow(channel)
	switch {
	case s == nil:
		return nil, ErrNoSigning
	case s.givenAway():
		return nil, ErrSignedAway
	}
	v.begin(now)
	v.unsay(s)
	v.sayIn(channel, CommuniqueCraft, append([]byte{communiqueLeave}, s.tag[:]...))
	v.dropSigning(n)
	return v.finish(), nil
}

// givenAway reports whether the peer can complete both signatures.
func (s *signing) givenAway() bool {
	return s.exchange != nil && s.exchange.Position().Other == communique.PowerBoth
}

// unsay takes back what of an exchange has not been acknowledged: after its expiry
// nothing of it is sent.
func (v *Conversation) unsay(s *signing) {
	begins := string(s.begins())
	for i := len(v.messages) - 1; i >= 0; i-- {
		m := v.messages[i]
		if m.Craft == CommuniqueCraft && m.under() && strings.HasPrefix(m.Text, begins) {
			v.removeLine(i)
		}
	}
}

// unsent reports whether this side's last message has not left: then nobody has it.
func (v *Conversation) unsent(s *signing) bool {
	last := string(append(s.begins(), s.exchange.Last()...))
	return slices.ContainsFunc(v.messages, func(m Message) bool {
		return m.Craft == CommuniqueCraft && m.Direction == Out && m.State == Waiting && m.Text == last
	})
}

// expireSignings ends what has expired. An initiator deletes its state, with which it
// could still publish; a responder whose signature has left waits for a release all
// the same.
func (v *Conversation) expireSignings() {
	for _, n := range v.signingNumbers() {
		s := v.signings[n]
		if len(s.file) > 0 || minute(v.now) < s.expiry {
			continue
		}
		away := s.givenAway() && !v.unsent(s)
		v.unsay(s)
		if away {
			continue
		}
		v.dropSigning(n)
		v.noteIn(s.channel, NoteSigningOver)
	}
}

// CommuniqueFile returns what is published of a version that both signed in a channel.
func (v *Conversation) CommuniqueFile(now time.Time, channel, version uint32) ([]byte, error) {
	v.Lapse(now)
	v.now = now
	if err := v.mayShow(channel); err != nil {
		return nil, err
	}
	for _, n := range slices.Backward(v.signingNumbers()) {
		if s := v.signings[n]; s.channel == channel && len(s.file) > 0 && (version == 0 || s.version == version) {
			return s.file, nil
		}
	}
	return nil, ErrNotSigned
}

func shortDigest(d [32]byte) string { return hex.EncodeToString(d[:4]) }
