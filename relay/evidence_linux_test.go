package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
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

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/relay/drop"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// long plays the long runs: "go test ./relay -run Evidence -long -v -timeout 30m".
var long = flag.Bool("long", false, "play the long runs")

// What the child that is a relay is told.
const childEnv = "BACKCHANNEL_RELAY_TEST"

type childConfig struct {
	Constants directory.Constants
	Slot      time.Duration
	Places    []string // of all relays; the child is the first
	Now       time.Time
	Dir       string
}

// vouched is the network that a test and its child share. A network file has slots of whole
// seconds; here they are shorter, so that a day of them can be waited for.
func (c childConfig) vouched(t testing.TB) (w *relaytest.World, items []directory.Item, places []identity.Place) {
	w = relaytest.New(t, c.Constants)
	w.Network.Constants.Slot = c.Slot
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
	if os.Getenv("GODEBUG") == "" {
		// What is freed is overwritten, as backchannel-relay sees to itself (harden.Overwrite).
		p.cmd.Env = append(p.cmd.Env, "GODEBUG=clobberfree=1")
	}
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

// dump returns the relay's memory as the system shows it, if it does, and then, when the
// relay has collected what it does not need, its heap and what it says of itself.
func (p *child) dump() (memory, heap []byte, status string) {
	p.Helper()
	memory = memoryOf(p.cmd.Process.Pid)
	p.dumps++
	path := filepath.Join(p.TempDir(), fmt.Sprintf("heap-%d", p.dumps))
	if _, err := fmt.Fprintln(p.in, path); err != nil {
		p.Fatal(err)
	}
	select {
	case status = <-p.lines:
	case <-time.After(3 * time.Minute):
		p.Fatal("the relay does not dump its heap")
	}
	heap, err := os.ReadFile(path)
	if err != nil || len(heap) < 1<<20 {
		p.Fatalf("a dump of %d bytes: %v", len(heap), err)
	}
	return memory, heap, status
}

// memoryOf reads what a process has written of its memory, without pages of zeros, or nothing
// if that may not be.
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
		for page := range slices.Chunk(part[:n], len(nothing)) {
			if !bytes.Equal(page, nothing[:len(page)]) {
				all = append(all, page...)
			}
		}
	}
	return all
}

var nothing [4096]byte // a page
