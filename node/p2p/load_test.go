package p2p

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// usage is what a flood must not keep.
type usage struct {
	goroutines, descriptors int
	heap                    uint64
}

func measure(t testing.TB) usage {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{runtime.NumGoroutine(), len(fds), m.HeapAlloc}
}

// TestHostileLoad dials 4,000 times from the friend's own address, the hardest
// case, and holds up to 600 of the connections open: silent ones, garbage, and
// such that know the network key, open the gate and never read. A fifth ends in
// resets.
func TestHostileLoad(t *testing.T) {
	const dials, held, half = 4000, 600, 100
	pa, pb := pairOf(1)
	pc, pd := pairOf(2) // the hostile pair
	b := started(t, Config{Listen: loopback, HandshakeTimeout: time.Second, MaxHalfOpen: half}, pb, pd)
	a := started(t, Config{}, pa)
	addr := b.Addr().String()
	first := dial(t, a, pa.Handle, addr)
	_ = accept(t, b).Conn.Close()
	_ = first.Close()
	eventually(t, "the first connection is gone", func() bool { return links(a)+links(b) == 0 })
	before := measure(t)

	var flood sync.WaitGroup
	work := make(chan int)
	open := make(chan net.Conn, held)
	worst := 0
	for range 8 {
		flood.Go(func() {
			for i := range work {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					continue // the backlog is full: the kernel's answer
				}
				if i%5 == 0 {
					_ = c.(*net.TCPConn).SetLinger(0) // it ends with a reset
				}
				switch i % 4 {
				case 1:
					_, _ = c.Write(random(openingSize))
				case 2:
					_, _ = c.Write(random(5))
				case 3:
					_, _ = c.Write(openingFor(pc.Network)[:])
				}
				for {
					select {
					case open <- c:
					case old := <-open:
						_ = old.Close()
						continue
					}
					break
				}
			}
		})
	}
	for i := range dials {
		work <- i
		if i%500 == 250 {
			c := dial(t, a, pa.Handle, addr)
			in := accept(t, b)
			say(t, c, in.Conn, "through the flood")
			_ = c.Close()
			_ = in.Conn.Close()
			worst = max(worst, runtime.NumGoroutine())
		}
	}
	close(work)
	flood.Wait()
	close(open)
	for c := range open {
		_ = c.Close()
	}
	if limit := before.goroutines + half + 200; worst > limit {
		t.Errorf("%d goroutines during the flood, want at most %d", worst, limit)
	}
	var after usage
	eventually(t, "goroutines, descriptors and heap are back", func() bool {
		after = measure(t)
		return after.goroutines <= before.goroutines+5 && after.descriptors <= before.descriptors+2 && after.heap < before.heap+4<<20
	})
	t.Logf("before %+v, worst %d goroutines, after %+v", before, worst, after)
}

func links(n *Network) (count int) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, p := range n.pairs {
		p.mu.Lock()
		count += len(p.links)
		p.mu.Unlock()
	}
	return count
}

// TestUnreadStreamIsBounded: who sends to one that does not read is stopped by
// the window.
func TestUnreadStreamIsBounded(t *testing.T) {
	pa, pb := pairOf(1)
	a, b := started(t, Config{}, pa), started(t, Config{Listen: loopback}, pb)
	c := dial(t, a, pa.Handle, b.Addr().String())
	accept(t, b)
	_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := c.Write(make([]byte, 16<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n > 2<<20 {
		t.Errorf("wrote %d bytes to one who does not read, %v", n, err)
	}
}

// fakeGuest puts a guest of another address into a lobby; on the network there is
// only the loopback.
func fakeGuest(t *testing.T, b *lobby, source string) *guest {
	t.Helper()
	l, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	g := b.enter(t.Context(), c.(*net.TCPConn))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(g)
	g.source = netip.MustParsePrefix(source)
	b.guests[g.source] = append(b.guests[g.source], g)
	return g
}

func gone(g *guest) bool {
	select {
	case <-g.leave:
		return true
	default:
		return false
	}
}

func TestLobbyEvictsFromTheLargestSource(t *testing.T) {
	b := newLobby(10)
	friend := fakeGuest(t, b, "192.0.2.1/32")
	var crowd []*guest
	for range 3 {
		crowd = append(crowd, fakeGuest(t, b, "2001:db8::/64"))
	}
	late := fakeGuest(t, b, "192.0.2.2/32")
	for i, want := range []*guest{crowd[0], crowd[1], friend, crowd[2], late} {
		b.evict()
		if !gone(want) {
			t.Fatalf("eviction %d took another guest", i)
		}
		b.exit(want)
	}
	b.evict() // of nobody
	if len(b.guests) != 0 || len(b.slots) != 0 {
		t.Errorf("%d sources and %d slots are left", len(b.guests), len(b.slots))
	}
}

const childEnv = "BACKCHANNEL_P2P_TEST_CHILD"

// childMain is a listener with 64 file descriptors, which echoes the first stream
// and ends with its standard input.
func childMain() int {
	if err := limitDescriptors(); err != nil {
		return 3
	}
	_, pb := pairOf(1)
	n, err := Open(Config{Listen: loopback, HandshakeTimeout: 20 * time.Second})
	if err != nil || n.Add(pb) != nil {
		return 4
	}
	go func() { _ = n.Run(context.Background()) }()
	_, _ = os.Stdout.WriteString(n.Addr().String() + "\n")
	go func() {
		for in := range n.Accept() {
			_, _ = io.Copy(in.Conn, in.Conn)
			_ = in.Conn.Close()
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// TestListenerOutlivesTheDescriptorLimit: 300 strangers come to a process that can
// have 64 descriptors. A friend gets in among them and after them, and the child
// writes nothing to standard error, from libp2p or elsewhere.
func TestListenerOutlivesTheDescriptorLimit(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system has no such limit")
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=1", "GOLOG_LOG_LEVEL=debug")
	var stderr bytes.Buffer
	child.Stderr = &stderr
	stdin, err1 := child.StdinPipe()
	stdout, err2 := child.StdoutPipe()
	if err := errors.Join(err1, err2, child.Start()); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimSpace(line)
	pa, _ := pairOf(1)
	a := started(t, Config{}, pa)
	friend := func() {
		c := dial(t, a, pa.Handle, addr)
		say(t, c, c, "echo")
		_ = c.Close()
	}
	friend()
	var strangers []net.Conn
	for range 300 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		strangers = append(strangers, c)
	}
	friend()
	for _, c := range strangers {
		_ = c.Close()
	}
	friend()
	_ = stdin.Close()
	if err := child.Wait(); err != nil {
		t.Errorf("the child ended with %v", err)
	}
	if stderr.Len() != 0 {
		t.Errorf("the child wrote:\n%s", &stderr)
	}
}
