package p2p

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	core "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
)

var errNeverDials = errors.New("dialling by libp2p: not in this program")

// A transport is the only transport of a pair's host. It opens no socket: what
// the gate has admitted is fed to the host, and nothing that libp2p does of its
// own accord can dial.
type transport struct {
	upgrader core.Upgrader
	manager  network.ResourceManager
	feed     chan core.CapableConn
	closed   chan struct{}
	once     sync.Once
}

var (
	_ core.Transport = (*transport)(nil)
	_ core.Listener  = (*feedListener)(nil)
)

func newTransport(u core.Upgrader, m network.ResourceManager) *transport {
	return &transport{upgrader: u, manager: m, feed: make(chan core.CapableConn), closed: make(chan struct{})}
}

// upgrade turns a link's TCP connection into a libp2p connection with the pair's
// other end.
func (t *transport) upgrade(ctx context.Context, l *link) (core.CapableConn, error) {
	dir := network.DirOutbound
	if l.direction == inbound {
		dir = network.DirInbound
	}
	scope, err := t.manager.OpenConnection(dir, true, nowhere)
	if err != nil {
		return nil, err
	}
	return t.upgrader.Upgrade(ctx, t, l.wire, dir, l.pair.remoteID, scope)
}

// Dial implements the interface by refusing; see [Network.Dial].
func (*transport) Dial(context.Context, ma.Multiaddr, peer.ID) (core.CapableConn, error) {
	return nil, errNeverDials
}

// CanDial and SkipResolve keep libp2p from trying and from resolving names.
func (*transport) CanDial(ma.Multiaddr) bool                      { return false }
func (*transport) SkipResolve(context.Context, ma.Multiaddr) bool { return true }
func (*transport) Protocols() []int                               { return []int{ma.P_TCP} }
func (*transport) Proxy() bool                                    { return false }

// Listen returns the feed as a listener; there is nothing to bind.
func (t *transport) Listen(ma.Multiaddr) (core.Listener, error) { return &feedListener{t}, nil }

// A feedListener gives the swarm what the gate has admitted.
type feedListener struct{ *transport }

// Accept implements [core.Listener].
func (f *feedListener) Accept() (core.CapableConn, error) {
	select {
	case c := <-f.feed:
		return c, nil
	case <-f.closed:
		return nil, core.ErrListenerClosed
	}
}

// Close implements [core.Listener].
func (f *feedListener) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr and Multiaddr implement [core.Listener], with nothing.
func (*feedListener) Addr() net.Addr          { return nowhereTCP }
func (*feedListener) Multiaddr() ma.Multiaddr { return nowhere }
