package channel_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A world holds two people and the network between them, under a clock that only
// the test moves. Every change passes through a store; a side can be restarted,
// or put back to a copy, at any step.
type world struct {
	cfg    channel.Config // the pace
	t      *testing.T
	rng    *rand.Rand
	now    time.Time
	a, b   *side
	links  channel.LinkID
	hellos [2]wire.Hello // of a and b, on the connection in use
	up     bool
	mangle func(*wire.Box) []*wire.Box // what the network makes of a box; nil: nothing
	cells  int
}

// A side is one person's machine.
type side struct {
	w       *world
	name    string
	cfg     channel.Config
	store   *storetest.Memory
	id      channel.ContactID
	c       *channel.Conversation
	peer    *side
	link    channel.LinkID
	inbox   []*wire.Box
	written []string // what this person sent, in order
	told    []channel.Message
	disk    *disk         // for files; nil: none
	ahead   time.Duration // by how much this machine's clock is ahead of the world's
}

// now is what this side's clock says.
func (s *side) now() time.Time { return s.w.now.Add(s.ahead) }

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, seed byte) *world {
	t.Helper()
	return newWorldAt(t, seed, channel.Config{KeepAlive: 30 * time.Second, ResendAfter: 30 * time.Second, AnswerTimeout: 15 * time.Second})
}

// newWorldAt is newWorld at another pace than that of most tests.
func newWorldAt(t *testing.T, seed byte, pace channel.Config) *world {
	t.Helper()
	w := &world{t: t, rng: rand.New(prototest.Reader(seed)), now: start, cfg: pace}
	inv, err := identity.NewInvitation(prototest.Reader(seed), identity.Place{}, start.Add(48*time.Hour), seed%2 == 1)
	if err != nil {
		t.Fatal(err)
	}
	w.a = w.join("Larch", identity.Inviter, inv, seed+1)
	w.b = w.join("Alder desk", identity.Accepter, inv, seed+2)
	w.a.peer, w.b.peer = w.b, w.a
	return w
}

func (w *world) join(peerName string, as identity.Side, inv identity.Invitation, seed byte) *side {
	w.t.Helper()
	s := &side{w: w, name: as.String(), store: storetest.NewMemory(), id: channel.ContactID{seed}}
	s.cfg = w.cfg
	s.cfg.Random, s.cfg.Records = prototest.Reader(seed), s.store
	c, out, err := channel.New(s.cfg, s.id, channel.Introduction{Number: 1, Name: peerName, Side: as, Invitation: inv}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	s.c = c
	s.do(out)
	return s
}

// do carries out an Output as a node does: commit, send, close, and again while
// there is more.
func (s *side) do(out *channel.Output) {
	s.w.t.Helper()
	for {
		if err := store.CheckWrites(out.Writes); err != nil {
			s.w.t.Fatalf("%s: a commit of %d writes: %v", s.name, len(out.Writes), err)
		}
		if err := s.store.Commit(out.Writes...); err != nil {
			s.w.t.Fatal(err)
		}
		s.told = append(s.told, out.Changed...)
		if s.w.up && out.Link == s.link {
			for _, box := range slices.Concat(out.Boxes, out.Bulk) {
				boxes := []*wire.Box{box}
				if s.w.mangle != nil {
					boxes = s.w.mangle(box)
				}
				s.peer.inbox = append(s.peer.inbox, boxes...)
				s.w.cells++
			}
		}
		for _, id := range out.Close {
			if id == s.link && s.w.up {
				s.w.cut()
			}
		}
		if !out.More {
			return
		}
		out = s.c.Flush(s.now())
	}
}

// restart loads the conversation from its store, as a new process does.
func (s *side) restart() {
	s.w.t.Helper()
	s.w.cut()
	s.store = s.store.Reopen()
	s.cfg.Records = s.store
	if s.disk != nil {
		s.disk.crash()
	}
	c, err := channel.Load(s.cfg, s.id)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.c = c
}

// putBack replaces the store by a copy made earlier.
func (s *side) putBack(old *storetest.Memory) {
	s.w.cut()
	s.store = old
	s.restart()
}

func (s *side) send(text string) uint64 {
	s.w.t.Helper()
	m, out, err := s.c.Send(s.now(), text)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.written = append(s.written, text)
	s.do(out)
	return m.Seq
}

// connect brings a connection up: b dials.
func (w *world) connect() {
	w.t.Helper()
	w.cut()
	w.links++
	w.up = true
	w.a.link, w.b.link = w.links, w.links
	var ha, hb wire.Hello
	w.fill(ha[:])
	w.fill(hb[:])
	w.hellos = [2]wire.Hello{ha, hb}
	invitation := len(w.b.c.Links(w.b.now())) > 0 && w.b.c.Links(w.b.now())[0].Invitation
	w.a.do(w.a.c.LinkUp(w.a.now(), w.a.link, invitation, false, ha, hb))
	w.b.do(w.b.c.LinkUp(w.b.now(), w.b.link, invitation, true, hb, ha))
}

func (w *world) fill(b []byte) {
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
}

// cut ends the connection; what is in flight is lost.
func (w *world) cut() {
	if !w.up {
		return
	}
	w.up = false
	for _, s := range []*side{w.a, w.b} {
		s.inbox = nil
		s.do(s.c.LinkDown(s.now(), s.link))
	}
}

// step delivers one box in each direction.
func (w *world) step() bool {
	moved := false
	for _, s := range []*side{w.a, w.b} {
		if len(s.inbox) > 0 && w.up {
			box := s.inbox[0]
			s.inbox = s.inbox[1:]
			s.do(s.c.Box(s.now(), s.link, box))
			moved = true
		}
	}
	return moved
}

// settle lets the network work until nothing moves.
func (w *world) settle() {
	for range 100_000 {
		if !w.step() {
			return
		}
	}
	w.t.Fatal("the two never stop talking")
}

// pass lets time go by in steps, with the network working.
func (w *world) pass(d, step time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(step)
		for _, s := range []*side{w.a, w.b} {
			s.do(s.c.Tick(s.now()))
		}
		w.settle()
	}
}

