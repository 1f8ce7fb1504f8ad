package p2p

import (
	"context"
	"net"

	"github.com/multiformats/go-multistream"
)

// Dial connects to the other end of a pair at "host:port", where host is an IPv4
// address, an IPv6 address in brackets, a DNS name or an .onion name. With a
// proxy in the Config the name goes there unresolved, and nothing else is dialled
// or asked. Dial is bounded by ctx and by Config.DialTimeout.
func (n *Network) Dial(ctx context.Context, h Handle, addr string) (Conn, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	if a.onion && n.proxy == nil {
		return nil, ErrNeedsProxy
	}
	running, ok := n.begin()
	if !ok {
		return nil, ErrClosed
	}
	defer n.tasks.Done()
	p := n.find(h)
	if p == nil {
		return nil, ErrNoPair
	}
	if !p.reserve(outbound) {
		return nil, ErrTooMany
	}
	bounded, cancel := context.WithTimeout(ctx, n.cfg.DialTimeout)
	defer cancel()
	defer context.AfterFunc(running, cancel)()

	c, err := n.dialPair(bounded, p, a)
	switch {
	case err != nil && running.Err() != nil:
		return nil, ErrClosed
	case err != nil:
		return nil, failing(ctx, err)
	}
	return c, nil
}

// dialPair uses up a reserved slot of p.
func (n *Network) dialPair(ctx context.Context, p *pair, a address) (*conn, error) {
	tcp, err := n.connect(ctx, p, a)
	if err != nil {
		p.release(outbound)
		return nil, ErrUnreachable
	}
	l := newLink(p, outbound, tcp, nil, n.hooks)
	if l == nil {
		return nil, ErrNoPair
	}
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	if !l.upgrade(ctx) {
		return nil, ErrRefused
	}
	s, err := l.muxed.OpenStream(ctx)
	if err == nil {
		err = multistream.SelectProtoOrFail(streamProtocol, s)
	}
	if err != nil || !stop() {
		l.close()
		return nil, ErrRefused
	}
	return &conn{network: n, link: l, stream: s}, nil
}

// connect makes the TCP connection, directly or by the proxy. These are the only
// two lines of this program that dial.
func (n *Network) connect(ctx context.Context, p *pair, a address) (net.Conn, error) {
	if n.proxy != nil {
		return n.proxy.dial(ctx, &n.dialer, p.isolation, a)
	}
	return n.dialer.DialContext(ctx, "tcp", a.String())
}
