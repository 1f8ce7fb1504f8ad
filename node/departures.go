package node

import (
	"context"
	"slices"
	"sync"
	"time"
)

// departures are the packets that are to leave on a link, and their moments. Who has the
// line puts them in; the link's sender takes each out at its moment, and not before: until
// then it can be replaced.
type departures struct {
	mu     sync.Mutex
	list   []outgoing // in the order of their moments
	missed []outgoing // did not leave at theirs
	more   chan struct{}
}

// outgoing is a packet and the moment at which it leaves.
type outgoing struct {
	packet []byte
	at     time.Time
}

func newDepartures() *departures { return &departures{more: make(chan struct{}, 1)} }

// put adds a packet, and reports whether there is room.
func (d *departures) put(p outgoing) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) >= outgoingMost {
		return false
	}
	d.list = append(d.list, p)
	d.tell()
	return true
}

func (d *departures) tell() {
	select {
	case d.more <- struct{}{}:
	default:
	}
}

// takeMissed returns those that did not leave at their moments, once.
func (d *departures) takeMissed() []outgoing {
	d.mu.Lock()
	defer d.mu.Unlock()
	missed := d.missed
	d.missed = nil
	return missed
}

// takeAll empties it, and returns what does not leave.
func (d *departures) takeAll() []outgoing {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Concat(d.missed, d.list)
	d.missed, d.list = nil, nil
	return all
}

// moments returns those of all packets that have not left.
func (d *departures) moments() (all []time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.list {
		all = append(all, p.at)
	}
	return all
}

// replace puts others in the place of packets that were there when moments was called,
// more of them after those, and wipes those that were there. What has left meanwhile has no
// need of another; those others are returned.
func (d *departures) replace(were int, by []outgoing) (left []outgoing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gone := were - len(d.list)
	for _, p := range d.list {
		clear(p.packet)
	}
	d.list, d.missed = append([]outgoing{}, by[gone:]...), nil
	d.tell()
	return by[:gone]
}

// first is the moment of the next packet.
func (d *departures) first() (at time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 {
		return at, false
	}
	return d.list[0].at, true
}

// pop takes out the next packet, if it is of this moment and may still leave.
func (d *departures) pop(at time.Time, may bool) (packet []byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 || !d.list[0].at.Equal(at) {
		return nil, false
	}
	p := d.list[0]
	if d.list = d.list[1:]; !may {
		d.missed = append(d.missed, p)
		d.missed = d.missed[max(0, len(d.missed)-outgoingMost):]
		return nil, false
	}
	return p.packet, len(p.packet) > 0
}

// send sends packets at their moments until ctx is done or sending fails. One whose moment
// has passed by more than grace is not made up for; one that would wait for longer than
// longest was put in before the clock was put back.
func (d *departures) send(ctx context.Context, grace, longest time.Duration, send func(packet []byte) error) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		at, some := d.first()
		wait := time.Hour
		if some {
			wait = time.Until(at)
		}
		if some && wait > longest {
			d.pop(at, false)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-d.more:
			continue
		case <-ctx.Done():
			return
		}
		if packet, ok := d.pop(at, time.Since(at) <= grace); ok && send(packet) != nil {
			return
		}
	}
}
