package channel_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/wire"
)

// An office is the drops of two people, and how each reads them: the newest box first,
// and those before it only while something is missing. A box is got once.
type office struct {
	w       *world
	period  uint64
	loss    float64 // of boxes; what is lost was perhaps said to be there
	boxes   map[*side][]waiting
	texts   map[*side]int
	pieces  map[*side]int
	reports map[*side]int
	formed  map[*side]bool // the last box was in file form
}

type waiting struct {
	period  uint64
	control drop.Control
	cell    wire.Cell
}

// newOffice has two people agree on drops, and cuts their connection.
func newOffice(t *testing.T, seed byte) (*world, *office) {
	t.Helper()
	w := newFileWorld(t, seed)
	w.meet()
	w.agree()
	w.cut()
	return w, officeOf(w)
}

func officeOf(w *world) *office {
	return &office{
		w: w, period: 100, boxes: map[*side][]waiting{}, texts: map[*side]int{}, pieces: map[*side]int{}, reports: map[*side]int{}, formed: map[*side]bool{},
	}
}

// next begins the next period.
func (o *office) next() {
	o.period++
	o.w.now = o.w.now.Add(time.Minute)
}

// write puts a side's box of this period into the drops.
func (o *office) write(s *side) {
	o.w.t.Helper()
	control, cell, out := s.c.Fill(s.now(), o.period)
	s.do(out)
	control.Time = uint32(o.w.now.Unix())
	if formed := control.Flags&drop.FlagForm != 0; formed && o.formed[s] {
		o.w.t.Errorf("%s: two boxes after one another in file form", s.name)
	} else {
		o.formed[s] = formed
	}
	if _, err := drop.ParseControl(control.Append(nil)); err != nil {
		o.w.t.Fatalf("%s: a block that nobody reads: %+v", s.name, control)
	}
	switch {
	case control.Flags&drop.FlagCell != 0:
		o.texts[s]++
	case control.Flags&drop.FlagFile != 0:
		o.pieces[s]++
	case control.Flags&drop.FlagReport != 0:
		o.reports[s]++
	}
	if cell == nil {
		cell = new(wire.Cell)
	}
	lost := o.w.rng.Float64() < o.loss
	if !lost {
		o.boxes[s] = append(o.boxes[s], waiting{o.period, control, *cell})
	}
	if !lost || o.w.rng.IntN(4) == 0 {
		s.boxed(o.period)
	}
	s.serve()
}

// read has a side look for one box of the other's.
func (o *office) read(s *side) bool {
	o.w.t.Helper()
	boxes := o.boxes[s.peer]
	if len(boxes) == 0 {
		return false
	}
	newest := boxes[len(boxes)-1]
	o.boxes[s.peer] = boxes[:len(boxes)-1]
	s.do(s.c.Mailed(s.now(), newest.control, &newest.cell))
	if !s.c.Lacking() {
		o.boxes[s.peer] = nil // nobody asks for them
	}
	s.serve()
	return true
}

// day lets a side be on for some periods, and then lock.
func (o *office) day(s *side, periods int) {
	o.w.t.Helper()
	for range periods {
		o.next()
		o.write(s)
		o.read(s)
		o.read(s)
		o.read(s)
	}
	s.restart()
}

// both lets both be on for some periods.
func (o *office) both(periods int) {
	o.w.t.Helper()
	for range periods {
		o.next()
		for _, s := range []*side{o.w.a, o.w.b} {
			s.do(s.c.Tick(s.now()))
			o.write(s)
		}
		for _, s := range []*side{o.w.a, o.w.b} {
			o.read(s)
			o.read(s)
		}
	}
}

// checkTexts wants all texts beside the files to be there once and in order.
func (w *world) checkTexts() {
	w.t.Helper()
	w.checkStates()
	for _, s := range []*side{w.a, w.b} {
		var got []string
		for _, m := range s.peer.c.Transcript(0) {
			if m.Direction == channel.In && !m.File {
				got = append(got, m.Text)
			}
		}
		if !slices.Equal(got, s.written) {
			w.t.Errorf("%s wrote %d texts, the other has %d: %s", s.name, len(s.written), len(got), firstDifference(got, s.written))
		}
	}
}

