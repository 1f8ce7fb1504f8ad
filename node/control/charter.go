package control

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/charter"
)

// Charter is one text that was proposed or agreed on.
type Charter struct {
	Draft      int    `json:"draft"`
	Digest     string `json:"digest"` // names exactly this text
	Name       string `json:"name"`
	Purpose    string `json:"purpose"`
	Kind       Word   `json:"kind"`
	Route      Word   `json:"route"`
	Receipts   Word   `json:"receipts"`
	Files      int    `json:"files_mb"` // largest file; 0: none
	Deadline   string `json:"deadline"`
	Extensions int    `json:"extensions"` // how often the deadline was moved on
}

// Channel is how a channel stands. Of one that was burned only the number is known.
type Channel struct {
	Contact   string   `json:"contact,omitempty"` // in a list of several
	ContactNo uint32   `json:"contact_number,omitempty"`
	Number    uint32   `json:"number"`
	State     Word     `json:"state"`
	Deadline  string   `json:"deadline,omitempty"`
	Agreed    *Charter `json:"agreed,omitempty"`
	Yours     *Charter `json:"your_draft,omitempty"`
	Withdrawn bool     `json:"withdrawn,omitempty"` // yours; they may have accepted it before
	Theirs    *Charter `json:"their_draft,omitempty"`
	YouClosed bool     `json:"you_closed,omitempty"`
	Closed    bool     `json:"they_closed,omitempty"`
	Texts     int      `json:"texts,omitempty"`
	Clock     Word     `json:"clock,omitempty"`             // of this machine
	ClockOff  int64    `json:"clock_off_seconds,omitempty"` // ahead of the others
}

// Requests and answers about channels.
type (
	// ChannelRequest names a channel, and for open and amend its terms.
	ChannelRequest struct {
		Name     string   `json:"name"`
		Number   uint32   `json:"number,omitempty"`
		Digest   string   `json:"digest,omitempty"` // of the draft that the person was shown
		Withdraw bool     `json:"withdraw,omitempty"`
		Terms    *Charter `json:"terms,omitempty"`
	}
	// ChannelAnswer describes one channel.
	ChannelAnswer struct {
		V       int     `json:"v"`
		Contact Contact `json:"contact"`
		Route   Word    `json:"route"` // by which the contact is talked to
		Channel Channel `json:"channel"`
	}
	// ChannelsAnswer lists channels.
	ChannelsAnswer struct {
		V        int       `json:"v"`
		Channels []Channel `json:"channels"`
	}
)

// channelRoutes are the calls about channels.
func (s *Server) channelRoutes(mux *http.ServeMux) {
	n := s.node
	handle(mux, "channel/list", func(ctx context.Context, r NameRequest) (ChannelsAnswer, error) {
		list, err := n.Channels(ctx, r.Name)
		a := ChannelsAnswer{V: Version, Channels: []Channel{}}
		for _, c := range list {
			for _, w := range c.List {
				out := channelOf(w)
				out.Contact, out.ContactNo = c.Contact.Name, c.Contact.Number
				a.Channels = append(a.Channels, out)
			}
		}
		return a, err
	})
	handle(mux, "channel/show", func(ctx context.Context, r ChannelRequest) (ChannelAnswer, error) {
		return s.channel(ctx, r.Name, r.Number)
	})
	act := func(name string, f func(context.Context, ChannelRequest) (channel.ChannelView, error)) {
		handle(mux, "channel/"+name, func(ctx context.Context, r ChannelRequest) (ChannelAnswer, error) {
			w, err := f(ctx, r)
			if err != nil {
				return ChannelAnswer{}, err
			}
			return s.channel(ctx, r.Name, w.Number)
		})
	}
	act("open", func(ctx context.Context, r ChannelRequest) (channel.ChannelView, error) {
		t, err := termsOf(r.Terms)
		if err != nil {
			return channel.ChannelView{}, err
		}
		return n.OpenChannel(ctx, r.Name, t)
	})
	act("amend", func(ctx context.Context, r ChannelRequest) (channel.ChannelView, error) {
		if r.Withdraw {
			return n.WithdrawDraft(ctx, r.Name, r.Number)
		}
		t, err := termsOf(r.Terms)
		if err != nil {
			return channel.ChannelView{}, err
		}
		return n.AmendChannel(ctx, r.Name, r.Number, t)
	})
	answer := func(accept bool) func(context.Context, ChannelRequest) (channel.ChannelView, error) {
		return func(ctx context.Context, r ChannelRequest) (channel.ChannelView, error) {
			var shown charter.Digest
			if b, err := hex.DecodeString(r.Digest); err != nil || copy(shown[:], b) != len(shown) {
				return channel.ChannelView{}, &Error{Code: "bad_request", Exit: ExitUsage, Message: "a draft is named by its digest"}
			}
			return n.AnswerChannel(ctx, r.Name, r.Number, shown, accept)
		}
	}
	act("accept", answer(true))
	act("decline", answer(false))
	act("close", func(ctx context.Context, r ChannelRequest) (channel.ChannelView, error) {
		return n.CloseChannel(ctx, r.Name, r.Number)
	})
	handle(mux, "channel/burn", func(ctx context.Context, r ChannelRequest) (BurnAnswer, error) {
		left, err := n.BurnChannel(ctx, r.Name, r.Number)
		return s.burned(ctx, left), err
	})
}

