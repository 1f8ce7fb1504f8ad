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
	"github.com/backchannel/backchannel/protocol/wire"
)

// everything returns all records of a store.
func everything(t *testing.T, s *storetest.Memory) map[store.Key][]byte {
	t.Helper()
	all := map[store.Key][]byte{}
	for kind := channel.KindContact; kind <= channel.KindEnded; kind++ {
		for r, err := range s.ScanKind(kind) {
			if err != nil {
				t.Fatal(err)
			}
			all[r.Key] = r.Value
		}
	}
	return all
}

// sweep deletes all that a conversation has let go.
func (s *side) sweep() {
	s.w.t.Helper()
	for range 10_000 {
		out, done := s.c.Sweep(s.w.now)
		if s.do(out); done {
			return
		}
	}
	s.w.t.Fatal("there is no end to what is swept")
}

func (s *side) offer(name string, size uint64) uint64 {
	s.w.t.Helper()
	m, out, err := s.c.SendFile(s.w.now, channel.FileSource{Path: "/" + name, Name: name, Size: size, Piece: 1 << 20, Sums: make([]byte, 32*((size+1<<20-1)>>20))})
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
	s.w.settle()
	return m.Seq
}

// TestForgetAtAnyMoment deletes a contact with everything that one can have, with a
// crash after each commit. Each time what is left loads, and can do nothing.
func TestForgetAtAnyMoment(t *testing.T) {
	w := newWorld(t, 3)
	w.meet()
	w.compare()
	for i := range 150 {
		w.a.send(fmt.Sprint("from a ", i))
		w.b.send(fmt.Sprint("from b ", i))
		w.settle()
	}
	w.pass(time.Minute, time.Second)
	w.b.offer("accounts", 100)
	w.a.offer("map", 100)
	w.cut()
	for i := range 20 {
		w.a.send(fmt.Sprint("never confirmed ", i))
	}
	commits := 0
	for done := false; !done; commits++ {
		var out *channel.Output
		out, done = w.a.c.Forget(w.now)
		if len(out.Writes) > store.MaxWrites/2 {
			t.Fatalf("a commit of %d writes", len(out.Writes))
		}
		w.a.do(out)
		if !done {
			w.a.restart()
			v := w.a.c.View()
			if v.Stage != channel.Leaving || v.Name != "Larch" || len(w.a.c.Links(w.now)) != 0 || len(w.a.c.Transcript(0)) != 0 {
				t.Fatalf("after %d commits: %+v", commits, v)
			}
		}
	}
	if left := everything(t, w.a.store); len(left) != 0 {
		t.Errorf("%d records are left", len(left))
	}
	if commits < 3 {
		t.Errorf("only %d commits: this would check little", commits)
	}
}

// TestBurn burns a conversation of which one part is confirmed and another is not,
// and crashes in the middle.
func TestBurn(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) { burnAndGoOn(t, crash) })
	}
}

