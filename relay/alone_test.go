//go:build unix

package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/mix"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// aloneVariable holds what the relay of a benchmark is made with, in a process that is
// nothing else.
const aloneVariable = "BACKCHANNEL_RELAY_ALONE"

// aloneConfig says how that relay stands. Its neighbours are relays 0 and 2.
type aloneConfig struct {
	Suite      onion.Suite
	Mean       time.Duration
	Rate       int // of its two links
	Neighbours [2]string
	Patient    bool // it lets links wait, and refuses nothing
}

// The constants of its network.
func (c aloneConfig) constants() directory.Constants {
	return directory.Constants{Suite: c.Suite, Slot: time.Second, Mean: c.Mean}
}

// aloneSight is what it says each time it is asked.
type aloneSight struct {
	Address string
	Key     []byte // of its packets in this epoch
	Linked  int
	CPU     time.Duration // used since its start
	Memory  int64         // bytes of the process, at most since its start
	Counts  mix.Counts
}

// TestRelayAlone is no test: it is the relay of the benchmarks, on one processor.
func TestRelayAlone(t *testing.T) {
	raw := os.Getenv(aloneVariable)
	if raw == "" {
		t.Skip("the relay of the benchmarks, in a process of its own")
	}
	var cfg aloneConfig
	if err := json.Unmarshal([]byte(raw), &cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	var r Relay
	var err error
	r.host, err = link.Open(link.Config{
		Key: relaytest.Key(1), Listen: "127.0.0.1:0", Packet: cfg.Suite.Geometry().Packet, Slot: time.Second,
		Receive: func(id onion.ID, _ bool, p []byte) {
			for !r.mix.Receive(mix.Source{ID: id}, p) && cfg.Patient {
				<-time.After(time.Millisecond)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	network := relaytest.New(t, cfg.constants()).Network
	if r.mix, err = mix.Open(mix.Config{Network: network, ID: relaytest.ID(1), LoopEvery: -1}, links{&r}, nil); err != nil {
		t.Fatal(err)
	}
	tasks.Go(func() { _ = r.host.Run(ctx) })
	tasks.Go(func() { _ = r.mix.Run(ctx) })
	var near []link.Neighbour
	for i, address := range cfg.Neighbours {
		near = append(near, link.Neighbour{Relay: relaytest.Identity(2 * i), Addresses: []string{address}, Rate: cfg.Rate})
	}
	if err := r.host.Neighbours(near); err != nil {
		t.Fatal(err)
	}
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		s, err := r.alone(ctx)
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (r *Relay) alone(ctx context.Context) (s aloneSight, err error) {
	_, keys, err := r.mix.Keys(ctx)
	if err != nil {
		return s, err
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return s, err
	}
	s = aloneSight{Address: r.host.Address(), Key: keys[0].Bytes(), Linked: len(r.host.Linked()), CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), Memory: u.Maxrss << 10}
	s.Counts, err = r.mix.Counts(ctx)
	return s, err
}

// alone is that process, as seen from the benchmark.
type alone struct {
	ask     io.WriteCloser
	answers *json.Decoder
}

// newAlone starts it; it ends with the benchmark.
func newAlone(b *testing.B, cfg aloneConfig) *alone {
	b.Helper()
	raw, err := json.Marshal(cfg)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestRelayAlone$", "-test.timeout", strconv.Itoa(int(time.Hour/time.Second))+"s")
	cmd.Env = append(os.Environ(), aloneVariable+"="+string(raw), "GOMAXPROCS=1")
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &alone{in, json.NewDecoder(out)}
}

func (a *alone) look(b *testing.B) (s aloneSight) {
	b.Helper()
	_, err := io.WriteString(a.ask, "\n")
	if err == nil {
		err = a.answers.Decode(&s)
	}
	if err != nil {
		b.Fatal(err)
	}
	return s
}
