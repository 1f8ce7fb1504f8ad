package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A MailStage says how far a machine has come with its relay network.
type MailStage byte

// The stages.
const (
	MailAsking   MailStage = 1 + iota // it does not know enough relays to hide among
	MailReaching                      // it has no link with its guard
	MailTiming                        // it does not know the relays' clocks yet
	MailRunning                       // boxes are written and read
)

// String returns the stage in words.
func (s MailStage) String() string {
	switch s {
	case MailAsking:
		return "asking for relays"
	case MailReaching:
		return "reaching its guard"
	case MailTiming:
		return "reading clocks"
	case MailRunning:
		return "running"
	default:
		return "no stage"
	}
}

// MailState is how a machine stands in its relay network.
type MailState struct {
	Network   string
	Stage     MailStage
	Relays    int // that can be used now
	Operators int
	Guard     string        // where the guard in use is; empty: none is chosen
	Meeting   time.Duration // until two who meet at a drop, and are on, have agreed on keys, about
	Losing    bool          // many packets were lost, and no relay behind the guard explained it
	LosingNow bool          // and at present
	LosingAll bool          // and at another guard before, so that it may be the line
	Losers    []RelaySeen   // relays behind the guard that lose packets
	ClockOff  bool          // the relays' clocks are days away from this machine's
	Taken     int           // boxes of which a drop said that somebody else wrote them first
	Lost      uint64        // packets that did not leave at their moments
	Others    bool          // a contact's machine sees other relays
}

// state tells how it stands.
func (m *line) state() *MailState {
	s := &MailState{
		Network: m.network.Name, Stage: MailRunning, Losing: m.losing, LosingNow: m.machine.Losing(), LosingAll: m.machine.LosingAgain(), ClockOff: m.clockOff,
		Lost: m.lost + uint64(m.machine.Skipped()),
	}
	if m.mail != nil {
		s.Taken, s.Others = m.mail.taken, m.mail.othersSeen()
	}
	_, synced := m.machine.Slot()
	switch {
	case m.view == nil:
		s.Stage = MailAsking
		return s
	case m.link == nil:
		s.Stage = MailReaching
	case !synced:
		s.Stage = MailTiming
	}
	operators := map[string]bool{}
	for _, r := range m.view.Members() {
		operators[r.Operator] = true
	}
	s.Meeting = time.Duration(4*(m.meetingSlots()+uint64(m.machine.Lag())+2)) * m.slot // four flights
	s.Relays, s.Operators, s.Losers = len(m.view.Members()), len(operators), m.losers()
	if v := m.voucher(m.machine.Guard()); v != nil {
		s.Guard = m.addressOf(v)
	}
	return s
}

// Errors of the relayed route.
var (
	ErrNoRelays     = errors.New("this machine has joined no relay network")
	ErrNoView       = errors.New("too few relays are known yet to meet over them")
	ErrOtherNetwork = errors.New("this invitation is of a relay network that this machine is not in")
	ErrNoDrops      = errors.New("no drops are agreed with this contact yet, so nothing can go over relays")
)

// A RelaySeen is a relay on the way of a contact's boxes, and what it is there.
type RelaySeen struct {
	Role     string // guard or drop
	Operator string
	Address  string
	Chosen   string // of a drop, by whom
	Losing   bool   // it loses packets, as far as this machine can tell
	Line     bool   // of a guard: so did another one before, so that it may be the line
}

// RouteState is how a contact is talked to, and who sees what of it.
type RouteState struct {
	Contact  channel.View
	Policy   channel.Policy
	Direct   bool // there is a connection on which both sides resumed
	Joined   bool // this machine is in a relay network
	Agreed   bool // drops are agreed
	Lost     bool // a session that cannot go on, as a machine was put back or restored
	Mending  bool // of one that is lost: it is made anew over relays
	Relays   []RelaySeen
	Twice    bool          // one operator stands in two of these places
	Rule     time.Duration // until a text is read over relays by a machine that is on, as a rule
	Latest   time.Duration // and at the latest, if nothing is lost
	KeptFor  time.Duration // how long a drop keeps a box
	Box      time.Duration // from one box of the contact to the next, as a rule
	Period   cadence.Period
	PeriodIs time.Duration
}

// Route returns how a contact is talked to.
func (n *Node) Route(ctx context.Context, name string) (s RouteState, err error) {
	err = n.do(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		s = d.route(p)
		return nil
	})
	return s, err
}

func (d *desk) route(p *person) RouteState {
	s := RouteState{Contact: p.conversation.View(), Policy: p.conversation.Route()}
	s.Direct = s.Contact.Connected
	s.Lost = s.Policy == channel.RelayRoute && s.Contact.Stage == channel.Met && p.conversation.Drops().Epoch == 0
	if d.mail == nil {
		return s
	}
	s.Joined = true
	if w, ok := p.conversation.Reunion(d.cfg.Now(), 0); ok && s.Lost {
		s.Mending = w.Set.Network == d.mail.network.ID()
	}
	d.mail.routeOf(p, &s)
	return s
}

// routeOf fills in what the relay network has to do with a contact.
func (m *mail) routeOf(p *person, s *RouteState) {
	o := p.conversation.Drops()
	if _, s.Agreed = m.carried[p.conversation.ID()]; !s.Agreed || m.view == nil {
		return
	}
	s.Period, s.PeriodIs = o.Set.Period, time.Duration(o.Set.Period)*m.slot
	s.Rule, s.Latest = m.machine.Expect(o.Set.Period)
	s.Box = m.machine.BoxEvery(o.Set.Period)
	s.KeptFor = m.network.Constants.Expiry
	bad := m.machine.Bad()
	var seen []relayed.Watcher
	seen, s.Twice = m.machine.Watchers(relayed.ContactID(p.conversation.ID()))
	for _, w := range seen {
		losing := slices.Contains(bad, w.Relay)
		if w.Relay == m.machine.Guard() {
			losing = m.machine.Losing() // it, or the line to it
		}
		s.Relays = append(s.Relays, RelaySeen{
			Role: w.Role, Operator: w.Operator, Address: m.placeOf(w.Relay), Chosen: chosen(o, w.Relay, w.Role),
			Losing: losing, Line: w.Role == "guard" && m.machine.LosingAgain(),
		})
	}
}

func (m *line) placeOf(id onion.ID) string {
	if v := m.voucher(id); v != nil {
		return m.addressOf(v)
	}
	return ""
}

// chosen says who chose a drop.
func chosen(o channel.Drops, id onion.ID, role string) string {
	if role != "drop" {
		return ""
	}
	own := int(o.Side) - 1 // the inviter's is the first
	switch id {
	case o.Set.Relays[2]:
		return "neither"
	case o.Set.Relays[own]:
		return "you"
	default:
		return "them"
	}
}

// SetRoute changes by which routes a contact is talked to.
func (n *Node) SetRoute(ctx context.Context, name string, policy channel.Policy) error {
	return n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		if policy != channel.RelayRoute && p.conversation.NeedsRelays() {
			return channel.ErrCharterRoute
		}
		if policy == channel.RelayRoute {
			if d.mail == nil {
				return ErrNoRelays
			}
			if _, ok := d.mail.carried[p.conversation.ID()]; !ok {
				return ErrNoDrops
			}
		}
		if err := d.apply(p, p.conversation.SetRoute(d.cfg.Now(), policy)); err != nil {
			return err
		}
		place, _ := identity.PlaceOf(d.settings.Address) // none, if it does not listen
		return d.apply(p, p.conversation.Moved(d.cfg.Now(), toldTo(p, place)))
	})
}