// serve does all that is wanted of files on a side's disk.
func (s *side) serve() {
	for s.work(false) {
		continue
	}
}

func (s *side) random(n int) []byte {
	content := make([]byte, n)
	s.w.fill(content)
	return content
}

// TestFilesInBoxes sends files over drops alone. Without losses each piece goes once.
func TestFilesInBoxes(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 120)
	cells := 0
	for _, size := range []int{0, 1, 4000, 4001, 100_000, 1_900_000} {
		w.a.sendFile(fmt.Sprint(size), w.a.random(size))
		cells += int(file.Cells(uint64(size)))
	}
	o.both(12)
	w.b.takeAll()
	o.both(cells + 80)
	w.checkFiles(true)
	if o.pieces[w.a] != cells {
		t.Errorf("%d pieces left for %d", o.pieces[w.a], cells)
	}
	o.both(300) // and nobody speaks of them for ever
	told := o.reports[w.a] + o.reports[w.b]
	if o.both(50); o.reports[w.a]+o.reports[w.b] != told {
		t.Error("files that are known to be over are still spoken of")
	}
}

// TestFilesInBoxesNeverTogether has two people with hours that never overlap, who lock
// their machines after them. A tenth or more of the boxes are lost.
func TestFilesInBoxesNeverTogether(t *testing.T) {
	t.Parallel()
	for i, loss := range []float64{0, 0.05, 0.3} {
		w, o := newOffice(t, byte(121+i))
		o.loss = loss
		w.a.sendFile("f", w.a.random(1_000_000))
		w.b.sendFile("g", w.b.random(300_000))
		w.a.send("Before the files.")
		days := 0
		for ; days < 13 && (w.a.c.Files()[0].State != channel.FileWhole || w.b.c.Files()[0].State != channel.FileWhole); days++ {
			for _, s := range []*side{w.a, w.b} {
				s.takeAll()
				o.day(s, 60)
			}
		}
		w.checkFiles(true)
		t.Logf("loss %v: %d days", loss, days)
	}
}

// TestFilesInBoxesReloaded has both machines stopped after each step, and all that is not
// on the disk lost: the file comes, and no piece goes twice.
func TestFilesInBoxesReloaded(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 125)
	w.a.sendFile("f", w.a.random(200_000))
	for i := range 90 {
		o.next()
		for _, s := range []*side{w.a, w.b} {
			o.write(s)
			s.restart()
			o.read(s)
			s.restart()
			if i == 10 {
				s.takeAll()
				s.restart()
			}
			s.serve()
		}
	}
	w.checkFiles(true)
	if o.pieces[w.a] != 50 {
		t.Errorf("%d pieces went for 50", o.pieces[w.a])
	}
}

// TestTextsGoBeforePieces writes texts while a file is under way: each leaves in the next
// box, is acknowledged, and is not held up by a piece that was sealed before.
func TestTextsGoBeforePieces(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 126)
	w.a.sendFile("f", w.a.random(1_200_000))
	w.b.sendFile("g", w.b.random(1_200_000))
	o.both(8)
	w.a.takeAll()
	w.b.takeAll()
	o.both(20)
	for i := range 40 {
		s := w.a
		if i%2 == 1 {
			s = w.b
		}
		before := o.texts[s]
		seq := s.send(fmt.Sprint("text ", i))
		o.both(1)
		if o.texts[s] != before+1 {
			t.Fatalf("text %d did not leave in the next box", i)
		}
		if o.both(3); s.state(seq) != channel.Delivered {
			t.Errorf("text %d is %v", i, s.state(seq))
		}
	}
	o.both(320)
	w.checkFiles(true)
	for _, s := range []*side{w.a, w.b} {
		if o.pieces[s] != 300 || o.texts[s] > 40 {
			t.Errorf("%s: %d pieces, %d texts", s.name, o.pieces[s], o.texts[s])
		}
	}
}

