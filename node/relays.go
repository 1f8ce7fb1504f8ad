package node

import (
	"context"
	"errors"
	"io"
	"time"

	guardlink "github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Relays is what a node needs of the relay network that its machine has joined. It
// belongs to the machine and not to a vault: who looks at the machine's connections
// must not see from which vault they come.
type Relays interface {
	File() *directory.File // with the signatures of enough founders
	Dial(ctx context.Context, relay directory.Identity, address string) (RelayLink, error)
	Guards() []byte            // what KeepGuards was last given; nil: nothing
	KeepGuards(b []byte) error // for the next run
	Avoided() relayed.Avoided  // relays that are not to be guards, nor drops of this side's choice
}

// A RelayLink is a connection to a relay. [link.Guard] is one.
type RelayLink interface {
	Name() onion.ID
	Send(packet []byte) error
	Ask(ctx context.Context, question []byte) ([]byte, error)
	// Run hands over what comes. Its error is [guardlink.ErrUnruly] if the relay broke the
	// rules.
	Run(ctx context.Context, receive func(packet []byte)) error
	Close()
}

// guardLink is the link with the guard in use, and what is to leave on it.
type guardLink struct {
	RelayLink
	guard onion.ID
	queue *departures
	quit  context.CancelFunc
}

const (
	relayTimeout = 30 * time.Second
	// outgoingMost is how many packets may wait for their moments: those of three slots.
	outgoingMost = 32
)

// linkGuard connects with the relay that is the guard, or may become it, and asks
// which relays there are.
func (m *line) linkGuard(v *directory.Voucher) {
	question, err := m.question()
	if err != nil {
		return
	}
	m.dialling = true
	relays, address := m.relays, m.addressOf(v)
	m.group.Go(func() {
		ctx, cancel := context.WithTimeout(m.ctx, relayTimeout)
		defer cancel()
		l, answer, err := dialAndAsk(ctx, relays, v.Relay, address, question)
		taken := make(chan error, 1)
		posted := m.post(func() {
			if m.dialling = false; err != nil {
				m.notLinked(v.Relay.ID())
				return
			}
			taken <- m.linked(v.Relay.ID(), l, answer)
		})
		if err == nil && (!posted || <-taken != nil) {
			l.Close()
		}
	})
}

func dialAndAsk(ctx context.Context, relays Relays, relay directory.Identity, address string, question []byte) (RelayLink, []byte, error) {
	l, err := relays.Dial(ctx, relay, address)
	if err != nil {
		return nil, nil, err
	}
	answer, err := l.Ask(ctx, question)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, answer, nil
}

// addressOf is where a relay says that it is, else where its founders say.
func (m *line) addressOf(v *directory.Voucher) string {
	if m.view != nil {
		if r, ok := m.view.Member(v.Relay.ID()); ok && len(r.Places) > 0 {
			return r.Places[0].Address()
		}
	}
	return v.Place.Address()
}

// carry runs a link until it ends.
func (m *line) carry(l *guardLink) {
	ctx, quit := context.WithCancel(m.ctx)
	l.quit = quit
	m.group.Go(func() {
		defer quit()
		err := l.Run(ctx, func(packet []byte) {
			m.post(func() {
				if m.link == l {
					m.turn(m.now(), m.machine.Reply(m.now(), packet))
				}
			})
		})
		m.post(func() {
			if errors.Is(err, guardlink.ErrUnruly) {
				m.turn(m.at, m.machine.Distrust(m.now(), l.guard))
			}
			m.down(l)
		})
	})
	m.group.Go(func() {
		defer quit() // ends Run, too
		l.queue.send(ctx, max(m.slot/40, 100*time.Millisecond), 3*m.lead, l.Send)
	})
}

// unsent takes note that a packet which was handed to a link did not leave.
func (m *line) unsent(p outgoing) {
	m.sent--
	m.lost++
	m.machine.NotSent(p.packet)
}

// askOther asks a relay which relays there are, over a link of its own: the other
// guard, so that one that leaves some out is found.
func (m *line) askOther(relay onion.ID) {
	v := m.dialable(relay)
	question, err := m.question()
	if v == nil || err != nil {
		return
	}
	relays, address := m.relays, m.addressOf(v)
	m.group.Go(func() {
		ctx, cancel := context.WithTimeout(m.ctx, relayTimeout)
		defer cancel()
		l, answer, err := dialAndAsk(ctx, relays, v.Relay, address, question)
		if err != nil {
			return
		}
		l.Close()
		m.post(func() { m.learn(relay, answer) })
	})
}

// askGuard asks the guard in use.
func (m *line) askGuard() {
	if m.link == nil {
		return // it is asked when there is one
	}
	question, err := m.question()
	if err != nil {
		return
	}
	l := m.link
	m.group.Go(func() {
		ctx, cancel := context.WithTimeout(m.ctx, relayTimeout)
		defer cancel()
		if answer, err := l.Ask(ctx, question); err == nil {
			m.post(func() { m.learn(l.guard, answer) })
		}
	})
}

var errNoRelays = errors.New("node: the random source failed")

// question is what another is asked about the relays: a random name to begin at, and
// what is known here.
func (m *line) question() ([]byte, error) {
	var id onion.ID
	if _, err := io.ReadFull(m.cfg.Random, id[:]); err != nil {
		return nil, errNoRelays
	}
	return append(id[:], m.set.Summary(m.cfg.Now())...), nil
}
