package control

import (
	"context"
	"net/http"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/file"
)

type (
	// RelayNetwork is how a node stands in its relay network.
	RelayNetwork struct {
		Name      string `json:"name"`
		State     Word   `json:"state"`
		Relays    int    `json:"relays"` // that can be used now
		Operators int    `json:"operators"`
		Guard     string `json:"guard,omitempty"`                 // where the guard in use is
		Meeting   int64  `json:"first_contact_seconds,omitempty"` // about, of two machines that are on
		Losing    bool   `json:"packets_are_lost,omitempty"`
		LosingNow bool   `json:"guard_loses_packets,omitempty"` // it, or the line to it, at present
		LosingAll bool   `json:"guard_before_lost_them_too,omitempty"`
		ClockOff  bool   `json:"clock_off_by_days,omitempty"`
		Taken     int    `json:"boxes_taken,omitempty"`
		Missed    uint64 `json:"packets_not_sent_in_time,omitempty"`
		Others    bool   `json:"contact_sees_other_relays,omitempty"`

		Losers []RelaySeen `json:"relays_that_lose_packets,omitempty"` // behind the guard
	}
	// RouteRequest chooses a contact's route.
	RouteRequest struct {
		Name  string `json:"name"`
		Route Word   `json:"route"`
	}
	// RelaySeen is a relay on the way of a contact's boxes.
	RelaySeen struct {
		Role     Word   `json:"role,omitempty"` // guard or drop; none: it may stand anywhere
		Operator string `json:"operator"`
		Address  string `json:"address"`
		Chosen   Word   `json:"chosen_by,omitempty"` // of a drop
		Losing   bool   `json:"loses_packets,omitempty"`
		Line     bool   `json:"guard_before_lost_them_too,omitempty"` // of a guard: it may be the line
	}
	// RouteAnswer is how a contact is talked to, and who sees what of it.
	RouteAnswer struct {
		V         int         `json:"v"`
		Contact   Contact     `json:"contact"`
		Route     Word        `json:"route"`
		Direct    bool        `json:"direct_now"` // there is a connection
		Joined    bool        `json:"network_joined"`
		Agreed    bool        `json:"drops_agreed"`
		Lost      bool        `json:"session_lost,omitempty"`    // a machine was put back, or restored
		Mending   bool        `json:"session_mending,omitempty"` // and a session is made anew over relays
		Relays    []RelaySeen `json:"relays,omitempty"`
		Twice     bool        `json:"one_operator_in_two_places,omitempty"`
		Expected  int64       `json:"expected_seconds,omitempty"` // until a machine that is on has a text, as a rule
		Latest    int64       `json:"latest_seconds,omitempty"`   // and if nothing is lost
		KeptHours int64       `json:"boxes_kept_hours,omitempty"`
		Period    int64       `json:"period_seconds,omitempty"`
		FileHour  int64       `json:"file_bytes_per_hour,omitempty"` // over relays, if nothing else is said
	}
	// AvoidAnswer says whether the node took a new list of relays that are avoided.
	AvoidAnswer struct {
		V     int  `json:"v"`
		Taken bool `json:"taken"` // else it does when the machine is in a relay network
	}
)

func relayNetworkOf(s *node.MailState) *RelayNetwork {
	if s == nil {
		return nil
	}
	r := &RelayNetwork{
		Name: s.Network, State: Word(s.Stage.String()), Relays: s.Relays, Operators: s.Operators, Guard: s.Guard, Meeting: int64(s.Meeting / time.Second),
		Losing: s.Losing, LosingNow: s.LosingNow, LosingAll: s.LosingAll, ClockOff: s.ClockOff, Taken: s.Taken, Missed: s.Lost, Others: s.Others,
	}
	for _, w := range s.Losers {
		r.Losers = append(r.Losers, relaySeen(w))
	}
	return r
}

func relaySeen(w node.RelaySeen) RelaySeen {
	return RelaySeen{Word(w.Role), w.Operator, w.Address, Word(w.Chosen), w.Losing, w.Line}
}

// routeRoutes are the calls about how contacts are reached.
func (s *Server) routeRoutes(mux *http.ServeMux) {
	n := s.node
	show := func(ctx context.Context, name string) (RouteAnswer, error) {
		r, err := n.Route(ctx, name)
		return s.routeOf(r), err
	}
	handle(mux, "route/show", func(ctx context.Context, r NameRequest) (RouteAnswer, error) { return show(ctx, r.Name) })
	handle(mux, "route/avoid", func(ctx context.Context, _ Empty) (AvoidAnswer, error) {
		taken, err := n.Avoid(ctx)
		return AvoidAnswer{Version, taken}, err
	})
	handle(mux, "network/reread", func(ctx context.Context, _ Empty) (Done, error) { // after the machine's files changed
		n.Rejoin(ctx)
		return Done{Version}, nil
	})
	handle(mux, "route/set", func(ctx context.Context, r RouteRequest) (RouteAnswer, error) {
		for _, p := range []channel.Policy{channel.BothRoutes, channel.DirectRoute, channel.RelayRoute} {
			if r.Route != Word(p.String()) {
				continue
			}
			if err := n.SetRoute(ctx, r.Name, p); err != nil {
				return RouteAnswer{}, err
			}
			return show(ctx, r.Name)
		}
		return RouteAnswer{}, &Error{Code: "usage", Exit: ExitUsage, Message: "a route is direct, relayed or both", Hint: "backchannel route set --help"}
	})
}

func (s *Server) routeOf(r node.RouteState) RouteAnswer {
	a := RouteAnswer{
		V: Version, Contact: contactOf(r.Contact, s.now()), Route: Word(r.Policy.String()), Direct: r.Direct, Joined: r.Joined, Agreed: r.Agreed, Lost: r.Lost, Mending: r.Mending,
		Twice: r.Twice, Expected: int64(r.Rule / time.Second), Latest: int64(r.Latest / time.Second),
		KeptHours: int64(r.KeptFor / time.Hour), Period: int64(r.PeriodIs / time.Second),
	}
	if r.Box > 0 {
		a.FileHour = int64(file.ContentSize * float64(time.Hour) / float64(r.Box))
	}
	for _, w := range r.Relays {
		a.Relays = append(a.Relays, relaySeen(w))
	}
	return a
}
