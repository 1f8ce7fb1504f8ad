package node_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/route"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
)

// TestMain runs as a node that may die if the environment says so; see process.
func TestMain(m *testing.M) {
	if script := os.Getenv(childEnv); script != "" {
		os.Exit(childMain(script))
	}
	// A machine mostly waits for its disk and for its peer. The flag of the command
	// line still wins.
	if err := flag.Set("test.parallel", "3"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// long has the tests do everything as often as docs/figures.md says.
var long = flag.Bool("long", false, "repeat what is repeated as often as the figures say")

// patience is how long a test waits for what must come. It is far beyond what
// any of it takes, so that a busy machine does not fail a test.
const patience = 2 * time.Minute

// peer is the name under which each of two machines knows the other.
const peer = "peer"

var passphrase = []byte("correct horse battery staple")

// few says how often a test repeats something: n times with -long, an eighth of
// that else, and a tenth under the race detector or with -short.
func few(n int) int {
	switch {
	case slow || testing.Short():
		return max(1, n/10)
	case *long:
		return n
	default:
		return max(1, n/8)
	}
}

// oneOf are all of them with -long, and else one that varies: each is played in one run
// or another.
func oneOf[T any](all ...T) []T {
	if *long {
		return all
	}
	return []T{all[rand.IntN(len(all))]}
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// pass waits where nothing is to happen, for which there is no event.
func pass(d time.Duration) { <-time.After(d) }

// hooks are the places where a test reaches into a machine that is otherwise
// made of the real parts. All are optional.
type hooks struct {
	store   func(node.Store) node.Store
	opened  func(*p2p.Network)
	conn    func(p2p.Conn) p2p.Conn
	now     func() time.Time
	rest    time.Duration
	channel func(*channel.Config)
	route   func(*route.Config)
}

// pace is a conversation's, short enough for a test and long enough that a busy
// machine brings no recovery about.
func pace() channel.Config {
	return channel.Config{
		AckDelay: 5 * time.Millisecond, KeepAlive: 3 * time.Second, ResendAfter: time.Second, AnswerTimeout: 6 * time.Second,
	}
}

// newConfig is a machine on a real store and a real network.
func newConfig(dir string, settings node.Settings, h hooks) node.Config {
	cfg := node.Config{
		OpenStore: func(passphrase []byte, keyFile string) (node.Store, error) {
			s, err := store.Open(store.Config{Dir: dir, Cost: store.Cheap, KeyFile: keyFile}, passphrase)
			if err != nil {
				return nil, err
			}
			if h.store != nil {
				return h.store(s), nil
			}
			return s, nil
		},
		OpenNetwork: func(s node.Settings) (node.Network, error) {
			n, err := openNetwork(s)
			if err != nil {
				return nil, err
			}
			if h.opened != nil {
				h.opened(n)
			}
			if h.conn != nil {
				return &network{Network: n, wrap: h.conn, in: make(chan p2p.Incoming)}, nil
			}
			return n, nil
		},
		Settings:   func() (node.Settings, error) { return settings, nil },
		Now:        h.now,
		Rest:       h.rest,
		Pace:       node.Pace{Eager: true},
		Channel:    pace(),
		BackupCost: backup.Cheap,
		Route:      route.Config{First: 10 * time.Millisecond, Most: 60 * time.Millisecond},
	}
	if h.channel != nil {
		h.channel(&cfg.Channel)
	}
	if h.route != nil {
		h.route(&cfg.Route)
	}
	return cfg
}

// openNetwork tries again for a while: what was killed a moment ago may still
// have the port.
func openNetwork(s node.Settings) (*p2p.Network, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		n, err := p2p.Open(p2p.Config{Listen: s.Listen})
		if !errors.Is(err, p2p.ErrAddressInUse) {
			return n, err
		}
		<-tick.C
	}
	return nil, p2p.ErrAddressInUse
}

// network is a real one whose connections go through a wrapper.
type network struct {
	node.Network
	wrap func(p2p.Conn) p2p.Conn
	in   chan p2p.Incoming
}

func (n *network) Accept() <-chan p2p.Incoming { return n.in }

func (n *network) Run(ctx context.Context) error {
	var forward sync.WaitGroup
	forward.Go(func() {
		defer close(n.in)
		for in := range n.Network.Accept() {
			in.Conn = n.wrap(in.Conn)
			select {
			case n.in <- in:
			case <-ctx.Done():
				_ = in.Conn.Close()
			}
		}
	})
	defer forward.Wait()
	return n.Network.Run(ctx)
}

func (n *network) Dial(ctx context.Context, h p2p.Handle, address string) (p2p.Conn, error) {
	c, err := n.Network.Dial(ctx, h, address)
	if err != nil {
		return nil, err
	}
	return n.wrap(c), nil
}

// freeSettings are those of a machine that listens on a port that is free now and stays
// its own over restarts. It lies below the ports that systems give to outgoing
// connections, one of which would otherwise take it while the machine is down.
func freeSettings(t testing.TB) node.Settings {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(18000))
		if _, taken := handedOut.LoadOrStore(address, true); taken {
			continue // to a test whose process may not run just now
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		return node.Settings{Listen: address, Address: address}
	}
	t.Fatal("no free port")
	return node.Settings{}
}

// handedOut are the addresses that tests of this run have had.
var handedOut sync.Map

func newHome(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "vault")
	if err := store.Create(store.Config{Dir: dir, Cost: store.Cheap}, passphrase); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A machine is a node in this process.
type machine struct {
	*node.Node
	t        testing.TB
	dir      string
	settings node.Settings
	hooks    hooks
	end      func() // ends Run and waits; may be called twice
}

// newMachine makes a machine, starts and unlocks it.
func newMachine(t testing.TB, settings node.Settings, h hooks) *machine {
	t.Helper()
	m := &machine{t: t, dir: newHome(t), settings: settings, hooks: h}
	m.start()
	m.unlock()
	return m
}

// start begins a new run, as a new process does.
func (m *machine) start() {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	n := node.Open(newConfig(m.dir, m.settings, m.hooks))
	go func() { done <- n.Run(ctx) }()
	m.Node = n
	m.end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				m.t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			m.t.Error("Run did not return")
		}
	})
	m.t.Cleanup(m.end)
}

