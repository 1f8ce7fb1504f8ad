package channel

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
)

// KindIntroduction is by number: an introduction that the contact makes, or that is
// made of it. 0 is who introduced the contact itself.
const KindIntroduction store.Kind = 14

const (
	introducingVersion = 1
	// maxIntroductions bounds what is kept with one contact.
	maxIntroductions = 16
	// introductionKept is how long its introducer can read how it ended, from its end.
	introductionKept = 14 * 24 * time.Hour
)

// Errors that a person meets.
var (
	ErrNoIntroduction    = errors.New("there is no such introduction here")
	ErrIntroductionOver  = errors.New("this introduction has ended, or was answered already")
	ErrWhichIntroduction = errors.New("several introductions by this contact wait for an answer")
	ErrManyIntroductions = errors.New("there are too many introductions with this contact")
)

// Lines of the program about introductions. None tells what one of two answered before
// the other has, or the time is over.
const (
	NoteIntroductionAsked  = "The other side offers to introduce you to somebody: backchannel contact introductions"
	NoteIntroductionMet    = "You both said yes: there is a new contact, which is not compared. See it: backchannel contact list"
	NoteIntroductionFailed = "An introduction that you accepted came to nothing in its time. Why is not known to anybody but the other side."
	NoteIntroductionOver   = "An introduction of this contact is over. How it ended: backchannel contact introductions"
)

// An introducing is one introduction: this person is asked by the contact, or
// introduces the contact to another one. Of the latter there is one at both contacts,
// with the same tag and, after each commit, the same state.
type introducing struct {
	minute uint32 // when it began here
	came   []byte // a message of the contact that waits for whoever can act on it
	line   uint64 // the last that was said of it to the contact

	party   *introduction.Party // this person is asked; nil: he introduces
	name    string              // what he wants to call the other one
	contact ContactID           // the new contact, once there is one
	trouble error               // why there is none yet; not stored

	side    identity.Side // the contact's
	other   ContactID
	tag     [16]byte
	expiry  uint32
	state   *introduction.Introduction // nil: it is over
	answers [2]introduction.Answer     // then: of the inviter, of the accepter
	done    bool                       // then: the invitation was passed on
}

// What a record of the kind is.
const (
	partAsked byte = 1 + iota
	partMade
	partMet
)

func (x *introducing) append(b []byte) []byte {
	e := encoder{b}
	e.u8(introducingVersion)
	if x.party != nil {
		e.u8(partAsked)
	} else {
		e.u8(partMade)
	}
	e.u32(x.minute)
	e.bytes(x.came)
	e.u64(x.line)
	if x.party != nil {
		e.bytes(x.party.Append(nil))
		e.bytes([]byte(x.name))
		e.fixed(x.contact[:])
		return e.b
	}
	e.u8(byte(x.side))
	e.fixed(x.other[:])
	e.fixed(x.tag[:])
	e.u32(x.expiry)
	e.flag(x.state != nil)
	if x.state != nil {
		e.bytes(x.state.Append(nil))
	} else {
		e.u8(byte(x.answers[0]))
		e.u8(byte(x.answers[1]))
		e.flag(x.done)
	}
	return e.b
}

// parseIntroducing parses a record; introducer is set of who introduced the contact.
func parseIntroducing(b []byte) (x *introducing, introducer *ContactID, err error) {
	d := decoder{b: b}
	if err := d.version(introducingVersion); err != nil {
		return nil, nil, err
	}
	x = &introducing{}
	part := d.u8()
	if part == partMet {
		id := ContactID(d.fixed(len(ContactID{})))
		return nil, &id, d.end()
	}
	x.minute, x.came, x.line = d.u32(), d.bytes(), d.u64()
	switch part {
	case partAsked:
		raw := d.bytes()
		defer clear(raw)
		if x.party, err = introduction.ParseParty(raw); err != nil {
			return nil, nil, ErrRecord
		}
		x.name, x.contact = string(d.bytes()), ContactID(d.fixed(len(x.contact)))
	case partMade:
		x.side, x.other, x.tag = identity.Side(d.u8()), ContactID(d.fixed(len(x.other))), [16]byte(d.fixed(16))
		x.expiry = d.u32()
		if d.flag() {
			if x.state, err = introduction.Parse(d.bytes()); err != nil {
				return nil, nil, ErrRecord
			}
		} else {
			x.answers = [2]introduction.Answer{introduction.Answer(d.u8()), introduction.Answer(d.u8())}
			x.done = d.flag()
		}
		d.bad = d.bad || x.side < identity.Inviter || x.side > identity.Accepter || max(x.answers[0], x.answers[1]) > introduction.AnswerYes
	default:
		return nil, nil, ErrRecord
	}
	return x, nil, d.end()
}

