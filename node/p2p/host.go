package p2p

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/core/sec"
	core "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	ma "github.com/multiformats/go-multiaddr"

	_ "github.com/backchannel/backchannel/node/p2p/nolog" // before libp2p
)

// streamProtocol is the one protocol of a host. It names nothing on purpose;
// what runs inside is settled by the caller's own handshake.
const streamProtocol = protocol.ID("/x/1")

// constantAgent is never sent, since nothing here speaks identify. Left empty it
// would be the name of this program's module.
const constantAgent = "-"

// hooks let the tests look at bytes inside the layers. All nil in production.
type hooks struct {
	wire     func(net.Conn) net.Conn             // TCP, below the private network
	secured  func(sec.SecureConn) sec.SecureConn // inside Noise: yamux
	identity func(crypto.PrivKey) crypto.PrivKey // sees what a host key signs
}

// start makes the pair's host and lets it listen to the gate.
func (p *pair) start(h hooks, deliver func(*link, network.Stream)) error {
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return fmt.Errorf("making a peerstore: %w", err)
	}
	key := p.localKey
	if h.identity != nil {
		key = h.identity(key)
	}
	made, err := libp2p.New(append(quiet(store),
		libp2p.Identity(key),
		libp2p.PrivateNetwork(bytes.Clone(p.Network.Bytes())),
		libp2p.ConnectionGater(gater{p.remoteID}),
		libp2p.Security(noise.ID, func(id protocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (*onlyNoise, error) {
			n, err := noise.New(id, key, muxers)
			return &onlyNoise{Transport: n, hook: h.secured}, err
		}),
		libp2p.Transport(func(u core.Upgrader, m network.ResourceManager) *transport {
			p.transport = newTransport(u, m)
			return p.transport
		}),
	)...)
	if err != nil {
		_ = store.Close()
		return errors.New("starting a libp2p host") // libp2p's text names the peer
	}
	p.host = made
	for _, id := range made.Mux().Protocols() {
		made.RemoveStreamHandler(id) // identify and its push
	}
	made.SetStreamHandler(streamProtocol, func(s network.Stream) { p.receive(s, deliver) })
	// Listening comes last, so that no connection finds the handlers above.
	if err := made.Network().Listen(nowhere); err != nil {
		p.stop()
		return errors.New("starting a libp2p listener")
	}
	return nil
}

func (p *pair) stop() {
	if p.host != nil {
		_ = p.host.Close()
	}
}

// receive checks an incoming stream once more, for whom and whether it is the
// connection's only one, and passes it on.
func (p *pair) receive(s network.Stream, deliver func(*link, network.Stream)) {
	var l *link
	if !s.Conn().As(&l) || s.Conn().RemotePeer() != p.remoteID || !l.opened.CompareAndSwap(false, true) {
		_ = s.Reset()
		_ = s.Conn().Close()
		return
	}
	deliver(l, s)
}

// quiet is every option that keeps a host from telling or asking anything.
func quiet(store peerstore.Peerstore) []libp2p.Option {
	return []libp2p.Option{
		libp2p.NoListenAddrs,
		libp2p.Peerstore(noRecords{store}),
		libp2p.Muxer(yamux.ID, smallYamux()),
		libp2p.ResourceManager(&onlyInbound{}),
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return nil }),
		libp2p.UserAgent(constantAgent),
		libp2p.ProtocolVersion(constantAgent),
		libp2p.DisableRelay(),
		libp2p.Ping(false),
		libp2p.ForceReachabilityPrivate(), // else AutoNAT would probe
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.DisableMetrics(),
	}
}

// smallYamux allows the one stream that a connection has, with a window of 1 MiB
// at most, so that a peer who sends and never reads costs little.
func smallYamux() *yamux.Transport {
	config := *yamux.DefaultTransport
	config.AcceptBacklog = 1
	config.MaxIncomingStreams = 1
	config.MaxStreamWindowSize = 1 << 20
	return &config
}

// noRecords is a peerstore that takes and gives no signed peer record.
type noRecords struct{ peerstore.Peerstore }

func (noRecords) ConsumePeerRecord(*record.Envelope, time.Duration) (bool, error) { return true, nil }
func (noRecords) GetPeerRecord(peer.ID) *record.Envelope                          { return nil }

var errNeverOpens = errors.New("opening a stream by libp2p: not in this program")

// onlyInbound is a resource manager that lets the host open no stream. Without
// it identify would ask every peer who it is. Counts are kept elsewhere: the
// gate, MaxPerPair and smallYamux.
type onlyInbound struct{ network.NullResourceManager }

// OpenStream implements [network.ResourceManager].
func (m *onlyInbound) OpenStream(p peer.ID, d network.Direction) (network.StreamManagementScope, error) {
	if d == network.DirOutbound {
		return nil, errNeverOpens
	}
	return m.NullResourceManager.OpenStream(p, d)
}

// A gater lets through the pair's other end alone, and no dial by the swarm.
// Noise has checked the peer ID already; this is the second lock.
type gater struct{ remote peer.ID }

func (gater) InterceptPeerDial(peer.ID) bool               { return false }
func (gater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return false }
func (gater) InterceptAccept(network.ConnMultiaddrs) bool  { return false }
func (g gater) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return p == g.remote
}

func (g gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return c.RemotePeer() == g.remote, 0
}

// onlyNoise is libp2p's Noise, with the tests' hook. It insists on knowing whom
// it talks to.
type onlyNoise struct {
	*noise.Transport
	hook func(sec.SecureConn) sec.SecureConn
}

// SecureInbound implements [sec.SecureTransport].
func (t *onlyNoise) SecureInbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	return t.secure(ctx, c, p, t.Transport.SecureInbound)
}

// SecureOutbound implements [sec.SecureTransport].
func (t *onlyNoise) SecureOutbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	return t.secure(ctx, c, p, t.Transport.SecureOutbound)
}

type secureFunc func(context.Context, net.Conn, peer.ID) (sec.SecureConn, error)

func (t *onlyNoise) secure(ctx context.Context, c net.Conn, p peer.ID, do secureFunc) (sec.SecureConn, error) {
	if p == "" {
		return nil, errors.New("securing a connection: nobody is expected")
	}
	s, err := do(ctx, c, p)
	if err == nil && t.hook != nil {
		s = t.hook(s)
	}
	return s, err
}
