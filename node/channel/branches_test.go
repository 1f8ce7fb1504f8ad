package channel_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A route is what a machine keeps of the chains of a contact: beside the conversation, and
// stored with it.
type route struct {
	epoch   uint32 // of the drops that the first chain is of
	chains  map[uint32]*drop.Chain
	foundOn uint32
	silent  int
	before  bool // of a program of before, that knows one chain
}

func (r *route) copy() *route {
	c := &route{epoch: r.epoch, chains: map[uint32]*drop.Chain{}}
	for session, chain := range r.chains {
		c.chains[session], _ = drop.ParseChain(chain.Append(nil))
	}
	return c
}

// places has the boxes of two lie where chains of day keys say.
func (d *drops) places() *drops { d.routes = map[*side]*route{}; return d }

func (d *drops) today() drop.Day { return drop.DayAt(time.Duration(d.w.now.UnixNano())) }

// kept is for how many days boxes are read.
const kept = 6

// routed has a machine keep the chains that its conversation wants, as node/carriers.go does.
func (d *drops) routed(s *side) bool {
	o, r := s.c.Drops(), d.routes[s]
	if o.Set == nil {
		return false
	}
	if r == nil || r.epoch != o.Epoch {
		root := s.c.MailRoot()
		if root.IsZero() {
			return false
		}
		first := drop.DayAt(time.Duration(start.UnixNano()))
		if o.Hour != 0 {
			first = drop.Day(o.Hour / 24)
		}
		r = &route{epoch: o.Epoch, chains: map[uint32]*drop.Chain{0: drop.NewChain(root, first)}}
		d.routes[s] = r
		s.do(s.c.MailBegan(s.now()))
	}
	if r.before {
		return true
	}
	if session, root, first, ok := s.c.NextBranch(); ok {
		r.chains[session], _ = drop.NewBranch(root, first)
		if out := s.c.Watch(s.now()); !d.killed(s, out) {
			s.do(out)
		}
	}
	if out := s.c.Move(s.now(), d.today(), d.today()-kept); out != nil && !d.killed(s, out) {
		s.do(out)
	}
	named := map[uint32]bool{}
	for _, b := range d.branches(s) {
		named[b.Session] = true
	}
	maps.DeleteFunc(r.chains, func(session uint32, c *drop.Chain) bool {
		c.Forget(d.today() - kept)
		return !named[session]
	})
	return true
}

func (d *drops) branches(s *side) drop.Branches {
	if all := s.c.Branches(); len(all) > 0 {
		return all
	}
	return drop.Branches{{}}
}

func (d *drops) direction(s *side) drop.Direction {
	if s.c.View().Side == identity.Inviter {
		return drop.FromInviter
	}
	return drop.FromAccepter
}

// place gives a box its place, and wants its reader to look there, too, now or later.
func (d *drops) place(s *side, b *placed) {
	d.w.t.Helper()
	b.day, b.period = d.today(), d.period
	key := d.writingKey(s)
	b.address = drop.DeriveKeys(key, d.direction(s), b.period, 0).Address()
	if p := s.peer; !d.lossy && p.c.Drops().Set != nil && d.routes[p] != nil {
		for _, may := range d.readingKeys(p, b.day) {
			if may.key.Equal(key) {
				return
			}
		}
		d.w.t.Fatalf("%s writes where nobody looks: %+v and %+v", s.name, s.c.Branches(), p.c.Branches())
	}
}

func (d *drops) writingKey(s *side) secret.Key {
	d.w.t.Helper()
	all, today := d.branches(s), d.today()
	chain := d.routes[s].chains[all[all.Writing(today)].Session]
	if chain == nil {
		d.w.t.Fatalf("%s has not kept a chain of %+v", s.name, all)
	}
	key, ok := chain.Key(today)
	if !ok {
		d.w.t.Fatalf("%s has no key of today: %+v", s.name, all)
	}
	return key
}

type keyOf struct {
	session uint32
	key     secret.Key
}

func (d *drops) readingKeys(s *side, day drop.Day) (may []keyOf) {
	all := d.branches(s)
	for _, i := range all.Reading(day) {
		if chain := d.routes[s].chains[all[i].Session]; chain != nil {
			if key, ok := chain.Key(day); ok {
				may = append(may, keyOf{all[i].Session, key})
			}
		}
	}
	return may
}

