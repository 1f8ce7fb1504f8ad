package link

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
	core "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/backchannel/backchannel/node/p2p"
	_ "github.com/backchannel/backchannel/node/p2p/nolog" // before libp2p
	"github.com/backchannel/backchannel/protocol/onion"
)

// The protocols of a link's streams. They name nothing on purpose.
const (
	linkProtocol      = "/x/link/1"
	guardProtocol     = "/x/guard/1"
	directoryProtocol = "/x/directory/1"
)

const constantAgent = "-"

// The errors of this package hold no address and no key.
var (
	// ErrNoLink: there is no link to the relay, or no such client.
	ErrNoLink = errors.New("link: no link")
	// ErrFull: as many packets wait for the link as may.
	ErrFull = errors.New("link: full")
	// ErrClosed: the host or the link has ended.
	ErrClosed = errors.New("link: closed")
	// ErrListen: the port cannot be listened on.
	ErrListen = errors.New("link: cannot listen on this address")
	// ErrRefused: something answers, but not as this relay.
	ErrRefused = errors.New("link: no such relay at that address")
	// ErrUnruly: the relay did what none does that keeps to the rules. It was nobody in
	// between: the link is encrypted.
	ErrUnruly = errors.New("link: the relay does not keep to the rules")
)

// Config is what a Host is made with.
type Config struct {
	Key    ed25519.PrivateKey // the relay's identity
	Listen string             // "host:port" with an IP address, or nothing, as host; port 0 is any
	Dialer *p2p.Dialer        // nil: dials directly
	Packet int                // size of a packet
	Slot   time.Duration

	PerClient  int // packets that a client sends in a slot; twice that ends its link. Zero: 10
	MaxClients int // at once; zero: 4,096

	// Receive takes a packet with its memory, and does not wait. It is called by many.
	Receive func(from onion.ID, client bool, packet []byte)
	// Answer answers a question about the directory, within a second; nil: none.
	Answer func(question []byte) []byte

	wire func(net.Conn) net.Conn // tests look at what is on the wire
}

func (c Config) withDefaults() (Config, error) {
	if c.PerClient <= 0 {
		c.PerClient = 10
	}
	if c.MaxClients <= 0 {
		c.MaxClients = 4096
	}
	if c.Dialer == nil {
		d, err := p2p.NewDialer("")
		if err != nil {
			return c, err
		}
		c.Dialer = d
	}
	return c, nil
}

// A Host is a relay's end of its links. Its methods may be called from several
// goroutines.
type Host struct {
	cfg     Config
	id      onion.ID
	host    host.Host
	buckets *buckets
	tasks   sync.WaitGroup

	mu         sync.Mutex
	ctx        context.Context         // Run's; nil while it does not run; guarded by mu
	ended      bool                    // guarded by mu
	neighbours map[onion.ID]*neighbour // guarded by mu
	clients    map[passing]*client     // guarded by mu

	places map[netip.Prefix]int // clients of each address; guarded by mu

	byRelays, byOthers *askers // whose questions are being answered
}

// Open binds the port. What comes before Run is refused.
func Open(cfg Config) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Host{
		cfg: cfg, id: idOf(cfg.Key.Public().(ed25519.PublicKey)), buckets: newBuckets(time.Now),
		neighbours: map[onion.ID]*neighbour{}, clients: map[passing]*client{}, places: map[netip.Prefix]int{},
		byRelays: new(askers), byOthers: new(askers),
	}
	if err := h.start(); err != nil {
		return nil, err
	}
	h.host.SetStreamHandler(linkProtocol, h.incomingRelay)
	h.host.SetStreamHandler(guardProtocol, h.incomingClient)
	h.host.SetStreamHandler(directoryProtocol, h.incomingQuestion)
	h.host.Network().Notify(&network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) { h.forget(c.RemotePeer()) }})
	listen, err := multiaddrOf(cfg.Listen)
	if err == nil {
		err = h.host.Network().Listen(listen)
	}
	if err != nil {
		_ = h.host.Close()
		return nil, ErrListen
	}
	return h, nil
}

func (h *Host) start() error {
	key, err := crypto.UnmarshalEd25519PrivateKey(h.cfg.Key)
	if err != nil {
		return errors.New("link: host key")
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return fmt.Errorf("making a peerstore: %w", err)
	}
	manager, err := limits(h.cfg.MaxClients)
	if err != nil {
		_ = store.Close()
		return fmt.Errorf("making limits: %w", err)
	}
	h.host, err = libp2p.New(
		libp2p.Identity(key),
		libp2p.NoListenAddrs,
		libp2p.Peerstore(noRecords{store}),
		libp2p.Security(libp2ptls.ID, newHybridTLS),
		libp2p.Muxer(yamux.ID, smallYamux(8)),
		libp2p.Transport(func(u core.Upgrader, m network.ResourceManager) (*transport, error) {
			return newTransport(u, m, h.cfg)
		}),
		libp2p.ConnectionGater(gater{h.buckets}),
		libp2p.ResourceManager(manager),
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return nil }),
		libp2p.UserAgent(constantAgent),
		libp2p.ProtocolVersion(constantAgent),
		libp2p.DisableRelay(),
		libp2p.Ping(false),
		libp2p.ForceReachabilityPrivate(), // else AutoNAT would probe
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.DisableMetrics(),
	)
	if err != nil {
		_ = store.Close()
		return errors.New("link: starting a libp2p host") // libp2p's text names the peer
	}
	return nil
}

