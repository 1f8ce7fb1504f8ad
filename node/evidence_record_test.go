package node_test

import (
	"context"
	"crypto/rand"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
)

const (
	evidenceEnv      = "BACKCHANNEL_EVIDENCE_DIR" // makes TestEvidenceChild hold the conversation
	evidencePatience = 30 * time.Second
)

// What stands nowhere in clear.
var (
	evidencePassphrases = [2]string{"zephyr of the quince orchard", "obsidian lantern under snow"}
	evidenceNames       = [2]string{"Quillfeather", "Marchpane bureau"} // what each calls the other
	evidenceTexts       = [][2]string{
		{"We would drop the inspection of annex seven.", "Then the Oxbow clause can stand."},
		{strings.Repeat("Paragraph by paragraph, the Nettlecombe draft. ", 120), "Agreed, and after the cut of the line as well."},
	}
)

// evidenceFile is what the conversation leaves to the examiner.
type evidenceFile struct {
	Recording  evidenceRecording
	Invitation string
	Address    string   // that was handed out
	Sealed     [][]byte // values of the records of cells that were sealed
}

// evidenceDraws keeps every key that is drawn from the system's randomness.
type evidenceDraws struct {
	mu   sync.Mutex
	from io.Reader
	keys [][]byte
}

func (d *evidenceDraws) Read(b []byte) (int, error) {
	n, err := d.from.Read(b)
	if n == 32 {
		d.mu.Lock()
		d.keys = append(d.keys, append([]byte(nil), b...))
		d.mu.Unlock()
	}
	return n, err
}

// A forwarder stands between the two and keeps every byte of every connection.
type evidenceForwarder struct {
	mu      sync.Mutex
	listen  net.Listener
	to      string
	streams []*[2][]byte
	group   sync.WaitGroup
}

func (f *evidenceForwarder) run() {
	for {
		c, err := f.listen.Accept()
		if err != nil {
			return
		}
		f.group.Go(func() { f.forward(c) })
	}
}

func (f *evidenceForwarder) forward(c net.Conn) {
	defer c.Close()
	to, err := net.Dial("tcp", f.to)
	if err != nil {
		return
	}
	defer to.Close()
	said := new([2][]byte)
	f.mu.Lock()
	f.streams = append(f.streams, said)
	f.mu.Unlock()
	var group sync.WaitGroup
	for i, ends := range [2][2]net.Conn{{c, to}, {to, c}} {
		group.Go(func() {
			b := make([]byte, 32<<10)
			for {
				n, err := ends[0].Read(b)
				f.mu.Lock()
				said[i] = append(said[i], b[:n]...)
				f.mu.Unlock()
				if _, writeErr := ends[1].Write(b[:n]); err != nil || writeErr != nil {
					_ = ends[1].(*net.TCPConn).CloseWrite()
					return
				}
			}
		})
	}
	group.Wait()
}

// evidenceStore keeps the cells that are sealed, with what is in them.
type evidenceStore struct {
	node.Store
	keep func(value []byte)
}

func (s evidenceStore) Stage(writes ...store.Write) (uint64, error) {
	for _, w := range writes {
		if w.Key.Kind == channel.KindSealed && !w.Delete {
			s.keep(append([]byte(nil), w.Value...))
		}
	}
	return s.Store.Stage(writes...)
}

func freeEvidenceAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startEvidenceNode makes a store in dir and runs a node on it.
func startEvidenceNode(t *testing.T, dir, passphrase string, settings node.Settings, keep func([]byte)) *node.Node {
	t.Helper()
	cfg := store.Config{Dir: dir, Cost: store.Cheap}
	if err := store.Create(cfg, []byte(passphrase)); err != nil {
		t.Fatal(err)
	}
	n := node.Open(node.Config{
		OpenStore: func(passphrase []byte, _ string) (node.Store, error) {
			s, err := store.Open(cfg, passphrase)
			if err != nil {
				return nil, err
			}
			return evidenceStore{s, keep}, nil
		},
		OpenNetwork: func(s node.Settings) (node.Network, error) {
			return p2p.Open(p2p.Config{Listen: s.Listen, HandshakeTimeout: evidenceSilence})
		},
		Settings: func() (node.Settings, error) { return settings, nil },
		Pace:     node.Pace{Eager: true},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	evidenceOnline(t, n, passphrase)
	return n
}

func evidenceOnline(t *testing.T, n *node.Node, passphrase string) {
	t.Helper()
	if err := n.Unlock(t.Context(), []byte(passphrase)); err != nil {
		t.Fatal(err)
	}
	if err := n.GoOnline(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func waitForEvidence(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(evidencePatience)
	for !ok() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-end:
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

// TestEvidenceChild holds a full conversation between two nodes, when the
// environment names a folder for it, and leaves everything there.
func TestEvidenceChild(t *testing.T) {
	dir := os.Getenv(evidenceEnv)
	if dir == "" {
		t.Skip("only as a child of TestEvidence")
	}
	draws := &evidenceDraws{from: rand.Reader}
	rand.Reader = draws
	defer func() { rand.Reader = draws.from }()
	f := &evidenceForwarder{to: freeEvidenceAddress(t)}
	var err error
	if f.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	f.group.Go(f.run)
	left := evidenceFile{Address: f.listen.Addr().String()}
	var mu sync.Mutex
	keep := func(value []byte) {
		mu.Lock()
		defer mu.Unlock()
		left.Sealed = append(left.Sealed, value)
	}
	settings := [2]node.Settings{{Listen: f.to, Address: left.Address}}
	var nodes [2]*node.Node
	for i := range nodes {
		nodes[i] = startEvidenceNode(t, filepath.Join(dir, fmt.Sprint(i)), evidencePassphrases[i], settings[i], keep)
	}
	left.Invitation = evidenceTalk(t, nodes)
	for _, n := range nodes {
		n.Lock()
	}
	_ = f.listen.Close()
	f.group.Wait()
	for _, s := range f.streams {
		left.Recording.Streams = append(left.Recording.Streams, *s)
	}
	left.Recording.Draws = draws.keys
	out, err := os.Create(filepath.Join(dir, "left"))
	if err := errors.Join(err, gob.NewEncoder(out).Encode(left), out.Close()); err != nil {
		t.Fatal(err)
	}
}

// evidenceTalk is first contact, words, texts, a cut, and texts again. It returns the
// invitation.
func evidenceTalk(t *testing.T, nodes [2]*node.Node) string {
	ctx := t.Context()
	invitation, _, err := nodes[0].Invite(ctx, evidenceNames[0], time.Hour, false, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodes[1].Accept(ctx, evidenceNames[1], invitation); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		waitForEvidence(t, "the words", func() bool {
			v, err := n.Contact(ctx, evidenceNames[i])
			return err == nil && v.WordsReady && v.Connected
		})
	}
	var spoken [2]identity.Spoken
	for i, n := range nodes {
		if spoken[i], err = n.Words(ctx, evidenceNames[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range nodes {
		v, err := n.Compare(ctx, evidenceNames[i], channel.Heard{Words: spoken[1-i].Words()})
		if err != nil || !v.Match {
			t.Fatalf("comparing: %+v, %v", v, err)
		}
	}
	for round, texts := range evidenceTexts {
		if round > 0 { // a new connection, under the contact's own secrets
			nodes[1].Lock()
			evidenceOnline(t, nodes[1], evidencePassphrases[1])
		}
		for i, n := range nodes {
			if _, err := n.Send(ctx, evidenceNames[i], texts[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i, n := range nodes {
			waitForEvidence(t, "all is delivered", func() bool {
				v, err := n.Contact(ctx, evidenceNames[i])
				list, readErr := n.Read(ctx, evidenceNames[i], 0)
				return err == nil && readErr == nil && v.Waiting == 0 && len(list) == 2*(round+1)
			})
		}
	}
	return invitation
}