// TestStrandedTextsGoBeforePieces cuts a connection on which texts and pieces were lost:
// the texts are all in boxes before a piece is.
func TestStrandedTextsGoBeforePieces(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 127)
	w.connect()
	w.settle()
	w.a.sendFile("f", w.a.random(3_000_000))
	w.settle()
	w.b.takeAll()
	for range 50 {
		w.step()
		w.a.work(false)
		w.b.work(false)
	}
	w.mangle = func(*wire.Box) []*wire.Box { return nil }
	for i := range 20 {
		w.a.send(fmt.Sprint("lost ", i))
	}
	w.a.work(false)
	w.cut()
	w.mangle = nil
	o.both(25)
	if got := len(w.b.texts(channel.In)) - 1; got != 20 || o.pieces[w.a] > 5 {
		t.Errorf("after 25 boxes there are %d texts, and %d pieces went", got, o.pieces[w.a])
	}
	o.both(780)
	w.checkFiles(true)
	w.checkTexts()
}

// TestTextsGoAgainBesidePieces wipes the drops when they have said that they hold a text:
// it goes again in every fourth box, though there are pieces for all of them.
func TestTextsGoAgainBesidePieces(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 133)
	w.a.sendFile("f", w.a.random(1_200_000))
	o.both(8)
	w.b.takeAll()
	o.both(20)
	seq := w.a.send("Two is fine.")
	o.next()
	o.write(w.a)
	if w.a.state(seq) != channel.InMailbox {
		t.Fatalf("the text is %v", w.a.state(seq))
	}
	o.boxes[w.a] = nil
	if o.both(5); w.a.state(seq) != channel.Delivered || o.texts[w.a] > 4 {
		t.Errorf("the text is %v; %d boxes had texts", w.a.state(seq), o.texts[w.a])
	}
}

// TestWipedTextsGoBeforePieces has drops forget texts that they said they have, while a
// file is under way: once the receiver lacks them, and has what was written long after, they
// do not wait for pieces any more.
func TestWipedTextsGoBeforePieces(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 206)
	w.a.sendFile("f", w.a.random(3_000_000))
	o.both(12)
	w.b.takeAll()
	o.both(20)
	for i := range 12 {
		w.a.send(fmt.Sprint("text ", i))
	}
	for range 12 {
		o.next()
		o.write(w.a)
	}
	o.boxes = map[*side][]waiting{}
	boxes := 0
	for ; len(w.b.texts(channel.In)) < 1+12 && boxes < 100; boxes++ {
		o.both(1)
	}
	if boxes > 30 {
		t.Errorf("12 texts came in %d boxes", boxes)
	}
	w.checkTexts()
}

// TestLostPiecesGoInTurn loses boxes, and no drop says that it has them: what was in them
// goes again before what was not sent yet.
func TestLostPiecesGoInTurn(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 136)
	w.a.sendFile("f", w.a.random(800_000))
	o.both(8)
	w.b.takeAll()
	o.both(20)
	for range 10 {
		o.next()
		_, _, out := w.a.c.Fill(w.now, o.period)
		w.a.do(out)
		w.a.serve()
	}
	before := w.b.c.Files()[0].Done
	if o.both(35); w.b.c.Files()[0].Done < before+30*file.ContentSize {
		t.Errorf("%d bytes, and before %d", w.b.c.Files()[0].Done, before)
	}
}

// TestFileChangesRoute has a file go directly, over drops, and directly again. What is
// known to be there does not go again, and what was lost with a connection does.
func TestFileChangesRoute(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 128)
	const cells = 900
	direct := func(boxes int) {
		w.connect()
		w.settle()
		for range boxes {
			w.step()
			w.a.work(false)
			w.b.work(false)
		}
	}
	w.a.sendFile("f", w.a.random(cells*file.ContentSize))
	direct(10)
	w.b.takeAll()
	direct(200)
	w.cut()
	there := func() int { return int(w.b.c.Files()[0].Done / file.ContentSize) }
	first := there()
	if first < 50 || first > cells-300 {
		t.Fatalf("%d pieces went directly", first)
	}
	o.both(150)
	if got := there() - first; o.pieces[w.a] < 120 || got < o.pieces[w.a]-3 {
		t.Errorf("%d pieces went into boxes, and %d came", o.pieces[w.a], got)
	}
	w.a.restart()
	w.b.restart()
	before := o.pieces[w.a]
	o.both(30)
	if got := there() - first; got < o.pieces[w.a]-3 || o.pieces[w.a] == before {
		t.Errorf("restarted: %d pieces in boxes, %d came", o.pieces[w.a], got)
	}
	boxes := w.cells
	direct(1)
	w.carry()
	if sent := w.cells - boxes; sent > 2*(cells-there())+2*cells-2*first-300 {
		t.Errorf("%d boxes on the last connection", sent)
	}
	w.checkFiles(true)
}

