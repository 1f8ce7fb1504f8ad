package channel_test

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// withFiles is a world in which channel 2 is open and takes files of a million bytes,
// unless change says otherwise.
func withFiles(t *testing.T, seed byte, change func(*charter.Terms)) *world {
	t.Helper()
	w := newFileWorld(t, seed)
	w.meet()
	terms := w.a.terms("river gauges", 48*time.Hour)
	if terms.Files = 1; change != nil {
		change(&terms)
	}
	w.a.agree(w.a.c.OpenChannel(w.a.now(), terms))
	w.b.acceptPending(2)
	return w
}

// fileIn offers a file in channel 2.
func (s *side) fileIn(name string, content []byte) (uint64, error) {
	s.w.t.Helper()
	src := source(name, content)
	m, out, err := s.c.SendFileIn(s.now(), 2, src)
	if err != nil {
		return 0, err
	}
	s.disk.now[src.Path] = content
	s.disk.sync(src.Path)
	s.do(out)
	s.w.carry()
	return m.Seq, nil
}

func (s *side) mustFileIn(name string, content []byte) uint64 {
	s.w.t.Helper()
	seq, err := s.fileIn(name, content)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return seq
}

// filesIn are the states of the files of a channel, by name.
func (s *side) filesIn(n uint32) map[string]channel.FileState {
	list, err := s.c.FilesIn(s.now(), n)
	if err != nil {
		s.w.t.Fatal(err)
	}
	states := map[string]channel.FileState{}
	for _, f := range list {
		states[f.Text] = f.State
	}
	return states
}

// parts counts what lies on a disk of files that are not whole.
func (s *side) parts() (n int) {
	for name := range s.disk.now {
		if path.Ext(name) == ".part" {
			n++
		}
	}
	return n
}

// halfway takes a file, and lets some of it come.
func (w *world) halfway() {
	w.t.Helper()
	w.b.takeAll()
	for range 6 {
		w.settle()
		w.a.work(false)
		w.settle()
		w.b.work(false)
	}
	if w.b.parts() != 1 {
		w.t.Fatal("nothing has come")
	}
}

// TestFilesInAChannel sends a file in a channel, over restarts of both; another one is
// under way when the deadline comes, and nothing is left of it.
func TestFilesInAChannel(t *testing.T) {
	t.Parallel()
	w := withFiles(t, 120, nil)
	content := bytes.Repeat([]byte("gauge "), 50_000)
	w.a.mustFileIn("gauges.csv", content)
	again := func() { w.a.restart(); w.b.restart(); w.connect(); w.carry() }
	again()
	w.b.takeAll()
	again()
	if got := w.b.disk.now["/in/gauges.csv"]; !bytes.Equal(got, content) || w.a.filesIn(2)["gauges.csv"] != channel.FileWhole {
		t.Fatalf("%d bytes came; %v", len(got), w.a.filesIn(2))
	}
	if len(w.b.filesIn(channel.Open)) != 0 || len(w.b.texts(channel.In)) != 0 {
		t.Error("a file of the channel stands in the conversation")
	}
	if got := w.b.textsIn(2); !slices.Equal(got, []string{"gauges.csv"}) {
		t.Errorf("the channel reads %q", got)
	}

	late := w.a.mustFileIn("late.csv", bytes.Repeat([]byte("late "), 200_000))
	w.halfway()
	w.cut()
	w.now = w.now.Add(49 * time.Hour)
	for _, s := range []*side{w.a, w.b} {
		s.restart()
		if _, err := s.c.FilesIn(s.now(), 2); !errors.Is(err, channel.ErrBurned) {
			t.Errorf("%s: files of a burned channel: %v", s.name, err)
		}
		out := s.c.Tick(s.now())
		s.do(out)
		for _, task := range out.Discard {
			if _, err := s.disk.perform(task); err != nil {
				t.Fatal(err)
			}
		}
		s.do(s.c.Tick(s.now()))
		for _, kind := range []store.Kind{channel.KindFile, channel.KindSums} {
			for r := range s.store.ScanKind(kind) {
				t.Errorf("%s: record %d of kind %d is left", s.name, r.Key.Seq, kind)
			}
		}
	}
	if _, err := w.a.c.FileIn(w.a.now(), late); !errors.Is(err, channel.ErrNoFile) || w.b.parts() != 0 {
		t.Errorf("after the deadline: %v, %d part files", err, w.b.parts())
	}
	if !bytes.Equal(w.b.disk.now["/in/gauges.csv"], content) {
		t.Error("what its person saved is gone")
	}
	w.connect()
	w.carry()
	w.send("after")
	w.checkAll()
}