// finds has a machine ask for the box of a period, once. Where it may be in several places one
// of them is asked: if boxes come, that in which one was, else one after the other.
func (d *drops) finds(s *side, b placed) bool {
	if !d.routed(s) {
		return false
	}
	r := d.routes[s]
	may := d.readingKeys(s, b.day)
	if len(may) == 0 {
		return false
	}
	at := 0
	for i, m := range may {
		if m.session == r.foundOn {
			at = i
		}
	}
	if r.silent >= 8 {
		at = int(b.period % uint64(len(may)))
	}
	if drop.DeriveKeys(may[at].key, d.direction(s.peer), b.period, 0).Address() != b.address {
		r.silent++
		return false
	}
	r.foundOn, r.silent = may[at].session, 0
	return true
}

// same wants both to be on one chain, with the same key of today in both directions, and on no
// other. It returns that key.
func (d *drops) same() secret.Key {
	d.w.t.Helper()
	var key secret.Key
	for _, s := range []*side{d.w.a, d.w.b} {
		s.restart()
		if !d.routed(s) || !d.routed(s.peer) {
			d.w.t.Fatalf("%s has no drops", s.name)
		}
		key = d.writingKey(s)
		may := d.readingKeys(s.peer, d.today())
		if len(may) != 1 || !may[0].key.Equal(key) || len(d.branches(s)) != 1 {
			d.w.t.Fatalf("%s: %+v and %+v", s.name, s.c.Branches(), s.peer.c.Branches())
		}
	}
	if !key.Equal(d.writingKey(d.w.a)) {
		d.w.t.Fatal("each writes on a chain of its own")
	}
	return key
}

// TestBoxesMoveToAnotherChain: with each roll the boxes of two who are never online together
// move to another chain, and both come to it; no box is missed for it. Who has stolen all that
// there is of one of them before the roll, the session and the chains, knows no place after it.
func TestBoxesMoveToAnotherChain(t *testing.T) {
	d := metAtDrops(t, 130).places()
	w := d.w
	n := 0
	say := func(s *side) {
		if n++; n%2 == 0 {
			s.send(fmt.Sprintf("%s %d", s.name, n))
		}
	}
	d.days(3, say)
	for epoch := uint32(2); epoch <= 4; epoch++ {
		stolen := map[*side]*storetest.Memory{}
		theft := map[*side]*route{}
		for _, s := range []*side{w.a, w.b} {
			stolen[s], theft[s] = s.store.Copy(), d.routes[s].copy()
		}
		before := d.same()
		d.days(40-10*int(epoch%2), say)
		d.days(3, nil)
		now := d.same()
		d.want(epoch)
		if now.Equal(before) {
			t.Fatal("nothing moved")
		}
		for s, thief := range theft {
			cfg := s.cfg
			cfg.Records = stolen[s]
			c, err := channel.Load(cfg, s.id)
			if err != nil {
				t.Fatal(err)
			}
			if _, root, first, ok := c.NextBranch(); ok {
				thief.chains[99], _ = drop.NewBranch(root, first)
			}
			for _, chain := range thief.chains {
				if key, ok := chain.Key(d.today()); !ok || key.Equal(now) {
					t.Errorf("session %d: a thief who has a day key finds today's", epoch)
				}
			}
		}
		for _, s := range []*side{w.a, w.b} {
			if root := s.c.DropRoot(); !root.IsZero() {
				t.Error("what the chain began with is kept")
			}
		}
	}
	w.checkAll()
	if d.lost > 0 {
		t.Errorf("%d boxes with words could not be opened", d.lost)
	}
}

