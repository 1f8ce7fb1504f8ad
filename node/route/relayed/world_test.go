package relayed

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// The world: relays, links and machines in virtual time. Packets go by reference; their
// cryptography is tested elsewhere.

type event struct {
	at  time.Time
	seq int
	run func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

type world struct {
	t       *testing.T
	rand    *rand.Rand
	now     time.Time
	queue   events
	seq     int
	cfg     directory.Constants
	relays  []*relay
	machine map[onion.ID]*user // by the name at a guard
	letters map[uint64]*letter
	loss    float64 // of one link
	stored  map[storedAt]bool
	written map[drop.Address]time.Time
	ages    map[int]int               // of boxes that were got, in slots
	links   func(a, b onion.ID) bool  // nil: all
	real    map[onion.ID]*onion.Relay // with packets of package onion
	lies    bool                      // a drop says stored and is not to be held to it
	replays int                       // packets that relays have refused as they came twice
	made    func(onion.Request)       // nil, or called with each packet
	sends   func(*user, *pending)     // nil, or called with what each packet that leaves is for
	drops   func(onion.Request) bool  // nil, or says whether a packet or its reply is lost on its way
}

// storedAt is a box that a drop took.
type storedAt struct {
	drop    onion.ID
	address drop.Address
}

type relay struct {
	directory.Member
	dead    bool
	losing  float64 // what it throws away
	which   losses  // on which way
	silent  bool    // drop: says none to every get, and stores nothing though it says so
	garble  bool    // drop: gives bytes that do not open
	refuses bool    // drop: wants work
	full    bool    // drop: has no room
	old     bool    // drop: gives the box that it got first, whatever is asked for
	early   bool    // drop: keeps boxes for a few slots
	spoils  bool    // guard: alters replies
	late    time.Duration
	turns   bool // passes on what came in 20 s at once, the last one first
	doubles bool // with real packets: passes on each twice
	kept    []func()
	first   *drop.Box
	off     time.Duration
	boxes   map[drop.Address]*drop.Box
	puts    int
	gets    map[drop.Address]int
}

// losses is on which way a relay throws packets away.
type losses int

const (
	bothWays losses = iota
	wayThere        // packets, and no replies
	wayBack         // replies, and no packets: as a drop it takes boxes, and says nothing
)

func (l losses) String() string { return [...]string{"both ways", "the way there", "the way back"}[l] }

// loses draws whether a relay throws this one away.
func (r *relay) loses(w *world, leg losses) bool {
	return (r.which == bothWays || r.which == leg) && w.rand.Float64() < r.losing
}

// A letter is a packet: the request, then the answer.
type letter struct {
	r         onion.Request
	out, back []onion.Seed // of its delays
	answer    onion.Answer
	spoilt    bool
}

func newWorld(t *testing.T, seed byte, relays int) *world {
	w := &world{
		t: t, rand: rand.New(rand.NewChaCha8([32]byte{seed})), now: time.Date(2026, 11, 3, 0, 0, 10, 0, time.UTC),
		machine: map[onion.ID]*user{}, letters: map[uint64]*letter{}, stored: map[storedAt]bool{}, written: map[drop.Address]time.Time{},
		cfg: directory.Constants{Suite: onion.X25519, Slot: 30 * time.Second, Mean: 20 * time.Second, Expiry: 96 * time.Hour},
	}
	for i := range relays {
		w.relays = append(w.relays, &relay{
			Member: directory.Member{ID: onion.ID{byte(i + 1)}, Operator: string(rune('a' + i%3)), Mean: w.cfg.Mean},
			boxes:  map[drop.Address]*drop.Box{}, gets: map[drop.Address]int{},
		})
	}
	return w
}

// Members implements View.
func (w *world) Members() []directory.Member {
	var all []directory.Member
	for _, r := range w.relays {
		all = append(all, r.Member)
	}
	return all
}

// Member implements View.
func (w *world) Member(id onion.ID) (directory.Member, bool) {
	if r := w.relay(id); r != nil {
		return r.Member, true
	}
	return directory.Member{}, false
}

func (w *world) relay(id onion.ID) *relay {
	if i := int(id[0]) - 1; i >= 0 && i < len(w.relays) && id[1] == 0 {
		return w.relays[i]
	}
	return nil
}

// Linked implements View.
func (w *world) Linked(a, b onion.ID) bool { return a != b && (w.links == nil || w.links(a, b)) }

// Middles implements View.
func (w *world) Middles() int {
	if w.links == nil {
		return 1
	}
	return 2
}

// Create implements Onion.
func (w *world) Create(_ secret.Key, r onion.Request) ([]byte, onion.Tag, Reply, error) {
	n := w.rand.Uint64()
	if w.made != nil {
		w.made(r)
	}
	w.letters[n] = &letter{r: r, out: w.seeds(len(r.Out)), back: w.seeds(len(r.Back))}
	var tag onion.Tag
	binary.BigEndian.PutUint64(tag[:], n)
	return tag[:8], tag, &reference{w, n}, nil
}

// Tag implements Onion.
func (w *world) Tag(packet []byte) (tag onion.Tag, err error) {
	copy(tag[:], packet)
	return tag, nil
}

type reference struct {
	w *world
	n uint64
}

func (w *world) seeds(n int) []onion.Seed {
	all := make([]onion.Seed, n)
	for i := range all {
		binary.BigEndian.PutUint64(all[i][:], w.rand.Uint64())
	}
	return all
}

func (r *reference) Delays() (out, back []onion.Seed) {
	l := r.w.letters[r.n]
	return l.out, l.back
}

func (r *reference) Open([]byte) (onion.Answer, error) {
	l := r.w.letters[r.n]
	if l.spoilt {
		return onion.Answer{}, onion.ErrPayload
	}
	return l.answer, nil
}

func (r *reference) Wipe() { delete(r.w.letters, r.n) }

func (w *world) after(d time.Duration, run func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now.Add(d), w.seq, run})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.queue) > 0 && !w.queue[0].at.After(end) {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.run()
	}
	w.now = end
}