func (w *world) send(text string) {
	w.a.send(text)
	w.pass(2*time.Second, time.Second)
}

// TestFilesByTheCharter offers what a charter does not allow: here a person is told, and
// from a machine that does not keep to it nothing is taken, once and for all.
func TestFilesByTheCharter(t *testing.T) {
	t.Parallel()
	offer := func(id byte, size uint64) wire.Frame {
		o := file.Offer{Size: size, Key: secret.New(&[32]byte{id}), Sum: [32]byte{id}, Name: "report " + string(rune(64+id))}
		return wire.Frame{Kind: wire.FrameFile, Channel: 2, Parts: 1, ID: wire.MessageID{id, 55}, Content: o.Append(nil)}
	}
	for name, x := range map[string]struct {
		change func(*charter.Terms)
		size   uint64
		want   error
		notes  int
	}{
		"no files":       {func(t *charter.Terms) { t.Files = 0 }, 10, channel.ErrCharterFiles, 1},
		"an empty one":   {func(t *charter.Terms) { t.Files = 0 }, 0, channel.ErrCharterFiles, 1},
		"a byte too big": {nil, 1_000_001, channel.ErrCharterSize, 1},
		"just fits":      {nil, 1_000_000, nil, 0},
	} {
		w := withFiles(t, 122, x.change)
		if _, err := w.a.fileIn("report", make([]byte, x.size)); !errors.Is(err, x.want) {
			t.Errorf("%s: a person is told %v, want %v", name, err, x.want)
		}
		before := len(w.b.filesIn(2))
		for id := range byte(5) {
			f := offer(id+1, x.size)
			f.Number = w.a.c.Sent() + 1
			w.a.do(w.a.c.SendFrame(w.a.now(), f))
			w.pass(2*time.Second, time.Second)
		}
		want := before
		if x.want == nil {
			want += 5
		}
		notes := 0
		list, _ := w.b.c.TranscriptIn(w.b.now(), 2, 0)
		for _, m := range list {
			if m.Direction == channel.Notice && m.Text == channel.NoteFileTerms {
				notes++
			}
		}
		if got := len(w.b.filesIn(2)); got != want || notes != x.notes {
			t.Errorf("%s: %d of 5 offers taken, %d lines say that they are not", name, got-before, notes)
		}
	}

	w := newFileWorld(t, 124)
	w.meet()
	terms := w.a.terms("river gauges", 48*time.Hour)
	terms.Files = 1
	w.a.agree(w.a.c.OpenChannel(w.a.now(), terms))
	if _, err := w.a.fileIn("early", []byte("x")); !errors.Is(err, channel.ErrNotAgreed) {
		t.Errorf("before both accepted: %v", err)
	}
	f := offer(9, 10)
	f.Number = w.a.c.Sent() + 1
	w.a.do(w.a.c.SendFrame(w.a.now(), f))
	w.pass(2*time.Second, time.Second)
	if got := len(w.b.c.Files()); got != 0 {
		t.Errorf("before both accepted %d files came", got)
	}
}

// TestFilesEndWithTheirTerms has a file under way when the channel is closed, or when both
// agree to smaller ones or to none.
func TestFilesEndWithTheirTerms(t *testing.T) {
	t.Parallel()
	amend := func(files uint16) func(w *world) {
		return func(w *world) {
			terms := w.b.terms("river gauges", 48*time.Hour)
			terms.Files = files
			w.b.agree(w.b.c.AmendChannel(w.b.now(), 2, terms))
			w.a.acceptPending(2)
		}
	}
	for name, x := range map[string]struct {
		do   func(*world)
		ends bool
	}{
		"closed by its receiver": {func(w *world) { w.b.agree(w.b.c.CloseChannel(w.b.now(), 2)) }, true},
		"closed by its sender":   {func(w *world) { w.a.agree(w.a.c.CloseChannel(w.a.now(), 2)) }, true},
		"burned by its receiver": {func(w *world) {
			out, err := w.b.c.BurnChannel(w.b.now(), 2)
			for _, task := range out.Discard {
				_, _ = w.b.disk.perform(task)
			}
			w.b.agree(channel.ChannelView{}, out, err)
		}, true},
		"amended to none":         {amend(0), true},
		"amended to smaller ones": {amend(1), true},
		"amended to larger ones":  {amend(3), false},
	} {
		w := withFiles(t, 126, func(t *charter.Terms) { t.Files = 2 })
		w.a.mustFileIn("large", make([]byte, 1_500_000))
		w.halfway()
		x.do(w)
		w.carry()
		w.pass(5*time.Minute, 30*time.Second)
		w.carry()
		got := w.a.filesIn(2)["large"]
		if ended := got != channel.FileWhole; ended != x.ends || w.b.parts() != 0 || (w.b.disk.now["/in/large"] == nil) != x.ends {
			t.Errorf("%s: the file is %q, with %d part files", name, got.Words(channel.Out), w.b.parts())
		}
		w.checkStates()
	}
}

