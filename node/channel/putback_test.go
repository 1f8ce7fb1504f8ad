package channel_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// An image is all that a machine has stored: the conversation and its chains.
type image struct {
	store *storetest.Memory
	route *route
}

func (d *drops) image(s *side) image { return image{s.store.Copy(), d.routes[s].copy()} }

// putBack puts a machine back to an image, without its store noticing.
func (d *drops) putBack(s *side, i image) {
	d.lossy = true
	d.routes[s] = i.route.copy()
	s.putBack(i.store.Copy())
	s.written, s.peer.written = nil, nil
}

// together reports whether both have one session in use, and in it what is said can be read.
func (d *drops) together() bool {
	a, b := d.w.a.c.Seals(), d.w.b.c.Seals()
	return len(a) > 0 && len(b) > 0 && a[0].Key.Equal(b[0].Key)
}

// goOn has whoever is paused consent, and wants a text of each to arrive within days.
func (d *drops) goOn(n int) error {
	sides := []*side{d.w.a, d.w.b}
	for _, s := range sides {
		if v := s.c.View(); v.Paused && !v.OwnConsent {
			out, err := s.c.Consent(s.now())
			if err != nil {
				return err
			}
			s.do(out)
		}
	}
	d.days(n, nil)
	for _, s := range sides {
		s.send(fmt.Sprint("the end of ", s.name, d.w.now.Unix()))
	}
	d.days(n, nil)
	for _, s := range sides {
		want := s.written[len(s.written)-1]
		if got := s.peer.texts(channel.In); len(got) == 0 || got[len(got)-1] != want {
			return fmt.Errorf("%s does not have %q: %q", s.peer.name, want, got)
		}
	}
	return nil
}

// saw reports whether a person was told a line of the program since some time.
func (s *side) saw(note string, since time.Time) bool {
	return slices.ContainsFunc(s.c.Transcript(0), func(m channel.Message) bool {
		return m.Direction == channel.Notice && m.Text == note && m.Stored >= uint32(since.Unix()/60)
	})
}

// comesTo lets days pass until both are in a session.
func (d *drops) comesTo(epoch uint32, hook func(*side)) {
	for d.w.a.c.Epoch() < epoch || d.w.b.c.Epoch() < epoch {
		d.days(1, hook)
	}
}

// TestMachinesPutBack puts one of two, or both, back to images of the session in use and of
// those before, without their knowing, and lets them be on for an hour a day at drops, or have
// a connection. One that is not in the session of the other recovers, whatever the way; over
// drops both people are told that the sessions differed. Two who are put back together go on.
func TestMachinesPutBack(t *testing.T) {
	d := metAtDrops(t, 190).places()
	w := d.w
	sides := []*side{w.a, w.b}
	ages := []string{"two sessions ago", "a session ago", "of this session, before its boxes moved"}
	var images []map[*side]image
	take := func() map[*side]image { return map[*side]image{w.a: d.image(w.a), w.b: d.image(w.b)} }
	n := 0
	say := func(s *side) {
		if n++; n%3 == 0 {
			s.send(fmt.Sprint(s.name, " ", n))
		}
	}
	for epoch := uint32(2); epoch <= 3; epoch++ {
		d.days(9, say)
		images = append(images, take())
		w.now = w.now.Add(18 * 24 * time.Hour)
		d.comesTo(epoch, say)
	}
	images = append(images, take())
	d.days(10, say)
	d.days(3, nil)
	d.same()
	now, last := w.now, take()
	for at, age := range ages {
		for who, back := range map[string][]*side{"the inviter": {w.a}, "the accepter": {w.b}, "both": sides} {
			for _, way := range []string{"relays", "a connection"} {
				what := fmt.Sprintf("%s to %s, over %s", who, age, way)
				w.cut()
				w.now = now
				d.boxes, d.reunions = map[*side][]placed{}, map[*side][]placed{}
				for _, s := range sides {
					d.putBack(s, last[s])
				}
				for _, s := range back {
					d.putBack(s, images[at][s])
				}
				for _, s := range sides {
					s.send("since then, by " + s.name)
				}
				if way == "a connection" {
					w.connect()
					w.settle()
					w.pass(3*time.Minute, 5*time.Second)
					w.cut()
				}
				one := len(back) == 1
				for days := 0; days < 12 && one && (!w.a.c.View().Paused || !w.b.c.View().Paused); days++ {
					d.days(1, nil)
				}
				apart := one && at < 2 && way == "relays"
				for _, s := range sides {
					if v := s.c.View(); v.Paused != one || s.saw(channel.NoteRecovered, now) != one || s.saw(channel.NoteApart, now) != apart {
						t.Errorf("%s: %s: paused %v, told %q", what, s.name, v.Paused, s.texts(channel.Notice))
					}
				}
				if err := d.goOn(3); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				for _, s := range sides {
					if want := "since then, by " + s.name; !slices.Contains(s.peer.texts(channel.In), want) {
						t.Errorf("%s: %q did not arrive", what, want)
					}
				}
			}
		}
	}
}

