package relay

import (
	"context"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/relay/mix"
)

// Status is how a relay stands. Nothing in it tells one client, or one packet, from
// another.
type Status struct {
	Epoch      directory.Epoch
	Vouched    bool // founders vouch for it, and have not revoked it
	Known      bool // it is in the view of the epoch: packets may come
	Muted      bool // it cannot say of itself what others need to use it: its disk takes nothing
	Crowded    bool // it is not, as there are too many of its operator or address block
	Members    int  // of the view
	Operators  int  // of them
	Neighbours int  // relays that there should be a link with
	Linked     int  // relays that there is one with
	Clients    int
	Held       int           // packets in the pool
	Mean       time.Duration // of the delay
	Counts     mix.Counts
	Health     mix.Health
}

// Status returns it for this moment.
func (r *Relay) Status(ctx context.Context) (s Status, err error) {
	s.Epoch = r.cfg.Network.EpochAt(time.Now())
	s.Vouched = r.known.Relay(r.id)
	v := r.known.View(s.Epoch)
	own, known := v.Member(r.id)
	s.Known, s.Members, s.Mean = known, len(v.Members()), own.Mean
	s.Muted = r.known.Muted()
	s.Crowded = v.Crowded(r.id)
	operators := map[string]bool{}
	for _, m := range v.Members() {
		operators[m.Operator] = true
	}
	s.Operators, s.Neighbours = len(operators), len(r.neighbours(v))
	s.Linked, s.Clients = len(r.host.Linked()), r.host.Clients()
	err = r.mix.Do(ctx, func(m *mix.Machine) { s.Held, s.Health = m.Held(), m.Health() })
	if err != nil {
		return s, err
	}
	s.Counts, err = r.mix.Counts(ctx)
	return s, err
}