// TestBoxesMoveRandomly plays rolls and moves with boxes lost, machines killed at any step and
// reloaded, connections that come up in between, and each of the two away for weeks. No box is
// ever written where its reader does not look; all arrives; in the end both are on one chain.
func TestBoxesMoveRandomly(t *testing.T) {
	seeds := 3
	if *long {
		seeds = 100
	}
	for seed := range byte(seeds) {
		d := metAtDrops(t, 140+seed).places()
		w := d.w
		d.loss, d.crash = 20, true
		d.days(1, nil)
		if seed%3 < 2 { // one has a program of before, for some weeks
			d.routes[w.b].before = true
		}
		n, away := 0, [2]int{}
		for range 110 {
			for i, s := range []*side{w.a, w.b} {
				if n++; n == 100 {
					d.routes[w.b].before = false
				}
				if away[i] > 0 {
					away[i]--
					w.now = w.now.Add(12 * time.Hour)
					continue
				}
				if w.rng.IntN(25) == 0 {
					away[i] = w.rng.IntN(21)
				}
				if away[0] == 0 && away[1] == 0 && w.rng.IntN(2) == 0 && n < 190 {
					s.send(fmt.Sprintf("%s %d", s.name, n))
				}
				if seed%3 == 0 && w.rng.IntN(12) == 0 {
					w.connect()
					for range w.rng.IntN(16) {
						w.step()
					}
					w.cut()
				}
				d.hour(s)
				w.now = w.now.Add(11 * time.Hour)
			}
		}
		d.loss, d.crash = 0, false
		d.days(45, nil) // a roll that was going on ends, and another one comes
		for i := 0; i < 15 && len(w.a.c.Branches())+len(w.b.c.Branches()) != 2; i++ {
			d.days(1, nil) // that was just now
		}
		d.same()
		for i, s := range []*side{w.a, w.b} {
			s.send(fmt.Sprint("the end ", i))
		}
		d.days(3, nil)
		for i, s := range []*side{w.a, w.b} {
			if got := s.texts(channel.In); len(got) == 0 || got[len(got)-1] != fmt.Sprint("the end ", 1-i) {
				t.Fatalf("seed %d: %s has %q", seed, s.name, got)
			}
			expired := map[string]bool{}
			for _, m := range s.c.Transcript(0) {
				expired[m.Text] = m.Direction == channel.Out && m.State == channel.Expired
			}
			arrived := map[string]int{}
			for _, text := range s.peer.texts(channel.In) {
				arrived[text]++
			}
			for _, text := range s.written {
				if arrived[text] > 1 || arrived[text] == 0 && !expired[text] {
					t.Errorf("seed %d: %s: %q came %d times", seed, s.name, text, arrived[text])
				}
			}
		}
		if a, b := w.a.c.View(), w.b.c.View(); a.Paused || b.Paused {
			t.Errorf("seed %d: a recovery: %v, %v", seed, a.Mark, b.Mark)
		}
	}
}

// TestPutBackBeforeAMove: a machine is put back to before its boxes moved, without its knowing,
// and says a lot before it reads a box, so that no counter shows it. It hears the other side,
// which tells it that it has moved: the two recover, and end on one chain.
func TestPutBackBeforeAMove(t *testing.T) {
	for back := range 2 {
		d := metAtDrops(t, 150+byte(back)).places()
		w := d.w
		p := []*side{w.a, w.b}[back]
		d.days(1, nil)
		d.routes[p.peer].before = true // so that p does not move yet
		d.days(40, func(s *side) { s.send("of before") })
		d.days(4, nil)
		if all := p.c.Branches(); p.c.Epoch() != 2 || len(all) != 2 || all[1].Writes != 0 {
			t.Fatalf("session %d, %+v", p.c.Epoch(), all)
		}
		w.checkAll()
		old, was := p.store.Copy(), d.routes[p].copy()
		d.routes[p.peer].before = false
		d.days(12, nil)
		d.want(2)
		d.same()
		d.lossy = true
		d.routes[p] = was
		p.putBack(old)
		p.peer.restart()
		d.boxes = map[*side][]placed{}
		for i := range 40 { // more than it had said when it moved
			p.send(fmt.Sprint("of no use ", i))
			d.write(p)
		}
		d.days(5, nil)
		if v := p.c.View(); p.c.Epoch() == 2 && p.c.Drops().Epoch != 0 {
			t.Fatalf("it goes on as if nothing were: %+v", v)
		}
		d.days(30, nil)
		d.consent()
		d.days(8, nil)
		for _, s := range []*side{w.a, w.b} {
			s.send("the end of " + s.name)
		}
		d.days(6, nil)
		for _, s := range []*side{w.a, w.b} {
			if got := s.texts(channel.In); len(got) == 0 || got[len(got)-1] != "the end of "+s.peer.name {
				t.Errorf("%s has %q", s.name, got)
			}
		}
		d.lossy = false
		d.days(2, nil)
	}
}

