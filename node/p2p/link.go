package p2p

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	core "github.com/libp2p/go-libp2p/core/transport"
)

// A link is one connection of a pair, from the moment the gate or Dial has a TCP
// connection until it is closed.
type link struct {
	pair      *pair
	direction direction
	wire      *wireConn
	opened    atomic.Bool   // its one stream has been opened
	taken     chan struct{} // closed when the stream has been taken from Accept
	done      chan struct{} // closed when the link is
	once      sync.Once

	mu    sync.Mutex
	muxed core.CapableConn // guarded by mu; nil until upgraded
	ended bool             // guarded by mu
}

// newLink takes over conn and a reserved slot of p. It returns nil, with the
// connection closed, if the pair has been removed.
func newLink(p *pair, d direction, conn net.Conn, replay []byte, h hooks) *link {
	l := &link{
		pair: p, direction: d, wire: newWireConn(conn, p, replay, h),
		taken: make(chan struct{}), done: make(chan struct{}),
	}
	if !p.enter(l) {
		_ = conn.Close()
		return nil
	}
	return l
}

// upgrade runs pnet, Noise and yamux. Noise itself refuses any other peer ID than
// the pair's. The link is closed if it fails.
func (l *link) upgrade(ctx context.Context) bool {
	conn, err := l.pair.transport.upgrade(ctx, l)
	if err != nil {
		l.close()
		return false
	}
	l.mu.Lock()
	ended := l.ended
	l.muxed = conn
	l.mu.Unlock()
	if ended {
		_ = conn.Close()
	}
	return !ended
}

// close ends the connection and everything on it, and gives its slot back.
func (l *link) close() {
	l.once.Do(func() {
		l.mu.Lock()
		l.ended = true
		muxed := l.muxed
		l.mu.Unlock()
		close(l.done)
		// First the socket: yamux waits for its writer before it closes, and
		// the writer may wait for somebody who does not read.
		_ = l.wire.Close()
		if muxed != nil {
			_ = muxed.Close()
		}
		l.pair.leave(l)
	})
}

// A muxedLink is an upgraded link as the swarm sees it. It lets the stream
// handler find the link by As.
type muxedLink struct {
	core.CapableConn
	link *link
}

// As implements [network.Conn].
func (m *muxedLink) As(target any) bool {
	if l, ok := target.(**link); ok {
		*l = m.link
		return true
	}
	return m.CapableConn.As(target)
}

// admit takes a connection whose opening fits through to its stream. The other
// end has HandshakeTimeout for it, and the stream as long to be taken.
func (n *Network) admit(ctx context.Context, conn net.Conn, o *opening, p *pair) {
	l := newLink(p, inbound, conn, o[:], n.hooks)
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.HandshakeTimeout)
	defer cancel()
	_ = conn.SetDeadline(time.Time{})
	if !l.upgrade(ctx) {
		return
	}
	select {
	case p.transport.feed <- &muxedLink{CapableConn: l.muxed, link: l}:
	case <-p.transport.closed:
		l.close()
	case <-ctx.Done():
		l.close()
	}
	select {
	case <-l.taken:
	case <-l.done:
	case <-ctx.Done():
		l.close()
	}
}
