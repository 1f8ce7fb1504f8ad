package channel_test

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/wire"
)

// missing is a frame that says that numbers were passed over.
func (w *world) missing(i uint32, m wire.Missing) wire.Frame {
	return wire.Frame{Kind: wire.FrameMissing, Number: i, Parts: 1, ID: wire.MessageID{byte(i), byte(i >> 8), 77}, Content: m.Append(nil)}
}

// TestMissingOfABurnAtOnce: a machine that is not started anew after a burn knows what it gave up.
func TestMissingOfABurnAtOnce(t *testing.T) {
	d := metAtDrops(t, 195).places()
	w := d.w
	d.lossy = true
	d.days(2, nil)
	w.a.send("burned")
	for range 4 {
		d.write(w.a)
	}
	d.boxes = map[*side][]placed{}
	w.a.do(w.a.c.Burn(w.now))
	w.a.send("after it")
	d.days(3, nil)
	if got := w.b.texts(channel.In); len(got) != 1 || noticed(w.a)+noticed(w.b) != 0 || len(w.a.c.Gaps()) == 0 {
		t.Errorf("%q; %d recoveries, %v", got, noticed(w.a), w.a.c.Gaps())
	}
}

// TestMissingOfVersion2: what was given up before the session's record was of version 3 proves nothing.
func TestMissingOfVersion2(t *testing.T) {
	d := metAtDrops(t, 196).places()
	w := d.w
	d.lossy = true
	d.days(2, nil)
	w.a.send("expires")
	for range 4 {
		d.write(w.a)
	}
	d.boxes = map[*side][]placed{}
	w.now = w.now.Add(15 * 24 * time.Hour)
	w.a.do(w.a.c.Tick(w.now))
	if len(w.a.c.Gaps()) == 0 {
		t.Fatal("nothing was given up")
	}
	w.a.sessionOfVersion2()
	d.days(3, nil)
	if noticed(w.a)+noticed(w.b) != 0 {
		t.Errorf("%d recoveries", noticed(w.a))
	}
}

// TestHostileMissing: a peer says that numbers are missing which were not acknowledged, or were not
// given out; makes the machine pass over one number after the other, and acknowledges nothing; and
// has many frames wait that each would bring a recovery about: it is begun once.
func TestHostileMissing(t *testing.T) {
	w := newWorld(t, 5)
	w.meet()
	w.compare()
	w.pass(5*time.Second, time.Second)
	deliver := func() {
		for len(w.a.inbox) > 0 {
			box := w.a.inbox[0]
			w.a.inbox = w.a.inbox[1:]
			w.a.do(w.a.c.Box(w.a.now(), w.a.link, box))
		}
	}
	n, acked := w.b.c.Sent(), w.a.c.Sent()
	w.b.do(w.b.c.SendFrame(w.b.now(), w.missing(n+1, wire.Missing{From: acked + 1, To: 1<<32 - 1})))
	deliver()
	w.pass(2*time.Second, time.Second)
	if noticed(w.a) != 0 || w.a.c.Seals() == nil {
		t.Error("a recovery for a number that was not given out")
	}
	n++
	for i := range uint32(300) {
		w.b.do(w.b.c.SendControl(w.b.now(), wire.Control{Time: uint32(w.now.Unix()), Sent: n + i + 1, Received: acked}))
		deliver()
		w.b.inbox = nil
	}
	if _, waits := w.a.c.Stored(); waits > 8 {
		t.Errorf("%d frames wait", waits)
	}

	w = newWorld(t, 5)
	w.meet()
	w.compare()
	w.pass(5*time.Second, time.Second)
	n = w.b.c.Sent()
	w.b.do(w.b.c.SendFrame(w.b.now(), w.missing(n+1, wire.Missing{From: 1, To: 1})))
	held := w.a.inbox
	w.a.inbox = nil
	for i := uint32(2); i < 190; i++ {
		w.b.do(w.b.c.SendFrame(w.b.now(), w.missing(n+i, wire.Missing{From: 1, To: 1})))
	}
	deliver()
	before := w.cells
	w.a.inbox = held
	if deliver(); w.cells > before+2 {
		t.Errorf("one box is answered with %d", w.cells-before)
	}
}

// TestMissingBeyond: of a stretch that begins with a gap, what was not acknowledged yet is no sign
// of anything; once it is acknowledged, it is.
func TestMissingBeyond(t *testing.T) {
	w := newWorld(t, 6)
	w.a.cfg.Life = time.Minute
	w.a.restart()
	w.meet()
	w.compare()
	w.pass(5*time.Second, time.Second)
	lost := func(text string) (number uint32) {
		w.mangle = func(*wire.Box) []*wire.Box { return nil }
		w.a.send(text)
		w.mangle = nil
		return w.a.c.Sent()
	}
	n := lost("expires")
	w.cut()
	w.pass(3*time.Minute, time.Minute)
	w.connect()
	w.pass(5*time.Second, time.Second)
	if gaps := w.a.c.Gaps(); !slices.Equal(gaps, []wire.Missing{{From: n, To: n}}) || w.a.c.Sent() != n {
		t.Fatalf("gaps %v and %d numbers, want %d", gaps, w.a.c.Sent(), n)
	}
	say := func() {
		w.b.do(w.b.c.SendFrame(w.b.now(), w.missing(w.b.c.Sent()+1, wire.Missing{From: n, To: n + 1})))
		box := w.b.peer.inbox[0]
		w.b.peer.inbox = w.b.peer.inbox[1:]
		w.a.do(w.a.c.Box(w.a.now(), w.a.link, box))
	}
	if lost("on its way") != n+1 {
		t.Fatal("not the next number")
	}
	if say(); len(w.a.c.Seals()) == 0 || noticed(w.a) != 0 {
		t.Fatal("what is on its way is a sign")
	}
	w.connect()
	w.pass(5*time.Second, time.Second)
	if got := w.b.texts(channel.In); !slices.Contains(got, "on its way") {
		t.Fatalf("%q came", got)
	}
	if say(); len(w.a.c.Seals()) != 0 {
		t.Error("what was acknowledged is none")
	}
}

// TestMissingOfALapse: by a wrong clock a channel comes to its end, and a box says that a text of it
// is owed no more; the machine is killed before it has burned the channel, and then told what time
// it is. It gave the number up all the same.
func TestMissingOfALapse(t *testing.T) {
	w := opened(t, 197)
	w.compare()
	w.agree()
	w.pass(5*time.Second, time.Second)
	w.cut()
	d := &drops{w: w, boxes: map[*side][]placed{}, reunions: map[*side][]placed{}, period: 20, lossy: true}
	w.a.sayIn(2, "not delivered")
	for range 4 {
		d.write(w.a)
	}
	d.boxes = map[*side][]placed{} // lost
	w.a.ahead = 72 * time.Hour
	d.write(w.a)
	if !w.a.c.Lapsed() {
		t.Fatal("the channel has not come to its end: the test does not test")
	}
	w.a.cfg.Stated = func(time.Time) []time.Duration { return slices.Repeat([]time.Duration{-72 * time.Hour}, 4) }
	w.a.restart()
	for range 3 {
		for _, s := range []*side{w.b, w.a} {
			for d.read(s) {
			}
			for range 4 {
				d.write(s)
			}
		}
	}
	if !slices.Contains(w.b.texts(channel.Notice), channel.NoteMissing) {
		t.Fatal("nothing was passed over: the test does not test")
	}
	if len(w.a.c.Seals()) == 0 || noticed(w.a)+noticed(w.b) != 0 {
		t.Error("what was given up is taken for what was forgotten")
	}
}
