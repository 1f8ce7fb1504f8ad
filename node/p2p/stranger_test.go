package p2p

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/salsa20"

	"github.com/backchannel/backchannel/protocol/secret"
)

// silenceFor is the HandshakeTimeout of the strangers' tests, and tolerance what
// a loaded machine may add to it. Nothing may be taken from it.
const (
	silenceFor = 700 * time.Millisecond
	tolerance  = 500 * time.Millisecond
)

// openingFor encrypts a first flight as a dialler with the key does.
func openingFor(network secret.Key) *opening {
	o := new(opening)
	_, _ = rand.Read(o[:nonceSize])
	salsa20.XORKeyStream(o[nonceSize:], []byte(multistreamHeader), o[:nonceSize], (*[32]byte)(network.Bytes()))
	return o
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// clientHello is what a TLS client says first.
func clientHello(t *testing.T) []byte {
	t.Helper()
	mine, theirs := net.Pipe()
	defer mine.Close()
	go func() { _ = tls.Client(theirs, &tls.Config{ServerName: "a.example"}).Handshake() }()
	b := make([]byte, 2048)
	n, err := mine.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// strangersEnd sends what it is given and reports what came back and how long
// after the connection was there it ended.
func strangersEnd(addr string, send func(net.Conn)) (got []byte, took time.Duration, err error) {
	since := time.Now() // accept comes after this, so no honest end is too early
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	var sending sync.WaitGroup
	sending.Go(func() { send(c) })
	_ = c.SetReadDeadline(since.Add(patience))
	got, err = io.ReadAll(c)
	took = time.Since(since)
	_ = c.Close()
	sending.Wait()
	return got, took, err
}

// A tape keeps what one side of a connection says and hears on TCP.
type tape struct {
	mu          sync.Mutex
	said, heard []byte
}

func (r *tape) wrap(c net.Conn) net.Conn { return taped{c, r} }

// first gives the first flights of both directions and rewinds.
func (r *tape) first(t *testing.T) (said, heard []byte) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	said, heard = slices.Clone(r.said[:openingSize]), slices.Clone(r.heard[:openingSize])
	r.said, r.heard = nil, nil
	return said, heard
}

type taped struct {
	net.Conn
	tape *tape
}

func (c taped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tape.mu.Lock()
	defer c.tape.mu.Unlock()
	c.tape.heard = append(c.tape.heard, b[:n]...)
	return n, err
}

func (c taped) Write(b []byte) (int, error) {
	c.tape.mu.Lock()
	c.tape.said = append(c.tape.said, b...)
	c.tape.mu.Unlock()
	return c.Conn.Write(b)
}

// TestStrangerLearnsNothing sends everything but the right thing, at the same
// time, and wants the same answer: none, and an end that is no reset, at the same
// moment. The last five know what only a recorder of real connections knows.
func TestStrangerLearnsNothing(t *testing.T) {
	pa, pb := pairOf(1)
	pc, pd := pairOf(2)
	n := started(t, Config{Listen: loopback, HandshakeTimeout: silenceFor}, pb, pd)
	addr := n.Addr().String()

	// Two real connections, one each way, recorded where they are dialled.
	dialler := started(t, Config{Listen: loopback}, pa, pc)
	one := dialTaped(t, dialler, pa.Handle, addr)
	accept(t, n)
	two := dialTaped(t, n, pb.Handle, dialler.Addr().String())
	accept(t, dialler)
	for _, flight := range [][]byte{one[0], one[1], two[0], two[1]} {
		if !(*opening)(flight).fits(pa.Network) {
			t.Fatal("a recording is not a first flight")
		}
	}

	almost := openingFor(pb.Network)
	almost[openingSize-1] ^= 1
	whole := func(b []byte) func(net.Conn) { return func(c net.Conn) { _, _ = c.Write(b) } }
	hello := clientHello(t)
	cases := map[string]func(net.Conn){
		"nothing":             func(net.Conn) {},
		"1 byte":              whole(random(1)),
		"43 bytes":            whole(random(openingSize - 1)),
		"44 bytes":            whole(random(openingSize)),
		"44 bytes and 48 KiB": whole(random(openingSize + 48<<10)),
		"far too much":        whole(random(4 << 20)),
		"44 bytes and a bit":  whole(random(openingSize + 1)),
		"TLS":                 whole(hello),
		"plain multistream":   whole([]byte(multistreamHeader + "\x07/noise\n")),
		"HTTP":                whole([]byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n" + strings.Repeat("x", 100))),
		"half-closed":         func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
		"44 and half-closed":  func(c net.Conn) { _, _ = c.Write(random(44)); _ = c.(*net.TCPConn).CloseWrite() },
		"slow drip":           drip,
		"one bit wrong":       whole(almost[:]),
		"wrong network key":   whole(openingFor(key("another"))[:]),
		"replay":              whole(one[0]),
		"replay and more":     whole(append(slices.Clone(one[0]), random(500)...)),
		"replay of its reply": whole(one[1]),
		"replay of its dial":  whole(two[0]),
		"replay of an answer": whole(two[1]),
	}
	for n := 2; n < openingSize-1; n++ { // every length that the gate waits at
		cases[fmt.Sprint(n, " bytes")] = whole(random(n))
		cases[fmt.Sprint(n, " bytes of an opening")] = whole(openingFor(pb.Network)[:n])
	}
	var wait sync.WaitGroup
	for name, send := range cases {
		wait.Go(func() {
			got, took, err := strangersEnd(addr, send)
			if len(got) != 0 {
				t.Errorf("%s: got %d bytes", name, len(got))
			}
			if err != nil {
				t.Errorf("%s: ended with %v, want the end and no reset", name, err)
			}
			if took < silenceFor || took > silenceFor+tolerance {
				t.Errorf("%s: ended after %v, want %v", name, took, silenceFor)
			}
		})
	}
	wait.Wait()
	// After all that the friend is still let in.
	again := dial(t, dialler, pc.Handle, addr)
	say(t, again, accept(t, n).Conn, "still here")
}

// dialTaped dials and gives the first flights that were said and heard.
func dialTaped(t *testing.T, n *Network, h Handle, addr string) [2][]byte {
	t.Helper()
	tape := new(tape)
	n.hooks.wire = tape.wrap
	dial(t, n, h, addr)
	n.hooks.wire = nil
	said, heard := tape.first(t)
	return [2][]byte{said, heard}
}

// drip sends a byte every 30 ms until the other end is gone.
func drip(c net.Conn) {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := c.Write([]byte{7}); err != nil {
			return
		}
	}
}

// TestKnownPairWithoutASlotIsSilent: too many connections looks like a stranger.
func TestKnownPairWithoutASlotIsSilent(t *testing.T) {
	pa, pb := pairOf(1)
	n := started(t, Config{Listen: loopback, HandshakeTimeout: silenceFor, MaxPerPair: 1}, pb)
	a := started(t, Config{}, pa)
	dial(t, a, pa.Handle, n.Addr().String())
	accept(t, n)
	o := openingFor(pa.Network)
	got, took, err := strangersEnd(n.Addr().String(), func(c net.Conn) { _, _ = c.Write(o[:]) })
	if len(got) != 0 || err != nil || took < silenceFor || took > silenceFor+tolerance {
		t.Errorf("got %d bytes, %v after %v", len(got), err, took)
	}
}

// TestAfterTheGateThereIsADeadline: who has the network key, but not the host
// key, may not stay.
func TestAfterTheGateThereIsADeadline(t *testing.T) {
	_, pb := pairOf(1)
	n := started(t, Config{Listen: loopback, HandshakeTimeout: silenceFor}, pb)
	o := openingFor(pb.Network)
	got, took, err := strangersEnd(n.Addr().String(), func(c net.Conn) { _, _ = c.Write(o[:]) })
	if len(got) < openingSize || took > 2*silenceFor+tolerance {
		t.Errorf("got %d bytes, %v after %v; want an answer and a close", len(got), err, took)
	}
	p := n.find(pb.Handle)
	eventually(t, "the slot is free again", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.links) == 0 && p.reservations[inbound] == 0
	})
}

func TestErrorsTellNothing(t *testing.T) {
	l, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	pa, _ := pairOf(1)
	a := started(t, Config{}, pa)
	_, err = a.Dial(t.Context(), pa.Handle, "127.0.0.1:"+port)
	if !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), port) || strings.Contains(err.Error(), "127.") {
		t.Errorf("Dial = %v", err)
	}
	if _, err := Open(Config{Proxy: "socks5://user:secret@host"}); !errors.Is(err, ErrProxy) || strings.Contains(err.Error(), "secret") {
		t.Errorf("Open = %v", err)
	}
	if plain(os.ErrDeadlineExceeded) != os.ErrDeadlineExceeded || plain(nil) != nil {
		t.Error("plain changes what it should keep")
	}
}
