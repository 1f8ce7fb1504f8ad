package p2p

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/multiformats/go-multistream"
	"go.uber.org/goleak"

	"github.com/backchannel/backchannel/protocol/secret"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain())
	}
	goleak.VerifyTestMain(m)
}

const patience = 10 * time.Second

// key is a secret that tests can write down.
func key(words ...any) secret.Key {
	sum := sha256.Sum256(fmt.Append(nil, words...))
	return secret.New(&sum)
}

// pairOf returns both ends of the pair with this number.
func pairOf(i int) (a, b Pair) {
	h := Handle(fmt.Appendf(nil, "%016d", i))
	a = Pair{Handle: h, Network: key("network", i), Local: key("a", i), Remote: key("b", i)}
	b = Pair{Handle: h, Network: key("network", i), Local: key("b", i), Remote: key("a", i)}
	return a, b
}

// opened returns a network that its test may still prepare.
func opened(t testing.TB, cfg Config) *Network {
	t.Helper()
	n, err := Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return n
}

// run runs n and returns what ends it; the test's end does so too.
func run(t testing.TB, n *Network) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	for ok := false; !ok; { // Run has begun when tasks can
		if _, ok = n.begin(); ok {
			n.tasks.Done()
			break
		}
		select {
		case err := <-done:
			t.Fatalf("Run: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
	t.Cleanup(stop)
	return stop
}

func started(t testing.TB, cfg Config, pairs ...Pair) *Network {
	t.Helper()
	n := opened(t, cfg)
	for _, p := range pairs {
		if err := n.Add(p); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	run(t, n)
	return n
}

const loopback = "127.0.0.1:0"

func dial(t testing.TB, n *Network, h Handle, addr string) Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := n.Dial(ctx, h, addr)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	return c
}

func accept(t testing.TB, n *Network) Incoming {
	t.Helper()
	select {
	case in := <-n.Accept():
		return in
	case <-time.After(patience):
		t.Fatal("nothing came in")
		return Incoming{}
	}
}

// say writes on one end and reads on the other.
func say(t testing.TB, from, to Conn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatalf("Write: %v", err)
	}
	_ = to.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got, err, text)
	}
}

func TestTwoNetworksTalk(t *testing.T) {
	pa, pb := pairOf(1)
	a := started(t, Config{Listen: loopback}, pa)
	b := started(t, Config{Listen: loopback}, pb)
	for _, ends := range [][2]*Network{{a, b}, {b, a}} {
		out := dial(t, ends[0], pa.Handle, ends[1].Addr().String())
		in := accept(t, ends[1])
		if in.Handle != pa.Handle {
			t.Errorf("came in under another handle")
		}
		say(t, out, in.Conn, "to the listener")
		say(t, in.Conn, out, "to the dialler")
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() {
			_, _ = out.Write(big)
			_ = out.Close()
		}()
		_ = in.Conn.SetReadDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(in.Conn)
		if err != nil || !bytes.Equal(got, big) {
			t.Errorf("read %d bytes, %v; want %d and the end", len(got), err, len(big))
		}
		if err := in.Conn.Close(); err != nil {
			t.Error(err)
		}
		if _, err := in.Conn.Write([]byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("writing after Close: %v", err)
		}
	}
}

