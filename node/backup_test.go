package node_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/prototest"
)

func secrets() backup.Secrets {
	return backup.Secrets{Passphrase: []byte("ten words"), Cost: backup.Cheap}
}

// backup makes a backup, has it noted, and opens it.
func (m *machine) backup() *backup.Backup {
	m.t.Helper()
	made, err := m.MakeBackup(m.t.Context(), secrets())
	if err != nil {
		m.t.Fatalf("making a backup: %v", err)
	}
	kind, content, err := backup.Open(secrets(), made.File)
	if err != nil || kind != backup.Identity {
		m.t.Fatalf("opening the backup: %v, %v", kind, err)
	}
	b, err := backup.Parse(content)
	if err != nil {
		m.t.Fatalf("reading the backup: %v", err)
	}
	var numbers []uint32
	for _, c := range b.Contacts {
		numbers = append(numbers, c.Number)
	}
	if err := m.BackedUp(m.t.Context(), b.Made, numbers); err != nil {
		m.t.Fatal(err)
	}
	return b
}

// withStore opens a home's store for a moment.
func withStore(t testing.TB, dir string, f func(node.Store) error) error {
	t.Helper()
	s, err := store.Open(store.Config{Dir: dir, Cost: store.Cheap}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(f(s), s.Close())
}

// restoredHome is a new home with the contacts of a backup.
func restoredHome(t testing.TB, b *backup.Backup) string {
	t.Helper()
	dir := newHome(t)
	if err := withStore(t, dir, func(s node.Store) error { return node.Restore(prototest.Reader(9), s, b) }); err != nil {
		t.Fatal(err)
	}
	return dir
}

// compare has both sides compare words.
func (w *talk) compare() {
	w.t.Helper()
	for _, p := range []party{w.a, w.b} {
		words, err := w.other(p).(*machine).Words(w.t.Context(), peer)
		if err != nil {
			w.t.Fatal(err)
		}
		v, err := p.(*machine).Compare(w.t.Context(), peer, channel.Heard{Words: words.Words()})
		if err != nil || !v.Match {
			w.t.Fatalf("comparing: %+v, %v", v, err)
		}
	}
}

// TestRestore loses a machine and restores it from a backup: the session is made anew
// without anybody's help, both are told in one line and paused, and after both have
// agreed they talk. What the other side has said lately comes again.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"inviter", "accepter"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
			w := newTalk(t, a, b)
			if lost == "accepter" {
				w = newTalk(t, b, a)
			}
			w.meet()
			w.compare()
			kept := a.backup()
			defer kept.Wipe()
			if s := a.status().Backup; s.Made.IsZero() || s.Lacking != 0 {
				t.Errorf("after the backup: %+v", s)
			}
			w.round("after the backup")
			a.end()
			b.say("to one who is gone")
			a.dir = restoredHome(t, kept)
			a.start()
			a.unlock()
			if v := a.view(); v.Stage != channel.Met || v.Mark != channel.WordsCompared || len(a.lines()) != 0 {
				t.Errorf("restored: %v, %v, %d lines", v.Stage, v.Mark, len(a.lines()))
			}
			a.say("from the new machine")
			wantPause(t, w, 0)
			until(t, "everything is delivered", func() bool { return delivered(a.lines()) && delivered(b.lines()) })
			if got := texts(b.lines(), channel.In); !slices.Equal(got, append(slices.Clone(w.said[a]), "from the new machine")) {
				t.Errorf("of the restored machine's texts arrived: %q", got)
			}
			if got := texts(a.lines(), channel.In); !slices.Equal(got, append(slices.Clone(w.said[b]), "to one who is gone")) {
				t.Errorf("at the restored machine arrived: %.80q", got)
			}
			if notes := texts(a.lines(), channel.Notice); len(notes) != 2 || notes[1] != channel.NoteGoOn {
				t.Errorf("the restored machine was told %q", notes)
			}
			if s := a.status().Backup; s.Made.IsZero() {
				t.Error("the restored machine knows of no backup")
			}
		})
	}
}

// TestBackupState wants a backup to be called too old when it is, and nothing of a
// removed contact to stay in what is kept of it.
func TestBackupState(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, node.Settings{}, hooks{})
	w := newTalk(t, a, b)
	a.invite() // under way: there is nothing to keep yet
	if s := a.status().Backup; !s.Made.IsZero() || s.Lacking != 0 {
		t.Errorf("before there is a contact: %+v", s)
	}
	if err := a.Cancel(t.Context(), peer); err != nil {
		t.Fatal(err)
	}
	w.meet()
	if s := a.status().Backup; !s.Made.IsZero() || s.Lacking != 1 {
		t.Errorf("one contact, no backup: %+v", s)
	}
	kept := a.backup()
	defer kept.Wipe()
	id := a.view().ID
	a.restart()
	if s := a.status().Backup; s.Made.IsZero() || s.Lacking != 0 {
		t.Errorf("after the backup: %+v", s)
	}
	if _, err := a.RemoveContact(t.Context(), peer); err != nil {
		t.Fatal(err)
	}
	a.end()
	err := withStore(t, a.dir, func(s node.Store) error {
		list, err := node.Records(s)
		for _, r := range list {
			if bytes.Contains(r.Value, id[:]) || r.Object == id {
				t.Errorf("a record of kind %d still names the contact that was removed", r.Kind)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestMove takes a vault to another machine in the middle of a talk. Nobody is told
// anything, nothing is lost, and the old machine stays off the network.
func TestMove(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.compare()
	w.round("before the move")
	b.end()
	w.say(a, "on its way when it moves")
	a.end()
	old := a.dir
	var records []backup.Record
	err := withStore(t, old, func(s node.Store) (err error) {
		if records, err = node.Records(s); err != nil {
			return err
		}
		return node.MarkMoved(s, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	a.start()
	if err := a.Unlock(t.Context(), passphrase); !errors.Is(err, node.ErrMoved) {
		t.Fatalf("unlocking what moved: %v", err)
	}
	a.end()
	a.dir = newHome(t)
	if err := withStore(t, a.dir, func(s node.Store) error { return node.TakeRecords(s, records) }); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.unlock()
	b.start()
	b.unlock()
	w.connected()
	w.round("after the move")
	w.undisturbed()
	if v := a.view(); v.Mark != channel.WordsCompared {
		t.Errorf("the mark is %v", v.Mark)
	}
	err = withStore(t, old, func(s node.Store) error {
		return errors.Join(node.Unmark(s), func() error {
			if err := node.Unmark(s); !errors.Is(err, node.ErrNotMoved) {
				return errors.New("a mark was taken back that was not there")
			}
			return nil
		}())
	})
	if err != nil {
		t.Error(err)
	}
}
