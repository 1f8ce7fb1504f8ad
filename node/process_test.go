package node_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
)

// Some tests need a node that is killed. They run this test binary again as a
// node and talk with it over its standard input and output: a command on a line,
// an answer on a line.

const childEnv = "NODE_TEST_CHILD"

// A script is what a child is told in its environment.
type script struct {
	Dir      string
	Settings node.Settings
	Bomb     bomb
	Ahead    time.Duration // of this machine's clock
}

// A bomb kills its own process with SIGKILL, at the moment that it names.
type bomb struct {
	Kind string // "commit", "write", "time", or "memory"
	When string // "before", "after", or, of a write, "inside": half of it has left
	At   int    // which commit or write of this process, from 1; or how many milliseconds; or units of 64 KiB
	met  *atomic.Int64
}

func (b bomb) String() string { return fmt.Sprint(b.When, " ", b.Kind, " ", b.At) }

func (b bomb) fits(kind string) bool { return b.Kind == kind && b.met.Add(1) == int64(b.At) }

// starve lets the process run out of memory, at some later moment; limitMemory
// allows it so many bytes of address space more than it has. Both are nil where a
// system cannot.
var (
	starve      func()
	limitMemory func(more int)
)

// die is SIGKILL, or what a system has of it: nothing is flushed, closed or told.
func die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// killed reports whether a process ended like that.
func killed(ended *exec.ExitError) bool {
	return ended.Error() == "signal: killed" || runtime.GOOS == "windows" && ended.ExitCode() == 1
}

// around carries out one commit or write, unless it is the one.
func (b bomb) around(kind string, half, whole func() error) error {
	if !b.fits(kind) {
		return whole()
	}
	switch b.When {
	case "before":
		die()
	case "inside":
		_ = half()
		die()
	}
	_ = whole()
	die()
	return nil // not reached
}

type minedStore struct {
	node.Store
	bomb   bomb
	staged uint64
}

func (s *minedStore) Stage(writes ...store.Write) (ticket uint64, err error) {
	s.staged, err = s.Store.Stage(writes...)
	return s.staged, err
}

// Tick is mined if it has something to write.
func (s *minedStore) Tick() error {
	if s.staged <= s.Durable() {
		return s.Store.Tick()
	}
	return s.bomb.around("commit", nil, s.Store.Tick)
}

type minedConn struct {
	p2p.Conn
	bomb bomb
}

func (c minedConn) Write(b []byte) (n int, err error) {
	err = c.bomb.around("write", func() error { _, err := c.Conn.Write(b[:len(b)/2]); return err },
		func() error { n, err = c.Conn.Write(b); return err })
	return n, err
}

// killed reports whether a process ended as the bomb ends it.
func (b bomb) killed(err error, said string) bool {
	ended := new(exec.ExitError)
	if !errors.As(err, &ended) {
		return false
	}
	switch b.Kind {
	case "":
		return false
	case "memory": // the Go runtime ends it, or Badger while it opens, and says why
		return ended.ExitCode() == 2 || ended.ExitCode() == 1 && strings.Contains(said, "memory")
	default:
		return killed(ended) && said == ""
	}
}

// A command and its answer. Send and the like answer after they are done, so
// what was answered must not be lost.
type command struct {
	Do   string
	Text string
	Seq  uint64
	Name string // of a contact, where there are several
}

type answer struct {
	Err   string
	Text  string
	View  *channel.View
	Lines []channel.Message
	Files []channel.FileView

	Mandates   []channel.MandateView
	Communique *channel.CommuniqueView

	Contacts      []channel.View
	Introductions []channel.IntroductionView
	Sounding      channel.SoundingView
	Channels      []channel.ChannelView
	Shuttles      []string
}

