package p2p

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"

	"golang.org/x/net/proxy"
)

// A socksProxy is a parsed Config.Proxy.
type socksProxy struct {
	address string
	auth    *proxy.Auth // nil: drawn for each pair
}

// parseProxy reads socks5://[user:password@]host:port. The text may hold a
// password, so an error never repeats it.
func parseProxy(s string) (*socksProxy, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "socks5" || u.Opaque != "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, ErrProxy
	}
	a, err := parseAddress(u.Host)
	if err != nil || a.onion {
		return nil, ErrProxy
	}
	p := &socksProxy{address: u.Host}
	if u.User != nil {
		password, _ := u.User.Password()
		p.auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	return p, nil
}

// isolated draws a user name and a password. Tor gives streams with different
// ones different circuits, so that no exit and no onion service can tell that
// two pairs belong to one machine. Other proxies ignore them: a client that
// offers a password accepts "none needed" too.
func isolated() *proxy.Auth {
	return &proxy.Auth{User: rand.Text(), Password: rand.Text()}
}

// dial asks the proxy for a connection to a. The name in it goes to the proxy as
// it is; nothing here resolves it.
func (s *socksProxy) dial(ctx context.Context, d *net.Dialer, pairAuth *proxy.Auth, a address) (net.Conn, error) {
	auth := s.auth
	if auth == nil {
		auth = pairAuth
	}
	through, err := proxy.SOCKS5("tcp", s.address, auth, d)
	if err != nil {
		return nil, err
	}
	return through.(proxy.ContextDialer).DialContext(ctx, "tcp", a.String())
}
