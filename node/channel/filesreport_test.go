package channel_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/wire"
)

// TestOldReports reads boxes of the receiver in the wrong order: what an older one says
// of a file does not have pieces sent again, and does not end it.
func TestOldReports(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 134)
	w.a.sendFile("f", w.a.random(400_000))
	report := func() waiting { // of b, that a does not read yet
		for range 10 {
			o.next()
			o.write(w.b)
			box := o.boxes[w.b][len(o.boxes[w.b])-1]
			o.boxes[w.b] = nil
			if box.control.Flags == drop.FlagReport {
				return box
			}
		}
		t.Fatal("nothing is reported")
		return waiting{}
	}
	o.both(2)
	o.next()
	o.write(w.a)
	o.read(w.b)
	held := report() // it waits for its person
	w.b.takeAll()
	o.both(8)
	early := report() // little has come
	o.both(30)
	for _, old := range []waiting{early, held} {
		w.a.do(w.a.c.Mailed(w.now, old.control, &old.cell))
		if f := w.a.c.Files()[0]; f.State != channel.FileMoving || f.Done < 25*file.ContentSize {
			t.Errorf("%d bytes, %s", f.Done, f.State.Words(channel.Out))
		}
	}
	o.both(80)
	if w.checkFiles(true); o.pieces[w.a] != 100 {
		t.Errorf("%d pieces went for 100", o.pieces[w.a])
	}
}

// TestOldReportsAfterRestart has a sender read an old box after a restart, and after the
// receiver was put back to before the offer: it counts neither time.
func TestOldReportsAfterRestart(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 202)
	w.a.sendFile("f", w.a.random(2_000_000))
	o.both(12)
	w.b.takeAll()
	o.both(20)
	o.next()
	o.write(w.b)
	old := o.boxes[w.b][len(o.boxes[w.b])-1]
	o.boxes[w.b] = nil
	o.both(200)
	w.a.restart()
	done := w.a.c.Files()[0].Done
	w.a.do(w.a.c.Mailed(w.now, old.control, &old.cell))
	if after := w.a.c.Files()[0].Done; after != done || done == 0 {
		t.Errorf("%d bytes were there, and by an old box %d are", done, after)
	}

	o.next()
	o.write(w.b)
	newest := o.boxes[w.b][len(o.boxes[w.b])-1]
	newest.control.Flags = newest.control.Flags&^drop.FlagForm&^drop.FlagCell | drop.FlagReport
	unknown := file.Report([]file.Entry{{ID: w.a.c.Files()[0].ID, State: file.Unknown}})
	w.a.do(w.a.c.Mailed(w.now, newest.control, unknown)) // its machine was put back
	w.a.do(w.a.c.Mailed(w.now, old.control, &old.cell))
	if f := w.a.c.Files()[0]; f.State != channel.FileOffered || f.Done != 0 {
		t.Errorf("by an old box the file is %q, with %d bytes there", f.State.Words(channel.Out), f.Done)
	}
}

// TestOldForms reads file forms that were written before the offer of the one file that
// they could be of was acknowledged, or before a report that was read already: they are of
// another file that ended, and do not count.
func TestOldForms(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 217)
	w.a.sendFile("f", w.a.random(2_000_000))
	for len(w.b.c.Files()) == 0 {
		o.next()
		o.write(w.a)
		o.read(w.b)
	}
	done := func() int { return int(w.a.c.Files()[0].Done / file.ContentSize) }
	form := func(at time.Time, received uint32) {
		o.next()
		control, _, out := w.b.c.Fill(w.now, o.period)
		w.b.do(out)
		w.b.serve()
		control.Time = uint32(at.Unix())
		if control.Flags, control.File = 0, (drop.Progress{}); received == 0 {
			w.a.do(w.a.c.Mailed(w.now, control, new(wire.Cell)))
			return
		}
		control.Flags = drop.FlagForm
		control.File = drop.Progress{ID: w.a.c.Files()[0].ID[0], Received: received}
		w.a.do(w.a.c.Mailed(w.now, control, new(wire.Cell)))
	}
	form(w.now, 0) // acknowledges the offer, and says nothing of it
	if form(w.now.Add(-10*time.Minute), 100); done() != 0 {
		t.Errorf("%d pieces are there by what was written before the offer came", done())
	}
	o.both(12)
	w.b.takeAll()
	o.both(60)
	before := done()
	w.a.restart()
	if form(w.now.Add(-20*time.Minute), 200); done() != before || before < 20 {
		t.Errorf("%d pieces are there, and %d by what was written before", before, done())
	}
	if form(w.now.Add(time.Minute), 201); done() != 201 {
		t.Errorf("by a new form %d pieces are there", done())
	}
}

