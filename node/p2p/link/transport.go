package link

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	core "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A transport is libp2p's TCP for what comes in; what goes out is dialled by our own
// dialler, which resolves no name when there is a proxy.
type transport struct {
	tcp      *tcp.TcpTransport
	upgrader core.Upgrader
	manager  network.ResourceManager
	dialer   *p2p.Dialer
	wire     func(net.Conn) net.Conn
}

var _ core.Transport = (*transport)(nil)

func newTransport(u core.Upgrader, m network.ResourceManager, cfg Config) (*transport, error) {
	inner, err := tcp.NewTCPTransport(u, m, nil, tcp.DisableReuseport())
	if err != nil {
		return nil, err
	}
	return &transport{inner, u, m, cfg.Dialer, cfg.wire}, nil
}

// Dial implements [core.Transport].
func (t *transport) Dial(ctx context.Context, to ma.Multiaddr, p peer.ID) (core.CapableConn, error) {
	address, err := addressOf(to)
	if err != nil {
		return nil, err
	}
	scope, err := t.manager.OpenConnection(network.DirOutbound, true, to)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, t.dialer, address, t.wire)
	if err == nil {
		err = scope.SetPeer(p)
	}
	if err != nil {
		scope.Done()
		return nil, err
	}
	out, err := t.upgrader.Upgrade(ctx, t, conn, network.DirOutbound, p, scope)
	if err != nil {
		scope.Done()
		return nil, err
	}
	return out, nil
}

func connect(ctx context.Context, d *p2p.Dialer, address string, wire func(net.Conn) net.Conn) (manet.Conn, error) {
	c, err := d.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	m, err := manet.WrapNetConn(c)
	if err != nil {
		_ = c.Close()
		return nil, errors.New("link: connection without addresses")
	}
	if wire != nil {
		m = wired{m, wire(m)}
	}
	return m, nil
}

// wired is a connection that a test looks into.
type wired struct {
	manet.Conn
	seen net.Conn
}

// Read and Write go through what the test has put there.
func (w wired) Read(b []byte) (int, error)  { return w.seen.Read(b) }
func (w wired) Write(b []byte) (int, error) { return w.seen.Write(b) }

// Listen implements [core.Transport].
func (t *transport) Listen(a ma.Multiaddr) (core.Listener, error) { return t.tcp.Listen(a) }

// CanDial implements [core.Transport].
func (t *transport) CanDial(a ma.Multiaddr) bool { _, err := addressOf(a); return err == nil }

// SkipResolve keeps libp2p from resolving names.
func (*transport) SkipResolve(context.Context, ma.Multiaddr) bool { return true }

// Protocols implements [core.Transport].
func (*transport) Protocols() []int { return []int{ma.P_TCP, ma.P_ONION3} }

// Proxy implements [core.Transport].
func (*transport) Proxy() bool { return false }

// multiaddrOf translates "host:port".
func multiaddrOf(address string) (ma.Multiaddr, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, p2p.ErrAddress
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, p2p.ErrAddress
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		kind := "/ip4/"
		if ip.Is6() {
			kind = "/ip6/"
		}
		return ma.NewMultiaddr(kind + ip.String() + "/tcp/" + port)
	}
	if onion, ok := strings.CutSuffix(host, ".onion"); ok {
		return ma.NewMultiaddr("/onion3/" + onion + ":" + port)
	}
	return ma.NewMultiaddr("/dns/" + host + "/tcp/" + port)
}

// addressOf is the way back.
func addressOf(a ma.Multiaddr) (string, error) {
	if v, err := a.ValueForProtocol(ma.P_ONION3); err == nil {
		host, port, _ := strings.Cut(v, ":")
		return host + ".onion:" + port, nil
	}
	port, err := a.ValueForProtocol(ma.P_TCP)
	if err != nil {
		return "", p2p.ErrAddress
	}
	for _, kind := range []int{ma.P_IP4, ma.P_IP6, ma.P_DNS} {
		if host, err := a.ValueForProtocol(kind); err == nil {
			return net.JoinHostPort(host, port), nil
		}
	}
	return "", p2p.ErrAddress
}

func idOf(key ed25519.PublicKey) onion.ID { return directory.Identity(key).ID() }

// idOfPeer is the name of a peer in packets: that of a relay, or of a client for as long
// as its connection lasts.
func idOfPeer(p peer.ID) (onion.ID, error) {
	key, err := p.ExtractPublicKey()
	if err != nil || key.Type() != crypto.Ed25519 {
		return onion.ID{}, errors.New("link: a key that is not Ed25519")
	}
	raw, err := key.Raw()
	if err != nil {
		return onion.ID{}, errors.New("link: key")
	}
	return idOf(raw), nil
}

// peerOf is the libp2p name of a relay.
func peerOf(relay directory.Identity) (peer.ID, error) {
	key, err := crypto.UnmarshalEd25519PublicKey(relay[:])
	if err != nil {
		return "", errors.New("link: relay key")
	}
	return peer.IDFromPublicKey(key)
}