// TestPutBackRandomly puts one of two, or both, back to images of any age at any time, again
// and again, with boxes lost, machines killed at any step and reloaded, and connections now and
// then. When that ends they come to one session, and what they say arrives.
func TestPutBackRandomly(t *testing.T) {
	seeds := 2
	if *long {
		seeds = 60
	}
	for seed := range byte(seeds) {
		d := metAtDrops(t, 200+seed%50).places()
		w := d.w
		w.rng = rand.New(prototest.Reader(seed))
		sides := []*side{w.a, w.b}
		d.crash, d.loss, d.lossy = true, 15, true
		images := map[*side][]image{}
		puts := 0
		stir := func(s *side) {
			if w.rng.IntN(4) == 0 {
				_, out, err := s.c.Send(s.now(), "x")
				if err != nil {
					t.Fatal(err)
				}
				s.do(out)
			}
			if seed%2 == 1 && w.rng.IntN(12) == 0 {
				w.connect()
				for range w.rng.IntN(20) {
					w.step()
				}
				w.cut()
			}
			if w.rng.IntN(8) == 0 && d.routes[s] != nil {
				images[s] = append(images[s], d.image(s))
			}
			for _, p := range sides {
				if n := len(images[p]); n > 0 && w.rng.IntN(30) == 0 {
					d.putBack(p, images[p][w.rng.IntN(n)])
					puts++
				}
				if p.c.View().Paused && w.rng.IntN(4) == 0 {
					if out, err := p.c.Consent(p.now()); err == nil {
						p.do(out)
					}
				}
			}
			if w.rng.IntN(6) == 0 { // both are off
				w.now = w.now.Add(time.Duration(w.rng.IntN(9)) * 24 * time.Hour)
			}
		}
		d.days(45, stir)
		d.crash, d.loss = false, 0
		for i := 0; i < 8 && (i < 3 || !d.together()); i++ {
			d.days(8, nil)
		}
		if err := d.goOn(4); err != nil {
			t.Fatalf("seed %d, after %d: %v", seed, puts, err)
		}
	}
}

// put returns what a machine puts into a reunion box now.
func (d *drops) put(s *side) *placed {
	s.do(s.c.Tick(s.now()))
	s.restart()
	if r, ok := s.c.Reunion(s.now(), 1); ok && r.Write != nil {
		return &placed{cell: *r.Write, at: d.w.now}
	}
	return nil
}

// found hands a machine what was put into a reunion box at some time.
func (d *drops) found(s *side, b *placed, at time.Time) {
	s.do(s.c.Reunited(s.now(), at, &b.cell))
	s.restart()
}

// TestAskingApartOfWhoIsAway: who hears nothing for five days asks, and not before. A peer that
// was away in the same session does not answer, nor when it finds the same once more after a
// roll; as soon as a box of it comes nothing is asked any more. Nobody recovers.
func TestAskingApartOfWhoIsAway(t *testing.T) {
	d := metAtDrops(t, 210).places()
	w := d.w
	a, b := w.a, w.b
	w.now = w.now.Add(15 * 24 * time.Hour)
	d.days(3, nil)
	d.alone(a, 4)
	if d.put(a) != nil {
		t.Error("it asks after four days")
	}
	d.alone(a, 3)
	asked := d.put(a)
	if asked == nil {
		t.Fatal("it does not ask after a week")
	}
	a.send("while you are away")
	if d.found(b, asked, asked.at); b.c.AnswersRecovery() {
		t.Error("it is answered in the same session")
	}
	d.days(2, nil)
	if d.put(a) != nil || d.put(b) != nil {
		t.Error("they ask although they hear one another")
	}
	for days := 0; w.a.c.Epoch() < 2 || w.b.c.Epoch() < 2; days++ {
		if d.days(1, nil); days > 7 {
			t.Fatal("no roll, and the tag is of an hour that is too long ago")
		}
	}
	for _, s := range []*side{a, b} {
		if d.found(s, asked, w.now); s.c.AnswersRecovery() {
			t.Errorf("%s answers what was asked in the session before", s.name)
		}
	}
	d.days(3, nil)
	w.checkAll()
	d.want(2)
}

