package link

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// How a relay tries again, and how much may wait.
const (
	retryLeast   = time.Second
	retryMost    = time.Minute
	writeTimeout = 20 * time.Second
	batch        = 64 // frames in one write
	leastQueue   = 64
)

// A Neighbour is a relay that a link is kept with. Both ends call Neighbours with the same
// rate, which follows from the view.
type Neighbour struct {
	Relay     directory.Identity
	Addresses []string // "host:port"
	Rate      int      // frames in a slot, each way
}

type neighbour struct {
	Neighbour
	id     onion.ID
	peer   peer.ID
	queue  chan []byte
	cancel context.CancelFunc // of keep; nil: it waits to be dialled
	link   network.Stream     // guarded by Host.mu; nil: no link
}

// Neighbours says with whom links are kept from now on. Links with others end; a link
// whose rate changes begins anew.
func (h *Host) Neighbours(all []Neighbour) error {
	wanted := map[onion.ID]*neighbour{}
	for _, n := range all {
		p, err := peerOf(n.Relay)
		if err != nil {
			return err
		}
		if id := n.Relay.ID(); id != h.id && n.Rate > 0 {
			wanted[id] = &neighbour{Neighbour: n, id: id, peer: p, queue: make(chan []byte, max(leastQueue, 2*n.Rate))}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, old := range h.neighbours {
		if n := wanted[id]; n != nil && n.Rate == old.Rate {
			old.Addresses = n.Addresses
			continue
		}
		h.drop(old)
		delete(h.neighbours, id)
	}
	for id, n := range wanted {
		if h.neighbours[id] == nil {
			h.neighbours[id] = n
			h.keep(n)
		}
	}
	return nil
}

// drop ends a link; mu is held.
func (*Host) drop(n *neighbour) {
	if n.cancel != nil {
		n.cancel()
	}
	if n.link != nil {
		_ = n.link.Reset()
	}
}

// keep dials a neighbour, now and again, if its name is the greater one; mu is held.
func (h *Host) keep(n *neighbour) {
	if h.ctx == nil || n.cancel != nil || string(h.id[:]) > string(n.id[:]) {
		return
	}
	ctx, cancel := context.WithCancel(h.ctx)
	n.cancel = cancel
	h.tasks.Go(func() {
		defer cancel()
		for wait := retryLeast; ctx.Err() == nil; wait = min(2*wait, retryMost) {
			begun := time.Now()
			if s, err := h.dial(ctx, n); err == nil {
				h.serve(ctx, n, s)
			}
			if time.Since(begun) > retryMost {
				wait = retryLeast
			}
			select {
			case <-time.After(wait/2 + rand.N(wait)): //nolint:gosec // when to try again is no secret
			case <-ctx.Done():
			}
		}
	})
}

func (h *Host) dial(ctx context.Context, n *neighbour) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, retryMost)
	defer cancel()
	h.mu.Lock()
	addresses := n.Addresses
	h.mu.Unlock()
	var all []ma.Multiaddr
	for _, a := range addresses {
		if m, err := multiaddrOf(a); err == nil {
			all = append(all, m)
		}
	}
	if s, ok := h.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(n.peer) // keep has waited already; libp2p would not even try
	}
	h.host.Peerstore().ClearAddrs(n.peer)
	h.host.Peerstore().AddAddrs(n.peer, all, peerstore.TempAddrTTL)
	return h.host.NewStream(ctx, n.peer, linkProtocol)
}

// incomingRelay takes a link that a neighbour has opened. It takes the place of an older
// one, which the neighbour has lost.
func (h *Host) incomingRelay(s network.Stream) {
	id, err := idOfPeer(s.Conn().RemotePeer())
	ctx, ok := h.begin()
	if !ok {
		_ = s.Reset()
		return
	}
	defer h.tasks.Done()
	h.mu.Lock()
	n := h.neighbours[id]
	h.mu.Unlock()
	if err != nil || n == nil || string(n.id[:]) > string(h.id[:]) {
		_ = s.Reset()
		return
	}
	h.serve(ctx, n, s)
}

// serve carries frames until either end ends.
func (h *Host) serve(ctx context.Context, n *neighbour, s network.Stream) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	h.mu.Lock()
	if h.neighbours[n.id] != n {
		h.mu.Unlock()
		_ = s.Reset()
		return
	}
	if n.link != nil {
		_ = n.link.Reset()
	}
	n.link = s
	h.mu.Unlock()
	h.tasks.Go(func() {
		defer cancel()
		_ = writeFrames(ctx, s, n.queue, newPace(h.cfg.Slot, n.Rate, time.Now()), h.cfg.Packet, func(frames int) { tapped(h.id, n.id, frames, h.cfg.Packet) })
	})
	_ = h.read(n, s)
	_ = s.Reset()
	h.mu.Lock()
	if n.link == s {
		n.link = nil
	}
	h.mu.Unlock()
}

type deadlineWriter interface {
	io.Writer
	SetWriteDeadline(t time.Time) error
}

// writeFrames sends a frame at each beat: what waits, or padding. It tells leaves of them.
func writeFrames(ctx context.Context, s deadlineWriter, queue <-chan []byte, p *pace, size int, leaves func(frames int)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var out []byte
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		count, wait := p.take(time.Now())
		for count > 0 {
			out = out[:0]
			for range min(count, batch) {
				var packet []byte
				select {
				case packet = <-queue:
				default:
				}
				out = appendFrame(out, packet, size)
			}
			count -= min(count, batch)
			if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
				return err
			}
			leaves(len(out) / frameSize(size))
			if _, err := s.Write(out); err != nil {
				return err
			}
		}
		timer.Reset(wait)
	}
}

// read takes frames, no more of them than the other end has agreed to send.
func (h *Host) read(n *neighbour, s network.Stream) error {
	frames := newFrameReader(s, h.cfg.Packet)
	patience := max(2*h.cfg.Slot, writeTimeout)
	allowed := newAllowance(h.cfg.Slot, n.Rate)
	var renewed time.Time
	for {
		now := time.Now()
		if now.Sub(renewed) > patience/4 {
			renewed = now
			if err := s.SetReadDeadline(now.Add(patience)); err != nil {
				return err
			}
		}
		packet, err := frames.next()
		if err != nil {
			return err
		}
		if !allowed.take(time.Now()) {
			return errRate
		}
		if packet != nil {
			h.cfg.Receive(n.id, false, packet)
		}
	}
}

// Send gives a packet to the link with a relay. It does not wait.
func (h *Host) Send(relay onion.ID, packet []byte) error {
	if len(packet) != h.cfg.Packet {
		return errors.New("link: size of a packet")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.neighbours[relay]
	if n == nil || n.link == nil {
		return ErrNoLink
	}
	select {
	case n.queue <- packet:
		return nil
	default:
		return ErrFull
	}
}

// Linked returns the relays that there is a link with.
func (h *Host) Linked() (all []onion.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, n := range h.neighbours {
		if n.link != nil {
			all = append(all, id)
		}
	}
	return all
}

// An allowance counts what came in a time that is as long as a slot. Twice the rate is
// allowed, since two clocks and a network lie between.
type allowance struct {
	slot  time.Duration
	most  int
	begun time.Time
	count int
}

func newAllowance(slot time.Duration, rate int) *allowance {
	return &allowance{slot: slot, most: 2*rate + 16}
}

func (a *allowance) take(now time.Time) bool {
	if now.Sub(a.begun) >= a.slot {
		a.begun, a.count = now, 0
	}
	a.count++
	return a.count <= a.most
}
