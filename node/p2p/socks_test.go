package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// A socksServer is a SOCKS5 proxy (RFC 1928, RFC 1929) that writes down what it
// is asked for and connects everything to one target.
type socksServer struct {
	l      net.Listener
	target string
	wait   sync.WaitGroup

	mu    sync.Mutex
	asked []string // type and host:port as they came
	users []string
}

func newSocksServer(t *testing.T, target string) *socksServer {
	t.Helper()
	l, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	s := &socksServer{l: l, target: target}
	s.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wait.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); s.wait.Wait() })
	return s
}

func (s *socksServer) serve(c net.Conn) {
	defer c.Close()
	if s.hello(c) != nil {
		return
	}
	if err := s.request(c); err != nil {
		return
	}
	to, err := net.Dial("tcp", s.target)
	if err != nil {
		_, _ = c.Write([]byte{5, 4, 0, 1, 0, 0, 0, 0, 0, 0}) // host unreachable
		return
	}
	defer to.Close()
	if _, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, c); _ = to.(*net.TCPConn).CloseWrite() })
	_, _ = io.Copy(c, to)
	_ = c.Close()
	both.Wait()
}

func read(c io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	return b, err
}

func (s *socksServer) hello(c net.Conn) error {
	head, err := read(c, 2)
	if err != nil {
		return err
	}
	methods, err := read(c, int(head[1]))
	if err != nil || !slices.Contains(methods, 2) {
		_, _ = c.Write([]byte{5, 0xff})
		return errors.New("no password offered")
	}
	_, _ = c.Write([]byte{5, 2})
	head, err = read(c, 2)
	if err != nil {
		return err
	}
	user, _ := read(c, int(head[1]))
	size, _ := read(c, 1)
	if _, err := read(c, int(size[0])); err != nil {
		return err
	}
	s.mu.Lock()
	s.users = append(s.users, string(user))
	s.mu.Unlock()
	_, err = c.Write([]byte{1, 0})
	return err
}

func (s *socksServer) request(c net.Conn) error {
	head, err := read(c, 4)
	if err != nil {
		return err
	}
	var host string
	switch head[3] {
	case 1, 4:
		ip, err := read(c, map[byte]int{1: 4, 4: 16}[head[3]])
		if err != nil {
			return err
		}
		host = net.IP(ip).String()
	case 3:
		size, err := read(c, 1)
		if err != nil {
			return err
		}
		name, _ := read(c, int(size[0]))
		host = string(name)
	}
	port, err := read(c, 2)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("%d %s:%d", head[3], host, binary.BigEndian.Uint16(port)))
	return err
}

// watchDials makes n note each socket that it connects, and each attempt to ask a
// resolver, which fails.
func watchDials(n *Network) (dialled func() []string) {
	var mu sync.Mutex
	var all []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, s)
	}
	n.dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		note(address)
		return nil
	}
	n.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		note("resolver")
		return nil, errors.New("no resolver in this test")
	}}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func TestProxyGetsNamesAndNothingElseIsDialled(t *testing.T) {
	pa, pb := pairOf(1)
	pc, pd := pairOf(2)
	b := started(t, Config{Listen: loopback}, pb, pd)
	s := newSocksServer(t, b.Addr().String())
	a := opened(t, Config{Proxy: "socks5://" + s.l.Addr().String()})
	dialled := watchDials(a)
	if err := errors.Join(a.Add(pa), a.Add(pc)); err != nil {
		t.Fatal(err)
	}
	run(t, a)
	want := map[string]string{
		onionName + ":80":              "3 " + onionName + ":80",
		"never-resolve-me.invalid:443": "3 never-resolve-me.invalid:443",
		"localhost:81":                 "3 localhost:81",
		"192.0.2.1:4001":               "1 192.0.2.1:4001",
		"[2001:db8::1]:4001":           "4 2001:db8::1:4001",
	}
	for addr, asked := range want {
		c := dial(t, a, pa.Handle, addr)
		in := accept(t, b)
		say(t, c, in.Conn, "through the proxy")
		_ = c.Close()
		_ = in.Conn.Close()
		s.mu.Lock()
		if got := s.asked[len(s.asked)-1]; got != asked {
			t.Errorf("the proxy was asked for %q, want %q", got, asked)
		}
		s.mu.Unlock()
	}
	other := dial(t, a, pc.Handle, "localhost:81")
	accept(t, b)
	_ = other.Close()
	for _, address := range dialled() {
		if address != s.l.Addr().String() {
			t.Errorf("besides the proxy, %s was dialled", address)
		}
	}
	if n := len(dialled()); n != len(want)+1 {
		t.Errorf("%d sockets were connected, want %d", n, len(want)+1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.users) - 1
	if s.users[0] == "" || s.users[0] != s.users[last-1] || s.users[0] == s.users[last] {
		t.Errorf("each pair needs a name of its own at the proxy: %q", s.users)
	}
}

func TestOnionNeedsTheProxy(t *testing.T) {
	pa, _ := pairOf(1)
	a := opened(t, Config{})
	dialled := watchDials(a)
	if err := a.Add(pa); err != nil {
		t.Fatal(err)
	}
	run(t, a)
	if _, err := a.Dial(t.Context(), pa.Handle, onionName+":80"); !errors.Is(err, ErrNeedsProxy) {
		t.Errorf("Dial = %v", err)
	}
	if all := dialled(); len(all) != 0 {
		t.Errorf("%q was dialled", all)
	}
	// The watch itself is shown something to see.
	if _, err := a.Dial(t.Context(), pa.Handle, "never-resolve-me.invalid:443"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Dial = %v", err)
	}
	if all := dialled(); !slices.Contains(all, "resolver") {
		t.Error("the watch does not see the resolver")
	}
}

func TestDeadProxyIsUnreachable(t *testing.T) {
	pa, _ := pairOf(1)
	s := newSocksServer(t, "127.0.0.1:1") // nothing listens there
	a := started(t, Config{Proxy: "socks5://" + s.l.Addr().String()}, pa)
	if _, err := a.Dial(t.Context(), pa.Handle, "a.example:1"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a proxy that cannot reach: %v", err)
	}
	silent, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b := started(t, Config{Proxy: "socks5://" + silent.Addr().String()}, pa)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := silent.Accept()
		if err == nil {
			defer c.Close()
			_, _ = read(c, 2)
		}
		cancel()
	}()
	if _, err := b.Dial(ctx, pa.Handle, "a.example:1"); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Errorf("a proxy that says nothing: %v", err)
	}
}
