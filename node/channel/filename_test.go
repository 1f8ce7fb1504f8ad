package channel_test

import (
	"bytes"
	"path"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/file"
)

// TestNoNameLeft finds every name taken that a finished file could get: nothing is
// tried again, over a restart neither, until its person gives another name. In the
// same folder it is there at once, to another it comes anew.
func TestNoNameLeft(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("what was sent"), 10_000)
	for _, place := range []string{"/in/other.pdf", "/elsewhere/report.pdf"} {
		w := newWorld(t, 84)
		w.meet()
		w.a.disk, w.b.disk = newDisk(), newDisk()
		sent := w.a.sendFile("report.pdf", content)
		w.settle()
		seq := w.b.c.Files()[0].Seq
		take := func(place string) {
			t.Helper()
			out, err := w.b.c.TakeFile(w.now, seq, place)
			if err != nil {
				t.Fatal(err)
			}
			w.b.do(out)
		}
		take("/in/report.pdf")
		finishes := 0
		work := func(taken bool) {
			for range 200 {
				w.settle()
				w.a.work(false)
				if task, ok := w.b.c.FileTask(w.now); ok && task.Kind == channel.FinishFile && taken {
					finishes++
					w.b.do(w.b.c.FileTaskDone(w.now, task, "", channel.ErrNoName))
				} else {
					w.b.work(false)
				}
			}
		}
		work(true)
		w.b.restart()
		w.connect()
		for range 5 {
			w.pass(time.Minute, time.Second)
			work(true)
		}
		if f := w.b.c.Files()[0]; f.State != channel.FileUnnamed || finishes != 1 || f.Place != "/in/report.pdf" {
			t.Fatalf("%v after %d times, %q", f.State.Words(channel.In), finishes, f.Place)
		}
		if f, _ := w.a.c.File(sent); f.State != channel.FileMoving || f.Done != f.Size {
			t.Errorf("at its sender it is %v, %d bytes", f.State.Words(channel.Out), f.Done)
		}
		take(place)
		if anew, same := w.b.c.Files()[0].Done == 0, path.Dir(place) == "/in"; anew == same {
			t.Errorf("%s: comes anew: %v", place, anew)
		}
		work(false)
		w.pass(time.Minute, time.Second)
		work(false)
		f := w.b.c.Files()[0]
		if f.State != channel.FileWhole || f.Path != place || !bytes.Equal(w.b.disk.now[place], content) {
			t.Errorf("%s: %v, %d bytes of %d", place, f.State.Words(channel.In), f.Done, file.Cells(f.Size))
		}
		if f, _ := w.a.c.File(sent); f.State != channel.FileWhole {
			t.Errorf("%s: at its sender it is %v", place, f.State.Words(channel.Out))
		}
	}
}
