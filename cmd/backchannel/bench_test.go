package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/p2p/p2ptest"
)

// benchHome is a home with a running, unlocked node.
type benchHome struct {
	b      testing.TB
	home   string
	client *control.Client
}

func newBenchHome(ctx context.Context, b testing.TB) *benchHome {
	b.Helper()
	h := &benchHome{b: b, home: b.TempDir()}
	h.run("a passphrase\n", "setup")
	h.client = control.NewClient(filepath.Join(h.home, "run", "node.sock"))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a := &app{in: newInput(ctx, strings.NewReader(""), io.Discard), out: io.Discard, err: io.Discard, home: h.home, quiet: true, fd: -1}
		if err := a.nodeRun(ctx); err != nil {
			b.Error(err)
		}
	}()
	b.Cleanup(func() { <-ended })
	return h
}

func (h *benchHome) run(stdin string, args ...string) string {
	h.b.Helper()
	var out, errOut bytes.Buffer
	if code := run(append([]string{"--home", h.home, "--json"}, args...), strings.NewReader(stdin), &out, &errOut); code != 0 {
		h.b.Fatalf("%v: exit %d: %s", args, code, errOut.String())
	}
	return out.String()
}

func (h *benchHome) unlock(ctx context.Context) {
	h.b.Helper()
	for {
		var d control.Done
		err := h.client.Call(ctx, "unlock", control.UnlockRequest{Passphrase: []byte("a passphrase")}, &d)
		if err == nil {
			err = h.client.Call(ctx, "online", control.Empty{}, &d)
		}
		if err == nil {
			return
		}
		if control.Describe(err).Code != "not_running" || ctx.Err() != nil {
			h.b.Fatal(err)
		}
	}
}

// benchTalk is two homes whose nodes have met.
func benchTalk(ctx context.Context, b testing.TB) (larch, alder *benchHome) {
	b.Helper()
	larch, alder = newBenchHome(ctx, b), newBenchHome(ctx, b)
	port, err := freePort()
	if err != nil {
		b.Fatal(err)
	}
	larch.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	larch.unlock(ctx)
	alder.unlock(ctx)
	var inv control.InviteAnswer
	if err := larch.client.Call(ctx, "invite/new", control.InviteRequest{Name: "Alder", Seconds: 3600}, &inv); err != nil {
		b.Fatal(err)
	}
	alder.run(inv.Invitation+"\nLarch\n", "invite", "accept")
	alder.run("", "contact", "verify", "1", "--show") // waits for the session
	return larch, alder
}

// BenchmarkTextLatency sends texts from one node to another over loopback, through
// both local interfaces and both stores: from the call of send to the line of
// read --follow. It reports percentiles.
func BenchmarkTextLatency(b *testing.B) {
	ctx, stop := context.WithTimeout(b.Context(), 5*time.Minute)
	defer stop()
	larch, alder := benchTalk(ctx, b)
	send := texter(ctx, b, larch, alder)
	var times []time.Duration
	for b.Loop() {
		times = append(times, send())
	}
	report(b, times, "")
	stop()
}

// BenchmarkSearch has 10,000 texts sent, and searches them by read --search. The
// vault is written as fast as it can be, else sending takes an hour.
func BenchmarkSearch(b *testing.B) {
	pace = node.Pace{Eager: true}
	defer func() { pace = node.Pace{} }()
	ctx, stop := context.WithTimeout(b.Context(), 15*time.Minute)
	defer stop()
	larch, alder := benchTalk(ctx, b)
	const all, atOnce = 10_000, 64
	var senders sync.WaitGroup
	for n := range atOnce {
		senders.Go(func() {
			for i := n; i < all; i += atOnce {
				text := fmt.Sprintf("Line %d of what was said about gauges along the upper river, in the plain words of an envoy.", i)
				var m control.MessageAnswer
				if err := alder.client.Call(ctx, "send", control.SendRequest{Name: "1", Text: text}, &m); err != nil {
					b.Errorf("sending: %v", err)
					return
				}
			}
		})
	}
	senders.Wait()
	for !strings.Contains(larch.run("line 9999 of\n", "read", "1", "--search"), "Line 9999") {
		if ctx.Err() != nil {
			b.Fatal("the last text did not arrive")
		}
	}
	for b.Loop() {
		if got := strings.Count(larch.run("LINE 77\n", "read", "1", "--search"), "gauges"); got != 111 {
			b.Fatalf("%d found", got)
		}
	}
	stop()
}