// TestBothAskApart: the two are put back to two different sessions, neither of which is the last
// one. Each asks, and what they put crosses. They come to one session; all that was put, found
// again, changes nothing.
func TestBothAskApart(t *testing.T) {
	d := metAtDrops(t, 212).places()
	w := d.w
	sides := []*side{w.a, w.b}
	d.days(1, nil)
	images := map[*side]image{w.a: d.image(w.a)}
	for epoch := uint32(2); epoch <= 3; epoch++ {
		w.now = w.now.Add(25 * 24 * time.Hour)
		d.comesTo(epoch, nil)
		if d.days(3, nil); epoch == 2 {
			images[w.b] = d.image(w.b)
		}
	}
	for _, s := range sides {
		d.putBack(s, images[s])
	}
	for _, s := range sides {
		d.put(s) // the roll of an old session goes first
	}
	w.now = w.now.Add(6 * 24 * time.Hour)
	since := w.now
	var all []*placed
	for round := 0; !d.together(); round++ {
		var flights []*placed
		for _, s := range sides {
			flights = append(flights, d.put(s))
		}
		for i, f := range flights {
			if f == nil {
				continue
			}
			if round > 2 {
				t.Fatal("they do not come together")
			}
			d.found(sides[1-i], f, f.at)
			all = append(all, f)
		}
		w.now = w.now.Add(2 * time.Hour)
	}
	for _, s := range sides {
		if !s.saw(channel.NoteApart, since) || noticed(s) != 1 {
			t.Errorf("%s is told %q", s.name, s.texts(channel.Notice))
		}
	}
	w.now = w.now.Add(24 * time.Hour)
	for _, f := range all {
		for _, s := range sides {
			if d.found(s, f, w.now); s.c.AnswersRecovery() {
				t.Errorf("%s answers what it has had before", s.name)
			}
		}
	}
	if err := d.goOn(3); err != nil || noticed(w.a)+noticed(w.b) != 2 {
		t.Errorf("%v; %d recoveries", err, noticed(w.a))
	}
}

// noticed counts the recoveries that a person was told of.
func noticed(s *side) (n int) {
	for _, text := range s.texts(channel.Notice) {
		if text == channel.NoteRecovered {
			n++
		}
	}
	return n
}

// TestCutOffWithinARoll: a connection takes m3 of a roll and is cut, so that one side is in the
// next session; then one of the two is away until the other has given that roll up, and what
// was put is gone. Nobody was put back. They find each other, and nobody is asked for anything.
func TestCutOffWithinARoll(t *testing.T) {
	for _, away := range []handshake.Role{handshake.Initiator, handshake.Responder} {
		for _, days := range []int{22, 29} {
			d := metAtDrops(t, 230)
			w := d.w
			w.now = w.now.Add(31 * 24 * time.Hour)
			w.a.do(w.a.c.Tick(w.a.now()))
			for _, step := range []struct{ from, to *side }{{w.a, w.b}, {w.b, w.a}} {
				flight, ok := d.flightOf(step.from)
				if !ok {
					t.Fatalf("%s has no flight", step.from.name)
				}
				handOver(step.to, flight)
			}
			w.connect()
			w.cut()
			if w.a.c.Epoch() != 2 || w.b.c.Epoch() != 1 {
				t.Fatalf("sessions %d and %d", w.a.c.Epoch(), w.b.c.Epoch())
			}
			on := w.a
			if away == handshake.Initiator {
				on = w.b
			}
			w.now = w.now.Add(20 * 24 * time.Hour)
			d.boxes = map[*side][]placed{}
			d.alone(on, days-20)
			n := 0
			for ; n < 12 && !d.together(); n++ {
				d.days(1, nil)
			}
			if !d.together() {
				t.Errorf("the %v is away for %d days, and they do not find each other in %d: sessions %d and %d", away, days, n, w.a.c.Epoch(), w.b.c.Epoch())
			}
			if w.a.c.View().Paused || w.b.c.View().Paused {
				t.Errorf("the %v is away for %d days, and somebody is asked to go on", away, days)
			}
		}
	}
}

