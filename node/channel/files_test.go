package channel_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A disk is what one person's machine holds outside the vault. What was not synced
// is garbage after a crash.
type disk struct {
	now, safe map[string][]byte
	full      bool
}

func newDisk() *disk { return &disk{now: map[string][]byte{}, safe: map[string][]byte{}} }

func (d *disk) crash() {
	for name, b := range d.now {
		safe := len(d.safe[name])
		d.now[name] = append(bytes.Clone(d.safe[name]), bytes.Repeat([]byte{0xee}, max(0, len(b)-safe))...)
	}
}

func (d *disk) sync(name string) { d.safe[name] = bytes.Clone(d.now[name]) }

func (d *disk) remove(name string) { delete(d.now, name); delete(d.safe, name) }

// perform does a task as a node does.
func (d *disk) perform(task channel.FileTask) (string, error) {
	part := path.Join(path.Dir(task.Path), task.Part)
	b, there := d.now[part]
	if d.full && task.Kind != channel.DiscardFile {
		return "", channel.ErrPlace
	}
	switch task.Kind {
	case channel.ReadContent:
		for _, content := range task.Content {
			if uint64(len(b)) < task.Offset+uint64(len(content)) {
				return "", channel.ErrPartLost
			}
			task.Offset += uint64(copy(content, b[task.Offset:]))
		}
		if task.Sync {
			d.sync(part)
		}
		return "", nil
	case channel.WriteContent, channel.KeepContent:
		if uint64(len(b)) < task.Before {
			return "", channel.ErrPartLost
		}
		if task.Before == 0 {
			b = nil
		}
		content := bytes.Join(task.Content, nil)
		b = append(bytes.Clone(b), make([]byte, max(0, int(task.Offset)+len(content)-len(b)))...)
		copy(b[task.Offset:], content)
		d.now[part] = b
		if task.Sync {
			d.sync(part)
		}
		return "", nil
	case channel.DiscardFile:
		d.remove(part)
		return "", nil
	case channel.WithdrawFile:
		d.remove(task.Path)
		return "", nil
	case channel.FinishFile:
	}
	if !there && task.Size > 0 {
		if b, ok := d.now[task.Path]; ok && sha256.Sum256(b) == task.Sum {
			return task.Path, nil
		}
		return "", channel.ErrPartLost
	}
	d.now[task.Path] = b
	d.sync(task.Path)
	d.remove(part)
	return task.Path, nil
}

// sums describes content as it is offered.
func source(name string, content []byte) channel.FileSource {
	const piece = 1 << 20
	src := channel.FileSource{Path: "/out/" + name, Name: name, Size: uint64(len(content)), Sum: sha256.Sum256(content), Piece: piece}
	for b := range slices.Chunk(content, piece) {
		sum := sha256.Sum256(b)
		src.Sums = append(src.Sums, sum[:]...)
	}
	return src
}

func (s *side) sendFile(name string, content []byte) uint64 {
	s.w.t.Helper()
	src := source(name, content)
	m, out, err := s.c.SendFile(s.now(), src)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.disk.now[src.Path] = content
	s.disk.sync(src.Path)
	s.do(out)
	return m.Seq
}

// work does what one side wants done of files: a read and a write. With a crash it
// ends before the conversation hears of the write.
func (s *side) work(crash bool) bool {
	s.w.t.Helper()
	worked := false
	if want, ok := s.c.Demand(s.now()); ok {
		worked = true
		content := s.disk.now[want.Path]
		s.do(s.c.Pieces(s.now(), want, content[want.Offset:][:want.Length]))
	}
	if task, ok := s.c.FileTask(s.now()); ok {
		worked = true
		path, err := s.disk.perform(task)
		if crash {
			s.restart()
			return true
		}
		s.do(s.c.FileTaskDone(s.now(), task, path, err))
	}
	return worked
}

// takeAll saves every file that waits.
func (s *side) takeAll() {
	s.w.t.Helper()
	for _, f := range s.c.Files() {
		if f.Direction == channel.In && f.State == channel.FileOffered {
			out, err := s.c.TakeFile(s.now(), f.Seq, "/in/"+f.Text)
			if err != nil {
				s.w.t.Fatal(err)
			}
			s.do(out)
		}
	}
}

// carry lets both sides and the network work until nothing moves.
func (w *world) carry() {
	w.t.Helper()
	for range 100_000 {
		w.settle()
		if a, b := w.a.work(false), w.b.work(false); !a && !b {
			return
		}
	}
	w.t.Fatal("the two never stop working")
}

func newFileWorld(t *testing.T, seed byte) *world {
	w := newWorld(t, seed)
	w.a.disk, w.b.disk = newDisk(), newDisk()
	return w
}

