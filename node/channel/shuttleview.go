package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

// ShuttleState says how an exchange of sealed offers stands.
type ShuttleState byte

// The states. The first four are those of one of the two, the next five the mediator's.
const (
	OfferAsked     ShuttleState = 1 + iota // this person can make an offer
	OfferSealed                            // it is fixed, and the other side's not known to be
	OffersSealed                           // both are; the mediator opens them, or does not
	OffersOpen                             // both were read
	ShuttleWaits                           // for both
	ShuttleHalf                            // one has sealed
	ShuttleComing                          // both have, and what opens them is on its way
	ShuttleReady                           // both have, and can be released
	ShuttleGone                            // released
	ShuttleExpired                         // nothing was opened
)

// String returns the state in the words that screens show.
func (s ShuttleState) String() string {
	switch s {
	case OfferAsked:
		return "waits for your offer"
	case OfferSealed:
		return "your offer is sealed"
	case OffersSealed:
		return "both are sealed"
	case OffersOpen:
		return "both are open"
	case ShuttleWaits:
		return "waits for both offers"
	case ShuttleHalf:
		return "one is sealed"
	case ShuttleComing:
		return "both are sealed and on their way"
	case ShuttleReady:
		return "both are sealed and wait for you"
	case ShuttleGone:
		return "released"
	case ShuttleExpired:
		return "expired with nothing opened"
	default:
		return "no state"
	}
}

// A ShuttleView is an exchange of sealed offers as a screen shows it.
type ShuttleView struct {
	Number   uint64
	Mediator bool // this person is
	State    ShuttleState
	Subject  string
	Until    time.Time
	Own      string // this person's offer, once it is sealed
	Theirs   string // the other side's, once both are open

	// Once both are open: what each reads aloud, if the two ever speak by a way that
	// the mediator does not control.
	OwnWords, TheirWords *identity.Spoken

	Other ContactID // at the mediator
}

// A HeldText is a text that came by shuttle: to be carried on, or carried here.
type HeldText struct {
	Number uint64 // of its line
	When   time.Time
	Text   string
}

// Shuttle returns the exchanges with the contact and the texts that came. What the
// mediator keeps with the first of the two is looked up in first, for the second; it
// may be nil.
func (v *Conversation) Shuttle(now time.Time, first func(ContactID) *Conversation) (list []ShuttleView, texts []HeldText) {
	for _, n := range v.errandNumbers() {
		e := v.errands[n]
		if e.dropped {
			continue
		}
		w := e.view(n, now)
		if e.party == nil && e.round == nil && first != nil {
			if c := first(e.other); c != nil {
				if _, kept := c.roundFor(e.id); kept != nil {
					w.State = kept.roundState(minute(now))
				}
			}
		}
		list = append(list, w)
	}
	return list, v.heldTexts()
}

// heldTexts are the texts that came by shuttle and were not carried on.
func (v *Conversation) heldTexts() (texts []HeldText) {
	for _, m := range v.messages {
		if m.Craft != ShuttleCraft || m.Direction != In {
			continue
		}
		if text, err := shuttle.ParseText([]byte(m.Text)); err == nil {
			texts = append(texts, HeldText{m.Seq, m.Written(), text})
		}
	}
	return texts
}

func (e *errand) view(n uint64, now time.Time) ShuttleView {
	w := ShuttleView{Number: n, Mediator: e.party == nil, Subject: e.subject, Until: fromMinute(e.expiry), Other: e.other}
	if e.party == nil {
		w.State = e.roundState(minute(now))
		return w
	}
	p := e.party
	w.Subject, w.Until = p.Subject(), fromMinute(p.Expiry())
	w.Own, w.Theirs = p.Offers()
	switch p.Stage() {
	case shuttle.Called:
		w.State = OfferAsked
	case shuttle.Sealed:
		w.State = OfferSealed
	case shuttle.Committed:
		w.State = OffersSealed
	case shuttle.Opened:
		w.State = OffersOpen
		if own, theirs, err := p.Words(); err == nil {
			w.OwnWords, w.TheirWords = &own, &theirs
		}
	}
	if p.Failed(minute(now)) {
		w.State = ShuttleExpired
	}
	return w
}

// roundState is how it stands for the mediator.
func (e *errand) roundState(now uint32) ShuttleState {
	r := e.round
	if r == nil {
		return ShuttleWaits
	}
	first, second := r.Committed()
	switch {
	case r.Released():
		return ShuttleGone
	case now >= r.Expiry():
		return ShuttleExpired
	case r.Ready():
		return ShuttleReady
	case second:
		return ShuttleComing
	case first:
		return ShuttleHalf
	default:
		return ShuttleWaits
	}
}