// TestNumbersUsedAgain: a machine that was put back gives the numbers that it forgot to other
// texts, as many as it forgot or more, before it reads a box. The other one cannot open them,
// and its counters acknowledge them. It notices by how their nonces begin, also when it was
// started anew, and when its own texts came between. Both recover, and nothing is lost.
func TestNumbersUsedAgain(t *testing.T) {
	for _, x := range []struct {
		texts              int
		restarts, answered bool
	}{{1, true, false}, {2, true, true}, {2, false, true}} {
		d := metAtDrops(t, 190).places()
		w := d.w
		started := func(*side) {
			if x.restarts {
				w.b.restart()
			}
		}
		d.days(2, nil)
		old := d.image(w.a)
		for i := range x.texts {
			w.a.send(fmt.Sprint("forgotten ", i))
			if d.days(1, started); x.answered {
				w.b.send(fmt.Sprint("answer ", i))
			}
		}
		d.days(1, started)
		d.putBack(w.a, old)
		d.boxes = map[*side][]placed{}
		started(nil)
		var want []string
		for i := range x.texts {
			want = append(want, fmt.Sprint("in its next life ", i))
			w.a.send(want[i])
		}
		d.days(3, started)
		for _, s := range []*side{w.a, w.b} {
			if !s.saw(channel.NoteRecovered, start) {
				t.Errorf("%+v: %s is not told of a recovery", x, s.name)
			}
		}
		if err := d.goOn(3); err != nil {
			t.Errorf("%+v: %v", x, err)
		}
		for _, text := range want {
			if !slices.Contains(w.b.texts(channel.In), text) {
				t.Errorf("%+v: %q is lost", x, text)
			}
		}
	}
}

// TestNumberUsedAgainOnAnotherChain: a text is in flight to a machine, which is put back to
// before it wrote the last one of its own. Now it reads that text first, and so seals its next
// one on a new chain: the cell opens, under a number that came. Nothing is lost.
func TestNumberUsedAgainOnAnotherChain(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		d := metAtDrops(t, 191).places()
		w := d.w
		d.days(2, nil)
		w.a.send("the first of a chain")
		d.hour(w.a)
		d.hour(w.b)
		w.b.send("in flight")
		for range 6 {
			d.write(w.b)
		}
		old, flight := d.image(w.a), slices.Clone(d.boxes[w.b])
		w.a.send("forgotten")
		for range 6 {
			d.write(w.a)
		}
		d.hour(w.b)
		if got := w.b.texts(channel.In); !slices.Contains(got, "forgotten") {
			t.Fatalf("%q", got)
		}
		d.putBack(w.a, old)
		d.boxes = map[*side][]placed{w.b: flight}
		for len(d.boxes[w.b]) > 0 {
			d.read(w.a)
		}
		if got := w.a.texts(channel.In); !slices.Contains(got, "in flight") {
			t.Fatalf("%q", got)
		}
		if restarts {
			w.b.restart()
		}
		w.a.send("in its next life")
		d.days(3, nil)
		for _, s := range []*side{w.a, w.b} {
			if !s.saw(channel.NoteRecovered, start) {
				t.Errorf("restarts %v: %s is not told of a recovery", restarts, s.name)
			}
		}
		if err := d.goOn(3); err != nil {
			t.Errorf("restarts %v: %v", restarts, err)
		}
		if !slices.Contains(w.b.texts(channel.In), "in its next life") {
			t.Errorf("restarts %v: the text is lost", restarts)
		}
	}
}

