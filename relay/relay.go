package relay

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	known "github.com/backchannel/backchannel/relay/directory"
	"github.com/backchannel/backchannel/relay/mix"
)

// Config is what a Relay is made with.
type Config struct {
	Network *directory.Network
	Items   []directory.Item   // vouchers of the network file
	Key     ed25519.PrivateKey // the relay's identity
	Listen  string             // "host:port" with an IP address, or nothing, as host
	Places  []identity.Place   // where others reach it; none: the place in its voucher
	Dir     string             // a folder of its own
	Dialer  *p2p.Dialer        // nil: dials directly
	Drop    mix.Drop           // nil: this relay keeps no boxes

	MaxClients int // zero: 4,096
}

// A Relay is a running relay's rooms.
type Relay struct {
	cfg     Config
	id      onion.ID
	host    *link.Host
	mix     *mix.Mix
	known   *known.Directory
	refresh chan struct{}
	begun   time.Time
}

// Open binds the port and makes fresh keys.
func Open(cfg Config) (*Relay, error) {
	r := &Relay{
		cfg: cfg, id: directory.Identity(cfg.Key.Public().(ed25519.PublicKey)).ID(),
		refresh: make(chan struct{}, 1), begun: time.Now(),
	}
	r.known = known.Open(known.Config{Network: cfg.Network, Items: cfg.Items, Key: cfg.Key, Places: cfg.Places, Dir: cfg.Dir})
	constants := cfg.Network.Constants
	var err error
	if r.mix, err = mix.Open(mix.Config{Network: cfg.Network, ID: r.id}, links{r}, cfg.Drop); err != nil {
		return nil, err
	}
	r.host, err = link.Open(link.Config{
		Key: cfg.Key, Listen: cfg.Listen, Dialer: cfg.Dialer, Packet: constants.Suite.Geometry().Packet, Slot: constants.Slot,
		PerClient: constants.Packets(), MaxClients: cfg.MaxClients,
		Receive: func(from onion.ID, client bool, packet []byte) {
			r.mix.Receive(mix.Source{ID: from, Client: client}, packet)
		},
		Answer: r.known.Answer,
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Address returns the "host:port" that the relay listens on.
func (r *Relay) Address() string { return r.host.Address() }

// Counts returns what became of the packets since the start.
func (r *Relay) Counts(ctx context.Context) (mix.Counts, error) { return r.mix.Counts(ctx) }

// Health returns what the relay's own loops say.
func (r *Relay) Health(ctx context.Context) (h mix.Health, err error) {
	err = r.mix.Do(ctx, func(m *mix.Machine) { h = m.Health() })
	return h, err
}

// View returns the relays of an epoch, as far as they are known now.
func (r *Relay) View(e directory.Epoch) *directory.View { return r.known.View(e) }

// Linked returns the relays that there is a link with.
func (r *Relay) Linked() []onion.ID { return r.host.Linked() }

// Run relays until ctx ends or a room fails.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	var mu sync.Mutex
	var failed error
	start := func(run func(context.Context) error) {
		tasks.Go(func() {
			defer cancel()
			if err := run(ctx); err != nil && ctx.Err() == nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	start(r.host.Run)
	start(r.mix.Run)
	start(r.bring)
	start(func(ctx context.Context) error {
		root := r.cfg.Network.Root()
		gossip, err := r.host.Gossip(ctx, "/x/directory/"+hex.EncodeToString(root[:8]), r.known)
		if err != nil {
			return err
		}
		return r.known.Run(ctx, r.self, r.host, gossip, r.changed)
	})
	tasks.Wait()
	return failed
}

// changed asks for the view to be brought again.
func (r *Relay) changed() {
	select {
	case r.refresh <- struct{}{}:
	default:
	}
}

// bring tells links and mix what is known, when it changes and in every slot: gossip may
// have brought something.
func (r *Relay) bring(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Network.Constants.Slot)
	defer tick.Stop()
	for {
		v := r.known.View(r.cfg.Network.EpochAt(time.Now()))
		if err := r.host.Neighbours(r.neighbours(v)); err != nil {
			return err
		}
		err := r.mix.Do(ctx, func(m *mix.Machine) {
			m.SetView(v)
			if own, ok := v.Member(r.id); ok {
				m.SetMean(own.Mean)
			}
		})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.refresh:
		}
	}
}

// neighbours are those of the view, and, while either end is not in it, everybody that
// founders vouch for: that is how a relay comes into a view.
func (r *Relay) neighbours(v *directory.View) (all []link.Neighbour) {
	_, in := v.Member(r.id)
	for _, w := range r.known.Vouched() {
		id := w.Relay.ID()
		member, ok := v.Member(id)
		n := link.Neighbour{Relay: w.Relay, Addresses: []string{w.Place.Address()}, Rate: leastRate}
		if ok {
			n.Addresses = n.Addresses[:0]
			for _, p := range member.Places {
				n.Addresses = append(n.Addresses, p.Address())
			}
		}
		if in && ok {
			if !v.Linked(r.id, id) {
				continue
			}
			n.Rate = Rate(v, r.cfg.Network.Constants.Slot, r.id, id)
		}
		if id != r.id {
			all = append(all, n)
		}
	}
	return all
}

// self is what the next descriptor says. A relay that has just started has measured
// nothing, and begins with the network's mean.
func (r *Relay) self(ctx context.Context) (s known.Self, err error) {
	constants := r.cfg.Network.Constants
	s.Mean = constants.Mean
	if s.Epoch, s.Keys, err = r.mix.Keys(ctx); err != nil {
		return s, err
	}
	now := time.Now()
	v := r.known.View(s.Epoch)
	if own, ok := v.Member(r.id); ok {
		s.Mean = own.Mean
	}
	var average float64
	if err := r.mix.Do(ctx, func(m *mix.Machine) { average = m.Average(now) }); err != nil {
		return s, err
	}
	if now.Sub(r.begun) > constants.Epoch/4 {
		s.Mean = mix.Raise(constants, average, s.Mean)
	}
	s.Pool = uint32(math.Ceil(average))
	return s, nil
}

// links are the mix's way out.
type links struct{ *Relay }

// Send implements [mix.Links].
func (l links) Send(relay onion.ID, packet []byte) error { return plain(l.host.Send(relay, packet)) }

// Deliver implements [mix.Links].
func (l links) Deliver(client onion.ID, packet []byte) error {
	return plain(l.host.Deliver(client, packet))
}

func plain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, link.ErrFull):
		return mix.ErrLinkFull
	}
	return mix.ErrNoLink
}
