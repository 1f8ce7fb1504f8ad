package control

import (
	"context"
	"encoding/hex"
	"net/http"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/mandate"
)

// Mandate is a mandate, or a request for one, as it is shown.
type Mandate struct {
	Number    uint64 `json:"number"`
	Held      bool   `json:"held"` // by this person, as the envoy; else the contact showed it
	State     Word   `json:"state"`
	Authority string `json:"authority"` // its public key
	Scope     string `json:"scope,omitempty"`
	Until     string `json:"until,omitempty"`
	Time      string `json:"time"`
	Delivery  Word   `json:"delivery,omitempty"` // of one that was shown from here: the state of its line

	// Of one that the contact showed.
	Key        Word     `json:"authority_key,omitempty"` // compared, or not
	ComparedAt string   `json:"authority_compared_at,omitempty"`
	SameMatter []string `json:"same_matter,omitempty"` // contacts that showed one for it, too
}

// NotCompared and KeyCompared say how the key of an authority stands.
const (
	NotCompared = "not compared"
	KeyCompared = "compared"
)

// Requests and answers about mandates.
type (
	// MandateFileRequest names a contact, and holds a file for it.
	MandateFileRequest struct {
		Name string `json:"name,omitempty"`
		File []byte `json:"file"`
	}
	// MandateNumberRequest names a mandate; 0 stands for the latest.
	MandateNumberRequest struct {
		Name   string `json:"name"`
		Number uint64 `json:"number,omitempty"`
	}
	// MandateWordsRequest holds what the authority read aloud.
	MandateWordsRequest struct {
		Name   string   `json:"name"`
		Number uint64   `json:"number"`
		Words  []string `json:"words"`
	}
	// MandateRequestAnswer holds the request for an authority; none while the
	// listener's machine has not told its key.
	MandateRequestAnswer struct {
		V    int    `json:"v"`
		File []byte `json:"file,omitempty"`
	}
	// MandateAnswer describes one mandate.
	MandateAnswer struct {
		V       int     `json:"v"`
		Contact Contact `json:"contact"`
		Mandate Mandate `json:"mandate"`
	}
	// WithdrawnAnswer says what became of a withdrawal.
	WithdrawnAnswer struct {
		V       int      `json:"v"`
		Passed  bool     `json:"passed_on"` // to the listener; else it was taken by him
		Contact *Contact `json:"contact,omitempty"`
	}
	// MandateWordsAnswer says which words fit.
	MandateWordsAnswer struct {
		V     int    `json:"v"`
		Match bool   `json:"match"`
		Fit   []bool `json:"fit"`
	}
	// MandatesAnswer lists mandates by contact.
	MandatesAnswer struct {
		V        int               `json:"v"`
		Contacts []ContactMandates `json:"contacts"`
	}
	// ContactMandates are those of one contact.
	ContactMandates struct {
		Contact  Contact   `json:"contact"`
		Mandates []Mandate `json:"mandates"`
	}
)

// mandateRoutes are the calls about mandates.
func (s *Server) mandateRoutes(mux *http.ServeMux) {
	n := s.node
	handle(mux, "mandate/request", func(ctx context.Context, r MandateFileRequest) (MandateRequestAnswer, error) {
		authority, err := mandate.ParseKeyFile(r.File)
		if err != nil {
			return MandateRequestAnswer{}, err
		}
		file, err := n.RequestMandate(ctx, r.Name, authority)
		return MandateRequestAnswer{Version, file}, err
	})
	handle(mux, "mandate/import", func(ctx context.Context, r MandateFileRequest) (MandateAnswer, error) {
		g, err := mandate.ParseGrant(r.File)
		if err != nil {
			return MandateAnswer{}, err
		}
		v, m, err := n.ImportMandate(ctx, g)
		return s.mandateAnswer(v, m), err
	})
	handle(mux, "mandate/show", func(ctx context.Context, r MandateNumberRequest) (MandateAnswer, error) {
		m, err := n.ShowMandate(ctx, r.Name, r.Number)
		if err != nil {
			return MandateAnswer{}, err
		}
		v, err := n.Contact(ctx, r.Name)
		return s.mandateAnswer(v, m), err
	})
	handle(mux, "mandate/check", func(ctx context.Context, r MandateNumberRequest) (MandateAnswer, error) {
		v, m, err := n.Mandate(ctx, r.Name, r.Number)
		return s.mandateAnswer(v, m), err
	})
	handle(mux, "mandate/compare", s.compareAuthority)
	handle(mux, "mandate/withdraw", func(ctx context.Context, r MandateFileRequest) (WithdrawnAnswer, error) {
		v, passed, err := n.WithdrawMandate(ctx, r.File)
		a := WithdrawnAnswer{V: Version, Passed: passed}
		if passed {
			c := contactOf(v, s.now())
			a.Contact = &c
		}
		return a, err
	})
	handle(mux, "mandate/list", func(ctx context.Context, r NameRequest) (MandatesAnswer, error) {
		all, err := n.Mandates(ctx, r.Name)
		a := MandatesAnswer{V: Version, Contacts: []ContactMandates{}}
		for _, c := range all {
			a.Contacts = append(a.Contacts, s.contactMandates(c))
		}
		return a, err
	})
}

func (s *Server) compareAuthority(ctx context.Context, r MandateWordsRequest) (MandateWordsAnswer, error) {
	if len(r.Words) != mandate.WordCount {
		return MandateWordsAnswer{}, &Error{Code: "bad_request", Exit: ExitUsage, Message: "ten words are compared"}
	}
	fit, err := s.node.CompareAuthority(ctx, r.Name, r.Number, [mandate.WordCount]string(r.Words))
	a := MandateWordsAnswer{V: Version, Match: err == nil, Fit: fit[:]}
	for _, ok := range fit {
		a.Match = a.Match && ok
	}
	return a, err
}

func (s *Server) contactMandates(c node.ContactMandates) ContactMandates {
	out := ContactMandates{contactOf(c.Contact, s.now()), []Mandate{}}
	for _, m := range c.List {
		out.Mandates = append(out.Mandates, mandateOf(m))
	}
	return out
}

func (s *Server) mandateAnswer(v channel.View, m channel.MandateView) MandateAnswer {
	return MandateAnswer{Version, contactOf(v, s.now()), mandateOf(m)}
}

func mandateOf(m channel.MandateView) Mandate {
	out := Mandate{
		Number: m.Number, Held: m.Held, State: Word(m.State.String()), Authority: hex.EncodeToString(m.Authority[:]),
		Scope: m.Scope, Until: stamp(m.Until), Time: stamp(m.When), SameMatter: m.SameMatter,
	}
	if m.Delivery != 0 {
		out.Delivery = Word(m.Delivery.String())
	}
	if !m.Held {
		out.Key, out.ComparedAt = NotCompared, stamp(m.Compared)
		if !m.Compared.IsZero() {
			out.Key = KeyCompared
		}
	}
	return out
}