// TestFilesInBoxesNewSession replaces the session while pieces are under way: its boxes
// are not read any more, so what was in them goes again in its turn.
func TestFilesInBoxesNewSession(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 135)
	w.a.sendFile("f", w.a.random(800_000))
	o.both(8)
	w.b.takeAll()
	o.both(30)
	for range 20 {
		o.next()
		o.write(w.a)
	}
	o.boxes = map[*side][]waiting{}
	epoch := w.a.c.Epoch()
	w.a.do(w.a.c.RolledBack(w.now))
	w.connect()
	w.pass(time.Minute, 5*time.Second)
	for _, s := range []*side{w.a, w.b} {
		if out, err := s.c.Consent(w.now); err == nil {
			s.do(out)
		}
	}
	w.pass(2*time.Minute, 5*time.Second)
	if w.a.c.Epoch() == epoch {
		t.Fatal("there was no new session")
	}
	w.agree()
	w.cut()
	o.period /= 2 // another period was agreed on
	before := w.b.c.Files()[0].Done
	if o.both(30); w.b.c.Files()[0].Done < before+25*file.ContentSize {
		t.Errorf("%d bytes, and before %d", w.b.c.Files()[0].Done, before)
	}
	o.both(180)
	w.checkFiles(true)
}

// TestFilesInBoxesByPolicy wants no piece and no report in a box of a contact that is
// talked to directly, and the next file behind one that cannot be read.
func TestFilesInBoxesByPolicy(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 129)
	first := w.a.sendFile("f", w.a.random(400_000))
	w.a.sendFile("g", w.a.random(40_000))
	o.both(10)
	w.b.takeAll()
	o.both(10)
	w.a.do(w.a.c.SetRoute(w.now, channel.DirectRoute))
	w.b.do(w.b.c.SetRoute(w.now, channel.DirectRoute))
	w.a.restart() // nothing is ready any more
	if want, ok := w.a.c.Demand(w.now); ok {
		t.Errorf("%+v is read for no box", want)
	}
	pieces, reports := o.pieces[w.a], o.reports[w.b]
	if o.both(20); o.pieces[w.a] != pieces || o.reports[w.b] != reports {
		t.Error("what is to go directly went into boxes")
	}
	w.a.do(w.a.c.SetRoute(w.now, channel.RelayRoute))
	w.b.do(w.b.c.SetRoute(w.now, channel.BothRoutes))
	w.a.c.FileUnreadable(w.now.Add(time.Hour), first, "the disk is out")
	o.both(40)
	if f := w.b.c.Files(); f[0].State != channel.FileMoving || f[1].State != channel.FileWhole {
		t.Errorf("%v and %v", f[0].State.Words(channel.In), f[1].State.Words(channel.In))
	}
	o.both(200)
	w.checkFiles(true)
}

// TestFilesInBoxesDiskFull has a receiver whose disk is full for a day, a drop that is
// wiped, and a reader who is away until all drops have forgotten.
func TestFilesInBoxesDiskFull(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 130)
	w.a.sendFile("f", w.a.random(500_000))
	o.both(8)
	w.b.takeAll()
	o.both(20)
	w.b.disk.full = true
	o.both(60)
	if f := w.b.c.Files()[0]; f.Trouble == "" {
		t.Errorf("%+v", f)
	}
	w.b.disk.full = false
	o.both(30)
	o.boxes = map[*side][]waiting{}
	for range 100 { // the reader is away
		o.next()
		o.write(w.a)
	}
	o.boxes = map[*side][]waiting{} // and all that was written is forgotten
	o.both(200)
	w.checkFiles(true)
}

