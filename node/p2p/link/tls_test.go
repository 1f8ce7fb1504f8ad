package link

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

func hostKey(t *testing.T, i int) crypto.PrivKey {
	t.Helper()
	k, err := crypto.UnmarshalEd25519PrivateKey(key(i))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// meet runs both ends of a handshake over TCP.
func meet(t *testing.T, server, client func(net.Conn) error) (in, out error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			err = server(c)
			if err != nil {
				_ = c.Close()
			}
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	out = client(c)
	if out != nil {
		_ = c.Close()
	}
	return <-done, out
}

// ours is one end of a link; it reports the group.
func ours(t *testing.T, i int, inbound bool, got *tls.ConnectionState) func(net.Conn) error {
	h, err := newHybridTLS(libp2ptls.ID, hostKey(t, i), nil)
	if err != nil {
		t.Fatal(err)
	}
	do := h.SecureOutbound
	if inbound {
		do = h.SecureInbound
	}
	return func(c net.Conn) error {
		s, err := do(t.Context(), c, "")
		if err == nil {
			*got = s.(*secured).ConnectionState()
		}
		return err
	}
}

// theirs is an end that is libp2p's own but for its groups and version.
func theirs(t *testing.T, i int, inbound bool, change func(*tls.Config)) func(net.Conn) error {
	identity, err := libp2ptls.NewIdentity(hostKey(t, i))
	if err != nil {
		t.Fatal(err)
	}
	return func(c net.Conn) error {
		config, _ := identity.ConfigForPeer("")
		config.NextProtos = []string{"/yamux/1.0.0", "libp2p"}
		change(config)
		conn := tls.Client(c, config)
		if inbound {
			conn = tls.Server(c, config)
		}
		if err := conn.HandshakeContext(t.Context()); err != nil {
			return err
		}
		_, err := conn.Write([]byte{1}) // a client knows only now whether it is taken
		return err
	}
}

func TestGroup(t *testing.T) {
	var in, out tls.ConnectionState
	e1, e2 := meet(t, ours(t, 1, true, &in), ours(t, 2, false, &out))
	if e1 != nil || e2 != nil {
		t.Fatal(e1, e2)
	}
	for _, s := range []tls.ConnectionState{in, out} {
		if s.CurveID != tls.X25519MLKEM768 || s.Version != tls.VersionTLS13 || s.DidResume {
			t.Errorf("group %v, version %x", s.CurveID, s.Version)
		}
	}
}

func TestOtherGroupsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*tls.Config)
		taken  bool
	}{
		"all":      {func(*tls.Config) {}, true},
		"hybrid":   {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768} }, true},
		"X25519":   {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }, false},
		"P-256":    {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} }, false},
		"P-256 ML": {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.SecP256r1MLKEM768} }, false},
		"TLS 1.2":  {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, false},
		"no yamux": {func(c *tls.Config) { c.NextProtos = []string{"libp2p"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var got tls.ConnectionState
			if in, _ := meet(t, ours(t, 1, true, &got), theirs(t, 2, false, c.change)); (in == nil) != c.taken {
				t.Errorf("a client: %v", in)
			}
			if _, out := meet(t, theirs(t, 2, true, c.change), ours(t, 1, false, &got)); (out == nil) != c.taken {
				t.Errorf("a server: %v", out)
			}
		})
	}
}

// TestOtherSecurityIsRefused dials a relay with what libp2p has besides.
func TestOtherSecurityIsRefused(t *testing.T) {
	h := open(t, 1, nil)
	for _, a := range h.host.Network().ListenAddresses() {
		if strings.Contains(a.String(), "udp") || strings.Contains(a.String(), "ws") {
			t.Errorf("listens on %v", a)
		}
	}
	relay, err := peerOf(identity(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		security libp2p.Option
		taken    bool
	}{
		"noise": {libp2p.Security(noise.ID, noise.New), false},
		"none":  {libp2p.NoSecurity, false},
		"tls":   {libp2p.Security(libp2ptls.ID, libp2ptls.New), true}, // it offers the hybrid group first
	} {
		other, err := libp2p.New(c.security, libp2p.Transport(tcp.NewTCPTransport), libp2p.NoListenAddrs, libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err = other.Connect(ctx, peer.AddrInfo{ID: relay, Addrs: h.host.Network().ListenAddresses()})
		if (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongKeyIsRefused(t *testing.T) {
	h, err := newHybridTLS(libp2ptls.ID, hostKey(t, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	expected, err := peerOf(identity(3))
	if err != nil {
		t.Fatal(err)
	}
	var got tls.ConnectionState
	var s sec.SecureConn
	_, out := meet(t, ours(t, 2, true, &got), func(c net.Conn) error {
		s, err = h.SecureOutbound(t.Context(), c, expected)
		return err
	})
	if out == nil || s != nil {
		t.Error("another relay is taken for the one that was dialled")
	}
}

func key(i int) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(append(make([]byte, 31), byte(i))) }
