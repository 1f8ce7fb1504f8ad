package control

import (
	"context"
	"net/http"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/identity"
)

// Shuttle is an exchange of sealed offers: as one of the two in it, or as the mediator.
type Shuttle struct {
	Number   uint64 `json:"number"` // among those with the contact
	State    Word   `json:"state"`
	Mediator bool   `json:"mediator"`          // you are
	Between  string `json:"between,omitempty"` // at the mediator: the other of the two
	Subject  string `json:"subject"`
	Until    string `json:"until"`
	Own      string `json:"your_offer,omitempty"`  // once it is sealed
	Theirs   string `json:"their_offer,omitempty"` // once both are open

	// Once both are open, for the case that the two ever speak without the mediator.
	OwnWords   []string `json:"your_words,omitempty"`
	TheirWords []string `json:"their_words,omitempty"`
}

// HeldText is a text that came by shuttle: to be carried on, or carried here.
type HeldText struct {
	Number uint64 `json:"number"`
	Time   string `json:"time"`
	Text   string `json:"text"`
}

// Requests and answers about what a mediator carries.
type (
	// ShuttleOpenRequest calls two contacts for offers.
	ShuttleOpenRequest struct {
		First   string `json:"first"`
		Second  string `json:"second"`
		Subject string `json:"subject"`
		Until   string `json:"until"`
	}
	// ShuttleOfferRequest seals an offer, or hands over a text to be carried.
	ShuttleOfferRequest struct {
		Name   string `json:"name"`
		Number uint64 `json:"number,omitempty"` // of the exchange; zero: the latest
		Text   string `json:"text"`
		Carry  bool   `json:"carry,omitempty"`
	}
	// ShuttleReleaseRequest carries a text on, or opens both offers.
	ShuttleReleaseRequest struct {
		Name   string `json:"name"`
		Number uint64 `json:"number,omitempty"` // of a text; zero: both offers
		To     string `json:"to,omitempty"`     // of a text

		Exchange uint64 `json:"exchange,omitempty"` // whose offers are opened; zero: the latest that is ready
	}
	// ShuttleDropRequest ends an exchange here.
	ShuttleDropRequest struct {
		Name   string `json:"name"`
		Number uint64 `json:"number,omitempty"` // zero: the only one
	}
	// ShuttleDropAnswer says what others have of it.
	ShuttleDropAnswer struct {
		V    int  `json:"v"`
		Left Word `json:"left"`
	}
	// ContactShuttles is what is carried to and from a contact.
	ContactShuttles struct {
		Contact  Contact    `json:"contact"`
		Shuttles []Shuttle  `json:"shuttles"`
		Texts    []HeldText `json:"texts"`
	}
	// ShuttlesAnswer lists what is carried, by contact.
	ShuttlesAnswer struct {
		V        int               `json:"v"`
		Contacts []ContactShuttles `json:"contacts"`
	}
)

// shuttleRoutes are the calls about what a mediator carries.
func (s *Server) shuttleRoutes(mux *http.ServeMux) {
	n := s.node
	handle(mux, "shuttle/open", func(ctx context.Context, r ShuttleOpenRequest) (Done, error) {
		until, err := time.Parse(time.RFC3339, r.Until)
		if err != nil {
			return done, &Error{Code: "bad_request", Exit: ExitUsage, Message: "the time is malformed"}
		}
		return done, n.OpenShuttle(ctx, r.First, r.Second, r.Subject, until)
	})
	handle(mux, "shuttle/offer", func(ctx context.Context, r ShuttleOfferRequest) (Done, error) {
		if r.Carry {
			_, err := n.CarryText(ctx, r.Name, r.Text)
			return done, err
		}
		_, err := n.SealOffer(ctx, r.Name, r.Number, r.Text)
		return done, err
	})
	handle(mux, "shuttle/release", func(ctx context.Context, r ShuttleReleaseRequest) (Done, error) {
		if r.Number == 0 && r.To == "" {
			return done, n.ReleaseOffers(ctx, r.Name, r.Exchange)
		}
		return done, n.ReleaseText(ctx, r.Name, r.Number, r.To)
	})
	handle(mux, "shuttle/drop", func(ctx context.Context, r ShuttleDropRequest) (ShuttleDropAnswer, error) {
		dropped, err := n.DropShuttle(ctx, r.Name, r.Number)
		return ShuttleDropAnswer{Version, Word(dropped.String())}, err
	})
	handle(mux, "shuttle/show", func(ctx context.Context, r NameRequest) (ShuttlesAnswer, error) {
		list, err := n.Shuttles(ctx, r.Name)
		a := ShuttlesAnswer{V: Version, Contacts: []ContactShuttles{}}
		for _, c := range list {
			a.Contacts = append(a.Contacts, s.shuttlesOf(c))
		}
		return a, err
	})
}

func (s *Server) shuttlesOf(c node.ContactShuttles) ContactShuttles {
	out := ContactShuttles{Contact: contactOf(c.Contact, s.now()), Shuttles: []Shuttle{}, Texts: []HeldText{}}
	for i, w := range c.List {
		x := shuttleOf(w)
		x.Between = c.Others[i]
		out.Shuttles = append(out.Shuttles, x)
	}
	for _, t := range c.Texts {
		out.Texts = append(out.Texts, HeldText{t.Number, stamp(t.When), t.Text})
	}
	return out
}

func shuttleOf(w channel.ShuttleView) Shuttle {
	out := Shuttle{
		Number: w.Number, State: Word(w.State.String()), Mediator: w.Mediator, Subject: w.Subject, Until: stamp(w.Until), Own: w.Own, Theirs: w.Theirs,
	}
	spoken := func(s *identity.Spoken) []string {
		if s == nil {
			return nil
		}
		words := s.Words()
		return words[:]
	}
	out.OwnWords, out.TheirWords = spoken(w.OwnWords), spoken(w.TheirWords)
	return out
}