// TestNothingOfNoncesAfterARoll: what is kept of nonces ends with its session, although that is
// read on after a roll.
func TestNothingOfNoncesAfterARoll(t *testing.T) {
	d := metAtDrops(t, 192).places()
	n := 0
	d.days(4, func(s *side) { n++; s.send(fmt.Sprint(n)) })
	before, _ := d.w.a.c.KeptStarts()
	d.w.now = d.w.now.Add(28 * 24 * time.Hour)
	d.comesTo(2, nil)
	session, former := d.w.a.c.KeptStarts()
	if before < 4 || session >= before || former != 0 {
		t.Errorf("of %d numbers before the roll; after it of %d, and of %d of the session before", before, session, former)
	}
	if len(d.w.a.c.Seals()) < 2 {
		t.Error("the session before is not read any more: the test does not test")
	}
}

// TestReaderPutBack: a machine that was put back to before it read a text, and acknowledged that,
// passes over the number of it, and says so; so the other one sees that what it shows as
// delivered is not there. Both recover, and the text comes again.
func TestReaderPutBack(t *testing.T) {
	for _, x := range []struct {
		name           string
		size           int
		writes, resets bool // the machine before it reads; the other one is started anew
	}{{"it reads first", 9, false, false}, {"it writes first", 9, true, false}, {"long", 9000, false, true}, {"long, and it writes first", 9000, true, true}} {
		d := metAtDrops(t, 193).places()
		w := d.w
		w.b.send("before")
		d.days(3, nil)
		old, text := d.image(w.b), strings.Repeat("f", x.size)
		seq := w.a.send(text)
		d.days(2, nil)
		if got := w.a.state(seq); got != channel.Delivered {
			t.Fatalf("%s: the text is %q", x.name, got)
		}
		d.putBack(w.b, old)
		d.boxes = map[*side][]placed{}
		if x.writes {
			w.b.send("in its next life")
			for range 12 {
				d.write(w.b)
			}
		}
		if x.resets {
			w.a.restart()
		}
		d.days(4, nil)
		for _, s := range []*side{w.a, w.b} {
			if noticed(s) != 1 {
				t.Errorf("%s: %s is told of %d recoveries: %q", x.name, s.name, noticed(s), s.texts(channel.Notice))
			}
		}
		if got := w.a.state(seq); got == channel.Delivered {
			t.Errorf("%s: the text is %q, and not there", x.name, got)
		}
		if err := d.goOn(4); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		if !slices.Contains(w.b.texts(channel.In), text) || w.a.state(seq) != channel.Delivered {
			t.Errorf("%s: the text is lost, and %q", x.name, w.a.state(seq))
		}
		if noticed(w.a) != 1 || noticed(w.b) != 1 {
			t.Errorf("%s: %d and %d recoveries in the end", x.name, noticed(w.a), noticed(w.b))
		}
	}
}

// TestMissingIsNoAlarm: numbers are passed over whose messages expired, were burned, or were of a
// long text that expired in the middle, with machines started anew. Nobody recovers.
func TestMissingIsNoAlarm(t *testing.T) {
	d := metAtDrops(t, 194).places()
	w := d.w
	d.lossy = true // what expires is missing
	restarts := func(*side) { w.a.restart(); w.b.restart() }
	d.days(2, restarts)
	for i, burns := range []bool{false, true, false, true} {
		w.a.send(fmt.Sprint("delivered ", i))
		d.days(2, restarts)
		w.a.send(fmt.Sprint("not delivered ", i))
		w.a.send(strings.Repeat("x", 9000))
		for range 12 {
			d.write(w.a)
		}
		d.boxes = map[*side][]placed{} // lost
		if burns {
			w.a.do(w.a.c.Burn(w.now))
			w.a.restart()
			for done := false; !done; {
				var out *channel.Output
				out, done = w.a.c.Sweep(w.now)
				w.a.do(out)
				w.a.restart()
			}
		} else {
			w.now = w.now.Add(15 * 24 * time.Hour)
			w.a.do(w.a.c.Tick(w.now))
		}
		d.days(3, restarts)
	}
	if n := len(w.a.c.Gaps()); n == 0 {
		t.Error("nothing was passed over: the test does not test")
	}
	if noticed(w.a)+noticed(w.b) != 0 {
		t.Errorf("%d and %d recoveries", noticed(w.a), noticed(w.b))
	}
	w.a.send("the end")
	d.days(3, nil)
	if got := w.b.texts(channel.In); got[len(got)-1] != "the end" {
		t.Errorf("%q", got)
	}
}
