package control

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/identity"
)

// Offer is an introduction that a contact offers to this person.
type Offer struct {
	Contact Contact  `json:"contact"` // who introduces
	Number  uint64   `json:"number"`  // among those of this contact
	State   Word     `json:"state"`
	Text    string   `json:"text"` // what is said of the other: nothing else is known
	Time    string   `json:"time"`
	Until   string   `json:"until"`
	Name    string   `json:"name,omitempty"`        // what you want to call the other
	New     *Contact `json:"new_contact,omitempty"` // if both said yes
	Trouble *Error   `json:"trouble,omitempty"`     // why there is none yet, though both did
}

// Introduction is one that this person makes.
type Introduction struct {
	State   Word         `json:"state"`
	Time    string       `json:"time"`
	Until   string       `json:"until"`
	Between []Introduced `json:"between"` // two
}

// Introduced is one of the two of an introduction.
type Introduced struct {
	Contact Contact `json:"contact"`
	Reads   string  `json:"reads,omitempty"`  // of the other, while it is not over
	Answer  Word    `json:"answer,omitempty"` // when both have answered, or the time is over
}

// Requests and answers about introductions.
type (
	// IntroduceRequest names two contacts, and says what each reads of the other.
	IntroduceRequest struct {
		First       string `json:"first"`
		Second      string `json:"second"`
		FirstReads  string `json:"first_reads"`
		SecondReads string `json:"second_reads"`
		Seconds     int64  `json:"seconds"` // how long they have to answer
	}
	// AnswerRequest answers an offer; number 0 stands for the only one that waits.
	AnswerRequest struct {
		Name   string `json:"name"`
		Number uint64 `json:"number,omitempty"`
		Yes    bool   `json:"yes"`
		As     string `json:"as,omitempty"` // what the new contact will be called
	}
	// IntroduceAnswer describes one that this person makes.
	IntroduceAnswer struct {
		V            int          `json:"v"`
		Introduction Introduction `json:"introduction"`
	}
	// OfferAnswer describes one that was answered.
	OfferAnswer struct {
		V     int   `json:"v"`
		Offer Offer `json:"offer"`
	}
	// IntroductionsAnswer lists introductions.
	IntroductionsAnswer struct {
		V       int            `json:"v"`
		Offered []Offer        `json:"offered"` // to you
		Made    []Introduction `json:"made"`    // by you
	}
)

// introductionRoutes are the calls about introductions.
func (s *Server) introductionRoutes(mux *http.ServeMux) {
	n := s.node
	handle(mux, "contact/introduce", func(ctx context.Context, r IntroduceRequest) (IntroduceAnswer, error) {
		x, err := n.Introduce(ctx, r.First, r.Second, r.FirstReads, r.SecondReads, time.Duration(r.Seconds)*time.Second)
		return IntroduceAnswer{Version, s.introductionOf(x)}, err
	})
	handle(mux, "contact/answer", func(ctx context.Context, r AnswerRequest) (OfferAnswer, error) {
		x, err := n.AnswerIntroduction(ctx, r.Name, r.Number, r.Yes, r.As)
		return OfferAnswer{Version, s.offerOf(x)}, err
	})
	handle(mux, "contact/offer", func(ctx context.Context, r AnswerRequest) (OfferAnswer, error) {
		x, err := n.OfferedIntroduction(ctx, r.Name, r.Number)
		return OfferAnswer{Version, s.offerOf(x)}, err
	})
	handle(mux, "contact/introductions", func(ctx context.Context, _ Empty) (IntroductionsAnswer, error) {
		list, err := n.Introductions(ctx)
		a := IntroductionsAnswer{V: Version, Offered: []Offer{}, Made: []Introduction{}}
		for _, x := range list {
			switch {
			case !x.Made:
				a.Offered = append(a.Offered, s.offerOf(x))
			case x.Side == identity.Accepter: // it stands at both: here is seen whether the last message left
				a.Made = append(a.Made, s.introductionOf(x))
			}
		}
		return a, err
	})
}

func (s *Server) offerOf(x node.ContactIntroduction) Offer {
	o := Offer{
		Contact: contactOf(x.Contact, s.now()), Number: x.Number, State: Word(x.State.String()), Text: x.Text,
		Time: stamp(x.When), Until: stamp(x.Until), Name: x.Name,
	}
	if x.New.Number != 0 {
		c := contactOf(x.New, s.now())
		o.New = &c
	}
	if x.State == channel.IntroductionAgreed {
		o.Trouble = Describe(x.Trouble)
	}
	return o
}

func (s *Server) introductionOf(x node.ContactIntroduction) Introduction {
	own := Introduced{Contact: contactOf(x.Contact, s.now()), Reads: x.Reads}
	other := Introduced{Contact: contactOf(x.Other, s.now()), Reads: x.Theirs}
	if x.Known {
		own.Answer, other.Answer = Word(x.Own.String()), Word(x.Their.String())
	}
	both := []Introduced{own, other}
	slices.SortFunc(both, func(a, b Introduced) int { return int(a.Contact.Number) - int(b.Contact.Number) })
	return Introduction{State: Word(x.State.String()), Time: stamp(x.When), Until: stamp(x.Until), Between: both}
}
