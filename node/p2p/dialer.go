package p2p

import (
	"context"
	"net"

	"golang.org/x/net/proxy"
)

// A Dialer makes the TCP connections to relays, directly or by the proxy, as a Network
// does to pairs.
type Dialer struct {
	proxy  *socksProxy
	auth   *proxy.Auth
	dialer net.Dialer
}

// NewDialer returns a Dialer. The proxy is that of [Config]; with one, every dial goes
// through it and no name is resolved here.
func NewDialer(proxy string) (*Dialer, error) {
	d := &Dialer{auth: isolated()}
	d.dialer.SetMultipathTCP(false)
	if proxy == "" {
		return d, nil
	}
	var err error
	d.proxy, err = parseProxy(proxy)
	return d, err
}

// Dial connects to "host:port". It is bounded by ctx.
func (d *Dialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	a, err := parseAddress(addr)
	if err != nil {
		return nil, err
	}
	if a.onion && d.proxy == nil {
		return nil, ErrNeedsProxy
	}
	var c net.Conn
	if d.proxy != nil {
		c, err = d.proxy.dial(ctx, &d.dialer, d.auth, a)
	} else {
		c, err = d.dialer.DialContext(ctx, "tcp", a.String())
	}
	if err != nil {
		return nil, failing(ctx, ErrUnreachable)
	}
	return c, nil
}
