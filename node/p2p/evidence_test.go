package p2p

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"golang.org/x/crypto/salsa20"

	"github.com/backchannel/backchannel/protocol/secret"
)

// evidence is everything that one end says and hears at three depths: on TCP,
// inside Noise, and what its host key signs.
type evidence struct {
	mu      sync.Mutex
	wire    []*tape
	inside  []*tape // yamux
	signers []crypto.PubKey
	signed  []signature
}

type signature struct{ data, sig []byte }

func (e *evidence) hooks() hooks {
	return hooks{wire: e.onWire, secured: e.onSecured, identity: e.onIdentity}
}

func (e *evidence) onWire(c net.Conn) net.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wire = append(e.wire, new(tape))
	return e.wire[len(e.wire)-1].wrap(c)
}

type tapedSecure struct {
	sec.SecureConn
	through taped
}

func (c tapedSecure) Read(b []byte) (int, error)  { return c.through.Read(b) }
func (c tapedSecure) Write(b []byte) (int, error) { return c.through.Write(b) }

func (e *evidence) onSecured(c sec.SecureConn) sec.SecureConn {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inside = append(e.inside, new(tape))
	return tapedSecure{c, taped{c, e.inside[len(e.inside)-1]}}
}

type watchedKey struct {
	crypto.PrivKey
	e *evidence
}

func (k watchedKey) Sign(data []byte) ([]byte, error) {
	sig, err := k.PrivKey.Sign(data)
	k.e.mu.Lock()
	defer k.e.mu.Unlock()
	k.e.signed = append(k.e.signed, signature{data: slices.Clone(data), sig: sig})
	return sig, err
}

func (e *evidence) onIdentity(k crypto.PrivKey) crypto.PrivKey {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.signers = append(e.signers, k.GetPublic())
	return watchedKey{k, e}
}

// plaintext opens the private network's encryption of one direction.
func plaintext(network secret.Key, b []byte) []byte {
	if len(b) < nonceSize {
		return nil
	}
	out := make([]byte, len(b)-nonceSize)
	salsa20.XORKeyStream(out, b[nonceSize:], b[:nonceSize], (*[32]byte)(network.Bytes()))
	return out
}

// noisePrefix is what libp2p's Noise signs, before the session's static key.
const noisePrefix = "noise-libp2p-static-key:"

// traces are byte strings that betray a protocol or a place when they are seen
// inside a layer, each with its name.
var traces = map[string]string{
	"/ipfs/id/":              "identify",
	"/ipfs/ping/":            "ping",
	"/libp2p/":               "a libp2p service",
	"/p2p/":                  "a libp2p service",
	"\x12\x02\x03\x01\x1a":   "signed peer record", // envelope: payload type 0x0301, then its payload
	"go-libp2p":              "agent",
	"backchannel":            "agent",
	"\x04\x7f\x00\x00\x01":   "address", // multiaddr /ip4/127.0.0.1
	"127.0.0.1":              "address",
	"/ip4/":                  "address",
	"-----BEGIN CERTIFICATE": "certificate",
}

// keyPrefix begins a libp2p public key of type Ed25519 in protobuf.
var keyPrefix = []byte{0x08, 0x01, 0x12, 0x20}

// examine lists everything in the evidence that a third party could be shown, or
// that tells where and by which program. network opens the outer layer; known are
// the host keys of which both ends hold the private half.
func (e *evidence) examine(network secret.Key, known []crypto.PubKey) (findings []string, looked int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	isKnown := func(k crypto.PubKey) bool {
		return slices.ContainsFunc(known, func(o crypto.PubKey) bool { return k.Equals(o) })
	}
	find := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	var layers [][]byte
	for _, t := range e.wire {
		t.mu.Lock()
		layers = append(layers, plaintext(network, t.said), plaintext(network, t.heard))
		t.mu.Unlock()
	}
	for _, t := range e.inside {
		t.mu.Lock()
		layers = append(layers, slices.Clone(t.said), slices.Clone(t.heard))
		t.mu.Unlock()
	}
	for _, layer := range layers {
		looked += len(layer)
		for trace, name := range traces {
			if bytes.Contains(layer, []byte(trace)) {
				find("%s: %q", name, trace)
			}
		}
		for i := range layer {
			if !bytes.HasPrefix(layer[i:], keyPrefix) || len(layer) < i+36 {
				continue
			}
			if k, err := crypto.UnmarshalPublicKey(layer[i : i+36]); err == nil && !isKnown(k) {
				find("unknown key")
			}
		}
		for _, s := range e.signed {
			if bytes.Contains(layer, s.sig) {
				find("signature in a layer, of %.24q", s.data)
			}
		}
	}
	for _, k := range e.signers {
		if !isKnown(k) {
			find("unknown signer")
		}
	}
	for _, s := range e.signed {
		if !bytes.HasPrefix(s.data, []byte(noisePrefix)) || len(s.data) != len(noisePrefix)+32 {
			continue // never left, or it was found above
		}
		if ok := slices.ContainsFunc(known, func(k crypto.PubKey) bool { ok, _ := k.Verify(s.data, s.sig); return ok }); !ok {
			find("unknown signature")
		}
	}
	return findings, looked
}

