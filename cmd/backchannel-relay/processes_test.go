//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay/drop"

	boxes "github.com/backchannel/backchannel/protocol/drop"
)

// relays is how many run, each a process; their operators are three.
const relays = 5

var operators = [relays]string{"one", "two", "three", "one", "two"}

// A town is a network of real relays.
type town struct {
	*testing.T
	dir     string
	running [relays]*exec.Cmd
	metrics string // of relay 0
}

// call runs the program, which must do it, and returns its output.
func (w *town) call(args ...string) string {
	w.Helper()
	cmd := exec.Command("backchannel-relay", append([]string{"--json"}, args...)...)
	cmd.Dir = w.dir
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		w.Fatalf("%v: %v %s", args, err, errOut.String())
	}
	return out.String()
}

func (w *town) read(v any, args ...string) {
	w.Helper()
	if err := json.Unmarshal([]byte(w.call(args...)), v); err != nil {
		w.Fatal(err)
	}
}

// found makes the keys and the network file, as founders and operators do.
func (w *town) found() {
	w.Helper()
	args := []string{"network", "new", "network.pem", "--name", "talks.example", "--suite", "1", "--slot", "1s", "--delay", "100ms", "--pool", "1", "--per-block", "16", "--epoch", soon().String()}
	founders := []string{"alpha", "beta", "gamma"}
	for _, name := range founders {
		var k keyAnswer
		w.read(&k, "network", "key", name+".key")
		args = append(args, "--founder", name+"="+k.Key)
	}
	w.call(args...)
	for i := range relays {
		port, err := freePort()
		if err != nil {
			w.Fatal(err)
		}
		var ans initAnswer
		w.read(&ans, "--home", folder(i), "init", "--address", "127.0.0.1:"+port, "--bind", "127.0.0.1", "--operator", operators[i])
		w.call("network", "add", "network.pem", "--relay", ans.Relay, "--operator", operators[i], "--address", ans.Address)
	}
	for _, name := range founders {
		w.call("network", "sign", "network.pem", "--key", name+".key")
	}
	text, err := os.ReadFile(filepath.Join(w.dir, "network.pem"))
	if err != nil {
		w.Fatal(err)
	}
	for i := range relays {
		w.write(filepath.Join(folder(i), "network.pem"), text)
	}
	port, err := freePort()
	if err != nil {
		w.Fatal(err)
	}
	w.metrics = "127.0.0.1:" + port
	settings := filepath.Join(w.dir, folder(0), "relay.toml")
	old, err := os.ReadFile(settings)
	if err != nil {
		w.Fatal(err)
	}
	w.write(filepath.Join(folder(0), "relay.toml"), append(old, "metrics = \""+w.metrics+"\"\n"...))
}

func (w *town) write(name string, text []byte) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o600); err != nil {
		w.Fatal(err)
	}
}

func folder(i int) string { return fmt.Sprintf("relay-%d", i) }

// soon returns the length of an epoch, ten to thirty seconds, one of which ends in eight
// seconds or little more.
func soon() time.Duration {
	const least, enough = 10, 8
	now := time.Now().Unix()
	left := func(s int64) int64 { return s - now%s }
	best := int64(least)
	for s := best; s <= 3*least; s++ {
		if l := left(s); l >= enough && (left(best) < enough || l < left(best)) {
			best = s
		}
	}
	return time.Duration(best) * time.Second
}

func (w *town) start(i int) {
	w.Helper()
	cmd := exec.Command("backchannel-relay", "--home", folder(i), "run")
	cmd.Dir = w.dir
	out, err := os.OpenFile(filepath.Join(w.dir, folder(i)+".out"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "GOLOG_LOG_LEVEL=debug") // libp2p and gossipsub ask there what to log; see wantNoTrace
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	_ = out.Close()
	w.running[i] = cmd
}

// kill ends a relay as a loss of power does.
func (w *town) kill(i int) {
	if cmd := w.running[i]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		w.running[i] = nil
	}
}

func (w *town) status(i int) (s statusAnswer, ok bool) {
	out, err := (&exec.Cmd{Path: mustPath(w), Args: []string{"backchannel-relay", "--json", "--home", folder(i), "status"}, Dir: w.dir}).Output()
	return s, err == nil && json.Unmarshal(out, &s) == nil
}

func mustPath(w *town) string {
	path, err := exec.LookPath("backchannel-relay")
	if err != nil {
		w.Fatal(err)
	}
	return path
}

func (w *town) until(what string, holds func() bool) {
	w.Helper()
	for end := time.Now().Add(patience); !holds(); <-time.After(100 * time.Millisecond) {
		if time.Now().After(end) {
			for i := range relays {
				s, _ := w.status(i)
				w.Logf("relay %d: %+v", i, s)
			}
			w.Fatalf("not in time: %s", what)
		}
	}
}