// link carries something over one link: with latency, and sometimes not.
func (w *world) link(then func()) {
	if w.rand.Float64() >= w.loss {
		w.after(time.Duration(10+w.rand.IntN(200))*time.Millisecond, then)
	}
}

// carry takes a packet over the relays that are left on its way, and then calls done. What
// the last one does comes before its delay if ask is not nil, and the way goes on after it.
func (w *world) carry(way []onion.Hop, seeds []onion.Seed, ask, done func()) {
	w.link(func() {
		if len(way) == 0 {
			done()
			return
		}
		r := w.relay(way[0].ID)
		leg := wayThere
		if ask == nil {
			leg = wayBack
		}
		if r.dead || r.loses(w, leg) {
			return
		}
		if len(way) == 1 && ask != nil {
			ask()
		}
		r.hold(w, cadence.Delay(seeds[0], r.Mean), func() {
			switch {
			case r.dead:
			case len(way) == 1 && ask != nil && r.which == wayBack && r.loses(w, wayBack):
			case len(way) == 1:
				done()
			default:
				w.carry(way[1:], seeds[1:], ask, done)
			}
		})
	})
}

// hold keeps a packet as a relay does, or as one that delays or reorders.
func (r *relay) hold(w *world, delay time.Duration, then func()) {
	if !r.turns {
		w.after(delay+r.late, then)
		return
	}
	if r.kept = append(r.kept, then); len(r.kept) > 1 {
		return
	}
	w.after(20*time.Second, func() {
		kept := r.kept
		r.kept = nil
		for i := range kept {
			kept[len(kept)-1-i]()
		}
	})
}