func TestTwentyPairsOnOnePort(t *testing.T) {
	const pairs = 20
	b := started(t, Config{Listen: loopback})
	a := started(t, Config{})
	for i := range pairs {
		pa, pb := pairOf(i)
		if err := errors.Join(a.Add(pa), b.Add(pb)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range pairs {
		pa, _ := pairOf(i)
		out := dial(t, a, pa.Handle, b.Addr().String())
		in := accept(t, b)
		if in.Handle != pa.Handle {
			t.Errorf("pair %d came in as another", i)
		}
		say(t, out, in.Conn, "hello")
		_ = out.Close()
		_ = in.Conn.Close()
	}
}

// TestWrongKeysGetNothing tries each key of the three alone, from both sides.
func TestWrongKeysGetNothing(t *testing.T) {
	pa, pb := pairOf(1)
	wrong := key("wrong")
	for name, change := range map[string]func(*Pair){
		"network": func(p *Pair) { p.Network = wrong },
		"local":   func(p *Pair) { p.Local = wrong },
		"remote":  func(p *Pair) { p.Remote = wrong },
	} {
		t.Run(name, func(t *testing.T) {
			b := started(t, Config{Listen: loopback, HandshakeTimeout: 300 * time.Millisecond}, pb)
			bad := pa
			change(&bad)
			a := started(t, Config{}, bad)
			if c, err := a.Dial(context.Background(), pa.Handle, b.Addr().String()); !errors.Is(err, ErrRefused) {
				t.Errorf("Dial = %v, %v; want ErrRefused", c, err)
			}
			select {
			case <-b.Accept():
				t.Error("a stream came in")
			default:
			}
		})
	}
}

func TestAddAndRemove(t *testing.T) {
	pa, pb := pairOf(1)
	a := started(t, Config{}, pa)
	b := started(t, Config{Listen: loopback, HandshakeTimeout: 300 * time.Millisecond}, pb)
	if err := a.Add(pa); err != nil {
		t.Errorf("adding the same again: %v", err)
	}
	other, _ := pairOf(2)
	other.Handle = pa.Handle
	if err := a.Add(other); !errors.Is(err, ErrPairExists) {
		t.Errorf("other secrets under a known handle: %v", err)
	}
	other = pb
	other.Handle = Handle{9}
	if err := a.Add(other); !errors.Is(err, ErrPairExists) {
		t.Errorf("a known network key under another handle: %v", err)
	}
	for _, bad := range []Pair{{}, {Network: key(1), Local: key(1), Remote: key(2)}, {Network: key(1), Local: key(2), Remote: key(2)}} {
		if err := a.Add(bad); !errors.Is(err, ErrPair) {
			t.Errorf("a pair without three distinct keys: %v", err)
		}
	}

	out := dial(t, a, pa.Handle, b.Addr().String())
	in := accept(t, b)
	b.Remove(pb.Handle)
	_ = out.SetReadDeadline(time.Now().Add(patience))
	if _, err := out.Read(make([]byte, 1)); !errors.Is(err, ErrBroken) {
		t.Errorf("after Remove the other end reads %v", err)
	}
	if _, err := in.Conn.Read(make([]byte, 1)); err == nil {
		t.Error("after Remove this end can read")
	}
	if _, err := a.Dial(context.Background(), pa.Handle, b.Addr().String()); !errors.Is(err, ErrRefused) {
		t.Errorf("dialling a removed pair: %v", err)
	}
	if err := b.Add(pb); err != nil {
		t.Fatalf("adding a removed pair: %v", err)
	}
	again := dial(t, a, pa.Handle, b.Addr().String())
	say(t, again, accept(t, b).Conn, "again")
	_ = out.Close()
	_ = again.Close()
}

func TestConnectionsPerPairAreBounded(t *testing.T) {
	pa, pb := pairOf(1)
	a := started(t, Config{MaxPerPair: 3}, pa)
	b := started(t, Config{Listen: loopback, MaxPerPair: 2, HandshakeTimeout: 300 * time.Millisecond}, pb)
	first := dial(t, a, pa.Handle, b.Addr().String())
	gone := accept(t, b)
	dial(t, a, pa.Handle, b.Addr().String())
	accept(t, b)
	if _, err := a.Dial(context.Background(), pa.Handle, b.Addr().String()); !errors.Is(err, ErrRefused) {
		t.Errorf("a third connection with two allowed: %v", err)
	}
	_ = first.Close()
	_ = gone.Conn.Close()
	eventually(t, "a slot is free", func() bool {
		_, err := a.Dial(context.Background(), pa.Handle, b.Addr().String())
		if err == nil {
			accept(t, b)
		}
		return err == nil
	})
	for p, taken := a.find(pa.Handle), 2; p.reserve(outbound); taken++ {
		if taken == 3 {
			t.Fatal("a fourth slot with three allowed")
		}
	}
	if _, err := a.Dial(context.Background(), pa.Handle, b.Addr().String()); !errors.Is(err, ErrTooMany) {
		t.Errorf("dialling with all slots taken: %v", err)
	}
}

// eventually polls, since the other end's work cannot be waited for.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestStreamThatNobodyTakesIsReset(t *testing.T) {
	pa, pb := pairOf(1)
	a := started(t, Config{}, pa)
	b := started(t, Config{Listen: loopback, HandshakeTimeout: 200 * time.Millisecond}, pb)
	c := dial(t, a, pa.Handle, b.Addr().String())
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrBroken) {
		t.Errorf("Read = %v, want ErrBroken", err)
	}
}

