package channel_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

// TestFileKeysOfAClone offers two files of one name on two clones of a machine,
// which draw the same random bytes: they are not sealed under one key.
func TestFileKeysOfAClone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 70)
	w.meet()
	var keys []secret.Key
	for _, content := range []string{"We would drop it.", "We will not do it"} {
		clone := w.a.store.Copy()
		c, err := channel.Load(channel.Config{Random: prototest.Reader(9), Records: clone}, w.a.id)
		if err != nil {
			t.Fatal(err)
		}
		m, out, err := c.SendFile(w.now, source("report.txt", []byte(content)))
		if err = errors.Join(err, clone.Commit(out.Writes...)); err != nil {
			t.Fatal(err)
		}
		for r, err := range clone.Scan(channel.KindFile, w.a.id) {
			if err != nil {
				t.Fatal(err)
			}
			const at = 1 + 16 + 1 // version, object, flag of the key
			keys = append(keys, file.CellKey(secret.FromBytes(r.Value[at:at+32]), m.ID))
		}
	}
	if len(keys) != 2 || bytes.Equal(keys[0].Bytes(), keys[1].Bytes()) {
		t.Error("one key, and one nonce, seal two files")
	}
}

// TestPartLostAgainAndAgain has a place that never keeps what is written: the file
// does not come anew without a pause.
func TestPartLostAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 71)
	w.meet()
	w.a.disk, w.b.disk = newDisk(), newDisk()
	w.a.sendFile("report.pdf", bytes.Repeat([]byte("what was sent"), 50_000))
	w.settle()
	w.b.takeAll()
	lost := 0
	for range 200 {
		w.settle()
		w.a.work(false)
		w.settle()
		if task, ok := w.b.c.FileTask(w.now); ok {
			path, err := w.b.disk.perform(task)
			if task.Sync {
				lost++
				err = channel.ErrPartLost
			}
			w.b.do(w.b.c.FileTaskDone(w.now, task, path, err))
		}
	}
	if f := w.b.c.Files()[0]; lost != 1 || f.Trouble == "" {
		t.Errorf("lost %d times at one moment: %+v", lost, f)
	}
	w.pass(2*time.Minute, time.Second)
	if w.carry(); w.b.c.Files()[0].State != channel.FileWhole {
		t.Errorf("%+v", w.b.c.Files()[0])
	}
}

// TestBurnedFileIsNotOfferedAgain burns a conversation with a file that is whole,
// before its sender has heard that: it is not offered again.
func TestBurnedFileIsNotOfferedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 72)
	w.meet()
	w.a.disk, w.b.disk = newDisk(), newDisk()
	w.a.sendFile("report.pdf", []byte("what was sent"))
	w.settle()
	w.b.takeAll()
	for range 100 {
		w.settle()
		w.a.work(false)
		if task, ok := w.b.c.FileTask(w.now); ok {
			path, err := w.b.disk.perform(task)
			if task.Kind == channel.FinishFile {
				w.cut()
			}
			w.b.do(w.b.c.FileTaskDone(w.now, task, path, err))
		}
	}
	if s := w.b.c.Files()[0].State; s != channel.FileWhole {
		t.Fatalf("it is %v", s.Words(channel.In))
	}
	w.b.do(w.b.c.Burn(w.now))
	w.connect()
	w.carry()
	w.pass(2*time.Minute, time.Second)
	if list := w.b.c.Files(); len(list) != 0 {
		t.Errorf("burned, and there again: %+v", list)
	}
	if s := w.a.c.Files()[0].State; s != channel.FileWhole {
		t.Errorf("at its sender it is %v", s.Words(channel.Out))
	}
}

// TestReportOfOneFileManyTimes has a peer say in one report many things of one
// file: what it leads to is one commit that can be stored.
func TestReportOfOneFileManyTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 73)
	w.meet()
	src := source("report.pdf", []byte("what was sent"))
	src.Path = "/" + strings.Repeat("long/", 800)
	m, out, err := w.a.c.SendFile(w.now, src)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.settle()
	w.b.do(w.b.c.SendReport(w.now, slices.Repeat([]file.Entry{{ID: m.ID, State: file.Coming}, {ID: m.ID, State: file.Held}}, file.MaxEntries/2)...))
	w.settle() // each commit is checked
}
