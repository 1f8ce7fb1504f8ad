package link

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// group is the one key exchange of links. There is no other to fall back to, so nobody
// in between can bring one about.
const group = tls.X25519MLKEM768

var errGroup = errors.New("link: another key exchange than X25519MLKEM768")

// hybridTLS is libp2p's TLS 1.3, certificates and all, with that key exchange. libp2p's
// own takes whatever the two ends have in common.
type hybridTLS struct {
	id       protocol.ID
	identity *libp2ptls.Identity
	local    peer.ID
}

var _ sec.SecureTransport = (*hybridTLS)(nil)

func newHybridTLS(id protocol.ID, key crypto.PrivKey, _ []upgrader.StreamMuxer) (*hybridTLS, error) {
	local, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, errors.New("link: host key")
	}
	identity, err := libp2ptls.NewIdentity(key)
	if err != nil {
		return nil, errors.New("link: making a certificate")
	}
	return &hybridTLS{id, identity, local}, nil
}

// certificateKey returns the public key of our certificate. libp2p makes it, for this
// identity alone, and signs it with our host key.
func (t *hybridTLS) certificateKey() ([]byte, error) {
	config, _ := t.identity.ConfigForPeer("")
	c, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		return nil, errors.New("link: certificate")
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("link: key of a certificate")
	}
	return key.Bytes()
}

// ID implements [sec.SecureTransport].
func (t *hybridTLS) ID() protocol.ID { return t.id }

// SecureInbound implements [sec.SecureTransport].
func (t *hybridTLS) SecureInbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	return t.secure(ctx, c, p, tls.Server)
}

// SecureOutbound implements [sec.SecureTransport].
func (t *hybridTLS) SecureOutbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	return t.secure(ctx, c, p, tls.Client)
}

func (t *hybridTLS) secure(ctx context.Context, c net.Conn, p peer.ID, end func(net.Conn, *tls.Config) *tls.Conn) (sec.SecureConn, error) {
	config, keys := t.identity.ConfigForPeer(p)
	config.MinVersion, config.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	config.CurvePreferences = []tls.CurveID{group}
	config.NextProtos = []string{yamux.ID}
	conn := end(c, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, errors.New("link: TLS handshake") // crypto/tls puts addresses into its own
	}
	// The configuration leaves no other outcome; this is the second lock.
	state := conn.ConnectionState()
	if state.Version != tls.VersionTLS13 || state.CurveID != group || state.NegotiatedProtocol != yamux.ID {
		_ = c.Close()
		return nil, errGroup
	}
	var key crypto.PubKey
	select {
	case key = <-keys:
	default:
	}
	if key == nil {
		_ = c.Close()
		return nil, errors.New("link: no key in the certificate")
	}
	remote, err := peer.IDFromPublicKey(key)
	if err != nil || p != "" && remote != p {
		_ = c.Close()
		return nil, errors.New("link: another peer")
	}
	return &secured{conn, t.local, remote, key}, nil
}

// secured is an established connection.
type secured struct {
	*tls.Conn
	local, remote peer.ID
	key           crypto.PubKey
}

// LocalPeer implements [network.ConnSecurity].
func (s *secured) LocalPeer() peer.ID { return s.local }

// RemotePeer implements [network.ConnSecurity].
func (s *secured) RemotePeer() peer.ID { return s.remote }

// RemotePublicKey implements [network.ConnSecurity].
func (s *secured) RemotePublicKey() crypto.PubKey { return s.key }

// ConnState implements [network.ConnSecurity].
func (s *secured) ConnState() network.ConnectionState {
	return network.ConnectionState{
		StreamMultiplexer: protocol.ID(yamux.ID), Security: s.securityID(), Transport: "tcp", UsedEarlyMuxerNegotiation: true,
	}
}

func (*secured) securityID() protocol.ID { return libp2ptls.ID }
