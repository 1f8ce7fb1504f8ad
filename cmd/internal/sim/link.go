package sim

import (
	"time"

	padding "github.com/backchannel/backchannel/relay"
)

// What a frame has beside its packet: its kind, yamux's header, and TLS records of at
// most 16 KiB with their headers, kinds and tags (docs/spec/link.md).
const (
	frameKind   = 1
	yamuxHeader = 12
	recordOver  = 22
	recordMost  = 1 << 14
)

// onWire is how many bytes of TCP carry so many of a stream.
func onWire(n int) int {
	n += yamuxHeader
	return n + recordOver*((n+recordMost-1)/recordMost)
}

// Sizes of what else there is on links, in bytes: the messages of a TLS handshake with
// ML-KEM-768 between two libp2p peers, and a question about the directory and its answer.
const (
	hello    = 1750
	welcome  = 2900
	finish   = 1150
	settle   = 260
	question = 2 + 20 + 8227
	answer   = 4 + 131_072
)

// A path is what the way from one place to another takes. TCP keeps the order.
type path struct {
	latency int64 // nanoseconds
	last    int64 // when the last packet came
}

// newPath draws a latency of 8 to 158 ms.
func (w *World) newPath(index int) path {
	return path{last: -int64(warmUp), latency: 8_000_000 + int64(mix64(w.cfg.Seed^uint64(index)<<20)%150_000_000)}
}

// jitter is the mean of what is added to a latency.
const jitter = 4 * time.Millisecond

// take returns when a packet that leaves now comes.
func (p *path) take(w *World, at int64) int64 {
	p.last = max(p.last+1, at+p.latency+int64(exponential(w.random, jitter)))
	return p.last
}

// A link is one direction between two relays. Frames leave at the moments of
// docs/spec/link.md, section 2, on the sender's clock; a packet takes the next that is
// free.
type link struct {
	path
	to   *relay
	slot int64 // nanoseconds
	rate int64 // frames in a slot; 0: it is not padded, and packets leave at once
	next int64 // number of the first frame that is free, counted from 1970
}

const linkMargin = 16 // one part of a slot in so many is free at either end

// frameAt returns when a frame leaves.
func (l *link) frameAt(n int64) int64 {
	margin := l.slot / linkMargin
	beats := l.slot - 2*margin
	s, i := n/l.rate, n%l.rate
	return s*l.slot + margin + ((2*i+1)*beats-1)/(2*l.rate) + 1
}

// due returns the number of the first frame that leaves after a moment.
func (l *link) due(now int64) int64 {
	margin := l.slot / linkMargin
	beats := l.slot - 2*margin
	s, into := now/l.slot, now%l.slot-margin
	if into < 0 {
		return s * l.rate
	}
	return s*l.rate + min(l.rate, (2*into*l.rate+beats)/(2*beats))
}

// send gives a packet a frame, and returns when it leaves; or nothing, if as many wait
// as may.
func (l *link) send(now int64) (at int64, ok bool) {
	if l.rate == 0 {
		return now, true
	}
	first := l.due(now)
	n := max(first, l.next)
	if n-first >= max(2*l.rate, 64) {
		return 0, false
	}
	l.next = n + 1
	return l.frameAt(n), true
}

// pad sets the rate of an epoch. Packets that wait keep the frames that they have.
func (l *link) pad(rate int64, now int64) {
	if rate == l.rate {
		return
	}
	busy := int64(0)
	if l.rate > 0 && l.next > 0 {
		busy = l.frameAt(l.next - 1)
	}
	l.rate = rate
	l.next = l.due(max(busy, now))
}

// relink brings the links of a view, padded or not.
func (w *World) relink() {
	for _, r := range w.relays {
		for _, l := range r.links {
			if l == nil {
				continue
			}
			rate := 0
			if w.padded() && w.view.Linked(r.id, l.to.id) {
				rate = padding.Rate(w.view.View, w.network.Constants.Slot, r.id, l.to.id)
			}
			l.pad(int64(rate), r.unix(w.now))
		}
	}
}
