package channel_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
)

// TestEndedFileAfterRestart ends a file that was not whole, by burning and by
// removing its line, and restarts before its sender could hear of it: it is not
// offered again, its sender hears how it ended, and once that is confirmed nothing
// is kept of it.
func TestEndedFileAfterRestart(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*side, uint64) *channel.Output{
		"burned": func(s *side, _ uint64) *channel.Output { return s.c.Burn(s.w.now) },
		"removed": func(s *side, seq uint64) *channel.Output {
			_, out, err := s.c.Remove(s.w.now, seq)
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
	} {
		for _, taken := range []bool{false, true} {
			w := newWorld(t, 80)
			w.meet()
			w.a.disk, w.b.disk = newDisk(), newDisk()
			sent := w.a.sendFile("report.pdf", bytes.Repeat([]byte("what was sent"), 1000))
			w.settle()
			w.cut()
			if taken {
				w.b.takeAll()
			}
			w.b.do(end(w.b, w.b.c.Files()[0].Seq))
			w.b.restart()
			w.b.sweep()
			record := store.Key{Kind: channel.KindEnded, Object: w.b.id}
			if _, err := w.b.store.Get(record); err != nil {
				t.Errorf("%s, taken %v: how it ended is not kept: %v", name, taken, err)
			}
			w.connect()
			w.carry()
			w.pass(2*time.Minute, time.Second)
			if list := w.b.c.Files(); len(list) != 0 {
				t.Errorf("%s, taken %v: there again: %+v", name, taken, list)
			}
			if f, _ := w.a.c.File(sent); f.State != channel.FileDeclined {
				t.Errorf("%s, taken %v: at its sender it is %v", name, taken, f.State.Words(channel.Out))
			}
			if _, err := w.b.store.Get(record); err == nil {
				t.Errorf("%s, taken %v: its sender knows, and the ending is still kept", name, taken)
			}
		}
	}
}

// TestTakenBackAfterRestart removes the line of a file that is offered, and restarts
// before the other side could hear of it: it does not wait there for ever.
func TestTakenBackAfterRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 81)
	w.meet()
	w.a.disk, w.b.disk = newDisk(), newDisk()
	seq := w.a.sendFile("report.pdf", []byte("what was sent"))
	w.settle()
	w.cut()
	_, out, err := w.a.c.Remove(w.now, seq)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.a.restart()
	w.connect()
	w.carry()
	w.pass(2*time.Minute, time.Second)
	if f := w.b.c.Files()[0]; f.State != channel.FileEnded {
		t.Errorf("the other side's file is %v", f.State.Words(channel.In))
	}
}

// TestEndingsAreBounded keeps no more endings than a record holds, and those of
// files that did not come before others, until the offers have ended by themselves.
func TestEndingsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 82)
	w.meet()
	w.cut()
	w.b.do(w.b.c.KeepEndings(w.now, 200, 400))
	w.b.restart()
	if declined, others := w.b.c.Endings(); declined != 200 || others != 56 {
		t.Errorf("%d and %d are kept", declined, others)
	}
	w.now = w.now.Add(16 * 24 * time.Hour)
	w.b.do(w.b.c.Tick(w.now))
	if declined, others := w.b.c.Endings(); declined+others != 0 {
		t.Errorf("%d and %d are kept for ever", declined, others)
	}
	if _, err := w.b.store.Get(store.Key{Kind: channel.KindEnded, Object: w.b.id}); err == nil {
		t.Error("the record is kept for ever")
	}
}

// TestEndedWhileItGetsItsName ends a file in every way while it is being given its
// name: it is called ended, and it does not stand on the disk.
func TestEndedWhileItGetsItsName(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*side, uint64) (*channel.Output, error){
		"file removed": func(s *side, seq uint64) (*channel.Output, error) { return s.c.RemoveFile(s.w.now, seq) },
		"line removed": func(s *side, seq uint64) (*channel.Output, error) {
			_, out, err := s.c.Remove(s.w.now, seq)
			return out, err
		},
		"burned": func(s *side, _ uint64) (*channel.Output, error) { return s.c.Burn(s.w.now), nil },
		"expired": func(s *side, _ uint64) (*channel.Output, error) {
			s.w.now = s.w.now.Add(15 * 24 * time.Hour)
			return s.c.Tick(s.w.now), nil
		},
	} {
		w := newWorld(t, 83)
		w.meet()
		w.a.disk, w.b.disk = newDisk(), newDisk()
		sent := w.a.sendFile("report.pdf", []byte("what was sent"))
		w.settle()
		w.b.takeAll()
		for range 100 {
			w.settle()
			w.a.work(false)
			task, ok := w.b.c.FileTask(w.now)
			if !ok {
				continue
			}
			path, err := w.b.disk.perform(task)
			if task.Kind == channel.FinishFile {
				out, err := end(w.b, task.Seq)
				if err != nil {
					t.Fatal(err)
				}
				w.b.do(out)
			}
			out := w.b.c.FileTaskDone(w.now, task, path, err)
			for _, more := range out.Discard {
				_, _ = w.b.disk.perform(more)
			}
			w.b.do(out)
		}
		if len(w.b.disk.now) != 0 {
			t.Errorf("%s: on the disk there is still %d", name, len(w.b.disk.now))
		}
		if f, ok := w.b.c.File(2); ok && (f.State == channel.FileWhole || f.Path != "") {
			t.Errorf("%s: it is called %v", name, f.State.Words(channel.In))
		}
		w.carry()
		if f, _ := w.a.c.File(sent); f.State == channel.FileWhole || name != "expired" && f.State != channel.FileDeclined {
			t.Errorf("%s: at its sender it is %v", name, f.State.Words(channel.Out))
		}
	}
}