func (s *Server) channel(ctx context.Context, name string, number uint32) (ChannelAnswer, error) {
	c, err := s.node.Channel(ctx, name, number)
	if err != nil {
		return ChannelAnswer{}, err
	}
	return ChannelAnswer{Version, contactOf(c.Contact, s.now()), routeWord(c), channelOf(c.List[0])}, nil
}

func routeWord(c node.ContactChannels) Word { return Word(c.Route.String()) }

func termsOf(c *Charter) (t charter.Terms, err error) {
	if c == nil {
		return t, charter.ErrTerms
	}
	t = charter.Terms{Name: c.Name, Purpose: c.Purpose, Kind: charter.Secret, Route: charter.RouteRelays, Receipts: charter.ReceiptsLate}
	switch string(c.Kind) {
	case charter.Secret.String():
	case charter.Publishable.String():
		t.Kind = charter.Publishable
	default:
		return t, charter.ErrTerms
	}
	switch string(c.Route) {
	case charter.RouteRelays.String():
	case charter.RouteDirect.String():
		t.Route = charter.RouteDirect
	default:
		return t, charter.ErrTerms
	}
	switch string(c.Receipts) {
	case charter.ReceiptsLate.String():
	case charter.ReceiptsNone.String():
		t.Receipts = charter.ReceiptsNone
	default:
		return t, charter.ErrTerms
	}
	if c.Files < 0 || c.Files > charter.MaxFiles {
		return t, charter.ErrTerms
	}
	t.Files = uint16(c.Files)
	at, err := time.Parse(time.RFC3339, c.Deadline)
	if err != nil || at.Unix() < 60 || at.Unix()/60 > 1<<32-1 {
		return t, charter.ErrDeadline
	}
	t.Deadline = uint32(at.Unix() / 60)
	return t, nil
}

func charterOf(d *charter.Draft) *Charter {
	if d == nil {
		return nil
	}
	digest := d.Digest()
	return &Charter{
		Draft: int(d.Number), Digest: hex.EncodeToString(digest[:]), Name: d.Name, Purpose: d.Purpose, Kind: Word(d.Kind.String()),
		Route: Word(d.Route.String()), Receipts: Word(d.Receipts.String()), Files: int(d.Files),
		Deadline: stamp(time.Unix(int64(d.Deadline)*60, 0)), Extensions: int(d.Extensions),
	}
}

func channelOf(w channel.ChannelView) Channel {
	out := Channel{Number: w.Number}
	switch {
	case w.Burned:
		out.State = "burned"
		return out
	case w.Passing != charter.Running:
		out.State = "withheld"
	default:
		out.State = Word(w.Phase.String())
	}
	out.Deadline, out.Clock, out.ClockOff = stamp(w.Deadline), Word(w.Trust.String()), int64(w.Off/time.Second)
	out.Agreed, out.Yours, out.Theirs, out.Withdrawn = charterOf(w.Agreed), charterOf(w.Own), charterOf(w.Pending), w.Withdrawn
	out.YouClosed, out.Closed, out.Texts = w.OwnClosed, w.Closed, w.Lines
	return out
}
