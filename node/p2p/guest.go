package p2p

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// discardBytes is how much a guest may send that is read and thrown away.
	// Beyond it the kernel's window closes and the rest waits with the sender.
	discardBytes = 64 << 10
	// farewellTime is how long after our FIN a guest may go on sending before
	// the socket is closed, which answers further bytes with a reset.
	farewellTime = 250 * time.Millisecond
)

// A guest is a connection whose dialler is not known yet, or will never be.
type guest struct {
	conn   *net.TCPConn
	source netip.Prefix
	since  time.Time
	order  uint64        // of arrival
	leave  chan struct{} // closed to send the guest away before its time
}

// A lobby holds the guests, at most max. When it is full, the source with the
// most guests loses its oldest, so that a flood drowns itself: friends at other
// addresses are not touched, and a friend at the same address only has to send
// its 44 bytes before so many more connections have arrived.
type lobby struct {
	slots  chan struct{} // one element for each guest whose socket is open
	mu     sync.Mutex
	guests map[netip.Prefix][]*guest // guarded by mu; oldest first
	count  uint64                    // guarded by mu
}

func newLobby(size int) *lobby {
	return &lobby{slots: make(chan struct{}, size), guests: map[netip.Prefix][]*guest{}}
}

// enter admits a connection as a guest, at another's expense if need be. Only the
// accepting goroutine calls it. It returns nil if ctx is done.
func (b *lobby) enter(ctx context.Context, conn *net.TCPConn) *guest {
	since := time.Now()
	select {
	case b.slots <- struct{}{}:
	default:
		b.evict()
		select {
		case b.slots <- struct{}{}: // as soon as the evicted one's socket is closed
		case <-ctx.Done():
			return nil
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	g := &guest{conn: conn, source: sourceOf(conn), since: since, order: b.count, leave: make(chan struct{})}
	b.guests[g.source] = append(b.guests[g.source], g)
	return g
}

// exit frees the guest's place. Its socket is closed, or a link's.
func (b *lobby) exit(g *guest) {
	b.mu.Lock()
	b.remove(g)
	b.mu.Unlock()
	<-b.slots
}

// remove reports whether the guest was still listed. The caller holds mu.
func (b *lobby) remove(g *guest) bool {
	list := b.guests[g.source]
	for i, other := range list {
		if other == g {
			if len(list) == 1 {
				delete(b.guests, g.source)
			} else {
				b.guests[g.source] = append(list[:i:i], list[i+1:]...)
			}
			return true
		}
	}
	return false
}

// evict sends away the oldest guest of the source that has most; between equals,
// the oldest of all.
func (b *lobby) evict() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var worst []*guest
	for _, list := range b.guests {
		if len(list) > len(worst) || len(list) == len(worst) && list[0].order < worst[0].order {
			worst = list
		}
	}
	if worst != nil {
		b.sendAway(worst[0])
	}
}

// empty sends every guest away.
func (b *lobby) empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.guests {
		for _, g := range append([]*guest(nil), list...) {
			b.sendAway(g)
		}
	}
}

// sendAway wants mu held.
func (b *lobby) sendAway(g *guest) {
	if b.remove(g) {
		close(g.leave)
		_ = g.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// sourceOf is what a dialler has one of: an IPv4 address or an IPv6 /64. A Tor
// daemon's or a proxy's connections all come from one.
func sourceOf(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(ip, bits).Masked()
}

// welcome owns a guest until it is admitted or gone. Whatever the guest sends,
// if it does not fit, nothing is written and the end comes at one moment, counted
// from accept.
func (n *Network) welcome(ctx context.Context, g *guest) {
	deadline := g.since.Add(n.cfg.HandshakeTimeout)
	var o opening
	g.readUntil(deadline)
	if _, err := io.ReadFull(g.conn, o[:]); err == nil {
		if p := n.choose(&o); p != nil {
			n.lobby.exit(g)
			n.admit(ctx, g.conn, &o, p)
			return
		}
	}
	defer n.lobby.exit(g)
	defer g.conn.Close()
	g.outlast(deadline)
	// A FIN first, then a last look for bytes under way: closing a socket with
	// unread bytes in it sends a reset.
	_ = g.conn.CloseWrite()
	g.readUntil(time.Now().Add(farewellTime))
	g.discard()
}

// readUntil sets the deadline for reading, unless the guest has been sent away.
func (g *guest) readUntil(deadline time.Time) {
	_ = g.conn.SetReadDeadline(deadline)
	select {
	case <-g.leave:
		_ = g.conn.SetReadDeadline(time.Unix(1, 0))
	default:
	}
}

// outlast waits for the deadline, throwing away what arrives. A guest that has
// half-closed waits like the others.
func (g *guest) outlast(deadline time.Time) {
	g.discard()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.leave:
	}
}

// discard reads at most discardBytes. Its buffer is small on purpose: there may
// be hundreds of guests.
func (g *guest) discard() {
	var buf [512]byte
	for left := discardBytes; left > 0; {
		n, err := g.conn.Read(buf[:])
		if err != nil {
			return
		}
		left -= n
	}
}
