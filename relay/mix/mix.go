package mix

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// How much may wait for the drop.
const (
	maxAsked = 256
	workers  = 8
)

type question struct {
	ticket Ticket
	until  time.Time
	body   onion.Body
}

type answer struct {
	ticket Ticket
	answer onion.Answer
}

// A Mix runs a Machine on the clock. Its methods may be called from several
// goroutines.
type Mix struct {
	links Links
	drop  Drop

	packets  *queue
	commands chan func(*Machine)
	asks     chan question
	answers  chan answer
	done     chan struct{}
	overrun  atomic.Uint64

	machine *Machine // Run's
}

// Open makes a Mix, with fresh keys. Without a drop every answer is Config.Failed.
func Open(cfg Config, links Links, drop Drop) (*Mix, error) {
	machine, err := New(cfg, time.Now())
	if err != nil {
		return nil, err
	}
	return &Mix{
		links: links, drop: drop, machine: machine,
		packets: newQueue(), commands: make(chan func(*Machine)),
		asks: make(chan question, maxAsked), answers: make(chan answer, maxAsked), done: make(chan struct{}),
	}, nil
}

// Receive takes a packet from a link, with its memory. It does not wait: what comes
// faster than packets are opened, or is more than its source's share of what waits, is
// refused, and counted.
func (x *Mix) Receive(from Source, packet []byte) bool {
	if x.packets.put(incoming{from, packet}) {
		return true
	}
	x.overrun.Add(1)
	return false
}

// ErrEnded is returned by Do when the Mix does not run any more.
var ErrEnded = errors.New("mix: ended")

// Do lets f look at the Machine, or tell it something. f must not wait, nor keep it.
func (x *Mix) Do(ctx context.Context, f func(*Machine)) error {
	ran := make(chan struct{})
	select {
	case x.commands <- func(m *Machine) { f(m); close(ran) }:
		<-ran
		return nil
	case <-x.done:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Keys returns what a descriptor of now carries.
func (x *Mix) Keys(ctx context.Context) (e directory.Epoch, keys [directory.KeyEpochs]onion.PublicKey, err error) {
	var failed error
	err = x.Do(ctx, func(m *Machine) { e, keys, failed = m.Keys(time.Now()) })
	return e, keys, errors.Join(err, failed)
}

// Run mixes until ctx ends. It erases the keys before it returns.
func (x *Mix) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer func() {
		cancel()
		tasks.Wait()
		x.machine.Wipe()
		close(x.done)
	}()
	for range workers {
		tasks.Go(func() { x.ask(ctx) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-x.packets.relays:
			x.open(p)
		case p := <-x.packets.clients: // as often as those, if both have something
			x.open(p)
		case a := <-x.answers:
			x.machine.Answer(a.ticket, a.answer)
			continue // it changes nothing about when
		case f := <-x.commands:
			f(x.machine)
		case <-timer.C:
		}
		now := time.Now()
		if next := x.machine.Next(); now.Before(next) {
			timer.Reset(next.Sub(now))
			continue
		}
		actions, err := x.machine.Advance(now)
		if err != nil {
			return err
		}
		x.act(actions)
		timer.Reset(max(0, x.machine.Next().Sub(now)))
	}
}

func (x *Mix) open(p incoming) {
	x.packets.took(p.from)
	x.act(x.machine.Packet(time.Now(), p.from, p.packet))
}

// act does what the Machine asked for. Nothing here waits.
func (x *Mix) act(actions []Action) {
	for _, a := range actions {
		switch a.Kind {
		case Ask:
			select {
			case x.asks <- question{a.Ticket, a.Until, a.Body}:
			default: // it will be answered "failed" when its time comes
			}
		case Send:
			x.count(Forwarded, x.links.Send(a.To, a.Packet))
		case Deliver:
			x.count(Delivered, x.links.Deliver(a.To, a.Packet))
		}
	}
}

func (x *Mix) count(done Reason, err error) {
	switch {
	case err == nil:
		x.machine.Count(done)
	case errors.Is(err, ErrLinkFull):
		x.machine.Count(LinkFull)
	default:
		x.machine.Count(NoLink)
	}
}

// ask brings questions to the drop.
func (x *Mix) ask(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-x.asks:
			if x.drop == nil {
				continue
			}
			until, cancel := context.WithDeadline(ctx, q.until)
			a := x.drop.Answer(until, q.body)
			cancel()
			select {
			case x.answers <- answer{q.ticket, a}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Counts returns what became of all packets so far.
func (x *Mix) Counts(ctx context.Context) (c Counts, err error) {
	err = x.Do(ctx, func(m *Machine) { c = m.Counts() })
	c[Overrun] += x.overrun.Load()
	return c, err
}