// TestNoEvidence records a conversation at all depths on both sides.
func TestNoEvidence(t *testing.T) {
	pa, pb := pairOf(1)
	var ea, eb evidence
	a, b := opened(t, Config{Listen: loopback}), opened(t, Config{Listen: loopback})
	a.hooks, b.hooks = ea.hooks(), eb.hooks()
	for _, end := range []struct {
		n *Network
		p Pair
	}{{a, pa}, {b, pb}} {
		if err := end.n.Add(end.p); err != nil {
			t.Fatal(err)
		}
	}
	stopA, stopB := run(t, a), run(t, b)
	for _, ends := range [][2]*Network{{a, b}, {b, a}} {
		out := dial(t, ends[0], pa.Handle, ends[1].Addr().String())
		in := accept(t, ends[1])
		say(t, out, in.Conn, "one way")
		say(t, in.Conn, out, "and back")
		_ = out.Close()
		_ = in.Conn.Close()
	}
	stopA()
	stopB()

	var known []crypto.PubKey
	for _, seed := range []secret.Key{pa.Local, pa.Remote} {
		k, err := hostKey(seed)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, k.GetPublic())
	}
	for name, e := range map[string]*evidence{"a": &ea, "b": &eb} {
		findings, looked := e.examine(pa.Network, known)
		for _, f := range findings {
			t.Errorf("%s: %s", name, f)
		}
		if looked < 1000 || len(e.inside) != 2 || len(e.wire) != 2 || len(e.signers) != 1 || len(e.signed) < 2 {
			t.Errorf("%s: too little was looked at: %d bytes, %d wires, %d sessions, %d signers, %d signatures",
				name, looked, len(e.wire), len(e.inside), len(e.signers), len(e.signed))
		}
		for _, s := range e.inside {
			// One stream in each session, and only its protocol's name.
			said := string(s.said)
			if !strings.Contains(said, string(streamProtocol)) || strings.Count(said, "/multistream/") != 1 {
				t.Errorf("%s: inside Noise was said %q", name, said)
			}
		}
		for _, s := range e.wire {
			if p := plaintext(pa.Network, s.said); !bytes.HasPrefix(p, []byte(multistreamHeader)) {
				t.Errorf("%s: the tape of the wire cannot be read: %.40q", name, p)
			}
		}
	}
}

// anyNoise is libp2p's Noise as it is, with a hook.
type anyNoise struct {
	*noise.Transport
	hook func(sec.SecureConn) sec.SecureConn
}

func (n *anyNoise) SecureInbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	s, err := n.Transport.SecureInbound(ctx, c, p)
	if err != nil {
		return nil, err
	}
	return n.hook(s), nil
}

func (n *anyNoise) SecureOutbound(ctx context.Context, c net.Conn, p peer.ID) (sec.SecureConn, error) {
	s, err := n.Transport.SecureOutbound(ctx, c, p)
	if err != nil {
		return nil, err
	}
	return n.hook(s), nil
}

// TestExaminerCatchesAnOrdinaryHost shows the same examiner a pair of libp2p hosts
// with libp2p's defaults and keys of their own.
func TestExaminerCatchesAnOrdinaryHost(t *testing.T) {
	var e evidence
	var hosts []host.Host
	for range 2 {
		k, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		h, err := libp2p.New(
			libp2p.Identity(e.onIdentity(k)),
			libp2p.Security(noise.ID, func(id protocol.ID, k crypto.PrivKey, m []upgrader.StreamMuxer) (*anyNoise, error) {
				n, err := noise.New(id, k, m)
				return &anyNoise{Transport: n, hook: e.onSecured}, err
			}),
			libp2p.Transport(tcp.NewTCPTransport),
			libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
			libp2p.DisableMetrics(),
		)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		hosts = append(hosts, h)
	}
	to := peer.AddrInfo{ID: hosts[1].ID(), Addrs: hosts[1].Addrs()}
	if err := hosts[0].Connect(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	pa, _ := pairOf(1)
	for _, want := range []string{
		"identify", "signed peer record", "agent", "address",
		"unknown key", "unknown signer", "unknown signature", "signature in a layer",
	} {
		eventually(t, "the examiner finds: "+want, func() bool {
			findings, _ := e.examine(pa.Network, nil)
			return strings.Contains(strings.Join(findings, "\n"), want)
		})
	}
}
