package channel_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
)

// TestNewerRecords has one record after the other written by a later program: the
// conversation is refused for that, and not for damage.
func TestNewerRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 85)
	w.meet()
	w.agree()
	w.b.disk, w.a.disk = newDisk(), newDisk()
	w.a.sendFile("report.pdf", []byte("what was sent"))
	w.settle()
	w.b.do(w.b.c.KeepEndings(w.now, 1, 0))
	w.cut()
	for kind, known := range map[store.Kind]byte{channel.KindContact: 2, channel.KindSession: 3, channel.KindDrops: 4, channel.KindFile: 2, channel.KindEnded: 1} {
		for version, want := range map[byte]error{known: nil, known + 1: store.ErrNewer, 255: store.ErrNewer, 0: channel.ErrRecord} {
			changed, found := w.b.store.Copy(), 0
			for r, err := range w.b.store.Scan(kind, w.b.id) {
				value := bytes.Clone(r.Value)
				value[0] = version
				found++
				if err := errors.Join(err, changed.Commit(store.Write{Key: r.Key, Value: value})); err != nil {
					t.Fatal(err)
				}
			}
			cfg := w.b.cfg
			cfg.Records = changed
			if _, err := channel.Load(cfg, w.b.id); !errors.Is(err, want) || found == 0 {
				t.Errorf("%d records of kind %d and version %d: %v", found, kind, version, err)
			}
		}
	}
}

// TestFileRecordOfVersion1 loads a file's record that was written before files went in
// boxes: it lacks the last four fields.
func TestFileRecordOfVersion1(t *testing.T) {
	t.Parallel()
	w := newFileWorld(t, 86)
	w.meet()
	w.a.sendFile("report.pdf", bytes.Repeat([]byte("what was sent"), 50_000))
	w.settle()
	for _, s := range []*side{w.a, w.b} {
		for r, err := range s.store.Scan(channel.KindFile, s.id) {
			if err != nil {
				t.Fatal(err)
			}
			old := append([]byte{1}, r.Value[1:len(r.Value)-8-4-4-4]...)
			if err := s.store.Commit(store.Write{Key: r.Key, Value: old}); err != nil {
				t.Fatal(err)
			}
		}
		s.restart()
	}
	w.b.takeAll()
	w.connect()
	w.pass(time.Minute, 5*time.Second)
	w.carry()
	w.checkFiles(true)
}

// TestRecordsOfVersion1 loads a contact, with drops and without, that was written before
// sessions went on over drops: it talks on, and recovers.
func TestRecordsOfVersion1(t *testing.T) {
	t.Parallel()
	for _, agreed := range []bool{true, false} {
		w := newWorld(t, 87)
		if w.meet(); agreed {
			w.agree()
		}
		w.a.send("before")
		w.settle()
		w.cut()
		for _, s := range []*side{w.a, w.b} {
			month := s.c.Month()
			for _, kind := range []store.Kind{channel.KindContact, channel.KindSession, channel.KindDrops} {
				for r, err := range s.store.Scan(kind, s.id) {
					if err != nil {
						t.Fatal(err)
					}
					if err := s.store.Commit(store.Write{Key: r.Key, Value: channel.Version1(kind, r.Value)}); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.restart()
			if o := s.c.Drops(); (o.Set != nil) != agreed || s.c.Month() != month || s.c.MailRoot().IsZero() != agreed {
				t.Errorf("%s: %+v, of month %d and not %d", s.name, o, s.c.Month(), month)
			}
		}
		w.connect()
		w.a.send("after")
		w.b.send("after it, too")
		w.pass(10*time.Second, time.Second)
		w.checkAll()
		w.cut()
		w.a.do(w.a.c.RolledBack(w.now))
		w.connect()
		w.settle()
		if v := w.b.c.View(); !v.Paused {
			t.Error("no recovery")
		}
	}
}

// sessionOfVersion2 starts a machine anew with the record of its session as version 2 wrote it.
func (s *side) sessionOfVersion2() {
	s.w.t.Helper()
	for r, err := range s.store.Scan(channel.KindSession, s.id) {
		if err != nil {
			s.w.t.Fatal(err)
		}
		if err := s.store.Commit(store.Write{Key: r.Key, Value: channel.SessionOfVersion2(r.Value)}); err != nil {
			s.w.t.Fatal(err)
		}
	}
	s.restart()
}

// TestSessionOfVersion2 loads sessions over drops that were written before anything was kept of
// nonces. They go on; of numbers from before nothing is known, and of those after it is.
func TestSessionOfVersion2(t *testing.T) {
	d := metAtDrops(t, 88).places()
	say := func(s *side) { s.send(fmt.Sprint(s.name, d.period)) }
	d.days(2, say)
	for _, s := range []*side{d.w.a, d.w.b} {
		s.sessionOfVersion2()
	}
	d.days(3, say)
	d.days(2, nil)
	d.w.checkAll()
	d.want(1)
	old := d.image(d.w.a)
	d.w.a.send("forgotten")
	d.days(1, nil)
	d.putBack(d.w.a, old)
	d.w.b.restart()
	d.boxes = map[*side][]placed{}
	d.w.a.send("in its next life")
	d.days(3, nil)
	for _, s := range []*side{d.w.a, d.w.b} {
		if !s.saw(channel.NoteRecovered, start) {
			t.Errorf("%s is not told of a recovery", s.name)
		}
	}
}