func burnAndGoOn(t *testing.T, crash bool) {
	w := newWorld(t, 5)
	w.meet()
	w.compare()
	w.a.send("confirmed")
	w.b.send("theirs")
	w.settle()
	w.pass(3*time.Second, time.Second)
	w.mangle = func(*wire.Box) []*wire.Box { return nil } // sealed, and lost on the way
	for i := range 60 {
		w.a.send(fmt.Sprint("secret ", i))
	}
	w.cut()
	w.mangle = nil
	for i := range 60 {
		w.a.send(fmt.Sprint("not sealed ", i))
	}
	before := w.b.texts(channel.In)
	mark := w.a.c.View().Mark
	next := w.a.c.Transcript(0)
	last := next[len(next)-1].Seq
	if out := w.a.c.Burn(w.now); crash { // after the one commit that counts
		if err := w.a.store.Commit(out.Writes...); err != nil {
			t.Fatal(err)
		}
		w.a.restart()
	} else {
		w.a.do(out)
	}
	if lines := w.a.c.Transcript(0); len(lines) != 0 {
		t.Fatalf("%d lines are left after the commit", len(lines))
	}
	w.a.sweep()
	for key := range everything(t, w.a.store) {
		if key.Kind != channel.KindContact && key.Kind != channel.KindSession {
			t.Errorf("record %v is left", key)
		}
	}
	w.a.restart() // with no line at all
	w.connect()
	w.settle()
	w.pass(time.Minute, time.Second)
	if got := w.b.texts(channel.In); !slices.Equal(got, before) {
		t.Errorf("after the burn these came: %q", got)
	}
	if notes := w.b.texts(channel.Notice); !slices.Contains(notes, channel.NoteBurned) {
		t.Errorf("the other side was told %q", notes)
	}
	if len(w.b.texts(channel.Out)) != 1 {
		t.Error("the other side's own record was touched")
	}
	if v := w.a.c.View(); v.Mark != mark || v.Stage != channel.Met {
		t.Errorf("the contact is %+v", v)
	}
	if seq := w.a.send("afterwards"); seq != last+1 {
		t.Errorf("the next line has number %d, want %d", seq, last+1)
	}
	w.settle()
	w.pass(time.Minute, time.Second)
	if got := w.b.texts(channel.In); got[len(got)-1] != "afterwards" {
		t.Errorf("the conversation does not go on: %q", got)
	}
}