func (v *Conversation) loadIntroductions() error {
	for r, err := range v.cfg.Records.Scan(KindIntroduction, v.id) {
		if err != nil {
			return err
		}
		if v.c.stage == Leaving {
			v.stale = append(v.stale, r.Key)
			continue
		}
		x, introducer, err := parseIntroducing(r.Value)
		switch {
		case err != nil:
			return err
		case (introducer != nil) != (r.Key.Seq == 0):
			return ErrRecord
		case introducer != nil:
			v.introducer = introducer
		default:
			v.introductions[r.Key.Seq] = x
		}
	}
	return nil
}

// saveIntroducer keeps who introduced the contact, for as long as there is the contact.
func (v *Conversation) saveIntroducer(id *ContactID) {
	if v.introducer = id; id != nil {
		v.put(KindIntroduction, 0, introducedBy(*id))
	}
}

// introducedBy is the record of who introduced the contact.
func introducedBy(id ContactID) []byte { return append([]byte{introducingVersion, partMet}, id[:]...) }

func (v *Conversation) saveIntroduction(n uint64) {
	v.put(KindIntroduction, n, v.introductions[n].append(nil))
}

func (v *Conversation) dropIntroduction(n uint64) {
	v.introductions[n].wipe()
	delete(v.introductions, n)
	v.drop(KindIntroduction, n)
}

func (x *introducing) wipe() {
	if x.party != nil {
		x.party.Wipe()
	}
}

func (v *Conversation) introductionNumbers() []uint64 {
	numbers := make([]uint64, 0, len(v.introductions))
	for n := range v.introductions {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// newIntroduction gives one a number. One that is over makes room.
func (v *Conversation) newIntroduction(x *introducing) (uint64, error) {
	numbers := v.introductionNumbers()
	if len(numbers) >= maxIntroductions {
		over := slices.IndexFunc(numbers, func(n uint64) bool { return v.introductions[n].over() })
		if over < 0 {
			return 0, ErrManyIntroductions
		}
		v.dropIntroduction(numbers[over])
	}
	n := uint64(1)
	if len(numbers) > 0 {
		n = numbers[len(numbers)-1] + 1
	}
	x.minute = minute(v.now)
	v.introductions[n] = x
	return n, nil
}

// over reports whether one is kept for its introducer to read, and for nothing else.
func (x *introducing) over() bool { return x.party == nil && x.state == nil }

// ends is when time changes something: nothing comes of it any more, or it is dropped.
func (x *introducing) ends() time.Time {
	switch {
	case x.party != nil:
		return fromMinute(x.party.Expiry())
	case x.state != nil:
		return fromMinute(x.expiry)
	default:
		return fromMinute(x.expiry).Add(introductionKept)
	}
}

// expireIntroductions ends what is over. Who was asked is told that nothing came of it
// now and never before, whatever the other one did.
func (v *Conversation) expireIntroductions() {
	for _, n := range v.introductionNumbers() {
		x := v.introductions[n]
		if v.now.Before(x.ends()) || v.full() {
			continue
		}
		if i, ok := v.find(x.line); ok && v.messages[i].hidden() && v.messages[i].State == Waiting {
			v.removeLine(i)
		}
		switch {
		case x.state != nil:
			v.endIntroduction(n)
		case x.party != nil && x.party.Stage() == introduction.Waiting:
			v.note(NoteIntroductionFailed)
			v.dropIntroduction(n)
		default:
			v.dropIntroduction(n)
		}
	}
}

// sayHidden puts a message of an introduction into the outbox. It goes the way of a
// text, of the contact itself and not of a channel, and is forgotten when it arrived.
func (v *Conversation) sayHidden(x *introducing, m []byte) {
	text := string(m)
	i := v.add(Message{
		Direction: Out, State: Waiting, Minute: minute(v.now), Craft: IntroductionCraft, Text: text, ID: v.messageID(v.nextSeq, text),
	})
	x.line = v.messages[i].Seq
	v.queue = append(v.queue, x.line)
	v.out.More = true
}

// introductionCame takes a frame of kind introduction. What fits nothing is set aside.
// Who can act on it may not be here: it is kept until then.
func (v *Conversation) introductionCame(m []byte) {
	id, asks, err := introduction.IDOf(m)
	if err != nil {
		return
	}
	n, x := v.introductionOf(id)
	switch {
	case asks && x == nil:
		v.askCame(m)
	case asks, x == nil, len(x.came) > 0: // known, of none, or one too many
	case x.party == nil || x.party.Stage() == introduction.Waiting:
		x.came = bytes.Clone(m)
		v.saveIntroduction(n)
		v.out.Introduced = true
	}
}

// introductionOf finds an introduction by the ID that the contact knows it by.
func (v *Conversation) introductionOf(id introduction.ID) (uint64, *introducing) {
	for n, x := range v.introductions {
		if x.party != nil && x.party.ID() == id || x.state != nil && x.state.ID(x.side) == id {
			return n, x
		}
	}
	return 0, nil
}