// limits bound what all connections together may take. One address's share is the
// buckets' matter.
func limits(clients int) (network.ResourceManager, error) {
	most := rcmgr.LimitVal(clients + 512)
	l := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: most, ConnsInbound: most, FD: most, Streams: 4 * most, StreamsInbound: 4 * most, Memory: 1 << 30,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: 256, ConnsInbound: 256, FD: 256, Streams: 1024, StreamsInbound: 1024, Memory: 64 << 20,
		},
		PeerDefault: rcmgr.ResourceLimits{Conns: 4, ConnsInbound: 4, FD: 4, Streams: 16, StreamsInbound: 16, Memory: 16 << 20},
	}.Build(rcmgr.InfiniteLimits)
	wide := []rcmgr.ConnLimitPerSubnet{{ConnCount: int(most), PrefixLength: 32}}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(l), rcmgr.WithLimitPerSubnet(wide, wide), rcmgr.WithMetricsDisabled())
}

// smallYamux allows few streams, each with a window of 1 MiB at most.
func smallYamux(streams uint32) *yamux.Transport {
	config := *yamux.DefaultTransport
	config.AcceptBacklog = int(streams)
	config.MaxIncomingStreams = streams
	config.MaxStreamWindowSize = 1 << 20
	config.LogOutput = io.Discard
	return &config
}

// Address returns the "host:port" that the Host listens on.
func (h *Host) Address() string {
	for _, a := range h.host.Network().ListenAddresses() {
		if network, address, err := manet.DialArgs(a); err == nil && network != "" {
			return address
		}
	}
	return ""
}

// Run keeps the links until ctx ends, and closes the Host.
func (h *Host) Run(ctx context.Context) error {
	h.mu.Lock()
	h.ctx = ctx
	for _, n := range h.neighbours {
		h.keep(n)
	}
	h.mu.Unlock()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			h.buckets.sweep()
			h.closeIdle(time.Now())
		case <-ctx.Done():
		}
	}
	h.mu.Lock()
	h.ctx, h.ended = nil, true
	h.mu.Unlock()
	err := h.host.Close()
	h.tasks.Wait()
	if err != nil {
		return errors.New("link: closing the host")
	}
	return nil
}

// begin enters a task into Run's count; the caller calls tasks.Done if there is a
// context.
func (h *Host) begin() (context.Context, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx == nil || h.ended {
		return nil, false
	}
	h.tasks.Add(1)
	return h.ctx, true
}

// How long a connection may carry none of our streams, and how often that is looked at.
const (
	idleMost   = 40 * time.Second // longer than a question takes
	sweepEvery = 20 * time.Second
)

// closeIdle closes connections that carry nothing: they would take the places of those
// that do. Neighbours stay.
func (h *Host) closeIdle(now time.Time) {
	for _, c := range h.host.Network().Conns() {
		if now.Sub(c.Stat().Opened) < idleMost || h.isNeighbour(c.RemotePeer()) {
			continue
		}
		used := slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool {
			return s.Protocol() == guardProtocol || s.Protocol() == directoryProtocol
		})
		if !used {
			_ = c.Close()
		}
	}
}

func (h *Host) isNeighbour(p peer.ID) bool {
	id, err := idOfPeer(p)
	h.mu.Lock()
	defer h.mu.Unlock()
	return err == nil && h.neighbours[id] != nil
}

// forget drops what libp2p remembers of a peer that has gone, unless it is a neighbour.
func (h *Host) forget(p peer.ID) {
	if h.isNeighbour(p) || len(h.host.Network().ConnsToPeer(p)) > 0 {
		return
	}
	h.host.Peerstore().RemovePeer(p)
	h.host.Peerstore().ClearAddrs(p)
}

// noRecords is a peerstore that takes and gives no signed peer record.
type noRecords struct{ peerstore.Peerstore }

func (noRecords) ConsumePeerRecord(*record.Envelope, time.Duration) (bool, error) { return true, nil }
func (noRecords) GetPeerRecord(peer.ID) *record.Envelope                          { return nil }

// A gater refuses addresses that come too often, before any handshake.
type gater struct{ buckets *buckets }

func (gater) InterceptPeerDial(peer.ID) bool               { return true }
func (gater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (gater) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

func (gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

func (g gater) InterceptAccept(c network.ConnMultiaddrs) bool {
	at, ok := prefixOf(c.RemoteMultiaddr())
	return ok && g.buckets.takeFrom(at)
}
