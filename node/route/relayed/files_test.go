package relayed

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A correspondent is a real conversation behind a talk, with its store, and a disk that
// holds files.
type correspondent struct {
	t     *talk
	cfg   channel.Config
	store *storetest.Memory
	id    channel.ContactID
	c     *channel.Conversation
	inbox []*wire.Box // on the one connection that there is, when the two meet
	disk  map[string][]byte
	boxes map[byte]int // by what is in them
}

// correspond has two talks say what two conversations say, which have met on a
// connection and agreed on drops.
func (w *world) correspond(ta, tb *talk) (a, b *correspondent) {
	w.t.Helper()
	inv, err := identity.NewInvitation(prototest.Reader(1), identity.Place{}, w.now.Add(48*time.Hour), false)
	if err != nil {
		w.t.Fatal(err)
	}
	join := func(t *talk, as identity.Side, seed byte) *correspondent {
		r := &correspondent{t: t, store: storetest.NewMemory(), id: channel.ContactID{seed}, disk: map[string][]byte{}, boxes: map[byte]int{}}
		r.cfg = channel.Config{Random: prototest.Reader(seed), Records: r.store}
		c, out, err := channel.New(r.cfg, r.id, channel.Introduction{Number: 1, Name: "Larch", Side: as, Invitation: inv}, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		r.c, t.real = c, r
		r.do(out)
		return r
	}
	a, b = join(ta, identity.Inviter, 2), join(tb, identity.Accepter, 3)
	hello, other := wire.Hello{1}, wire.Hello{2}
	a.do(a.c.LinkUp(w.now, 1, true, false, hello, other))
	b.do(b.c.LinkUp(w.now, 1, true, true, other, hello))
	settle := func() {
		for len(a.inbox)+len(b.inbox) > 0 {
			for _, r := range []*correspondent{a, b} {
				if len(r.inbox) > 0 {
					box := r.inbox[0]
					r.inbox = r.inbox[1:]
					r.do(r.c.Box(w.now, 1, box))
				}
			}
		}
	}
	settle()
	network := identity.NetworkID{7}
	for i, r := range []*correspondent{a, b} {
		r.do(r.c.OfferDrop(w.now, network, ta.set[i], 1))
	}
	settle()
	a.do(a.c.NameDrops(w.now, channel.DropSet{Network: network, Relays: ta.set, Period: 1, First: 9}))
	settle()
	for _, r := range []*correspondent{a, b} {
		if r.c.Drops().Set == nil {
			w.t.Fatal("no drops are agreed")
		}
		r.do(r.c.LinkDown(w.now, 1))
	}
	return a, b
}

func (r *correspondent) now() time.Time { return r.t.u.w.now }

// do carries out an output, and all that is then wanted of files.
func (r *correspondent) do(out *channel.Output) {
	r.t.u.w.t.Helper()
	for more := true; more; {
		if err := r.store.Commit(out.Writes...); err != nil {
			r.t.u.w.t.Fatal(err)
		}
		if peer := r.t.peer.real; peer != nil {
			peer.inbox = append(append(peer.inbox, out.Boxes...), out.Bulk...)
		}
		if more = out.More; more {
			out = r.c.Flush(r.now())
		}
	}
	if want, ok := r.c.Demand(r.now()); ok {
		r.do(r.c.Pieces(r.now(), want, r.disk[want.Path][want.Offset:][:want.Length]))
	} else if task, ok := r.c.FileTask(r.now()); ok {
		path, err := r.perform(task)
		r.do(r.c.FileTaskDone(r.now(), task, path, err))
	}
}

// perform does a task as a node does.
func (r *correspondent) perform(task channel.FileTask) (string, error) {
	part := r.disk[task.Part]
	if task.Before == 0 {
		part = nil
	}
	switch content := bytes.Join(task.Content, nil); task.Kind {
	case channel.WriteContent, channel.KeepContent:
		part = append(part, make([]byte, max(0, int(task.Offset)+len(content)-len(part)))...)
		copy(part[task.Offset:], content)
		r.disk[task.Part] = part
	case channel.ReadContent:
		for _, content := range task.Content {
			task.Offset += uint64(copy(content, part[task.Offset:]))
		}
	case channel.FinishFile:
		if sha256.Sum256(part) != task.Sum {
			return "", errors.New("it is another file")
		}
		r.disk[task.Path] = part
		fallthrough
	case channel.DiscardFile, channel.WithdrawFile:
		delete(r.disk, task.Part)
	}
	return task.Path, nil
}

// sends offers a file.
func (r *correspondent) sends(name string, size int) {
	content := make([]byte, size)
	prototest.Reader(byte(size)).Read(content)
	r.disk["/out/"+name] = content
	sum := sha256.Sum256(content)
	_, out, err := r.c.SendFile(r.now(), channel.FileSource{
		Path: "/out/" + name, Name: name, Size: uint64(size), Sum: sum, Piece: 64 << 20, Sums: sum[:],
	})
	if err != nil {
		r.t.u.w.t.Fatal(err)
	}
	r.do(out)
}

// saves takes every file that waits.
func (r *correspondent) saves() {
	for _, f := range r.c.Files() {
		if f.Direction != channel.In || f.State != channel.FileOffered {
			continue
		}
		out, err := r.c.TakeFile(r.now(), f.Seq, "/in/"+f.Text)
		if err != nil {
			r.t.u.w.t.Fatal(err)
		}
		r.do(out)
	}
}

func (r *correspondent) fill(period uint64) Content {
	control, cell, out := r.c.Fill(r.now(), period)
	r.do(out)
	r.boxes[control.Flags&(drop.FlagCell|drop.FlagFile|drop.FlagReport)]++
	return Content{control, cell}
}

func (r *correspondent) opened(o Opened) {
	r.do(r.c.Mailed(r.now(), o.Control, o.Cell))
	r.saves()
}

// reload has a machine that starts read its conversation back.
func (r *correspondent) reload() {
	r.store = r.store.Reopen()
	r.cfg.Records = r.store
	c, err := channel.Load(r.cfg, r.id)
	if err != nil {
		r.t.u.w.t.Fatal(err)
	}
	r.c = c
}

// checkFiles wants all files of both to be there as they were, and to be called that.
func checkFiles(t *testing.T, all ...*correspondent) {
	t.Helper()
	for _, r := range all {
		for _, f := range r.c.Files() {
			other := r.t.peer.real
			if f.Direction == channel.Out && (f.State != channel.FileWhole || !bytes.Equal(other.disk["/in/"+f.Text], r.disk["/out/"+f.Text])) {
				t.Errorf("%s: %s, %d of %d", f.Text, f.State.Words(channel.Out), f.Done, f.Size)
			}
		}
	}
}

// TestFilesInBoxes sends files both ways, with losses, while relays die, a drop is wiped,
// and both machines are stopped now and then. Texts that are written meanwhile come in
// the time in which they always do.
func TestFilesInBoxes(t *testing.T) {
	w := newWorld(t, 50, 8)
	w.loss = 0.0085
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	ra, rb := w.correspond(ta, tb)
	a.start()
	b.start()
	ra.sends("f", 600_000)
	rb.sends("g", 200_000)
	w.run(10 * time.Minute)
	for i := range 40 {
		w.relays[i%8].dead = true
		m, out, err := ra.c.Send(w.now, "Two is fine.")
		if err != nil {
			t.Fatal(err)
		}
		ra.do(out)
		w.run(3 * time.Minute)
		w.relays[i%8].dead = false
		if i == 15 {
			clear(w.relays[4].boxes)
		}
		if i%10 == 9 {
			[]*user{a, b}[i/10%2].restart(time.Minute)
		}
		w.run(7 * time.Minute)
		if line := ra.c.Transcript(m.Seq - 1)[0]; i%10 < 8 && line.State != channel.Delivered && line.State != channel.InMailbox {
			t.Errorf("text %d is %v after ten minutes", i, line.State)
		}
	}
	checkFiles(t, ra, rb)
	checkOnce(t, w)
	if n := ra.boxes[drop.FlagFile]; n < 150 || n > 230 {
		t.Errorf("%d boxes with pieces for 150", n)
	}
}

// TestFilesNeverTogether has two people with hours that never overlap.
func TestFilesNeverTogether(t *testing.T) {
	w := newWorld(t, 51, 6)
	w.loss = 0.0085
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	ra, rb := w.correspond(ta, tb)
	ra.sends("f", 500_000)
	a.schedule(8*time.Hour, time.Hour, 6)
	b.schedule(18*time.Hour, time.Hour, 6)
	w.run(4 * 24 * time.Hour)
	if content := rb.disk["/in/f"]; !bytes.Equal(content, ra.disk["/out/f"]) {
		t.Errorf("after four days there are %d bytes", len(content))
	}
	w.run(2 * 24 * time.Hour)
	checkFiles(t, ra, rb)
}

// TestFilesDoNotShow: what an observer of the link sees is the same, to the nanosecond,
// and what the guard sees, too, whether a file goes all day or nothing is said; and the
// packets of each slot are as many.
func TestFilesDoNotShow(t *testing.T) {
	trace := func(busy bool) []sight {
		w := newWorld(t, 52, 6)
		a, b := w.user(1), w.user(2)
		ra, rb := w.correspond(w.meet(1, a, b, 1, set(3, 4, 5)))
		a.start()
		b.start()
		if busy {
			ra.sends("f", 1_000_000)
			rb.sends("g", 400_000)
		}
		w.run(4 * time.Hour)
		if busy {
			checkFiles(t, ra, rb)
		}
		last, _ := a.m.Slot()
		for s, n := range a.sent {
			if s < last && n != cadence.Packets {
				t.Errorf("%d packets in slot %d", n, s)
			}
		}
		return a.seen
	}
	if busy, idle := trace(true), trace(false); !slices.Equal(busy, idle) {
		t.Errorf("%d packets with files, %d when idle, or other ones", len(busy), len(idle))
	}
}
