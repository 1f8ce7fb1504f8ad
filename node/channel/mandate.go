package channel

import (
	"errors"
	"time"

	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/wire"
)

// What a frame of kind mandate says stands in its first byte: docs/spec/frame.md.
const (
	mandateAsk   byte = 1 + iota // from the envoy: which key have you for this authority? its key 32
	mandateKey                   // from the listener: the authority's key 32, the listener's for it 32
	mandateShown                 // from the envoy: the mandate
	mandateOver                  // from the envoy, who passes it on: a withdrawal
)

// Errors that a person meets.
var (
	ErrNoRequest     = errors.New("this mandate answers no request of this machine, or it was not made by the authority that was asked")
	ErrNoMandate     = errors.New("there is no such mandate here")
	ErrNoKeyYet      = errors.New("their machine has not told the key that a request needs")
	ErrMandateOver   = errors.New("the mandate has ended, or was withdrawn")
	ErrManyMandates  = errors.New("there are too many mandates and requests with this contact")
	ErrNotWithdrawal = errors.New("this withdrawal is of no mandate that this machine holds or was shown")
	ErrOwnAuthority  = errors.New("the key of the authority is malformed")
)

// MandateState says how a mandate stands on this machine.
type MandateState byte

// The states. The first four are those of a mandate that this person holds as an
// envoy; the others those of one that was shown to him.
const (
	MandateAsked     MandateState = 1 + iota // the listener's machine is asked for its key
	MandateWanted                            // a request can be written, and a mandate imported
	MandateHeld                              // checked, to be shown
	MandateOut                               // shown, or on its way
	MandateValid                             // it checks, and was not withdrawn
	MandateRefused                           // it does not check: not for this listener by this envoy from this authority
	MandateEnded                             // its end is over
	MandateWithdrawn                         // its authority withdrew it
)

// String returns the state in the words that screens show.
func (s MandateState) String() string {
	switch s {
	case MandateAsked:
		return "their machine is asked for its key"
	case MandateWanted:
		return "asked for"
	case MandateHeld:
		return "held"
	case MandateOut:
		return "shown"
	case MandateValid:
		return "valid"
	case MandateRefused:
		return "does not check"
	case MandateEnded:
		return "ended"
	case MandateWithdrawn:
		return "withdrawn"
	default:
		return "no state"
	}
}

// A MandateView is a mandate, or a request for one, as a screen shows it.
type MandateView struct {
	Number    uint64 // of one that is held: its own; of one that was shown here: its line's
	Held      bool   // this person is the envoy
	State     MandateState
	Authority mandate.PublicKey
	Scope     string    // empty of a request
	Until     time.Time // zero of a request
	When      time.Time // when it was shown or imported
	Delivery  State     // of one that was shown from here: how far its line has come; else 0

	// Of one that was shown here.
	Compared   time.Time       // when the authority's key was compared; zero: never
	Dossier    mandate.Dossier // its matter, if it checks
	SameMatter []string        // who else showed a valid one for it: set by who sees all contacts
}

// Mandates returns what this person holds for the contact, and then what the
// contact showed.
func (v *Conversation) Mandates(now time.Time) []MandateView {
	v.now, v.listener = now, nil
	views := v.heldViews()
	for _, m := range v.messages {
		if view, ok := v.shownView(m); ok {
			views = append(views, view)
		}
	}
	return views
}

// Mandate returns one that was shown here, by the number of its line.
func (v *Conversation) Mandate(now time.Time, seq uint64) (MandateView, error) {
	v.now, v.listener = now, nil
	if i, ok := v.find(seq); ok {
		if view, ok := v.shownView(v.messages[i]); ok {
			return view, nil
		}
	}
	return MandateView{}, ErrNoMandate
}

// mandateCame acts on a frame of kind mandate. What is malformed is set aside.
func (v *Conversation) mandateCame(f wire.Frame, content string) {
	body := []byte(content[1:])
	switch content[0] {
	case mandateAsk:
		if key, err := mandate.ParseKey(body); err == nil {
			v.craftCame(MandateCraft, f, content)
			v.answerKey(key)
		}
	case mandateKey:
		if len(body) == 2*mandate.KeySize {
			v.keyCame(f, content)
		}
	case mandateShown:
		if _, err := mandate.Parse(body); err == nil {
			v.craftCame(MandateCraft, f, content)
		}
	case mandateOver:
		if v.withdrawn(body) {
			v.craftCame(MandateCraft, f, content)
		}
	}
}

// MandateText says what a line of kind mandate is about, for a transcript. It
// repeats what the peer said, and says nothing about whether it is so.
func MandateText(m Message) string {
	body := []byte(m.Text[1:])
	switch m.Text[0] {
	case mandateAsk:
		return "mandate: asks for the key that a request needs"
	case mandateKey:
		return "mandate: the key that a request needs; the machine answered by itself"
	case mandateShown:
		if got, err := mandate.Parse(body); err == nil {
			return "mandate: " + got.Scope + " (until " + got.NotAfter.Format("2 Jan 2006 15:04") + " UTC)"
		}
	case mandateOver:
		return "mandate: a withdrawal by the authority"
	}
	return "mandate: malformed"
}

// CraftText says what a line of a tool is about; it is the text itself of others.
func CraftText(m Message) string {
	switch {
	case m.Craft == MandateCraft && m.Text != "":
		return MandateText(m)
	case m.Craft == CommuniqueCraft && m.Text != "":
		return communiqueText(m)
	case m.Craft == CharterCraft && m.Text != "":
		return charterText(m)
	case m.Craft == ShuttleCraft && m.Text != "":
		return shuttleText(m)
	default:
		return m.Text
	}
}