// TestEachEndsFilesItself has one side end what is not agreed any more though the other's
// machine says nothing of the file.
func TestEachEndsFilesItself(t *testing.T) {
	t.Parallel()
	none := func(s *side) charter.Digest {
		s.agree(s.c.AmendChannel(s.now(), 2, s.terms("river gauges", 48*time.Hour)))
		return s.channel(2).Own.Digest()
	}
	for name, play := range map[string]func(s *side){
		"closes":         func(s *side) { s.w.cut(); s.agree(s.c.CloseChannel(s.now(), 2)) },
		"is told closed": func(s *side) { s.peer.force(wire.FrameCharter, 2, charter.CloseMessage()) },
		"accepts": func(s *side) {
			none(s.peer)
			s.w.cut()
			s.acceptPending(2)
		},
		"is told accepted": func(s *side) { s.peer.force(wire.FrameCharter, 2, rawAnswer(2, none(s))) },
	} {
		for _, sender := range []bool{true, false} {
			w := withFiles(t, 134, nil)
			w.a.mustFileIn("large", make([]byte, 900_000))
			w.halfway()
			s, want := w.b, channel.FileDeclined
			if sender {
				s, want = w.a, channel.FileEnded
			}
			play(s)
			if got := s.filesIn(2)["large"]; got != want {
				t.Errorf("%s, sender %t: the file is %q", name, sender, got.Words(channel.Out))
			}
		}
	}
}

// TestWithheldTextStays has a text wait in a channel when the clock turns out to be ahead:
// it does not leave with what comes before the next Tick.
func TestWithheldTextStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 136)
	var others []time.Duration
	w.b.cfg.Stated = func(time.Time) []time.Duration { return others }
	w.meet()
	w.b.restart() // with the clock
	w.connect()
	w.pass(2*time.Second, time.Second)
	w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("river gauges", 2*time.Hour)))
	w.b.acceptPending(2)
	w.cut()
	w.b.sayIn(2, "waits")
	w.b.ahead, others = 3*time.Hour, slices.Repeat([]time.Duration{-3 * time.Hour}, 3)
	w.connect()
	w.settle()
	if got := w.a.textsIn(2); len(got) != 0 {
		t.Errorf("of a channel that is withheld came %q", got)
	}
	w.b.ahead, others = 0, nil
	w.pass(2*time.Second, time.Second)
	if got := w.a.textsIn(2); !slices.Equal(got, []string{"waits"}) {
		t.Errorf("set right, there came %q", got)
	}
}

// TestRouteOfFiles has both agree on relays while a file goes directly: no piece, and no
// text that waits, leaves by that connection any more. Back on the direct route it goes on.
func TestRouteOfFiles(t *testing.T) {
	t.Parallel()
	w := withFiles(t, 128, nil)
	content := bytes.Repeat([]byte("gauge "), 150_000)
	w.a.mustFileIn("gauges.csv", content)
	w.halfway()
	relays := func(s *side, route charter.Route) {
		terms := s.terms("river gauges", 48*time.Hour)
		terms.Files, terms.Route = 1, route
		s.agree(s.c.AmendChannel(s.now(), 2, terms))
		s.peer.acceptPending(2)
	}
	// A text is written while the acceptance is under way: it waits when that comes.
	terms := w.a.terms("river gauges", 48*time.Hour)
	terms.Files, terms.Route = 1, charter.RouteRelays
	w.a.agree(w.a.c.AmendChannel(w.a.now(), 2, terms))
	_, out, err := w.b.c.AcceptChannel(w.b.now(), 2, w.b.channel(2).Pending.Digest())
	if err != nil {
		t.Fatal(err)
	}
	w.b.do(out)
	m, _, err := w.a.c.SendIn(w.a.now(), 2, "waits")
	if err != nil {
		t.Fatal(err)
	}
	want, wanted := w.a.c.Demand(w.a.now())
	if !wanted {
		t.Fatal("nothing is under way")
	}
	w.settle()
	if out := w.a.c.Pieces(w.a.now(), want, content[want.Offset:][:want.Length]); len(out.Bulk) > 0 {
		t.Error("what was read before leaves by a way that the charter forbids")
	}
	if _, wanted := w.a.c.Demand(w.a.now()); wanted {
		t.Error("a piece is wanted for a way that the charter forbids")
	}
	before := len(w.b.disk.now)
	for range 10 {
		w.carry()
		w.pass(time.Minute, 10*time.Second)
	}
	if got := w.a.filesIn(2)["gauges.csv"]; got == channel.FileWhole || len(w.b.disk.now) != before {
		t.Errorf("the file is %q", got)
	}
	if list, _ := w.a.c.TranscriptIn(w.a.now(), 2, m.Seq-1); list[0].State != channel.Waiting || slices.Contains(w.b.textsIn(2), "waits") {
		t.Errorf("a text is %q by a way that the charter forbids", list[0].State)
	}
	if _, err := w.a.fileIn("more", []byte("x")); !errors.Is(err, channel.ErrCharterRoute) {
		t.Errorf("a file by a way that the charter forbids: %v", err)
	}
	relays(w.b, charter.RouteDirect)
	for range 10 {
		w.carry()
		w.pass(time.Minute, 10*time.Second)
	}
	if got := w.b.disk.now["/in/gauges.csv"]; !bytes.Equal(got, content) || !slices.Contains(w.b.textsIn(2), "waits") {
		t.Errorf("after the charter allows it %d bytes are there, and %q", len(got), w.b.textsIn(2))
	}
}