// TestFilesAndOwnClock has a sender whose clock is hours ahead or behind, and a file that
// goes directly first, and then over drops, whose boxes have the network's time.
func TestFilesAndOwnClock(t *testing.T) {
	t.Parallel()
	for i, ahead := range []time.Duration{12 * time.Hour, -12 * time.Hour} {
		w, o := newOffice(t, byte(204+3*i))
		w.a.ahead = ahead
		w.a.sendFile("f", w.a.random(120*file.ContentSize))
		step := func(n int) {
			for range n {
				w.step()
				w.a.work(false)
				w.b.work(false)
			}
		}
		w.connect()
		w.settle()
		step(10)
		w.b.takeAll()
		step(60)
		w.cut()
		o.both(150)
		w.checkFiles(true)
	}
}

// TestAskedForWhatIsNotThere has a peer ask for files that nobody offered, in box after box
// that nothing here answers: they are not kept without bound, and do not keep a file that
// is there from being spoken of.
func TestAskedForWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 215)
	w.a.sendFile("f", w.a.random(10_000))
	o.both(12)
	o.next()
	control, _, out := w.a.c.Fill(w.now, o.period)
	w.a.do(out)
	control.Flags, control.File = drop.FlagReport, drop.Progress{}
	for i := range 30 {
		var asked []file.Entry
		for j := range file.MaxEntries {
			asked = append(asked, file.Entry{ID: file.ID{1, byte(i), byte(j)}, State: file.Asking})
		}
		w.b.do(w.b.c.Mailed(w.now, control, file.Report(asked)))
	}
	w.b.takeAll()
	if n, there := w.b.c.ToTell(w.b.c.Files()[0].ID); n > 8*file.MaxEntries || !there {
		t.Errorf("%d files are to be told of; that one is among them: %t", n, there)
	}
}

// TestEndsAreToldAtOnce declines files while the own pieces fill the boxes and a text goes
// again: a report leaves with one of the next two boxes, whoever has the first.
func TestEndsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 219)
	for i := range 4 {
		w.a.sendFile(fmt.Sprint(i), w.a.random(10_000))
	}
	w.b.sendFile("g", w.b.random(1_000_000))
	o.both(12)
	w.a.takeAll()
	o.both(20)
	w.b.send("This goes again.")
	write := func() bool {
		before := o.reports[w.b]
		o.next()
		o.write(w.b)
		return o.reports[w.b] > before
	}
	for i := range 4 {
		for range 3 {
			write()
		}
		out, err := w.b.c.RemoveFile(w.now, w.b.c.Files()[i+1].Seq)
		if err != nil {
			t.Fatal(err)
		}
		w.b.do(out)
		if first, second := write(), write(); !first && !second {
			t.Errorf("the end of file %d is not told", i)
		}
	}
}

// TestManyEndsInBoxes has more files to tell of that are gone than one report holds: all of
// them are told of, and each report speaks of the file that comes, too.
func TestManyEndsInBoxes(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 221)
	w.a.sendFile("f", w.a.random(200_000))
	o.both(12)
	w.b.takeAll()
	o.both(6)
	o.next()
	control, _, out := w.a.c.Fill(w.now, o.period)
	w.a.do(out)
	control.Flags, control.File = drop.FlagReport, drop.Progress{}
	gone, reports := map[file.ID]bool{}, 0
	for i := range 12 {
		entries := []file.Entry{{ID: file.ID{200, byte(i)}, State: file.Coming}} // of which nothing is known
		for j := range file.MaxEntries - 8 {
			entries = append(entries, file.Entry{ID: file.ID{201, byte(j)}, State: file.Coming})
		}
		if i < 8 {
			w.b.do(w.b.c.Mailed(w.now, control, file.Report(entries)))
		} else if i == 8 {
			gone = map[file.ID]bool{}
		}
		o.next()
		c, cell, out := w.b.c.Fill(w.now, o.period)
		if w.b.do(out); c.Flags&drop.FlagReport == 0 {
			continue
		}
		said, err := file.ParseReport(cell)
		if err != nil {
			t.Fatal(err)
		}
		if reports++; !slices.ContainsFunc(said, func(e file.Entry) bool { return e.State == file.Coming }) {
			t.Error("a report does not speak of the file that comes")
		}
		for _, e := range said {
			if e.State == file.Gone {
				gone[e.ID] = true
			}
		}
	}
	if len(gone) != file.MaxEntries || reports < 8 {
		t.Errorf("%d reports tell of %d files that are gone", reports, len(gone))
	}
}
