package relay

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/drop"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// long plays the long runs: "go test ./relay -run Evidence -long -v".
var long = flag.Bool("long", false, "play the long runs")

// What the child that is a relay is told.
const childEnv = "BACKCHANNEL_RELAY_TEST"

type childConfig struct {
	Constants directory.Constants
	Places    []string // of all relays; the child is the first
	Now       time.Time
	Dir       string
}

// vouched is the network that a test and its child share.
func (c childConfig) vouched(t testing.TB) (w *relaytest.World, items []directory.Item, places []identity.Place) {
	w = relaytest.New(t, c.Constants)
	for i, p := range c.Places {
		places = append(places, w.Place(p))
		items = append(items, w.VoucherAt(i, c.Now, places[i]))
	}
	return w, items, places
}

// TestRelayChild is a relay with a drop, in a process of its own. It dumps its heap, and
// tells how it stands, when it is asked to.
func TestRelayChild(t *testing.T) {
	raw := os.Getenv(childEnv)
	if raw == "" {
		t.Skip("it is run by TestEvidence")
	}
	var c childConfig
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		t.Fatal(err)
	}
	w, items, places := c.vouched(t)
	store, err := drop.Open(drop.Config{Dir: filepath.Join(c.Dir, "boxes"), ID: relaytest.ID(0), MinFree: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(Config{Network: w.Network, Key: relaytest.Key(0), Items: items, Listen: places[0].Address(), Dir: c.Dir, Drop: store})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f, err := os.Create(in.Text())
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.GC()
		debug.FreeOSMemory()
		debug.WriteHeapDump(f.Fd())
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("status: %+v\n", s)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// child is the relay's process, as its test sees it.
type child struct {
	*testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	mu    sync.Mutex
	said  bytes.Buffer // all that it wrote; guarded by mu
	dir   string
	dumps int
}

func startChild(t *testing.T, c childConfig) *child {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &child{T: t, cmd: exec.Command(os.Args[0], "-test.run=^TestRelayChild$", "-test.v"), lines: make(chan string, 1000), dir: c.Dir}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.mu.Lock()
			p.said.WriteString(s.Text() + "\n")
			p.mu.Unlock()
			if strings.HasPrefix(s.Text(), "status:") {
				p.lines <- s.Text()
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.in.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the relay: %v\n%s", err, p.said.String())
		}
		_ = w.Close()
		<-read
	})
	return p
}

// dump returns the relay's heap, what it says of itself, and its memory as the system shows
// it, if it does.
func (p *child) dump() (heap []byte, status string, memory []byte) {
	p.Helper()
	p.dumps++
	path := filepath.Join(p.TempDir(), fmt.Sprintf("heap-%d", p.dumps))
	if _, err := fmt.Fprintln(p.in, path); err != nil {
		p.Fatal(err)
	}
	select {
	case status = <-p.lines:
	case <-time.After(time.Minute):
		p.Fatal("the relay does not dump its heap")
	}
	heap, err := os.ReadFile(path)
	if err != nil || len(heap) < 1<<20 {
		p.Fatalf("a dump of %d bytes: %v", len(heap), err)
	}
	return heap, status, memoryOf(p.cmd.Process.Pid)
}

// memoryOf reads what a process has written of its memory, or nothing if that may not be.
func memoryOf(pid int) (all []byte) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") || to-from > 1<<30 {
			continue
		}
		part := make([]byte, to-from)
		n, _ := mem.ReadAt(part, from)
		all = append(all, part[:n]...)
	}
	return all
}

// A trace is what could be left of a principal.
type trace struct {
	what  string
	bytes []byte
	short bool // it may be there by chance: only all principals' together count
}

// tracesOf are the forms in which programs hold an address, a key and a name.
func tracesOf(at netip.AddrPort, key ed25519.PublicKey, name onion.ID) []trace {
	four := at.Addr().As4()
	port := []byte{byte(at.Port() >> 8), byte(at.Port())}
	turned := slices.Clone(four[:])
	slices.Reverse(turned)
	peer := append([]byte{0, 36, 8, 1, 18, 32}, key...)
	return []trace{
		{"address in text", []byte(at.Addr().String()), false},
		{"address with its port", append(slices.Clone(four[:]), port...), false},
		{"address of the system", append(append([]byte{2, 0}, port...), four[:]...), false},
		{"address of 16 bytes", append([]byte{0, 0, 0xff, 0xff}, four[:]...), false},
		{"address as netip has it", append(slices.Clone(turned), 0xff, 0xff, 0, 0), false},
		{"address of libp2p", append(append([]byte{4}, four[:]...), 6), false},
		{"address", four[:], true},
		{"key", key, false},
		{"key in base64", []byte(base64.StdEncoding.EncodeToString(key)), false},
		{"peer ID in text", []byte(base58(peer)), false},
		{"peer ID in hex", []byte(hex.EncodeToString(key)), false},
		{"name", name[:], false},
		{"name in hex", []byte(hex.EncodeToString(name[:])), false},
	}
}

func base58(b []byte) string {
	const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	n, out := new(big.Int).SetBytes(b), []byte(nil)
	for rest := new(big.Int); n.Sign() > 0; {
		n.DivMod(n, big.NewInt(58), rest)
		out = append(out, digits[rest.Int64()])
	}
	for _, x := range b {
		if x != 0 {
			break
		}
		out = append(out, digits[0])
	}
	slices.Reverse(out)
	return string(out)
}