// TestWithheldFiles has the receiver's clock ahead: nothing of the file is shown, taken or
// written. Set right, it goes on.
func TestWithheldFiles(t *testing.T) {
	t.Parallel()
	w := newFileWorld(t, 130)
	var others []time.Duration
	w.b.cfg.Stated = func(time.Time) []time.Duration { return others }
	w.meet()
	w.b.restart() // with the clock
	w.connect()
	w.pass(2*time.Second, time.Second)
	terms := w.a.terms("river gauges", 2*time.Hour)
	terms.Files = 1
	w.a.agree(w.a.c.OpenChannel(w.a.now(), terms))
	w.b.acceptPending(2)
	seq := w.a.mustFileIn("gauges.csv", make([]byte, 900_000))
	w.halfway()
	w.a.work(false)
	w.settle()
	if _, ok := w.b.c.FileTask(w.b.now()); !ok {
		t.Fatal("nothing is to be written")
	}
	w.b.ahead = 3 * time.Hour
	others = slices.Repeat([]time.Duration{-3 * time.Hour}, 3)
	in := w.b.c.Files()[0].Seq
	_, takes := w.b.c.TakeFile(w.b.now(), in, "/in/x")
	_, removes := w.b.c.RemoveFile(w.b.now(), in)
	_, lists := w.b.c.FilesIn(w.b.now(), 2)
	_, shows := w.b.c.FileIn(w.b.now(), in)
	for what, err := range map[string]error{"removes": removes, "lists": lists, "shows": shows} {
		if !errors.Is(err, charter.ErrClock) {
			t.Errorf("by a clock that is ahead it %s: %v", what, err)
		}
	}
	if task, ok := w.b.c.FileTask(w.b.now()); ok || takes == nil {
		t.Errorf("by a clock that is ahead there is a %s, %v", task.Kind, takes)
	}
	w.b.ahead, others = 0, nil
	for range 6 {
		w.carry()
		w.pass(time.Minute, 10*time.Second)
	}
	if f, err := w.a.c.FileIn(w.a.now(), seq); err != nil || f.State != channel.FileWhole {
		t.Errorf("set right, it is %q, %v", f.State.Words(channel.Out), err)
	}
}

// TestFilesWithoutReceipts wants a sender to be shown nothing of what has arrived.
func TestFilesWithoutReceipts(t *testing.T) {
	t.Parallel()
	w := withFiles(t, 132, func(t *charter.Terms) { t.Receipts = charter.ReceiptsNone })
	w.cut()
	seq := w.a.mustFileIn("gauges.csv", make([]byte, 900_000))
	if f, err := w.a.c.FileIn(w.a.now(), seq); err != nil || f.FileWords() != "waiting here" {
		t.Errorf("before it leaves it is %q, %v", f.FileWords(), err)
	}
	want := func(when string) {
		t.Helper()
		f, err := w.a.c.FileIn(w.a.now(), seq)
		list, _ := w.a.c.TranscriptIn(w.a.now(), 2, seq-1)
		if err != nil || f.State != channel.FileMoving || f.Done != 0 || f.FileWords() != "on its way" || list[0].FileWords() != "on its way" || list[0].State != channel.OnItsWay {
			t.Errorf("%s: %q, %d bytes, %q, %v", when, f.FileWords(), f.Done, list[0].State, err)
		}
	}
	w.connect()
	w.carry()
	want("offered")
	if got := w.a.told[len(w.a.told)-1]; got.Seq != seq || got.FileWords() != "on its way" {
		t.Errorf("its sender is not told that it has left: %+v", got)
	}
	told := len(w.a.told)
	w.halfway()
	want("half of it there")
	w.carry()
	want("all of it there")
	if w.b.filesIn(2)["gauges.csv"] != channel.FileWhole {
		t.Error("it is not there")
	}
	if len(w.a.told) != told {
		t.Errorf("its sender is told of changes: %+v", w.a.told[told:])
	}
}