func TestDeadlinesAndCloseWakeAReader(t *testing.T) {
	pa, pb := pairOf(1)
	a, b := started(t, Config{}, pa), started(t, Config{Listen: loopback}, pb)
	c := dial(t, a, pa.Handle, b.Addr().String())
	accept(t, b)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Read after its deadline: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	read := make(chan error)
	go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
	_ = c.Close()
	if err := <-read; !errors.Is(err, ErrClosed) {
		t.Errorf("Read when closed: %v", err)
	}
}

func TestLife(t *testing.T) {
	pa, _ := pairOf(1)
	n := opened(t, Config{Listen: loopback})
	if _, err := Open(Config{Listen: n.Addr().String()}); !errors.Is(err, ErrAddressInUse) {
		t.Errorf("opening a port twice: %v", err)
	}
	if _, err := n.Dial(context.Background(), pa.Handle, "127.0.0.1:1"); !errors.Is(err, ErrClosed) {
		t.Errorf("dialling before Run: %v", err)
	}
	stop := run(t, n)
	if _, err := n.Dial(context.Background(), pa.Handle, "127.0.0.1:1"); !errors.Is(err, ErrNoPair) {
		t.Errorf("dialling nobody: %v", err)
	}
	stop()
	if _, open := <-n.Accept(); open {
		t.Error("Accept is open after Run")
	}
	if err := n.Add(pa); !errors.Is(err, ErrClosed) {
		t.Errorf("Add after Run: %v", err)
	}
	if err := n.Run(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("a second Run: %v", err)
	}
	if n := opened(t, Config{}); n.Addr() != nil {
		t.Error("a network that does not listen has an address")
	}
}

func TestRunEndsWithEverythingOpen(t *testing.T) {
	pa, pb := pairOf(1)
	a, b := opened(t, Config{}), opened(t, Config{Listen: loopback})
	if err := errors.Join(a.Add(pa), b.Add(pb)); err != nil {
		t.Fatal(err)
	}
	stopA, stopB := run(t, a), run(t, b)
	dial(t, a, pa.Handle, b.Addr().String())
	accept(t, b)
	dial(t, a, pa.Handle, b.Addr().String()) // not taken
	stranger, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	before := time.Now()
	stopB()
	stopA()
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("ending took %v", took)
	}
}

// TestOneStreamPerConnection: a second stream ends the connection, even when the
// first is long gone.
func TestOneStreamPerConnection(t *testing.T) {
	pa, pb := pairOf(1)
	a, b := started(t, Config{}, pa), started(t, Config{Listen: loopback}, pb)
	c := dial(t, a, pa.Handle, b.Addr().String()).(*conn)
	in := accept(t, b)
	_ = c.stream.Reset()
	if _, err := in.Conn.Read(make([]byte, 1)); !errors.Is(err, ErrBroken) {
		t.Errorf("reading from a stream that was reset: %v", err)
	}
	second, err := c.link.muxed.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = second.SetDeadline(time.Now().Add(time.Second))
	_ = multistream.SelectProtoOrFail(streamProtocol, second)
	if _, err := second.Read(make([]byte, 1)); err == nil || plain(err) != ErrBroken {
		t.Errorf("reading from a second stream: %v", err)
	}
	select {
	case <-b.Accept():
		t.Error("a second stream was accepted")
	default:
	}
	eventually(t, "the connection is closed", func() bool { return c.link.muxed.IsClosed() })
}