// TestBurnedIsNotRepeated has the peer lose everything after a burn: the recovery
// sends nothing of what was burned, and the wish to burn is said in the new session
// if it was not confirmed in the old one.
func TestBurnedIsNotRepeated(t *testing.T) {
	w := newWorld(t, 7)
	w.meet()
	w.compare()
	old := w.b.store.Copy()
	w.a.send("gone for good")
	w.settle()
	w.pass(3*time.Second, time.Second)
	w.cut()
	w.a.do(w.a.c.Burn(w.now))
	w.b.putBack(old)
	w.connect()
	w.settle()
	w.pass(2*time.Minute, time.Second)
	for _, s := range []*side{w.a, w.b} {
		out, err := s.c.Consent(w.now)
		if err != nil {
			t.Fatal(err)
		}
		s.do(out)
	}
	w.settle()
	w.pass(2*time.Minute, time.Second)
	if got := w.b.texts(channel.In); len(got) != 0 {
		t.Errorf("after the recovery these came: %q", got)
	}
	if notes := w.b.texts(channel.Notice); !slices.Contains(notes, channel.NoteBurned) {
		t.Errorf("the other side was told %q", notes)
	}
	w.a.restart()
	w.connect()
	w.settle()
	w.pass(time.Minute, time.Second)
	n := 0
	for _, note := range w.b.texts(channel.Notice) {
		if note == channel.NoteBurned {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the other side was told %d times", n)
	}
}

func TestRemoveLines(t *testing.T) {
	w := newWorld(t, 9)
	w.meet()
	w.compare()
	w.a.send("one")
	w.b.send("two")
	w.settle()
	w.pass(3*time.Second, time.Second)
	w.cut()
	owed := w.a.send("owed")
	w.connect() // sealed, and lost with the connection
	w.b.inbox = nil
	w.settle()
	w.cut()
	last := w.a.send("last")
	for _, line := range w.a.c.Transcript(0) {
		m, out, err := w.a.c.Remove(w.now, line.Seq)
		if err != nil || m.Text != line.Text {
			t.Fatalf("removing %d: %q, %v", line.Seq, m.Text, err)
		}
		w.a.do(out)
		if _, _, err := w.a.c.Remove(w.now, line.Seq); err == nil {
			t.Error("removed twice")
		}
	}
	w.a.sweep()
	w.a.restart()
	for key := range everything(t, w.a.store) {
		if key.Kind != channel.KindContact && key.Kind != channel.KindSession {
			t.Errorf("record %v is left", key)
		}
	}
	if seq := w.a.send("new"); seq != last+1 || owed >= last {
		t.Errorf("number %d was given out, want %d", seq, last+1)
	}
	w.connect()
	w.settle()
	w.pass(time.Minute, time.Second)
	if got := w.b.texts(channel.In); slices.Contains(got, "last") || got[len(got)-1] != "new" {
		t.Errorf("the other side has %q", got)
	}
}

// TestRemoveFiles removes lines of files that are under way: the other side is told,
// and none comes back.
func TestRemoveFiles(t *testing.T) {
	w := newWorld(t, 11)
	w.meet()
	w.compare()
	for round := range 2 {
		seq := w.a.offer(fmt.Sprint("a large file ", round), 100<<20) // too large to come unasked
		w.pass(5*time.Second, time.Second)
		in := w.b.c.Files()
		if len(in) != 1+round {
			t.Fatalf("%d files are offered, want %d", len(in), 1+round)
		}
		s, n := w.b, in[round].Seq
		if round == 1 {
			s, n = w.a, seq
		}
		_, out, err := s.c.Remove(w.now, n)
		if err != nil {
			t.Fatal(err)
		}
		s.do(out)
		w.settle()
		w.pass(2*time.Minute, time.Second)
		if round == 0 {
			if f, _ := w.a.c.File(seq); f.State != channel.FileDeclined || len(w.b.c.Files()) != 0 {
				t.Errorf("the sender's file is %v, the other side has %d", f.State.Words(channel.Out), len(w.b.c.Files()))
			}
			w.b.send("a line between")
			w.b.do(w.b.c.Flush(w.now))
			w.a.offer("a second", 100<<20)
			w.pass(5*time.Second, time.Second)
			if len(w.b.c.Files()) != 1 {
				t.Error("the second file did not come")
			}
			continue
		}
		for _, f := range w.b.c.Files() {
			if strings.HasSuffix(f.Text, "1") && f.State != channel.FileEnded {
				t.Errorf("the receiver's file is %v", f.State.Words(channel.In))
			}
		}
	}
}

// TestEditLeavesNoTrace plays one conversation twice, with the same randomness:
// once with texts that are changed later, once with those texts from the beginning.
// All records are the same, byte for byte, but for the random IDs of the messages.
func TestEditLeavesNoTrace(t *testing.T) {
	for seed := range byte(6) {
		first, then := script(seed)
		a := play(t, seed, first)
		for _, s := range []*side{a.a, a.b} {
			for _, m := range s.c.Transcript(0) {
				i := slices.Index(first, m.Text)
				if i < 0 {
					continue // a line of the program
				}
				_, out, err := s.c.Edit(a.now, m.Seq, then[i])
				if err != nil {
					t.Fatal(err)
				}
				s.do(out)
			}
		}
		b := play(t, seed, then)
		for i, pair := range [][2]*side{{a.a, b.a}, {a.b, b.b}} {
			sameRecords(t, fmt.Sprintf("seed %d, side %d", seed, i), everything(t, pair[0].store), everything(t, pair[1].store))
		}
	}
}

// script makes lines and what they are changed into, each in one part.
func script(seed byte) (first, then []string) {
	rng := rand.New(newSeed(seed + 100))
	text := func() string {
		return fmt.Sprintf("%d %s", rng.Uint64(), strings.Repeat("x", rng.IntN(1600)))
	}
	for range 12 {
		first, then = append(first, text()), append(then, text())
	}
	return first, then
}

func play(t *testing.T, seed byte, lines []string) *world {
	w := newWorld(t, seed*10)
	w.meet()
	w.compare()
	for i, line := range lines {
		if i%3 == 0 {
			w.b.send(line)
		} else {
			w.a.send(line)
		}
		w.settle()
		w.pass(2*time.Second, time.Second)
	}
	w.pass(time.Minute, time.Second)
	return w
}

func sameRecords(t *testing.T, where string, got, want map[store.Key][]byte) {
	t.Helper()
	messages := 0
	for key, a := range got {
		b, ok := want[key]
		if !ok || store.SealedSize(len(a)) != store.SealedSize(len(b)) {
			t.Fatalf("%s: record %v is not like that in the other", where, key)
		}
		if key.Kind == channel.KindMessage {
			messages++
			m, err := channel.ParseMessage(key.Seq, a)
			n, err2 := channel.ParseMessage(key.Seq, b)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if m.ID = n.ID; m != n {
				t.Errorf("%s: %+v, want %+v", where, m, n)
			}
			continue
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: record %v differs", where, key)
		}
	}
	if len(got) != len(want) || messages < 12 {
		t.Errorf("%s: %d records, want %d; %d messages", where, len(got), len(want), messages)
	}
}

// TestEditedTextGoesAfterRecovery has the peer lose a message that was changed here
// after it was delivered.
func TestEditedTextGoesAfterRecovery(t *testing.T) {
	w := newWorld(t, 15)
	w.meet()
	w.compare()
	old := w.b.store.Copy()
	seq := w.a.send("two")
	w.settle()
	w.pass(3*time.Second, time.Second)
	_, out, err := w.a.c.Edit(w.now, seq, "nine")
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.b.putBack(old)
	w.connect()
	w.settle()
	w.pass(2*time.Minute, time.Second)
	for _, s := range []*side{w.a, w.b} {
		out, err := s.c.Consent(w.now)
		if err != nil {
			t.Fatal(err)
		}
		s.do(out)
	}
	w.settle()
	w.pass(2*time.Minute, time.Second)
	if got := w.b.texts(channel.In); !slices.Equal(got, []string{"nine"}) {
		t.Errorf("after the recovery the other side has %q", got)
	}
}

func TestEditRules(t *testing.T) {
	w := newWorld(t, 13)
	w.meet()
	w.compare()
	waiting := func() uint64 { w.cut(); return w.a.send("as it was") }()
	edit := func(seq uint64, text string) error {
		_, out, err := w.a.c.Edit(w.now, seq, text)
		if err == nil {
			w.a.do(out)
		}
		return err
	}
	for text, want := range map[string]error{"": channel.ErrEmptyText, "\xff": channel.ErrNotText, strings.Repeat("x", 60_001): channel.ErrTooLong} {
		if err := edit(waiting, text); err != want {
			t.Errorf("got error %v, want %v", err, want)
		}
	}
	if err := edit(99, "x"); err != channel.ErrNoMessage {
		t.Errorf("got error %v, want ErrNoMessage", err)
	}
	if err := edit(waiting, "as it is sent"); err != nil {
		t.Fatal(err)
	}
	w.connect()
	w.settle()
	w.pass(5*time.Second, time.Second)
	if got := w.b.texts(channel.In); !slices.Equal(got, []string{"as it is sent"}) {
		t.Errorf("what waited was sent as %q", got)
	}
	if err := edit(waiting, "changed later"); err != nil {
		t.Fatal(err)
	}
	w.a.restart()
	if got := w.a.texts(channel.Out); !slices.Equal(got, []string{"changed later"}) {
		t.Errorf("after a restart there is %q", got)
	}
	// A message of which the window took a part only.
	w.connect()
	w.settle()
	w.pass(3*time.Second, time.Second)
	w.mangle = func(*wire.Box) []*wire.Box { return nil }
	var long uint64
	for range 7 {
		long = w.a.send(strings.Repeat("y", 59_000))
	}
	busy := 0
	for seq := waiting + 1; seq <= long; seq++ {
		if edit(seq, "x") == channel.ErrBusy {
			busy++
		}
	}
	if busy != 1 {
		t.Errorf("%d messages are said to be half sealed, want 1", busy)
	}
}