// TestFilesInBoxesPartLost loses what has come of a file, long after the first window: it
// comes anew.
func TestFilesInBoxesPartLost(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 200)
	w.a.sendFile("f", w.a.random(3_000_000))
	o.both(12)
	w.b.takeAll()
	o.both(430)
	for name := range w.b.disk.now {
		if strings.HasSuffix(name, ".part") {
			w.b.disk.remove(name)
		}
	}
	o.both(1200)
	w.checkFiles(true)
}

// TestBoxedIsProved fills boxes that never come to a drop, and restarts: what left before
// is not called in their mailbox.
func TestBoxedIsProved(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 203)
	w.a.sendFile("f", w.a.random(2_000_000))
	o.both(12)
	w.b.takeAll()
	o.both(20)
	fill := func() uint64 {
		o.next()
		_, _, out := w.a.c.Fill(w.now, o.period)
		w.a.do(out)
		w.a.serve()
		return w.a.c.Files()[0].Boxed
	}
	before := uint64(0)
	for range 100 {
		before = fill()
	}
	w.a.restart()
	if after := fill(); after > before {
		t.Errorf("%d bytes are called boxed, and before the restart %d were", after, before)
	}
	for range 4 {
		o.next()
		o.write(w.a)
	}
	if w.a.c.Files()[0].Boxed == 0 {
		t.Error("what a drop has is not called boxed")
	}
}

// TestSyncedAsItComes has a piece come in a box, and the rest directly, more of it whenever
// some is written: only what came in a box is synced at once.
func TestSyncedAsItComes(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 211)
	w.a.sendFile("f", w.a.random(3_000_000))
	o.both(12)
	w.b.takeAll()
	o.both(20)
	o.next()
	o.write(w.a)
	piece := o.boxes[w.a][len(o.boxes[w.a])-1]
	w.b.do(w.b.c.Mailed(w.now, piece.control, &piece.cell))
	w.connect()
	w.settle()
	synced, written := 0, 0
	for range 200 {
		w.a.work(false)
		w.settle()
		task, ok := w.b.c.FileTask(w.now)
		if !ok {
			continue
		}
		w.a.work(false)
		w.settle() // more comes while it is written
		if written++; task.Sync {
			synced++
		}
		path, err := w.b.disk.perform(task)
		w.b.do(w.b.c.FileTaskDone(w.now, task, path, err))
	}
	if written < 20 || synced > 3 {
		t.Errorf("of %d writes %d are synced", written, synced)
	}
}

// TestFilesInBoxesEnd takes files back, declines them and lets them grow too old, over
// drops alone.
func TestFilesInBoxesEnd(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 131)
	names := []string{"taken back", "declined", "too old"}
	for _, name := range names {
		w.a.sendFile(name, w.a.random(300_000))
	}
	o.both(10)
	w.b.takeAll()
	o.both(30)
	end := func(s *side, i int) {
		out, err := s.c.RemoveFile(w.now, s.c.Files()[i].Seq)
		if err != nil {
			t.Fatal(err)
		}
		s.do(out)
		s.serve()
	}
	end(w.a, 0)
	end(w.b, 1)
	o.both(12)
	want := func(s *side, states ...channel.FileState) {
		t.Helper()
		for i, f := range s.c.Files() {
			if f.State != states[i] {
				t.Errorf("%s: %q is %q", s.name, names[i], f.State.Words(f.Direction))
			}
		}
	}
	want(w.a, channel.FileEnded, channel.FileDeclined, channel.FileMoving)
	want(w.b, channel.FileEnded, channel.FileDeclined, channel.FileMoving)
	w.now = w.now.Add(15 * 24 * time.Hour)
	o.both(3)
	want(w.a, channel.FileEnded, channel.FileDeclined, channel.FileEnded)
	want(w.b, channel.FileEnded, channel.FileDeclined, channel.FileEnded)
	if len(w.b.disk.now) != 0 {
		t.Errorf("%d files are left", len(w.b.disk.now))
	}
}