func (m *machine) unlock() {
	m.t.Helper()
	if err := m.open(); err != nil {
		m.t.Fatalf("unlocking: %v", err)
	}
}

// open unlocks and goes online.
func (m *machine) open() error {
	if err := m.Unlock(m.t.Context(), passphrase); err != nil {
		return err
	}
	return m.GoOnline(m.t.Context())
}

// restart ends the run and begins another one.
func (m *machine) restart() {
	m.t.Helper()
	m.end()
	m.start()
	m.unlock()
}

func (m *machine) invite() string {
	m.t.Helper()
	text, _, err := m.Invite(m.t.Context(), peer, 48*time.Hour, false, false)
	if err != nil {
		m.t.Fatalf("inviting: %v", err)
	}
	return text
}

func (m *machine) accept(text string) {
	m.t.Helper()
	if _, err := m.Accept(m.t.Context(), peer, text); err != nil {
		m.t.Fatalf("accepting: %v", err)
	}
}

func (m *machine) say(text string) {
	m.t.Helper()
	if _, err := m.Send(m.t.Context(), peer, text); err != nil {
		m.t.Fatalf("sending: %v", err)
	}
}

func (m *machine) lines() []channel.Message {
	m.t.Helper()
	list, err := m.Read(m.t.Context(), peer, 0)
	if err != nil {
		m.t.Fatalf("reading: %v", err)
	}
	return list
}

func (m *machine) view() channel.View {
	m.t.Helper()
	v, err := m.Contact(m.t.Context(), peer)
	if err != nil {
		m.t.Fatalf("looking at the contact: %v", err)
	}
	return v
}