// checkFiles wants no file to be called delivered that is not there as it was sent,
// and nothing beside the files that came.
func (w *world) checkFiles(end bool) {
	w.t.Helper()
	for _, s := range []*side{w.a, w.b} {
		for _, f := range s.c.Files() {
			if f.Direction != channel.Out {
				continue
			}
			got, there := s.peer.disk.now["/in/"+f.Text]
			whole := there && bytes.Equal(got, s.disk.now["/out/"+f.Text])
			if f.State == channel.FileWhole != (f.Message.State == channel.Delivered) || f.State == channel.FileWhole && !whole {
				w.t.Fatalf("%s: file %d is %v, its line %q; it is there: %v", s.name, f.Seq, f.State, f.Message.State, whole)
			}
			if end && f.State != channel.FileWhole {
				w.t.Errorf("%s: file %d of %d bytes: %s, %d there", s.name, f.Seq, f.Size, f.State.Words(channel.Out), f.Done)
			}
		}
		for name := range s.disk.now {
			if end && path.Ext(name) == ".part" {
				w.t.Errorf("%s: %s is left", s.name, name)
			}
		}
	}
}

// TestFileScripts plays long days with files: cuts, restarts at every moment, boxes
// that are lost, doubled, swapped and altered, what was not synced lost.
func TestFileScripts(t *testing.T) {
	t.Parallel()
	scripts := byte(10)
	if testing.Short() {
		scripts = 3
	}
	sizes := []int{0, 1, 3999, 4000, 4001, 50_000, 256_000, 300_000, 2_000_000}
	for seed := range scripts {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newFileWorld(t, 90+3*seed)
			var held *wire.Box
			w.mangle = func(b *wire.Box) []*wire.Box {
				switch w.rng.IntN(60) {
				case 0:
					return nil
				case 1:
					return []*wire.Box{b, b}
				case 2:
					bad := *b
					bad[w.rng.IntN(len(bad))] ^= 1
					return []*wire.Box{&bad}
				case 3:
					if held, b = b, held; b == nil {
						return nil
					}
				}
				return []*wire.Box{b}
			}
			files := 0
			for i := range 600 {
				s := w.a
				if w.rng.IntN(2) == 0 {
					s = w.b
				}
				switch w.rng.IntN(14) {
				case 0:
					s.send(fmt.Sprint(i))
				case 1:
					if files < 10 {
						content := make([]byte, sizes[w.rng.IntN(len(sizes))])
						w.fill(content)
						s.sendFile(fmt.Sprint(i), content)
						files++
					}
				case 2:
					w.connect()
				case 3:
					s.restart()
				case 4:
					s.takeAll()
				case 5:
					w.pass(time.Duration(w.rng.IntN(60))*time.Second, 7*time.Second)
				case 6:
					s.work(true)
				default:
					if !w.up {
						w.connect()
					}
					for range w.rng.IntN(60) {
						w.step()
						s.work(false)
						s.peer.work(false)
					}
				}
				w.checkStates()
				w.checkFiles(false)
			}
			w.mangle = nil
			w.connect()
			for range 40 {
				w.settle()
				w.a.takeAll()
				w.b.takeAll()
				w.carry()
				w.pass(31*time.Second, 5*time.Second)
			}
			w.checkFiles(true)
		})
	}
}

// TestFileLateOrNever looks at files whose life ends, at either side.
func TestFileLateOrNever(t *testing.T) {
	w := newFileWorld(t, 7)
	w.meet()
	waits := w.a.sendFile("waits", make([]byte, 50_000))
	moves := w.a.sendFile("moves", make([]byte, 2_000_000))
	w.settle()
	out, err := w.b.c.TakeFile(w.now, w.b.c.Files()[1].Seq, "/in/moves")
	if err != nil {
		t.Fatal(err)
	}
	w.b.do(out)
	for range 100 {
		w.step()
		w.a.work(false)
		w.b.work(false)
	}
	if f, _ := w.a.c.File(moves); f.State != channel.FileMoving || f.Done == 0 {
		t.Fatalf("%+v", f)
	}
	w.cut()
	w.pass(15*24*time.Hour, 6*time.Hour)
	w.b.work(false)
	for _, s := range []*side{w.a, w.b} {
		for _, f := range s.c.Files() {
			if f.State != channel.FileEnded {
				t.Errorf("%s: %+v", s.name, f)
			}
		}
	}
	if f, _ := w.a.c.File(waits); f.Message.State != channel.Expired {
		t.Errorf("%+v", f.Message)
	}
	if left := slices.Collect(maps.Keys(w.b.disk.now)); len(left) != 0 {
		t.Errorf("left on the disk: %v", left)
	}
	w.connect()
	w.pass(time.Minute, 5*time.Second)
	w.a.restart()
	w.b.restart()
	for r := range w.a.store.ScanKind(channel.KindSums) {
		t.Errorf("kept: %v", r.Key)
	}
}

// TestFileSurvivesANewSession replaces the session while a file is on its way.
func TestFileSurvivesANewSession(t *testing.T) {
	w := newFileWorld(t, 8)
	w.meet()
	content := make([]byte, 3_000_000)
	prototest.Reader(1).Read(content)
	w.a.sendFile("f", content)
	w.settle()
	w.b.takeAll()
	for range 300 {
		w.step()
		w.a.work(false)
		w.b.work(false)
	}
	epoch := w.a.c.Epoch()
	w.now = w.now.Add(31 * 24 * time.Hour / 3) // the file lives on, the session is old after three
	for range 3 {
		w.connect()
		w.settle()
		w.pass(time.Minute, 5*time.Second)
	}
	w.a.do(w.a.c.RolledBack(w.now))
	w.connect()
	w.pass(time.Minute, 5*time.Second)
	for _, s := range []*side{w.a, w.b} {
		if out, err := s.c.Consent(w.now); err == nil {
			s.do(out)
		}
	}
	w.pass(2*time.Minute, 5*time.Second)
	w.carry()
	w.pass(2*time.Minute, 5*time.Second)
	w.carry()
	if w.a.c.Epoch() == epoch {
		t.Fatal("there was no new session")
	}
	w.checkFiles(true)
}