// found lists what is left of principals in some bytes.
func found(in []byte, principals [][]trace) (all []string) {
	for kind, t := range principals[0] {
		of := 0
		for _, p := range principals {
			if bytes.Contains(in, p[kind].bytes) {
				of++
			}
		}
		if of == len(principals) || of > 0 && !t.short {
			all = append(all, fmt.Sprintf("%s of %d", t.what, of))
		}
	}
	return all
}

// onDisk is all that lies below a folder, with the names.
func onDisk(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(append(all, path...), b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// forward is a line that comes to a relay from an address of its own.
func forward(t *testing.T, from, to string) (address string, port func() uint16, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var lines sync.WaitGroup
	used := make(chan uint16, 1)
	lines.Go(func() {
		in, err := l.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer out.Close()
		used <- uint16(out.LocalAddr().(*net.TCPAddr).Port)
		lines.Go(func() {
			_, _ = io.Copy(out, in)
			_ = out.Close()
		})
		_, _ = io.Copy(in, out)
	})
	return l.Addr().String(), func() uint16 { return <-used }, func() { _ = l.Close(); lines.Wait() }
}

// visit has a principal come to relay 0 from an address, send packets over all relays for
// some slots, and go when quit is closed.
func visit(t *testing.T, w *relaytest.World, places []identity.Place, from string, view func() *directory.View, quit chan struct{}, done *sync.WaitGroup) []trace {
	t.Helper()
	address, port, end := forward(t, from, places[0].Address())
	g, err := link.DialGuard(t.Context(), link.GuardConfig{
		Relay: relaytest.Identity(0), Address: address, Packet: w.Network.Constants.Suite.Geometry().Packet,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done.Go(func() {
		defer end()
		if err := g.Run(ctx, func([]byte) {}); err != nil {
			t.Error(err)
		}
	})
	done.Go(func() {
		defer cancel()
		for tick := time.NewTicker(w.Network.Constants.Slot / 10); ; {
			packet, _ := create(t, w, view(), g.Name())
			if err := g.Send(packet); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	})
	return tracesOf(netip.AddrPortFrom(netip.MustParseAddr(from), port()), g.Key(), g.Name())
}

// TestEvidence runs a relay in a process of its own and some principals whose guard it is.
// While they are there it knows them, of course: that shows that they would be found. When
// they have gone and some epochs have passed, nothing of them is on its disk, in its heap,
// in what it writes and in what it says of itself.
func TestEvidence(t *testing.T) {
	if !*long {
		t.Skip("it waits for minutes: go test ./relay -run Evidence -long -v")
	}
	const relays = 4
	c := childConfig{
		Constants: directory.Constants{Epoch: soon(), Slot: time.Second, Mean: 20 * time.Millisecond, Pool: 1},
		Now:       time.Now(), Dir: filepath.Join(t.TempDir(), "relay"),
	}
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range relays {
		c.Places = append(c.Places, free(t))
	}
	w, items, places := c.vouched(t)
	p := startChild(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	var all []*Relay
	for i := 1; i < relays; i++ {
		r, err := Open(Config{Network: w.Network, Key: relaytest.Key(i), Items: items, Listen: places[i].Address(), Dir: t.TempDir(), Drop: echo{}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
		tasks.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	view := func() *directory.View { return all[0].View(w.Network.EpochAt(time.Now())) }
	wait(t, "everybody is in the view and linked", func() bool {
		return len(view().Members()) == relays && len(all[0].Linked()) == relays-1
	})
	quit := make(chan struct{})
	var visits sync.WaitGroup
	var principals [][]trace
	for i := range 5 {
		principals = append(principals, visit(t, w, places, fmt.Sprintf("127.%d.101.%d", 83+i, 7+i), view, quit, &visits))
	}
	<-time.After(20 * time.Second) // so that there is traffic to forget
	heap, status, _ := p.dump()
	there := found(heap, principals)
	t.Logf("while they are there: %v\n%s", there, status)
	for _, want := range []string{"address as netip has it of 5", "key of 5", "name of 5"} {
		if !slices.Contains(there, want) {
			t.Errorf("the heap does not show the %s: it would not show what is left", want)
		}
	}
	close(quit)
	visits.Wait()
	left := time.Now()
	var memory []byte
	for {
		heap, status, memory = p.dump()
		now := found(heap, principals)
		t.Logf("%v after they left: %v in the heap, %v in all memory", time.Since(left).Round(time.Second), now, found(memory, principals))
		if len(now) == 0 && time.Since(left) > 4*c.Constants.Epoch || time.Since(left) > 5*time.Minute {
			break
		}
		<-time.After(10 * time.Second)
	}
	p.mu.Lock()
	said := bytes.Clone(p.said.Bytes())
	p.mu.Unlock()
	for where, b := range map[string][]byte{"heap": heap, "disk": onDisk(t, c.Dir), "log": said, "status": []byte(status)} {
		if left := found(b, principals); len(left) > 0 {
			t.Errorf("the %s holds %v", where, left)
		}
	}
}