func childMain(raw string) int {
	var s script
	err := json.Unmarshal([]byte(raw), &s)
	if err == nil {
		err = serve(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the child failed:", err)
		return 1
	}
	return 0
}

// serve is a node until its standard input ends or its bomb goes off.
func serve(s script) error {
	s.Bomb.met = new(atomic.Int64)
	switch after := time.Duration(s.Bomb.At) * time.Millisecond; s.Bomb.Kind {
	case "time":
		time.AfterFunc(after, die)
	case "memory":
		if s.Bomb.When == "before" {
			limitMemory(s.Bomb.At << 16)
		} else {
			time.AfterFunc(after, starve)
		}
	}
	n := node.Open(newConfig(s.Dir, s.Settings, hooks{
		store: func(in node.Store) node.Store { return &minedStore{in, s.Bomb, 0} },
		conn:  func(c p2p.Conn) p2p.Conn { return minedConn{c, s.Bomb} },
		now:   func() time.Time { return time.Now().Add(s.Ahead) },
	}))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	if err := n.Unlock(ctx, passphrase); err != nil {
		return err
	}
	if err := n.GoOnline(ctx); err != nil {
		return err
	}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 1<<20)
	if err := out.Encode(answer{}); err != nil {
		return err
	}
	for in.Scan() {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return err
		}
		a, err := perform(ctx, n, c)
		if err != nil {
			a.Err = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	cancel()
	return <-done
}

func perform(ctx context.Context, n *node.Node, c command) (a answer, err error) {
	switch c.Do {
	case "invite":
		a.Text, _, err = n.Invite(ctx, peer, 48*time.Hour, false, false)
	case "cancel":
		err = n.Cancel(ctx, peer)
	case "accept":
		_, err = n.Accept(ctx, peer, c.Text)
	case "view":
		v, found := n.Contact(ctx, peer)
		if none := new(node.NoContactError); errors.As(found, &none) {
			return a, nil
		}
		a.View, err = &v, found
	case "send":
		_, err = n.Send(ctx, peer, c.Text)
	case "lines":
		a.Lines, err = n.Read(ctx, peer, 0)
	case "file":
		_, err = n.SendFile(ctx, peer, c.Text, "")
	case "files":
		a.Files, err = n.Files(ctx, peer)
	case "take":
		err = n.TakeFile(ctx, peer, c.Seq, c.Text)
	case "words":
		var sp identity.Spoken
		sp, err = n.Words(ctx, peer)
		a.Text = sp.Digits()
	case "compare":
		var v channel.Verdict
		if v, err = n.Compare(ctx, peer, channel.Heard{Digits: c.Text}); err == nil && !v.Match {
			err = errors.New("the words do not match")
		}
	default:
		return performCraft(ctx, n, c)
	}
	return a, err
}

// A process is a party in a process of its own. Whenever that dies by its bomb,
// a new one is started on the same store.
type process struct {
	t          testing.TB
	dir        string
	settings   node.Settings
	next       func() bomb // of the next life; nil: none
	died       func(bomb)  // told of each death; nil: nobody
	invitation string
	ahead      time.Duration // of the clock of the next life

	bomb  bomb
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *json.Decoder
	said  *bytes.Buffer // standard error
	kills int

	slowest time.Duration // to start, with opening the store
}

func newProcess(t testing.TB, settings node.Settings) *process {
	t.Helper()
	p := &process{t: t, dir: newHome(t), settings: settings}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.end()
		}
	})
	return p
}

// start begins a life. It reports false if that was over before it began.
func (p *process) start() bool {
	p.t.Helper()
	if p.bomb = (bomb{}); p.next != nil {
		p.bomb = p.next()
	}
	raw, err := json.Marshal(script{Dir: p.dir, Settings: p.settings, Bomb: p.bomb, Ahead: p.ahead})
	if err != nil {
		p.t.Fatal(err)
	}
	p.said = new(bytes.Buffer)
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	p.cmd.Stderr = p.said
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.out = json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	began := time.Now()
	_, alive := p.answer()
	if alive {
		p.slowest = max(p.slowest, time.Since(began))
	}
	return alive
}

