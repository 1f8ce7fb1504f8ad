package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/sec"
	core "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/multiformats/go-multistream"

	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A GuardConfig says which relay a principal is linked to.
type GuardConfig struct {
	Relay   directory.Identity
	Address string      // "host:port"
	Dialer  *p2p.Dialer // nil: dials directly
	Packet  int

	wire func(net.Conn) net.Conn
}

// A Guard is a principal's link to a relay.
type Guard struct {
	packet int
	name   onion.ID
	key    ed25519.PublicKey
	tls    []byte // the public key of the certificate, as it stands there
	relay  onion.ID
	conn   core.CapableConn
	stream network.MuxedStream
	reset  sync.WaitGroup // the goroutine that refuses the relay's streams

	sent   atomic.Int64 // frames, from before they are written
	unruly atomic.Bool  // the relay opened more streams than it may

	mu  sync.Mutex // one Send at a time
	out []byte
}

// maxAsked is how many streams a relay may open to a principal. libp2p's identify opens a
// few.
const maxAsked = 64

// DialGuard connects to a relay under a key that is made for this connection. It is
// bounded by ctx.
func DialGuard(ctx context.Context, cfg GuardConfig) (*Guard, error) {
	if cfg.Dialer == nil {
		var err error
		if cfg.Dialer, err = p2p.NewDialer(""); err != nil {
			return nil, err
		}
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, errors.New("link: making a key")
	}
	conn, certificate, err := cfg.upgrade(ctx, key)
	if err != nil {
		return nil, err
	}
	g := &Guard{packet: cfg.Packet, name: idOf(public), key: public, tls: certificate, relay: cfg.Relay.ID(), conn: conn}
	g.reset.Go(func() {
		// The relay would ask who this is. It gets no answer.
		for n := 1; ; n++ {
			s, err := conn.AcceptStream()
			if err != nil {
				return
			}
			_ = s.Reset()
			if n > maxAsked {
				g.unruly.Store(true)
				_ = conn.Close()
				return
			}
		}
	})
	if g.stream, err = g.open(ctx, guardProtocol); err != nil {
		g.Close()
		return nil, ErrRefused
	}
	return g, nil
}

// upgrade dials and makes a libp2p connection, with no host behind it. It returns the key
// of the certificate, too.
func (cfg GuardConfig) upgrade(ctx context.Context, private ed25519.PrivateKey) (core.CapableConn, []byte, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(private)
	if err != nil {
		return nil, nil, errors.New("link: key")
	}
	relay, err := peerOf(cfg.Relay)
	if err != nil {
		return nil, nil, err
	}
	security, err := newHybridTLS(libp2ptls.ID, key, nil)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := security.certificateKey()
	if err != nil {
		return nil, nil, err
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: smallYamux(2)}}
	u, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, nil, nil)
	if err != nil {
		return nil, nil, errors.New("link: making an upgrader")
	}
	tcp, err := connect(ctx, cfg.Dialer, cfg.Address, cfg.wire)
	if err != nil {
		return nil, nil, err
	}
	conn, err := u.Upgrade(ctx, nil, tcp, network.DirOutbound, relay, &network.NullScope{})
	if err != nil {
		_ = tcp.Close()
		return nil, nil, ErrRefused
	}
	return conn, certificate, nil
}

func (g *Guard) open(ctx context.Context, protocol string) (network.MuxedStream, error) {
	s, err := g.conn.OpenStream(ctx)
	if err != nil {
		return nil, ErrClosed
	}
	defer context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })()
	if err := multistream.SelectProtoOrFail(protocol, s); err != nil {
		_ = s.Reset()
		return nil, ErrRefused
	}
	return s, nil
}

// Name is the principal's name at this relay, for reply blocks. It is another one for
// each connection.
func (g *Guard) Name() onion.ID { return g.name }

// Key is the public key that was made for this connection. By it and by [Guard.TLSKey] its
// relay can know the principal, beside his address, and by nothing else.
func (g *Guard) Key() ed25519.PublicKey { return bytes.Clone(g.key) }

// TLSKey is the public key of the certificate that was made for this connection, as it
// stands there: a point of P-256.
func (g *Guard) TLSKey() []byte { return bytes.Clone(g.tls) }

// Send sends a packet, at the moment at which it is called. It waits for at most 20
// seconds.
func (g *Guard) Send(packet []byte) error {
	if len(packet) != g.packet {
		return errors.New("link: size of a packet")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.out = appendFrame(g.out[:0], packet, g.packet)
	g.sent.Add(1)
	if err := g.stream.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return ErrClosed
	}
	tapped(g.name, g.relay, 1, g.packet)
	if _, err := g.stream.Write(g.out); err != nil {
		return ErrClosed
	}
	return nil
}

// Run hands over what comes, until ctx or the link ends, and closes the link. Most of it
// is not a reply: receive finds out by the tag. The error is [ErrUnruly] if the relay
// sent more frames than it was sent, or what is none, or asked without an end.
func (g *Guard) Run(ctx context.Context, receive func(packet []byte)) error {
	defer g.Close()
	defer context.AfterFunc(ctx, func() { _ = g.conn.Close() })()
	frames := newFrameReader(g.stream, g.packet)
	for came := int64(1); ; came++ {
		packet, err := frames.next()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errFrame), g.unruly.Load():
			return ErrUnruly
		case err != nil:
			return ErrClosed
		case packet == nil || came > g.sent.Load(): // there is no padding here
			return ErrUnruly
		}
		receive(packet)
	}
}

// Close ends the link.
func (g *Guard) Close() {
	_ = g.conn.Close()
	g.reset.Wait()
}