// TestPeerThatKnowsNoBranches: with a peer of before, nothing moves, and talk goes on.
func TestPeerThatKnowsNoBranches(t *testing.T) {
	d := metAtDrops(t, 154).places()
	w := d.w
	d.days(28, nil)
	d.routes[w.b].before = true
	n := 0
	d.days(20, func(s *side) { n++; s.send(fmt.Sprint(n)) })
	if w.a.c.Epoch() != 2 {
		t.Fatalf("session %d", w.a.c.Epoch())
	}
	if all := w.a.c.Branches(); len(all) != 2 || all[1].Writes != 0 || all[1].Told != 0 {
		t.Errorf("%+v", all)
	}
	d.days(3, nil)
	w.checkAll()
}

// TestRoomForChains: a peer of before takes no part in months of rolls, and chains pile up that
// nobody moves to, but not without bound. Then its program is replaced, and all is well.
func TestRoomForChains(t *testing.T) {
	d := metAtDrops(t, 164).places()
	w := d.w
	d.days(1, nil)
	d.routes[w.b].before = true
	for w.a.c.Epoch() < 6 {
		d.days(10, nil)
		if n := len(w.a.c.Branches()); n > 4 {
			t.Fatalf("%d chains", n)
		}
	}
	if _, _, _, ok := w.a.c.NextBranch(); ok || len(w.a.c.Branches()) != 4 {
		t.Errorf("%+v", w.a.c.Branches())
	}
	w.a.send("of before")
	d.routes[w.b].before = false
	d.days(20, nil)
	d.same()
	w.checkAll()
}

// rolls brings both to a session.
func (d *drops) rolls(epoch uint32) {
	for i := 0; d.w.a.c.Epoch() < epoch || d.w.b.c.Epoch() < epoch; i++ {
		if i%20 == 0 {
			d.w.now = d.w.now.Add(20 * 24 * time.Hour)
		}
		d.days(1, nil)
	}
}

// TestBothHaveNoRoom: chains pile up on both sides to which nobody moved. Each says in the next
// session that it watches none, the other forgets what is in between, and boxes move again.
func TestBothHaveNoRoom(t *testing.T) {
	d := metAtDrops(t, 165).places()
	w := d.w
	d.days(1, nil)
	d.routes[w.a].before, d.routes[w.b].before = true, true
	for epoch := uint32(2); epoch <= 4; epoch++ {
		d.rolls(epoch)
		for _, s := range []*side{w.a, w.b} {
			if root := s.c.FormerRoot(); !root.IsZero() {
				t.Errorf("session %d: the drop root of the one before is kept", epoch)
			}
			if _, _, _, ok := s.c.NextBranch(); !ok {
				t.Fatalf("session %d: no chain", epoch)
			}
			s.do(s.c.Watch(s.now()))
			s.c.ForgetWords() // the session is rolled before the frame leaves
		}
	}
	for _, s := range []*side{w.a, w.b} {
		if len(s.c.Branches()) != 4 {
			t.Fatalf("%+v", s.c.Branches())
		}
		d.routes[s].before = false
	}
	d.rolls(5)
	d.days(6, nil) // each says that it has no room
	d.rolls(6)
	d.days(20, nil)
	d.same()
	if all := w.a.c.Branches(); all[0].Session < 5 {
		t.Errorf("%+v", all)
	}
	w.checkAll()
}

// TestChainsThatWereLeft: a chain on which neither side has boxes any more is forgotten, wherever
// it is among those that there are, and no other is.
func TestChainsThatWereLeft(t *testing.T) {
	d := metAtDrops(t, 166).places()
	s := d.w.a
	d.days(1, nil)
	d.routes[d.w.b].before = true
	d.rolls(5)
	key := store.Key{Kind: channel.KindDrops, Object: s.id}
	record, err := s.store.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	load := func(record []byte) {
		if err := s.store.Commit(store.Write{Key: key, Value: record}); err != nil {
			t.Fatal(err)
		}
		if s.restart(); len(s.c.Branches()) != 4 {
			t.Fatalf("%+v", s.c.Branches())
		}
		if _, _, _, ok := s.c.NextBranch(); ok {
			t.Fatal("there is room for a chain")
		}
	}
	want := func(what string, sessions ...uint32) {
		var got []uint32
		for _, b := range s.c.Branches() {
			got = append(got, b.Session)
		}
		if _, _, _, ok := s.c.NextBranch(); ok != (len(got) < 4) || !slices.Equal(got, sessions) {
			t.Errorf("%s: %v", what, got)
		}
	}
	// It moved three times, and the other side says that it stayed where it was.
	for last, left := range map[drop.Day][]uint32{d.today() - 10: {0, 4}, d.today() - 3: {0, 3, 4}, d.today() + 2: {0, 3, 4}} {
		moved := slices.Clone(record)
		for i, day := range []drop.Day{d.today() - 30, d.today() - 20, last} {
			binary.BigEndian.PutUint32(moved[len(moved)-20*(3-i)+12:], uint32(day))
		}
		load(moved)
		s.do(s.c.BranchCame(d.w.now, drop.Move{}.Append(nil)))
		want(fmt.Sprintf("moved on day %d of %d", last, d.today()), left...)
	}
	// It never moved, and the other side says that it did.
	load(record)
	move := drop.Move{Writes: drop.BranchName(record[len(record)-16:]), From: d.today()}
	s.do(s.c.BranchCame(d.w.now, move.Append(nil)))
	if out := s.c.Move(d.w.now, d.today(), d.today()-kept); out != nil {
		t.Error("a chain is forgotten of which boxes can still be got")
	}
	want("just told", 0, 2, 3, 4)
	s.do(s.c.Move(d.w.now, d.today()+kept, d.today()))
	want("told long ago", 0, 4)
}