// meet brings the two to a session.
func (w *world) meet() {
	w.t.Helper()
	w.connect()
	w.settle()
	w.pass(2*time.Second, time.Second)
	for _, s := range []*side{w.a, w.b} {
		if v := s.c.View(); v.Stage != channel.Met || !v.Connected || !v.WordsReady {
			w.t.Fatalf("%s: %+v", s.name, v)
		}
	}
}

// compare plays the call: each types what the other reads.
func (w *world) compare() {
	w.t.Helper()
	for _, s := range []*side{w.a, w.b} {
		spoken, err := s.peer.c.Words()
		if err != nil {
			w.t.Fatal(err)
		}
		verdict, out, err := s.c.Compare(s.now(), channel.Heard{Words: spoken.Words()})
		if err != nil || !verdict.Match {
			w.t.Fatalf("%s: %+v, %v", s.name, verdict, err)
		}
		s.do(out)
	}
	w.settle()
}

func (s *side) texts(d channel.Direction) []string {
	var texts []string
	for _, m := range s.c.Transcript(0) {
		if m.Direction == d {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// checkAll wants everything that was written to have arrived once and in order,
// and every state to be true.
func (w *world) checkAll() {
	w.t.Helper()
	for _, s := range []*side{w.a, w.b} {
		got, want := s.peer.texts(channel.In), s.written
		if strings.Join(got, "\x00") != strings.Join(want, "\x00") {
			w.t.Errorf("%s wrote %d messages, the other has %d: %s", s.name, len(want), len(got), firstDifference(got, want))
		}
	}
	w.checkStates()
	for _, s := range []*side{w.a, w.b} {
		for _, m := range s.c.Transcript(0) {
			if m.Direction == channel.Out && m.State != channel.Delivered {
				w.t.Errorf("%s: message %d is %q after all has arrived", s.name, m.Seq, m.State)
			}
		}
		for _, kind := range []store.Kind{channel.KindSealed, channel.KindInbound} {
			for r, err := range s.store.Scan(kind, s.id) {
				w.t.Errorf("%s: record %v of the wire is kept (%v)", s.name, r.Key, err)
			}
		}
	}
}

// checkStates wants no delivered message that the other has not stored.
func (w *world) checkStates() {
	w.t.Helper()
	for _, s := range []*side{w.a, w.b} {
		has := map[string]bool{}
		for _, m := range s.peer.texts(channel.In) {
			has[m] = true
		}
		for _, m := range s.c.Transcript(0) {
			if m.Direction == channel.Out && m.State == channel.Delivered && !has[m.Text] {
				w.t.Errorf("%s: message %d is shown as delivered and is not there", s.name, m.Seq)
			}
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%q is missing", want[i])
		case i >= len(want) || got[i] != want[i]:
			return fmt.Sprintf("at %d stands %q", i, got[i])
		}
	}
	return "none"
}

func newSeed(seed byte) *rand.ChaCha8 { return prototest.Reader(seed) }

// cardBox is the first flight of somebody who holds the invitation.
func cardBox(inv identity.Invitation, card identity.Card, dialler, listener wire.Hello) *wire.Box {
	link := inv.Link()
	f := handshake.Flight{Tag: handshake.CardTag(link.Box), Card: &card}
	keys := wire.DeriveLinkKeys(link.Box, dialler, listener)
	return wire.SealBox(keys.FromDialler, &[32]byte{1}, wire.Control{Flags: wire.FlagFlight}, f.Cell())
}

func public(seed byte) ([32]byte, error) { return handshake.PublicKey(bytes.Repeat([]byte{seed}, 32)) }