// BenchmarkTextBesideFile is the same while a large file is on its way between the
// two, and reports the ratio of the medians with it and without.
func BenchmarkTextBesideFile(b *testing.B) {
	ctx, stop := context.WithTimeout(b.Context(), 10*time.Minute)
	defer stop()
	larch, alder := benchTalk(ctx, b)
	send := texter(ctx, b, larch, alder)
	var rest, busy []time.Duration
	for range 300 {
		rest = append(rest, send())
	}
	dir := b.TempDir()
	path := filepath.Join(dir, "large")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(path, 4<<30); err != nil { // a sparse one
		b.Fatal(err)
	}
	var f control.FileAnswer
	if err := alder.client.Call(ctx, "file/send", control.FileSendRequest{Name: "1", Path: path}, &f); err != nil {
		b.Fatal(err)
	}
	moving := func(enough uint64) bool {
		var list control.FilesAnswer
		if err := larch.client.Call(ctx, "file/list", control.NameRequest{Name: "1"}, &list); err != nil {
			b.Fatal(err)
		}
		if len(list.Files) == 1 && list.Files[0].State == waitsForYou {
			take := control.FileTakeRequest{Name: "1", Seq: list.Files[0].Seq, Path: filepath.Join(dir, "saved")}
			if err := larch.client.Call(ctx, "file/take", take, &control.Done{}); err != nil {
				b.Fatal(err)
			}
		}
		return len(list.Files) == 1 && list.Files[0].State == "coming" && list.Files[0].Done > enough
	}
	for !moving(16 << 20) {
	}
	for b.Loop() {
		busy = append(busy, send())
	}
	if !moving(16 << 20) {
		b.Fatal("the file was there before the end")
	}
	report(b, rest, "-rest")
	report(b, busy, "-busy")
	b.ReportMetric(float64(busy[len(busy)/2])/float64(rest[len(rest)/2]), "busy/rest")
	if err := alder.client.Call(ctx, "file/remove", control.FileRequest{Name: "1", Seq: f.File.Seq}, &control.Done{}); err != nil {
		b.Fatal(err)
	}
	stop()
}

// report sorts times and reports percentiles.
func report(b *testing.B, times []time.Duration, of string) {
	slices.Sort(times)
	at := func(p int) float64 { return float64(times[(len(times)-1)*p/100].Microseconds()) / 1000 }
	b.ReportMetric(at(50), "ms-p50"+of)
	b.ReportMetric(at(99), "ms-p99"+of)
}

// texter returns what sends a text from alder to larch and says how long it took.
func texter(ctx context.Context, b testing.TB, larch, alder *benchHome) func() time.Duration {
	b.Helper()
	arrived := make(chan string, 16)
	go func() {
		_ = larch.client.Follow(ctx, control.ReadRequest{Name: "1"}, func(m control.Message) bool {
			if m.Direction == "in" && !m.File {
				arrived <- m.Text
			}
			return true
		})
	}()
	n := 0
	send := func() time.Duration {
		n++
		text := fmt.Sprint("text ", n)
		began := time.Now()
		var m control.MessageAnswer
		if err := alder.client.Call(ctx, "send", control.SendRequest{Name: "1", Text: text}, &m); err != nil {
			b.Fatal(err)
		}
		if got := <-arrived; got != text {
			b.Fatalf("%q arrived", got)
		}
		return time.Since(began)
	}
	send()
	return send
}

// BenchmarkNodeBesideBareHost starts an unlocked node and a bare libp2p host, each
// in a process of its own, and reports start time and memory as ratios.
func BenchmarkNodeBesideBareHost(b *testing.B) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("memory is read from /proc")
	}
	var node, bare child
	for b.Loop() {
		node = measure(b, "node")
		bare = measure(b, "bare")
	}
	b.ReportMetric(float64(node.rss)/1024, "MB-node")
	b.ReportMetric(float64(bare.rss)/1024, "MB-bare")
	b.ReportMetric(float64(node.rss)/float64(bare.rss), "memory-ratio")
	b.ReportMetric(float64(node.start.Milliseconds()), "ms-start-node")
	b.ReportMetric(float64(bare.start.Milliseconds()), "ms-start-bare")
}

type child struct {
	rss   int // KiB
	start time.Duration
}

// measure runs this test binary as a child that is nothing but the one thing.
func measure(b *testing.B, what string) child {
	b.Helper()
	home := b.TempDir()
	if what == "node" {
		(&benchHome{b: b, home: home}).run("a passphrase\n", "setup")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchmarkChild$")
	cmd.Env = append(os.Environ(), "BACKCHANNEL_BENCH_CHILD="+what, "BACKCHANNEL_HOME="+home)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, 6)); err != nil { // "ready\n"
		b.Fatal(err)
	}
	c := child{start: time.Since(began)}
	ctx := context.Background()
	if what == "node" {
		h := &benchHome{b: b, home: home, client: control.NewClient(filepath.Join(home, "run", "node.sock"))}
		h.unlock(ctx)
	}
	c.rss = residentKiB(b, cmd.Process.Pid)
	_ = stdin.Close()
	_ = cmd.Wait()
	return c
}

func residentKiB(b *testing.B, pid int) int {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// TestBenchmarkChild is the child process of BenchmarkNodeBesideBareHost.
func TestBenchmarkChild(t *testing.T) {
	what := os.Getenv("BACKCHANNEL_BENCH_CHILD")
	if what == "" {
		t.Skip("only a child process of a benchmark runs this")
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan struct{})
	switch what {
	case "node":
		go func() {
			defer close(ended)
			a := &app{in: newInput(ctx, strings.NewReader(""), io.Discard), out: io.Discard, err: io.Discard, home: os.Getenv("BACKCHANNEL_HOME"), quiet: true, fd: -1}
			if err := a.nodeRun(ctx); err != nil {
				t.Error(err)
			}
		}()
		var s control.StatusAnswer
		for control.NewClient(filepath.Join(os.Getenv("BACKCHANNEL_HOME"), "run", "node.sock")).Call(ctx, "status", control.Empty{}, &s) != nil {
			if ctx.Err() != nil {
				return
			}
		}
	default:
		h, err := p2ptest.BareHost()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-ctx.Done()
			_ = h.Close()
			close(ended)
		}()
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent closes it
	stop()
	<-ended
}