// TestPutBackWhileASessionCame: the initiator of a roll is put back to when it had m2, and had
// not come to the session, without its knowing, and long after boxes moved to the chain of that
// session. After days in which it hears nothing it looks there, too, and the two recover.
func TestPutBackWhileASessionCame(t *testing.T) {
	d := metAtDrops(t, 168).places()
	w := d.w
	var p *side
	var old *storetest.Memory
	var was *route
	d.days(27, nil)
	for w.a.c.Epoch() < 2 || w.b.c.Epoch() < 2 {
		d.days(1, func(s *side) {
			if s.c.Epoch() == 1 && len(s.c.Upcoming()) > 2 {
				p, old, was = s, s.store.Copy(), d.routes[s].copy()
			}
		})
	}
	if p == nil {
		t.Fatal("nobody had m2")
	}
	d.days(14, nil)
	d.same()
	d.lossy = true
	d.routes[p] = was
	p.putBack(old)
	p.peer.restart()
	if p.c.Epoch() != 1 {
		t.Fatalf("session %d", p.c.Epoch())
	}
	d.days(5, nil)
	if p.c.Drops().Epoch == 1 && !p.c.View().Paused && p.c.Epoch() == 1 {
		t.Fatalf("it hears nothing: %+v and %+v", p.c.Branches(), p.peer.c.Branches())
	}
	d.days(30, nil)
	d.consent()
	d.days(8, nil)
	for _, s := range []*side{w.a, w.b} {
		s.send("the end of " + s.name)
	}
	d.days(6, nil)
	for _, s := range []*side{w.a, w.b} {
		if got := s.texts(channel.In); len(got) == 0 || got[len(got)-1] != "the end of "+s.peer.name {
			t.Errorf("%s has %q", s.name, got)
		}
	}
}

// TestSessionThatDoesNotCome: who is away for weeks in the middle of a roll is waited for on the
// chain of the next session, too. When it is there again nothing is told of that chain which is
// not told of any other, and boxes move.
func TestSessionThatDoesNotCome(t *testing.T) {
	d := metAtDrops(t, 169).places()
	w := d.w
	var p *side
	d.days(27, nil)
	for s := w.a; p == nil; s = s.peer {
		if d.hour(s); len(s.c.Upcoming()) > 2 {
			p = s
		}
		w.now = w.now.Add(11 * time.Hour)
	}
	if w.a.c.Epoch() != 1 || w.b.c.Epoch() != 1 {
		t.Fatal("the session has come")
	}
	d.alone(p, 9)
	if all := p.c.Branches(); len(all) != 2 || all[1].Session != 2 || all[1].Writes != 0 || all[1].Told != 0 {
		t.Errorf("%+v", all)
	}
	p.send("while you are away")
	d.days(20, nil)
	d.want(2)
	d.same()
	w.checkAll()
}

