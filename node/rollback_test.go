package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route"
)

// copyFolder puts a copy of a folder in place of another.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o700)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// noticed counts the recoveries that a party was told of.
func noticed(p party) (n int) {
	for _, text := range texts(p.lines(), channel.Notice) {
		if text == channel.NoteRecovered {
			n++
		}
	}
	return n
}

// TestPutBack puts back Badger's files alone, which the store finds at unlock, or
// the whole folder, which only the peer can tell; and does it again and again.
func TestPutBack(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"records", "."} {
		for _, inviter := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s inviter %v", folder, inviter), func(t *testing.T) {
				t.Parallel()
				putBack(t, folder, inviter)
			})
		}
	}
}

func putBack(t *testing.T, folder string, inviter bool) {
	var found atomic.Bool
	h := hooks{store: func(s node.Store) node.Store {
		found.Store(s.RolledBack())
		return s
	}}
	a, b := newMachine(t, freeSettings(t), h), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	if !inviter {
		w = newTalk(t, b, a)
	}
	w.meet()
	w.round("before the copy")
	a.end()
	old := filepath.Join(t.TempDir(), "old")
	copyFolder(t, filepath.Join(a.dir, folder), old)
	kept := len(w.said[b]) // a forgets what came later, and b has no reason to say it again
	a.start()
	a.unlock()
	forgotten := slices.Clone(w.said[a])
	for again := range 3 {
		w.connected()
		a.say(fmt.Sprint("after the copy ", again))
		forgotten = append(forgotten, fmt.Sprint("after the copy ", again))
		lost := fmt.Sprint("to be forgotten ", again)
		b.say(lost)
		until(t, "both have it", func() bool { return delivered(a.lines()) && delivered(b.lines()) })
		a.end()
		if found.Load() {
			t.Fatal("a store that nobody touched is found rolled back")
		}
		b.say(fmt.Sprint("to one who is off ", again))
		copyFolder(t, old, filepath.Join(a.dir, folder))
		a.start()
		a.unlock()
		if found.Load() != (folder == "records") {
			t.Errorf("found at unlock: %v", found.Load())
		}
		a.say(fmt.Sprint("said since ", again))
		forgotten = append(forgotten, fmt.Sprint("said since ", again))
		wantPause(t, w, again)
		// b tells a what it still owes, and nothing twice: what was delivered to the
		// machine that a was is not owed any more.
		until(t, "everything is delivered", func() bool { return delivered(a.lines()) && delivered(b.lines()) })
		if got := texts(b.lines(), channel.In); !slices.Equal(got, forgotten) {
			t.Fatalf("of a's texts arrived: %s", difference(got, forgotten))
		}
		got := texts(a.lines(), channel.In)
		if want := fmt.Sprint("to one who is off ", again); !slices.Contains(got, want) || len(got) > kept+5 {
			t.Fatalf("of b's texts arrived: %q", got)
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(got))); len(unique) != len(got) {
			t.Fatalf("a text arrived twice: %q", got)
		}
		a.end()
		// The next copy that is put back is this state's: its session is known here.
		copyFolder(t, filepath.Join(a.dir, folder), old)
		kept = len(got)
		a.start()
		a.unlock()
	}
}

// wantPause wants both people to be told, nothing to be sent until both have
// consented, and the mark to have fallen.
func wantPause(t *testing.T, w *talk, before int) {
	t.Helper()
	until(t, "both are told and paused", func() bool {
		return noticed(w.a) == before+1 && noticed(w.b) == before+1 && w.a.view().Paused && w.b.view().Paused
	})
	w.connected()
	waiting := func() bool { return !delivered(w.a.lines()) || !delivered(w.b.lines()) }
	consent := func(p party) {
		if err := p.(*machine).Consent(t.Context(), peer); err != nil {
			t.Fatalf("consenting: %v", err)
		}
	}
	for _, p := range []party{w.a, w.b} {
		pass(100 * time.Millisecond) // there is no event for what does not happen
		if v := p.view(); !waiting() || v.Mark != channel.RecoveredNotCompared || !v.Paused {
			t.Fatalf("before both consented: waiting %v, %v, paused %v", waiting(), v.Mark, v.Paused)
		}
		consent(p)
	}
	until(t, "both go on", func() bool { return !w.a.view().Paused && !w.b.view().Paused })
}

// TestTwoMachinesOneIdentity runs a copy of a home beside the home, or a machine that
// was restored from its backup. It is not supported, and both are told: their contact
// recovers with the one and with the other by turns, sending pauses, and nobody
// crashes. No text is called delivered that is not there.
func TestTwoMachinesOneIdentity(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(t *testing.T, b *machine, h hooks) *machine{
		"copy": func(t *testing.T, b *machine, h hooks) *machine {
			b.end()
			second := &machine{t: t, dir: filepath.Join(t.TempDir(), "second"), hooks: h}
			copyFolder(t, b.dir, second.dir)
			b.start()
			b.unlock()
			return second
		},
		"backup": func(t *testing.T, b *machine, h hooks) *machine {
			return &machine{t: t, dir: restoredHome(t, b.backup()), hooks: h}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			twoMachines(t, second)
		})
	}
}

func twoMachines(t *testing.T, another func(*testing.T, *machine, hooks) *machine) {
	// Each of the two takes the connection from the other. They must wait longer for
	// the next one than for an answer, as they do without a test's haste, or nobody
	// would ever get to say anything.
	h := hooks{
		channel: func(c *channel.Config) { c.AnswerTimeout = 150 * time.Millisecond },
		route:   func(c *route.Config) { c.First, c.Most = 100*time.Millisecond, 3*time.Second },
	}
	a, b := newMachine(t, freeSettings(t), h), newMachine(t, node.Settings{}, h)
	w := newTalk(t, a, b)
	w.meet()
	w.round("while there is one")
	second := another(t, b, h)
	second.start()
	second.unlock()
	for i := range 10 {
		b.say(fmt.Sprint("first machine ", i))
		second.say(fmt.Sprint("second machine ", i))
		a.say(fmt.Sprint("to whom? ", i))
		pass(50 * time.Millisecond) // for the two to get into one another's way
	}
	until(t, "somebody is told", func() bool { return noticed(a) > 0 && a.view().Paused })
	until(t, "each of the two is told", func() bool { return noticed(b) > 0 && noticed(second) > 0 })
	until(t, "the contact is told that there may be two machines", func() bool {
		return slices.Contains(texts(a.lines(), channel.Notice), channel.NoteAgain)
	})
	second.end()
	claim, there := b.lines(), map[string]bool{}
	for _, m := range a.lines() {
		there[m.Text] = true
	}
	for _, m := range claim {
		if m.Direction == channel.Out && m.State == channel.Delivered && !there[m.Text] {
			t.Errorf("%q is called delivered and is not there", m.Text)
		}
	}
	t.Logf("told of recoveries: %d at the contact, %d at the first machine", noticed(a), noticed(b))
	// With one machine left, its people can agree again.
	until(t, "the one that is left can go on", func() bool {
		_ = a.Consent(t.Context(), peer)
		_ = b.Consent(t.Context(), peer)
		return !a.view().Paused && !b.view().Paused && delivered(b.lines())
	})
	got := texts(a.lines(), channel.In)
	if unique := slices.Compact(slices.Sorted(slices.Values(got))); len(unique) != len(got) {
		t.Errorf("a text arrived twice: %q", got)
	}
	for i := range 10 {
		if !slices.Contains(got, fmt.Sprint("first machine ", i)) {
			t.Errorf("text %d of the first machine did not arrive", i)
		}
	}
}