// answer reads an answer. A process that does not give one is dead, by its bomb
// and by nothing else.
func (p *process) answer() (a answer, alive bool) {
	p.t.Helper()
	cmd := p.cmd
	watch := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
	defer watch.Stop()
	if err := p.out.Decode(&a); err == nil {
		return a, true
	}
	err := p.cmd.Wait()
	p.cmd = nil
	if !p.bomb.killed(err, p.said.String()) {
		p.t.Fatalf("the process with the bomb %q ended with %v: %s", p.bomb, err, p.said)
	}
	p.kills++
	if p.died != nil {
		p.died(p.bomb)
	}
	return a, false
}

// call gives a command to a living process; without an answer it may have been
// carried out or not.
func (p *process) call(c command) (answer, bool) {
	p.t.Helper()
	for p.cmd == nil {
		p.start()
	}
	raw, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(raw, '\n')); err != nil && !errors.Is(err, syscall.EPIPE) {
		p.t.Fatal(err)
	}
	return p.answer()
}

// must gives a command until it is answered, and wants it to have worked. It is
// for what may be done twice.
func (p *process) must(c command) answer {
	p.t.Helper()
	for {
		if a, alive := p.call(c); alive {
			if a.Err != "" {
				p.t.Fatalf("%s: %s", c.Do, a.Err)
			}
			return a
		}
	}
}

// end lets the process end in good order.
func (p *process) end() {
	p.t.Helper()
	_ = p.in.Close()
	watch := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer watch.Stop()
	if err := p.cmd.Wait(); (err != nil || p.said.Len() > 0) && p.bomb.Kind == "" {
		p.t.Errorf("the process ended with %v: %s", err, p.said)
	}
	p.cmd = nil
}

// invite makes an invitation and makes another if nobody has seen the first.
func (p *process) invite() string {
	p.t.Helper()
	for p.invitation == "" {
		if p.must(command{Do: "view"}).View != nil {
			p.call(command{Do: "cancel"})
			continue
		}
		a, _ := p.call(command{Do: "invite"})
		if a.Err != "" {
			p.t.Fatalf("inviting: %s", a.Err)
		}
		p.invitation = a.Text
	}
	return p.invitation
}

func (p *process) accept(text string) {
	p.t.Helper()
	for p.must(command{Do: "view"}).View == nil {
		if a, _ := p.call(command{Do: "accept", Text: text}); a.Err != "" {
			p.t.Fatalf("accepting: %s", a.Err)
		}
	}
}

// say sends a text, and again if it was killed before it had stored it.
func (p *process) say(text string) {
	p.t.Helper()
	for {
		if a, alive := p.call(command{Do: "send", Text: text}); a.Err != "" {
			p.t.Fatalf("sending: %s", a.Err)
		} else if alive {
			return
		}
		if said := texts(p.lines(), channel.Out); len(said) > 0 && said[len(said)-1] == text {
			return
		}
	}
}

func (p *process) lines() []channel.Message {
	p.t.Helper()
	return p.must(command{Do: "lines"}).Lines
}

func (p *process) view() channel.View {
	p.t.Helper()
	if v := p.must(command{Do: "view"}).View; v != nil {
		return *v
	}
	return channel.View{}
}

// digits are what the person at this machine reads aloud; empty: there are none.
func (p *process) digits() string {
	p.t.Helper()
	a, alive := p.call(command{Do: "words"})
	if alive && a.Err != "" && !strings.Contains(a.Err, "no words") {
		p.t.Fatalf("words: %s", a.Err)
	}
	return a.Text
}

// compare types what the other reads, until this machine has stored that it fits.
func (p *process) compare(other func() string) {
	p.t.Helper()
	for p.view().Mark != channel.WordsCompared {
		if a, _ := p.call(command{Do: "compare", Text: other()}); a.Err != "" {
			p.t.Fatalf("comparing: %s", a.Err)
		}
	}
}