// TestDamagedFile sends other content than was offered.
func TestDamagedFile(t *testing.T) {
	w := newFileWorld(t, 9)
	w.meet()
	content := make([]byte, 100_000)
	seq := w.a.sendFile("f", content)
	w.settle()
	w.b.takeAll()
	content[50_000]++ // the node would have noticed
	w.carry()
	if f, _ := w.a.c.File(seq); f.State != channel.FileDamaged {
		t.Errorf("%+v", f)
	}
	if f := w.b.c.Files()[0]; f.State != channel.FileDamaged || len(w.b.disk.now) != 0 {
		t.Errorf("%+v, on the disk: %d", f, len(w.b.disk.now))
	}
}

// TestManyOffers offers more files than can wait.
func TestManyOffers(t *testing.T) {
	w := newFileWorld(t, 10)
	w.meet()
	for i := range 40 {
		_, out, err := w.a.c.SendFile(w.now, source(fmt.Sprint(i), nil))
		if i < 16 {
			if err != nil {
				t.Fatal(err)
			}
			w.a.do(out)
		} else if !errors.Is(err, channel.ErrManyFiles) {
			t.Fatalf("offer %d: %v", i, err)
		}
	}
	// A hostile one sends further offers all the same.
	for i := range uint32(30) {
		o := file.Offer{Size: 1, Key: secret.New(&[32]byte{byte(i + 1)}), Name: "x"}
		w.a.do(w.a.c.SendFrame(w.now, wire.Frame{
			Kind: wire.FrameFile, Number: w.a.c.Sent() + 1, Channel: channel.Open, ID: wire.MessageID{byte(i + 1)}, Parts: 1, Content: o.Append(nil),
		}))
	}
	w.settle()
	waiting := 0
	for _, f := range w.b.c.Files() {
		if f.State == channel.FileOffered {
			waiting++
		}
	}
	if waiting != 16 {
		t.Errorf("%d offers wait", waiting)
	}
}

// TestHostileReports says wrong things about a file that comes from the other side.
func TestHostileReports(t *testing.T) {
	w := newFileWorld(t, 11)
	w.meet()
	content := make([]byte, 400_000)
	seq := w.a.sendFile("f", content)
	w.settle()
	sent, _ := w.a.c.File(seq)
	for _, e := range []file.Entry{
		{State: file.Coming, Received: 101},
		{State: file.Coming, Received: file.Cells(file.MaxSize)},
		{ID: file.ID{1}, State: file.Whole},
		{State: file.Asking},
		{State: file.Gone},
		{ID: file.ID{1}, State: file.Coming, Received: 5},
	} {
		if e.ID == (file.ID{}) {
			e.ID = sent.ID
		}
		w.b.do(w.b.c.SendReport(w.now, e))
		w.settle()
		if f, _ := w.a.c.File(seq); f.State != channel.FileOffered {
			t.Errorf("%+v: %s", e, f.State.Words(channel.Out))
		}
	}
	// Coming, again and again from the beginning: the sender goes on, at its pace.
	for range 50 {
		w.b.do(w.b.c.SendReport(w.now, file.Entry{ID: sent.ID, State: file.Coming}))
		w.settle()
		for range 10 {
			w.a.work(false)
		}
		if n := len(w.b.inbox); n > 400 {
			t.Fatalf("%d boxes on their way", n)
		}
		w.settle()
	}
	w.b.takeAll()
	w.carry()
	w.pass(2*time.Minute, 5*time.Second)
	w.carry()
	w.checkFiles(true)
}

// TestLostPieces loses pieces on a connection that stands: they are sent again, by
// the gap that the receiver reports and, at the end, by the clock.
func TestLostPieces(t *testing.T) {
	w := newFileWorld(t, 12)
	w.meet()
	content := make([]byte, 1_500_000)
	w.a.sendFile("f", content)
	w.settle()
	w.b.takeAll()
	n, last := 0, 0
	w.mangle = func(b *wire.Box) []*wire.Box {
		if n++; n%40 == 0 {
			return nil
		}
		if f := w.b.c.Files()[0]; f.Done > 1_400_000 && last < 8 { // the end of it, as a whole
			last++
			return nil
		}
		return []*wire.Box{b}
	}
	w.carry()
	if f := w.b.c.Files()[0]; f.Done < 1_000_000 {
		t.Errorf("without the clock: %d", f.Done)
	}
	for range 10 {
		w.pass(31*time.Second, 10*time.Second)
		w.carry()
	}
	w.checkFiles(true)
}