// TestProcesses starts five relays of three operators. They have a network file in which
// there is no packet key of anybody: those they learn from one another. Then a box is put
// at one of them, which loses its power and keeps the box all the same; and another one
// loses its power with a packet in its hands.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts five relays, and waits for an epoch")
	}
	t.Parallel()
	w := &town{T: t, dir: t.TempDir()}
	w.found()
	defer func() {
		for i := range relays {
			w.kill(i)
		}
	}()
	for i := range relays {
		w.start(i)
	}
	w.until("all are in use and linked", func() bool {
		for i := range relays {
			s, ok := w.status(i)
			if ok {
				w.wantOverwriting(i)
			}
			if !ok || s.State != stateInUse || s.Members != relays || s.Operators != 3 || s.Linked != relays-1 {
				return false
			}
		}
		return true
	})
	w.call("check", "network.pem")
	w.wantOneGroup(0)
	w.wantFigures()

	e := w.envoy(0)
	defer e.close()
	key := [onion.KeySize]byte{1, 2, 3}
	box := &wire.Box{77, 78, 79}
	w.until("the box is stored", func() bool {
		status, _ := e.exchange(onion.Put, []int{0, 1, 4}, []int{2, 0}, key, box)
		return status == boxes.Stored
	})
	w.kill(4)
	w.start(4)
	w.until("the relay is back, and has the box", func() bool {
		status, got := e.exchange(onion.Get, []int{0, 1, 4}, []int{2, 0}, [onion.KeySize]byte(boxes.AddressOf(key[:])), nil)
		return status == boxes.Found && *got == *box
	})
	w.loseOne(e)
	w.wantNoTrace(e, key)
}

// loseOne stops a relay's process with a packet in it, and kills it. The packet is lost,
// and does not come back with the relay; what is sent then goes through.
func (w *town) loseOne(e *envoy) {
	w.Helper()
	out, back := []int{0, 3, 4}, []int{2, 0}
	w.until("the way is open", func() bool {
		status, _ := e.exchange(onion.Loop, out, back, [onion.KeySize]byte{9}, nil)
		return status == boxes.Looped
	})
	pause(w, 3)
	lost := e.create(onion.Loop, out, back, [onion.KeySize]byte{9}, nil)
	e.send(lost)
	w.kill(3)
	w.start(3)
	w.until("the relay is back", func() bool {
		e.send(lost) // for its old keys: they are gone
		status, _ := e.exchange(onion.Loop, out, back, [onion.KeySize]byte{9}, nil)
		return status == boxes.Looped
	})
	if _, ok := e.answer(lost); ok {
		w.Error("a packet that was lost with a relay was answered")
	}
}

// wantOverwriting looks, where it may, whether a relay's process was begun with the setting by
// which what it frees is overwritten.
func (w *town) wantOverwriting(i int) {
	w.Helper()
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", w.running[i].Process.Pid))
	if err == nil && !bytes.Contains(environment, []byte("clobberfree=1")) {
		w.Error("a relay leaves in its memory what it frees")
	}
}

// figures reads the metrics of relay 0.
func (w *town) figures() string {
	w.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+w.metrics+"/metrics", http.NoBody)
	if err != nil {
		w.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer answer.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(answer.Body); err != nil {
		w.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return b.String()
}

// wantFigures looks at the metrics: rounded, and of no peer.
func (w *town) wantFigures() {
	w.Helper()
	figures := w.figures()
	if !strings.Contains(figures, "\nbackchannel_relay_linked 4\n") || !strings.Contains(figures, "\nbackchannel_relay_clients 0\n") {
		w.Errorf("metrics: %s", figures)
	}
	for line := range strings.Lines(figures) {
		if name, _, ok := strings.Cut(line, "{"); ok && name != "backchannel_relay_packets_total" || strings.Contains(line, "127.0.0.1") {
			w.Errorf("metrics tell too much: %s", line)
		}
	}
}

// wantNoTrace looks for the envoy, and for the address of the box, in all that the relays
// have written, and in what his guard says of itself while he is there.
func (w *town) wantNoTrace(e *envoy, key [onion.KeySize]byte) {
	w.Helper()
	name, address := e.guard.Name(), boxes.AddressOf(key[:])
	traces := [][]byte{name[:], fmt.Appendf(nil, "%x", name[:]), key[:], address[:], fmt.Appendf(nil, "%x", address[:]), {77, 78, 79, 0, 0, 0, 0, 0}}
	traces = append(traces, []byte("12D3KooW")) // how libp2p writes peer IDs into its logs
	traces = append(traces, e.guard.Key(), fmt.Appendf(nil, "%x", e.guard.Key()))
	looked := 0
	w.write("status", []byte(w.call("--home", folder(0), "status")))
	w.write("metrics", []byte(w.figures()))
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		looked++
		for _, trace := range traces {
			if bytes.Contains(raw, trace) {
				w.Errorf("%s holds %x", filepath.Base(path), trace)
			}
		}
		return nil
	})
	if err != nil || looked < 5*relays {
		w.Errorf("looked at %d files: %v", looked, err)
	}
	if _, err := drop.Open(drop.Config{Dir: filepath.Join(w.dir, folder(4), "drop"), ID: onion.ID{1}}); err == nil {
		w.Error("the boxes of a running relay can be opened a second time")
	}
}