// TestReportsByTheCharter has both agree on relays while a file waits for its receiver:
// no report of it leaves by a connection, and in boxes it comes.
func TestReportsByTheCharter(t *testing.T) {
	t.Parallel()
	w := withFiles(t, 138, nil)
	content := make([]byte, 200_000)
	w.a.mustFileIn("gauges.csv", content)
	w.a.mustFileIn("taken back", content)
	terms := w.a.terms("river gauges", 48*time.Hour)
	terms.Files, terms.Route = 1, charter.RouteRelays
	w.a.agree(w.a.c.AmendChannel(w.a.now(), 2, terms))
	w.b.acceptPending(2)
	out, err := w.a.c.RemoveFile(w.a.now(), w.a.c.Files()[1].Seq)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.b.takeAll()
	for range 3 {
		w.carry()
		w.pass(time.Minute, 10*time.Second)
		w.connect() // which begins with reports
		w.carry()
	}
	if got := w.a.filesIn(2)["gauges.csv"]; got != channel.FileOffered {
		t.Errorf("by a way that the charter forbids the sender hears that its file is %q", got.Words(channel.Out))
	}
	if got := w.b.filesIn(2)["taken back"]; got != channel.FileMoving {
		t.Errorf("by a way that the charter forbids the receiver hears that a file is %q", got.Words(channel.In))
	}
	w.agree()
	w.cut()
	o := officeOf(w)
	if o.both(10); w.a.filesIn(2)["gauges.csv"] != channel.FileMoving || w.b.filesIn(2)["taken back"] != channel.FileEnded {
		t.Errorf("over drops nothing is heard: %v, %v", w.a.filesIn(2), w.b.filesIn(2))
	}
	w.a.do(w.a.c.SetRoute(w.a.now(), channel.RelayRoute))
	if o.both(80); !bytes.Equal(w.b.disk.now["/in/gauges.csv"], content) || w.a.filesIn(2)["gauges.csv"] != channel.FileWhole {
		t.Errorf("over drops the file is %v", w.a.filesIn(2))
	}
}

// TestWithheldFilesInBoxes has the receiver's clock ahead while a file comes over drops:
// nothing that comes of it is taken, nothing is said of it, and no older box is read for
// it. Set right, it goes on.
func TestWithheldFilesInBoxes(t *testing.T) {
	t.Parallel()
	w := newFileWorld(t, 140)
	others := make([]time.Duration, 3)
	w.b.cfg.Stated = func(time.Time) []time.Duration { return others }
	w.meet()
	w.b.restart() // with the clock
	w.connect()
	w.pass(2*time.Second, time.Second)
	terms := w.a.terms("river gauges", 8*time.Hour)
	terms.Files = 1
	w.a.agree(w.a.c.OpenChannel(w.a.now(), terms))
	w.b.acceptPending(2)
	w.a.mustFileIn("gauges.csv", make([]byte, 900_000))
	w.agree()
	w.cut()
	o := officeOf(w)
	o.both(5)
	w.b.takeAll()
	o.both(40)
	if !w.b.c.Lacking() {
		t.Fatal("nothing comes")
	}
	w.b.ahead, others = 9*time.Hour, slices.Repeat([]time.Duration{-9 * time.Hour}, 3)
	written, known, reports := w.b.c.Files()[0].Done, w.a.c.Files()[0].Done, o.reports[w.b]
	o.boxes = map[*side][]waiting{}
	for range 12 {
		o.next()
		o.write(w.a)
		o.write(w.b)
		if o.reports[w.b] != reports || o.formed[w.b] {
			t.Fatal("a file is spoken of while its channel is withheld")
		}
		if w.b.c.Lacking() {
			t.Fatal("older boxes are read for a channel that is withheld")
		}
		o.read(w.a)
		o.read(w.b)
	}
	w.b.ahead, others = 0, make([]time.Duration, 3)
	w.b.serve()
	if f := w.b.c.Files()[0]; f.Done != written || w.a.c.Files()[0].Done != known {
		t.Errorf("%d bytes were taken while the channel was withheld", f.Done-written)
	}
	o.both(320)
	w.checkFiles(true)
}
