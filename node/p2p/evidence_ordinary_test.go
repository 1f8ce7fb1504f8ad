package p2p

import (
	"context"
	"crypto/rand"
	"encoding/gob"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

// ordinaryEnv names the file into which TestOrdinaryConversation writes what went
// over the wire, and all that was drawn at random for it.
const ordinaryEnv = "BACKCHANNEL_EVIDENCE_ORDINARY"

// ordinaryRecording is read by the evidence tests of package node.
type ordinaryRecording struct {
	Streams [][2][]byte // of each TCP connection: what the dialler said, the listener
	Draws   [][]byte    // every 32 bytes that were drawn
}

// drawsOf keeps what is drawn from the system's randomness.
type drawsOf struct {
	mu    sync.Mutex
	from  io.Reader
	draws [][]byte
}

func (d *drawsOf) Read(b []byte) (int, error) {
	n, err := d.from.Read(b)
	if n == 32 {
		d.mu.Lock()
		d.draws = append(d.draws, append([]byte(nil), b...))
		d.mu.Unlock()
	}
	return n, err
}

// TestOrdinaryConversation lets two hosts with libp2p's defaults say a text to one
// another and writes down every byte. It is the control of the evidence tests of
// package node, which run it: they may not import libp2p.
func TestOrdinaryConversation(t *testing.T) {
	file := os.Getenv(ordinaryEnv)
	if file == "" {
		t.Skip("only as a child of the evidence tests of package node")
	}
	draws := &drawsOf{from: rand.Reader}
	rand.Reader = draws
	defer func() { rand.Reader = draws.from }()
	listener := ordinaryHost(t, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	dialler := ordinaryHost(t, libp2p.NoListenAddrs)
	var identified []event.Subscription
	for _, h := range []host.Host{listener, dialler} {
		s, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		identified = append(identified, s)
	}
	target, err := listener.Addrs()[0].ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	through, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer through.Close()
	var both [2]tape
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		c, err := through.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		to, err := net.Dial("tcp", "127.0.0.1:"+target)
		if err != nil {
			return
		}
		defer to.Close()
		var group sync.WaitGroup
		group.Go(func() { _, _ = io.Copy(to, both[0].wrap(c)); _ = to.(*net.TCPConn).CloseWrite() })
		group.Go(func() { _, _ = io.Copy(c, both[1].wrap(to)); _ = c.(*net.TCPConn).CloseWrite() })
		group.Wait()
	}()
	port := through.Addr().(*net.TCPAddr).Port
	at, err := ma.NewMultiaddr("/ip4/127.0.0.1/tcp/" + strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	to := peer.AddrInfo{ID: listener.ID(), Addrs: []ma.Multiaddr{at}}
	if err := sayOrdinarily(t.Context(), dialler, to, "an ordinary text"); err != nil {
		t.Fatal(err)
	}
	for _, done := range identified { // identify runs beside the text
		select {
		case <-done.Out():
		case <-time.After(patience):
			t.Fatal("the hosts do not identify one another")
		}
	}
	_ = dialler.Close()
	_ = listener.Close()
	select {
	case <-passed:
	case <-time.After(patience):
		t.Fatal("the connection does not end")
	}
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	draws.mu.Lock()
	defer draws.mu.Unlock()
	if err := gob.NewEncoder(out).Encode(ordinaryRecording{[][2][]byte{{both[0].heard, both[1].heard}}, draws.draws}); err != nil {
		t.Fatal(err)
	}
}

// ordinaryHost is a host with libp2p's defaults and a key of its own.
func ordinaryHost(t *testing.T, at libp2p.Option) host.Host {
	t.Helper()
	k, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(at,
		libp2p.Identity(k), libp2p.Security(noise.ID, noise.New),
		libp2p.Transport(tcp.NewTCPTransport), libp2p.DisableMetrics(),
	)
	if err != nil {
		t.Fatal(err)
	}
	h.SetStreamHandler("/text", func(s network.Stream) {
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
	return h
}

// sayOrdinarily sends a text and waits for its echo.
func sayOrdinarily(ctx context.Context, from host.Host, to peer.AddrInfo, text string) error {
	if err := from.Connect(ctx, to); err != nil {
		return err
	}
	s, err := from.NewStream(ctx, to.ID, "/text")
	if err != nil {
		return err
	}
	if _, err := s.Write([]byte(text)); err != nil {
		return err
	}
	_ = s.CloseWrite()
	_, err = io.ReadAll(s)
	return err
}