// send carries a machine's packet to its exit and the answer back.
func (w *world) send(u *user, packet Packet) {
	if w.sends != nil {
		var tag onion.Tag
		copy(tag[:], packet[:8])
		w.sends(u, u.m.pending[tag])
	}
	if w.real != nil {
		w.pass(u.m.Guard(), onion.ID{}, packet)
		return
	}
	n := binary.BigEndian.Uint64(packet)
	l := w.letters[n]
	if w.drops != nil && w.drops(l.r) {
		return
	}
	var answer onion.Answer
	ask := func() { answer = w.relay(l.r.Out[len(l.r.Out)-1].ID).answer(w, l.r) }
	w.carry(l.r.Out, l.out, ask, func() {
		w.carry(l.r.Back, l.back, nil, func() {
			w.link(func() {
				if u := w.machine[l.r.Home]; u != nil && u.on {
					if l := w.letters[n]; l != nil {
						l.answer, l.spoilt = answer, w.relay(l.r.Out[0].ID).spoils
					}
					u.turn(u.m.Reply(u.local(), packet))
				}
			})
		})
	})
}

func (r *relay) answer(w *world, q onion.Request) onion.Answer {
	a := onion.Answer{Time: uint32(w.now.Add(r.off).Unix()), Box: new(drop.Box)}
	status := drop.None
	switch q.Command {
	case onion.Put:
		status = drop.Stored
		address := drop.AddressOf(q.Key[:])
		token, err := drop.ParseToken(append(append([]byte(nil), q.Token...), make([]byte, 9)...))
		switch {
		case r.refuses && (err != nil || token.Bits(r.ID, q.Key[:]) < 4):
			status = drop.Refused
		case r.full:
			status = drop.Full
		case r.silent:
		case r.boxes[address] != nil:
			status = drop.Taken
		default:
			r.puts++
			r.boxes[address] = q.Box
			if r.first == nil {
				r.first = q.Box
			}
			keep := w.cfg.Expiry
			if r.early {
				keep = 3 * w.cfg.Slot
			}
			w.stored[storedAt{r.ID, address}], w.written[address] = true, w.now
			w.after(keep, func() { delete(r.boxes, address) })
		}
	case onion.Get:
		address := drop.Address(q.Key)
		r.gets[address]++
		if box := r.boxes[address]; box != nil && !r.silent {
			status, a.Box = drop.Found, box
			if w.ages != nil {
				w.ages[int(w.now.Sub(w.written[address])/w.cfg.Slot)]++
			}
			if r.garble {
				a.Box = new(drop.Box)
			}
			if r.old {
				a.Box = r.first
			}
		}
	case onion.Loop:
		status = drop.Looped
	}
	a.Status = byte(status)
	return a
}

// openedAt is where a box was that was handed on.
type openedAt struct {
	contact ContactID
	period  uint64
}

// A user is one machine with its disk.
type user struct {
	w       *world
	name    byte
	m       *Machine
	on      bool
	off     time.Duration // its clock
	talks   map[ContactID]*talk
	opened  map[openedAt]bool // each once, whichever replicas are found later
	setup   map[ContactID]Contact
	disk    map[recordName][]byte
	runs    int
	sent    map[cadence.Slot]int // by the machine's own slots, while it was on all of it
	moments []time.Time
	seen    []sight // what the guard sees
	notices []NoticeKind
	done    []Done
	starved float64 // of its packets, do not leave
	silent  bool    // and it does not say so
	losing  bool    // packets of the next turn are lost: it is stopped after the commit
}

type sight struct {
	at        time.Time
	out, back onion.ID
}

type recordName struct {
	c    ContactID
	kind RecordKind
	seq  uint64
}

func (w *world) user(name byte) *user {
	u := &user{
		w: w, name: name, talks: map[ContactID]*talk{}, opened: map[openedAt]bool{}, setup: map[ContactID]Contact{},
		disk: map[recordName][]byte{}, sent: map[cadence.Slot]int{},
	}
	w.machine[u.home()] = u
	return u
}

func (u *user) home() onion.ID { return onion.ID{0xff, u.name} }

func (u *user) local() time.Time { return u.w.now.Add(u.off) }

