package control

import (
	"context"
	"net/http"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
)

// Sounding is one sounding with a contact.
type Sounding struct {
	State    Word          `json:"state"`
	Begins   string        `json:"begins"` // from then on nothing can be named
	At       string        `json:"at"`     // when it ends
	Yours    bool          `json:"yours"`  // you called it
	Topics   []string      `json:"topics"` // yours, until it ends
	Common   []CommonTopic `json:"common"` // once it is over
	Answered int           `json:"answered"`
}

// CommonTopic is a topic that both named.
type CommonTopic struct {
	Topic string `json:"topic"`
	Bits  int    `json:"bits"` // that agreed, of 40
}

// Requests and answers about soundings.
type (
	// SoundRequest names topics: in the sounding that is open, or in a new one.
	SoundRequest struct {
		Name   string   `json:"name"`
		At     string   `json:"at,omitempty"` // empty: the one that is open
		Topics []string `json:"topics"`
	}
	// SoundingAnswer is a sounding with a contact.
	SoundingAnswer struct {
		V        int       `json:"v"`
		Contact  Contact   `json:"contact"`
		Sounding *Sounding `json:"sounding,omitempty"` // none: there was none
		Next     string    `json:"next,omitempty"`     // the earliest agreed time of the next one; left out: any
	}
	// ContactSoundings are the soundings with a contact.
	ContactSoundings struct {
		Contact   Contact    `json:"contact"`
		Soundings []Sounding `json:"soundings"`
	}
	// SoundingsAnswer lists soundings by contact.
	SoundingsAnswer struct {
		V        int                `json:"v"`
		Contacts []ContactSoundings `json:"contacts"`
	}
)

// soundingRoutes are the calls about soundings.
func (s *Server) soundingRoutes(mux *http.ServeMux) {
	n := s.node
	handle(mux, "sounding/new", s.sound)
	handle(mux, "sounding/show", func(ctx context.Context, r NameRequest) (SoundingAnswer, error) {
		list, err := n.Soundings(ctx, r.Name)
		if err != nil || len(list) != 1 {
			return SoundingAnswer{V: Version}, err
		}
		return s.soundingAnswer(list[0]), nil
	})
	handle(mux, "sounding/list", func(ctx context.Context, r NameRequest) (SoundingsAnswer, error) {
		list, err := n.Soundings(ctx, r.Name)
		a := SoundingsAnswer{V: Version, Contacts: []ContactSoundings{}}
		for _, c := range list {
			of := ContactSoundings{Contact: contactOf(c.Contact, s.now()), Soundings: []Sounding{}}
			for _, w := range c.List {
				of.Soundings = append(of.Soundings, soundingOf(w))
			}
			a.Contacts = append(a.Contacts, of)
		}
		return a, err
	})
	handle(mux, "sounding/drop", func(ctx context.Context, r NameRequest) (Done, error) { return done, n.DropSounding(ctx, r.Name) })
}

func (s *Server) sound(ctx context.Context, r SoundRequest) (SoundingAnswer, error) {
	var at time.Time
	if r.At != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, r.At); err != nil {
			return SoundingAnswer{}, &Error{Code: "bad_request", Exit: ExitUsage, Message: "the time is malformed"}
		}
	}
	if _, err := s.node.Sound(ctx, r.Name, at, r.Topics); err != nil {
		return SoundingAnswer{}, err
	}
	list, err := s.node.Soundings(ctx, r.Name)
	if err != nil || len(list) != 1 {
		return SoundingAnswer{V: Version}, err
	}
	return s.soundingAnswer(list[0]), nil
}

// soundingAnswer is the latest sounding with a contact.
func (s *Server) soundingAnswer(c node.ContactSoundings) SoundingAnswer {
	a := SoundingAnswer{V: Version, Contact: contactOf(c.Contact, s.now())}
	if n := len(c.List); n > 0 {
		latest := soundingOf(c.List[n-1])
		a.Sounding = &latest
	}
	if !c.Next.IsZero() {
		a.Next = stamp(c.Next)
	}
	return a
}

func soundingOf(w channel.SoundingView) Sounding {
	out := Sounding{
		State: Word(w.State.String()), Begins: stamp(w.Begins), At: stamp(w.At), Yours: w.Own,
		Topics: []string{}, Common: []CommonTopic{}, Answered: w.Answered,
	}
	out.Topics = append(out.Topics, w.Topics...)
	for _, c := range w.Common {
		out.Common = append(out.Common, CommonTopic{c.Topic, c.Bits})
	}
	return out
}
