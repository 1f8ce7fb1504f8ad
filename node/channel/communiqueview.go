package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/communique"
)

// SigningState says how the signing of a communiqué stands.
type SigningState byte

// The states.
const (
	SigningProposed SigningState = 1 + iota // by the peer; nobody here has taken it up
	SigningAsked                            // proposed here; the peer has not taken it up
	SigningKeys                             // the two machines exchange keys
	SigningYours                            // this person can sign now
	SigningTheirs                           // it is for the other person to sign
	SigningRelease                          // this side has signed, and the other can complete both
	SigningDone                             // both signatures are here
	SigningOver                             // it has expired, and nothing was signed by both
	SigningOpenEnd                          // it has expired after this side signed
)

// String returns the state in the words that screens show.
func (s SigningState) String() string {
	switch s {
	case SigningProposed:
		return "proposed by them"
	case SigningAsked:
		return "proposed by you"
	case SigningKeys:
		return "keys are being exchanged"
	case SigningYours:
		return "waits for your signature"
	case SigningTheirs:
		return "waits for their signature"
	case SigningRelease:
		return "waits for their release"
	case SigningDone:
		return "signed by both"
	case SigningOver:
		return "expired"
	case SigningOpenEnd:
		return "expired but they can still complete it"
	default:
		return "no state"
	}
}

// A SigningView is a signing as a screen shows it.
type SigningView struct {
	Version   uint32 // of the draft
	State     SigningState
	Until     time.Time
	Initiator bool                 // this side is
	Own       communique.PublicKey // zero until it is made
	Peer      communique.PublicKey // zero until it is known
	Now       communique.Position  // who could walk away with what
	Next      communique.Position  // and after this side's next step
}

func (s *signing) view(now time.Time) SigningView {
	w := SigningView{Version: s.version, State: s.state(now), Until: fromMinute(s.expiry), Own: s.own}
	switch x := s.exchange; {
	case x != nil:
		w.Initiator = x.Role() == communique.Initiator
		var known bool
		if w.Own, w.Peer, known = x.Keys(); !known {
			w.Peer = communique.PublicKey{}
		}
		w.Now, w.Next = x.Position(), x.AfterSend()
	case len(s.file) > 0:
		w.Now = communique.Position{Own: communique.PowerBoth, Other: communique.PowerBoth}
		w.Next = w.Now
		if c, err := communique.Verify(s.file); err == nil {
			if w.Peer = c.Keys[0]; w.Peer == w.Own {
				w.Peer = c.Keys[1]
			}
		}
	}
	return w
}

func (s *signing) state(now time.Time) SigningState {
	x := s.exchange
	switch {
	case len(s.file) > 0:
		return SigningDone
	case minute(now) >= s.expiry && s.givenAway():
		return SigningOpenEnd
	case minute(now) >= s.expiry:
		return SigningOver
	case x == nil:
		return SigningProposed
	case s.givenAway():
		return SigningRelease
	case x.SignsNext():
		return SigningYours
	case x.Position().Other == communique.PowerWaiting:
		return SigningTheirs
	}
	switch _, _, known := x.Keys(); {
	case known && x.Role() == communique.Responder:
		return SigningTheirs
	case x.Last()[1] == 1:
		return SigningAsked
	default:
		return SigningKeys
	}
}