// start makes a machine from what is on the disk.
func (u *user) start() {
	u.runs++
	u.on = true
	var seed [32]byte
	seed[0], seed[1], seed[2] = u.name, byte(u.runs), byte(u.w.rand.Uint32())
	cfg := Config{Constants: u.w.cfg, Random: rand.NewChaCha8(seed), Onion: u.w}
	if u.w.real != nil {
		cfg.Onion = nil
	}
	u.m = New(cfg)
	if g := u.disk[recordName{ContactID{}, Guards, 0}]; g != nil {
		if err := u.m.LoadGuards(u.local(), g); err != nil {
			u.w.t.Fatal(err)
		}
	}
	for id, c := range u.setup {
		u.talks[id].started()
		for n, value := range u.disk {
			if n.c == id {
				c.Kept, c.Chain = append(c.Kept, Write{n.c, n.kind, n.seq, value}), nil
			}
		}
		out, err := u.m.AddContact(c)
		if err != nil {
			u.w.t.Fatal(err)
		}
		if u.turn(out); !u.on {
			return
		}
		u.m.SetMissing(id, u.talks[id].missing())
	}
	if u.turn(u.m.SetView(u.local(), u.w)); u.on {
		u.tick(u.runs)
	}
}

// stop ends the machine, at once.
func (u *user) stop() { u.on, u.m = false, nil }

// restart stops it, perhaps between a commit and its packets, and starts it again.
func (u *user) restart(pause time.Duration) {
	u.stop()
	u.w.after(pause, func() {
		if !u.on {
			u.start()
		}
	})
}

// tick lets the machine run by its own clock.
func (u *user) tick(run int) {
	if !u.on || u.runs != run {
		return
	}
	if g := u.m.Guard(); !u.m.linked() && g != (onion.ID{}) && !u.w.relay(g).dead {
		u.m.LinkUp(g, u.home())
	} else if u.m.linked() && u.w.relay(g).dead {
		u.m.LinkDown(g)
	}
	u.turn(u.m.Tick(u.local()))
	if u.on && u.runs == run {
		u.w.after(max(time.Millisecond, u.m.Next(u.local()).Sub(u.local())), func() { u.tick(run) })
	}
}

// turn does what an output asks for, in the order that it has to be done in.
func (u *user) turn(out *Output) {
	for _, o := range out.Opened {
		t := u.talks[o.Contact]
		if k := (openedAt{o.Contact, o.Period}); u.opened[k] {
			u.w.t.Errorf("the box of period %d is handed on again", o.Period)
		} else {
			u.opened[k] = true
		}
		t.opened(o)
		u.m.SetMissing(o.Contact, t.missing())
	}
	for _, s := range out.Stored {
		u.talks[s.Contact].mailed(s)
	}
	for _, wr := range out.Writes {
		name := recordName{wr.Contact, wr.Kind, wr.Seq}
		if wr.Value == nil {
			delete(u.disk, name)
		} else {
			u.disk[name] = wr.Value
		}
	}
	u.done = append(u.done, out.Done...)
	for _, n := range out.Notices {
		u.notices = append(u.notices, n.Kind)
	}
	if u.losing {
		u.losing = false
		u.restart(time.Duration(u.w.rand.IntN(60)) * time.Second)
		return
	}
	for _, p := range out.Packets {
		slot, _ := u.m.Slot()
		u.sent[slot]++
		u.moments = append(u.moments, u.w.now)
		if l := u.w.letters[binary.BigEndian.Uint64(p)]; l != nil {
			u.seen = append(u.seen, sight{u.w.now, l.r.Out[1].ID, l.r.Back[len(l.r.Back)-2].ID})
			if len(l.r.Out) != u.w.Middles()+2 || l.r.Back[len(l.r.Back)-1].ID != u.m.Guard() {
				u.w.t.Error("a way that is too short, or does not come back")
			}
		}
		if u.starved > 0 && u.w.rand.Float64() < u.starved {
			if !u.silent {
				u.m.NotSent(p)
			}
			continue
		}
		u.w.send(u, p)
	}
	for _, f := range out.Fill {
		if u.on {
			u.turn(u.m.Filled(u.local(), f, u.talks[f.Contact].fill(f.Period)))
		}
	}
}
