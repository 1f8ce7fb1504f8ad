package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/screen"
	"github.com/backchannel/backchannel/relay"
	"github.com/backchannel/backchannel/relay/drop"
	"github.com/backchannel/backchannel/relay/mix"
)

// A server answers this machine about one relay: on a socket that only the relay's
// owner can open, and, if relay.toml wants it, on a loopback port for figures.
type server struct {
	relay    *relay.Relay
	boxes    *drop.Store // nil: it keeps none
	loaded   loaded
	started  time.Time
	listener net.Listener
	metrics  net.Listener // nil: off
}

// free reports [drop.ErrInUse] if a relay runs in the home already.
func (h home) free() error {
	if c, err := net.DialTimeout("unix", h.socket(), time.Second); err == nil {
		_ = c.Close()
		return drop.ErrInUse
	}
	return nil
}

// listenLocally takes the socket, and the port for figures.
func listenLocally(l loaded, r *relay.Relay, boxes *drop.Store) (*server, error) {
	socket := l.home.socket()
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(filepath.Dir(socket), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := &server{relay: r, boxes: boxes, loaded: l, started: time.Now()}
	var err error
	if s.listener, err = net.Listen("unix", socket); err != nil {
		return nil, &fault{"no_socket", exitFailed, "the local socket cannot be opened: " + withoutPath(err), "choose a home with a shorter path: backchannel-relay --home relay run"}
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(err, s.listener.Close())
	}
	if l.settings.Metrics == "" {
		return s, nil
	}
	if s.metrics, err = net.Listen("tcp", l.settings.Metrics); err != nil {
		return nil, errors.Join(&fault{"metrics_in_use", exitUnreachable, "another program uses the port for metrics", "change metrics in relay.toml, then: backchannel-relay run"}, s.listener.Close())
	}
	return s, nil
}

// run serves until ctx is done.
func (s *server) run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		ans, err := s.status(r.Context())
		if err != nil {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		screen.WriteJSON(w, ans)
	})
	servers := map[*http.Server]net.Listener{local(ctx, mux): s.listener}
	if s.metrics != nil {
		figures := http.NewServeMux()
		figures.Handle("GET /metrics", &figuresHandler{server: s})
		servers[local(ctx, figures)] = s.metrics
	}
	done := make(chan error, len(servers))
	for h, l := range servers {
		go func() { done <- h.Serve(l) }()
	}
	<-ctx.Done()
	var err error
	for h := range servers {
		err = errors.Join(err, h.Close())
	}
	for range servers {
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}
	return err
}

func local(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10,
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// statusAnswer is how a relay stands. Numbers of packets and clients are rounded: exact
// ones, written down each minute, would be a record of traffic.
type statusAnswer struct {
	V           int               `json:"v"`
	Version     string            `json:"version"`
	PID         int               `json:"pid"`
	Started     string            `json:"started"`
	Network     string            `json:"network"`
	Fingerprint string            `json:"fingerprint"`
	Relay       string            `json:"relay"`
	Operator    string            `json:"operator"`
	Address     string            `json:"address"`
	Listens     string            `json:"listens"`
	State       relayState        `json:"state"`
	Muted       bool              `json:"muted"` // its disk does not take what has to be written before others hear of it
	Epoch       uint32            `json:"epoch"`
	EpochEnds   string            `json:"epoch_ends"`
	Members     int               `json:"members"`
	Operators   int               `json:"operators"`
	Neighbours  int               `json:"neighbours"`
	Linked      int               `json:"linked"`
	Clients     uint64            `json:"clients"`
	Held        uint64            `json:"held"`
	Delay       int64             `json:"delay_milliseconds"`
	Packets     map[string]uint64 `json:"packets"`
	Loops       loopsAnswer       `json:"loops"`
	Boxes       *boxesAnswer      `json:"boxes,omitempty"`
}

type loopsAnswer struct {
	Returned uint64   `json:"returned"`
	Lost     uint64   `json:"lost"`
	Alarm    bool     `json:"alarm"`
	Suspects []string `json:"suspects,omitempty"` // IDs of relays
}

type boxesAnswer struct {
	Kept    uint64 `json:"kept"`
	Full    int    `json:"full_percent"` // of what today may hold by now
	Damaged int    `json:"damaged_days"`
	NoSpace bool   `json:"no_space"` // the disk has less than boxes leave free: none are taken
	Broken  bool   `json:"broken"`   // the disk has failed: none are taken until the relay starts anew
}

// A relayState says whether a relay is in use.
type relayState string

// The states.
const (
	stateWaiting relayState = "waiting" // until an epoch that begins after it was heard of
	stateInUse   relayState = "in_use"
	stateRevoked relayState = "revoked"
	stateCrowded relayState = "crowded"  // there are too many of its operator or address block
	stateLeftOut relayState = "left_out" // it should be in use by now
)

// status asks the relay.
func (s *server) status(ctx context.Context) (statusAnswer, error) {
	st, err := s.relay.Status(ctx)
	if err != nil {
		return statusAnswer{}, err
	}
	n, id := s.loaded.file.Network, s.loaded.identity().ID()
	ans := statusAnswer{
		V: answerVersion, Version: version, PID: os.Getpid(), Started: stamp(s.started),
		Network: n.Name, Fingerprint: n.Fingerprint(), Relay: hex.EncodeToString(id[:]),
		Operator: s.loaded.voucher.Operator, Address: s.loaded.settings.Address, Listens: s.relay.Address(),
		State: stateWaiting, Muted: st.Muted, Epoch: uint32(st.Epoch), EpochEnds: stamp(n.Begins(st.Epoch + 1)),
		Members: st.Members, Operators: st.Operators, Neighbours: st.Neighbours, Linked: st.Linked,
		Clients: about(uint64(st.Clients)), Held: about(uint64(st.Held)), Delay: st.Mean.Milliseconds(), Packets: map[string]uint64{},
		Loops: loopsAnswer{Returned: about(st.Health.Returned), Lost: about(st.Health.Lost), Alarm: st.Health.Alarm},
	}
	switch {
	case !st.Vouched:
		ans.State = stateRevoked
	case st.Known:
		ans.State = stateInUse
	case st.Crowded:
		ans.State = stateCrowded
	case st.Epoch > n.EpochAt(s.started)+1:
		ans.State = stateLeftOut
	}
	for reason, count := range st.Counts {
		if count > 0 {
			ans.Packets[word(mix.Reason(reason))] = about(count)
		}
	}
	for _, id := range st.Health.Suspects {
		ans.Loops.Suspects = append(ans.Loops.Suspects, hex.EncodeToString(id[:]))
	}
	if s.boxes != nil {
		load := s.boxes.Load()
		ans.Boxes = &boxesAnswer{Kept: about(uint64(load.Boxes)), Full: int(100 * load.Today / max(1, load.Room)), Damaged: load.Damaged, NoSpace: load.NoSpace, Broken: load.Broken}
	}
	return ans, nil
}

// word is what became of packets as a script reads it.
func word(r mix.Reason) string { return strings.ReplaceAll(strings.ToLower(r.String()), " ", "_") }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// about rounds a number down to two digits, and one below a hundred to tens.
func about(n uint64) uint64 {
	unit := uint64(10)
	for n/unit >= 100 {
		unit *= 10
	}
	return n / unit * unit
}