func (m *machine) status() node.Status {
	m.t.Helper()
	s, err := m.Status(m.t.Context())
	if err != nil {
		m.t.Fatalf("status: %v", err)
	}
	return s
}

// A party is one of two who talk: a machine here, or a process that may die.
type party interface {
	invite() string
	accept(text string)
	say(text string)
	lines() []channel.Message
	view() channel.View
}

// A talk keeps what two parties said, to compare it with what arrived.
type talk struct {
	t    testing.TB
	a, b party // inviter and accepter
	said map[party][]string
}

func newTalk(t testing.TB, a, b party) *talk {
	return &talk{t: t, a: a, b: b, said: map[party][]string{}}
}

// meet brings the two to a session.
func (w *talk) meet() {
	w.t.Helper()
	w.b.accept(w.a.invite())
	w.connected()
}

func (w *talk) connected() {
	w.t.Helper()
	until(w.t, "both met, are connected and have words", func() bool {
		a, b := w.a.view(), w.b.view() // both: looking is what starts a process that died
		return ready(a) && ready(b)
	})
}

func ready(v channel.View) bool { return v.Stage == channel.Met && v.Connected && v.WordsReady }

func (w *talk) say(p party, text string) {
	w.t.Helper()
	p.say(text)
	w.said[p] = append(w.said[p], text)
}

// round is a few texts both ways, all of which arrive. One is of several parts.
func (w *talk) round(name string) {
	w.t.Helper()
	for i := range 2 {
		for side, p := range w.sides() {
			w.say(p, fmt.Sprintf("%s %s %d", name, side, i)+strings.Repeat(" and so on", i*400))
		}
	}
	w.arrived()
}

func (w *talk) sides() map[string]party { return map[string]party{"inviter": w.a, "accepter": w.b} }

// arrived waits until everything is delivered, and wants all of it to be there,
// once and in order.
func (w *talk) arrived() {
	w.t.Helper()
	until(w.t, "everything is delivered", func() bool {
		a, b := w.a.lines(), w.b.lines()
		return delivered(a) && delivered(b)
	})
	w.exact()
}

// exact wants what each side has to be what the other said.
func (w *talk) exact() {
	w.t.Helper()
	for _, p := range []party{w.a, w.b} {
		if got, want := texts(w.other(p).lines(), channel.In), w.said[p]; !slices.Equal(got, want) {
			w.t.Fatalf("%d texts were said, %d are there: %s", len(want), len(got), difference(got, want))
		}
	}
}

// truth wants no text to be called delivered that is not there. The claim is read
// before the fact, so that what arrives meanwhile does no harm.
func (w *talk) truth() {
	w.t.Helper()
	for _, p := range []party{w.a, w.b} {
		claim := p.lines()
		there := map[string]bool{}
		for _, m := range w.other(p).lines() {
			there[m.Text] = m.Direction == channel.In
		}
		for _, m := range claim {
			if m.Direction == channel.Out && m.State == channel.Delivered && !there[m.Text] {
				w.t.Fatalf("%q is called delivered and is not there", m.Text)
			}
		}
	}
}

func (w *talk) other(p party) party {
	if p == w.a {
		return w.b
	}
	return w.a
}

// undisturbed wants no line of the program's own: none of what a test did is
// anything that a person should hear of.
func (w *talk) undisturbed() {
	w.t.Helper()
	for side, p := range w.sides() {
		if notes := texts(p.lines(), channel.Notice); len(notes) > 0 {
			w.t.Errorf("the %s was told %q", side, notes)
		}
	}
}

func texts(list []channel.Message, d channel.Direction) (texts []string) {
	for _, m := range list {
		if m.Direction == d {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

func delivered(list []channel.Message) bool {
	return !slices.ContainsFunc(list, func(m channel.Message) bool {
		return m.Direction == channel.Out && m.State != channel.Delivered
	})
}

func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%.60q is missing", want[i])
		case i >= len(want) || got[i] != want[i]:
			return fmt.Sprintf("at %d stands %.60q", i, got[i])
		}
	}
	return "none"
}