// TestFilesAlike sends two files whose IDs begin with the same byte: the block of a box
// cannot speak of them, and cells do, also while the receiver sends files itself.
func TestFilesAlike(t *testing.T) {
	t.Parallel()
	w, o := newOffice(t, 132)
	var all []channel.FileView
	alike := func() bool {
		all = w.a.c.Files()
		last := all[len(all)-1]
		return slices.ContainsFunc(all[:len(all)-1], func(f channel.FileView) bool {
			return f.State == channel.FileOffered && f.ID[0] == last.ID[0]
		})
	}
	for i := range 300 {
		seq := w.a.sendFile(fmt.Sprint(i), w.a.random(100_000))
		if alike() {
			break
		}
		if i > 12 {
			out, err := w.a.c.RemoveFile(w.now, seq)
			if err != nil {
				t.Fatal(err)
			}
			w.a.do(out)
			delete(w.a.disk.now, "/out/"+fmt.Sprint(i))
		}
	}
	w.b.sendFile("back", w.b.random(1_300_000))
	o.both(30)
	w.a.takeAll()
	w.b.takeAll()
	o.both(450)
	for _, s := range []*side{w.a, w.b} {
		for _, f := range s.c.Files() {
			if f.State != channel.FileWhole && f.State != channel.FileEnded {
				t.Errorf("%s: %s is %q, %d of %d", s.name, f.Text, f.State.Words(f.Direction), f.Done, f.Size)
			}
		}
	}
}

// TestFileBoxScripts plays long days: boxes that are lost, come late, in any order and
// twice over, drops that are wiped, connections that come and go, disks that are full,
// and machines that are stopped at every moment, what was not synced lost. All files
// arrive as they were, and all texts once and in order.
func TestFileBoxScripts(t *testing.T) {
	t.Parallel()
	scripts := byte(12)
	if testing.Short() {
		scripts = 3
	}
	for seed := range scripts {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w, o := newOffice(t, 140+3*seed)
			o.loss = 0.05 + 0.25*w.rng.Float64()
			for i := range 700 {
				o.disturb(i)
				w.checkStates()
				w.checkFiles(false)
			}
			for _, s := range []*side{w.a, w.b} {
				s.disk.full = false
			}
			o.loss, o.boxes = 0, map[*side][]waiting{}
			w.cut()
			for range 12 {
				w.a.takeAll()
				w.b.takeAll()
				o.both(120)
			}
			w.checkFiles(true)
			w.checkTexts()
		})
	}
}

// disturb lets one thing happen.
func (o *office) disturb(i int) {
	w := o.w
	s := w.a
	if w.rng.IntN(2) == 0 {
		s = w.b
	}
	switch w.rng.IntN(24) {
	case 0:
		s.send(fmt.Sprint(s.name, i))
	case 1:
		if len(s.c.Files()) < 8 {
			s.sendFile(fmt.Sprint(s.name, i), s.random([]int{0, 1, 4000, 4001, 50_000, 200_000}[w.rng.IntN(6)]))
		}
	case 2:
		s.takeAll()
	case 3:
		s.restart()
	case 4:
		s.work(true) // it is killed after it wrote, and before it took note
	case 5:
		w.connect()
		for range w.rng.IntN(60) {
			w.step()
			s.work(false)
			s.peer.work(false)
		}
	case 6:
		w.cut()
	case 7:
		s.disk.full = !s.disk.full
	case 8:
		if w.rng.IntN(6) == 0 {
			o.boxes[s] = nil
		}
	case 9:
		if b := o.boxes[s]; len(b) > 0 { // one comes late, and twice
			m := b[w.rng.IntN(len(b))]
			s.peer.do(s.peer.c.Mailed(s.peer.now(), m.control, &m.cell))
		}
	case 10:
		w.pass(time.Duration(w.rng.IntN(200))*time.Second, 20*time.Second)
	default:
		o.next()
		o.write(s)
		o.read(s)
		o.read(s.peer)
	}
}