// TestBranchFrames: what a frame says that nobody should send changes nothing, and what it says
// twice counts once.
func TestBranchFrames(t *testing.T) {
	d := metAtDrops(t, 156).places()
	s := d.w.a
	s.c.BranchCame(d.w.now, drop.Move{}.Append(nil)) // in the first session, which has the first chain
	if len(s.c.Branches()) != 0 {
		t.Error("a chain in a session that was not rolled")
	}
	for all := s.c.Branches(); len(all) < 2; all = s.c.Branches() {
		if d.days(1, nil); s.c.Epoch() > 2 {
			t.Fatal("no chain")
		}
	}
	name := s.c.BranchName()
	before := s.c.Branches()
	for what, content := range map[string][]byte{
		"short":           drop.Move{Watches: name}.Append(nil)[:drop.MoveSize-1],
		"no day":          append(append(make([]byte, 8), name[:]...), 0, 0, 0, 0),
		"an unknown name": drop.Move{Writes: drop.BranchName{1}, From: 20000}.Append(nil),
		"another's":       drop.Move{Watches: drop.BranchName{1}}.Append(nil),
	} {
		s.c.BranchCame(d.w.now, content)
		if out := s.c.Move(d.w.now, d.today(), d.today()-kept); out != nil && before[1].Writes == 0 && s.c.Branches()[1].Writes != 0 {
			t.Errorf("%s: it moves", what)
		}
		if all := s.c.Branches(); len(all) != len(before) || all[1].Told != before[1].Told {
			t.Errorf("%s: %+v", what, all)
		}
	}
	// It has moved, and does not know whether the other side has: both chains are kept.
	s.c.BranchCame(d.w.now, drop.Move{Watches: name}.Append(nil))
	s.c.Move(d.w.now, d.today(), d.today()-kept)
	s.c.Move(d.w.now, d.today()+30, d.today()+30-kept)
	if all := s.c.Branches(); len(all) != 2 || all[1].Writes == 0 || all[1].Told != 0 && before[1].Told == 0 {
		t.Errorf("%+v", all)
	}
	s.c.BranchCame(d.w.now, drop.Move{Writes: name, From: d.today() + 5}.Append(nil))
	s.c.BranchCame(d.w.now, drop.Move{Writes: name, From: d.today() + 9}.Append(nil))
	if got := s.c.Branches()[1].Told; before[1].Told == 0 && got != d.today()+5 {
		t.Errorf("told of day %d", got)
	}
}

// TestDropsRecordOfVersion2 loads a record of drops that was written before boxes moved.
func TestDropsRecordOfVersion2(t *testing.T) {
	d := metAtDrops(t, 158)
	for _, s := range []*side{d.w.a, d.w.b} {
		for r, err := range s.store.Scan(channel.KindDrops, s.id) {
			if err != nil {
				t.Fatal(err)
			}
			old := append([]byte{2}, r.Value[1:len(r.Value)-drop.BranchNameSize-1-drop.SetSize*onion.IDSize-4]...)
			if err := s.store.Commit(store.Write{Key: r.Key, Value: old}); err != nil {
				t.Fatal(err)
			}
		}
		s.restart()
	}
	d.places().days(45, nil)
	d.want(2)
	d.same()
}

// TestBranchesRecordIsStrict cuts and flips the record of chains.
func TestBranchesRecordIsStrict(t *testing.T) {
	d := metAtDrops(t, 160).places()
	s := d.w.a
	for s.c.Epoch() < 2 || len(s.c.Branches()) < 2 {
		d.days(1, nil)
	}
	raw, err := s.store.Get(store.Key{Kind: channel.KindDrops, Object: s.id})
	if err != nil {
		t.Fatal(err)
	}
	load := func(b []byte) error {
		changed := s.store.Copy()
		if err := changed.Commit(store.Write{Key: store.Key{Kind: channel.KindDrops, Object: s.id}, Value: b}); err != nil {
			t.Fatal(err)
		}
		cfg := s.cfg
		cfg.Records = changed
		_, err := channel.Load(cfg, s.id)
		return err
	}
	if err := load(raw); err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		if load(raw[:n]) == nil {
			t.Errorf("cut to %d: taken", n)
		}
	}
	if load(append(append([]byte(nil), raw...), 0)) == nil {
		t.Error("one byte more: taken")
	}
	second := len(raw) - 20
	nameless := append([]byte(nil), raw...)
	clear(nameless[second+4 : second+12])
	if load(nameless) == nil {
		t.Error("a chain without a name: taken")
	}
	for name, at := range map[string]int{"a session that does not rise": second, "a first chain with days": second - 8} {
		bad := append([]byte(nil), raw...)
		clear(bad[second : second+4])
		if at != second {
			copy(bad[second:], raw[second:second+4])
			bad[at] = 1
		}
		if load(bad) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
