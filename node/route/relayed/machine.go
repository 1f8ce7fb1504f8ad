package relayed

import (
	"crypto/rand"
	"io"
	mrand "math/rand/v2"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Config is what a Machine is made with.
type Config struct {
	Constants directory.Constants // of the network, with no field left out
	Random    io.Reader           // nil: crypto/rand
	Onion     Onion               // nil: packets of package onion
	Boxes     Boxes               // nil: boxes of package drop

	// Lead is how far ahead of the clock Tick and Filled are called: what leaves then
	// can be committed until then. Replies come by the clock.
	Lead time.Duration
}

// A View is the relays of an epoch. [*directory.View] is one.
type View interface {
	Members() []directory.Member
	Member(id onion.ID) (directory.Member, bool)
	Linked(a, b onion.ID) bool
	Middles() int // relays between the ends of a way: 1 or 2
}

// Onion makes packets. A simulator may leave their cryptography out.
type Onion interface {
	Create(coins secret.Key, r onion.Request) (packet []byte, tag onion.Tag, reply Reply, err error)
	Tag(packet []byte) (onion.Tag, error)
}

// A Reply opens the one reply to a packet.
type Reply interface {
	// Delays are what the relays draw from how long they keep the packet, on the ways of
	// the request, in their order.
	Delays() (out, back []onion.Seed)
	Open(packet []byte) (onion.Answer, error)
	Wipe()
}

// Boxes seals boxes and opens them. A simulator may leave their cryptography out.
type Boxes interface {
	Seal(key secret.Key, random *[32]byte, c drop.Control, cell *wire.Cell) *drop.Box
	Open(key secret.Key, box *drop.Box) (drop.Control, *wire.Cell, error)
}

// A Packet goes to the guard that the machine is linked to.
type Packet []byte

// An Output is what an event leads to. The owner first commits Writes, together with
// what its conversations make of Opened and Stored; then Packets leave, in their order
// and at once; then it calls Filled for each Fill.
type Output struct {
	Writes  []Write
	Packets []Packet
	Fill    []Fill
	Opened  []Opened
	Stored  []Stored
	Done    []Done
	Notices []Notice
}

// A Fill is a box that leaves now and wants its content.
type Fill struct {
	Contact ContactID
	Period  uint64
	lane    int
	slot    cadence.Slot
}

// Content is what a conversation puts into a box. Time and Runs of the control block
// are set by the machine. A Content without a Cell is cover.
type Content struct {
	Control drop.Control
	Cell    *wire.Cell
}

// Opened is a box of a contact that came. Boxes come in any order of periods; each
// period comes once.
type Opened struct {
	Contact ContactID
	Period  uint64
	Session uint32 // of which of the contact's it is; zero: of none. See SetSeals
	Control drop.Control
	Cell    *wire.Cell
}

// Stored says that a drop answered so to the put of one replica of a period's box. It comes
// once for each. One drop may be the reader's guard, whom he cannot ask, and who that is nobody
// else knows: what is to be read for certain is at two.
type Stored struct {
	Contact ContactID
	Period  uint64
	Drop    onion.ID
}

// A Machine is the relayed route of all contacts of a machine.
type Machine struct {
	cfg  Config
	seed secret.Key  // of all that is drawn for slots
	idle secret.Key  // of what lanes write to themselves
	ways *mrand.Rand // draws what the guard sees, and nothing else

	view     View
	lag      cadence.Slot
	trip     time.Duration // of a packet and its reply, on average
	clocks   clocks
	ahead    time.Duration // of the relays' clocks, as slots go by it
	guards   guards
	health   health
	contacts []*contact
	ownSet   [drop.SetSize]onion.ID // drops of idle boxes
	work     map[onion.ID]int       // bits of work that drops want
	misses   map[onion.ID]int       // gets in a row that brought no box, by drop
	errands  []Errand
	locked   bool
	middles  map[ends]middles                  // see between
	evens    map[onion.ID]map[onion.ID]float64 // see even

	fewOperators bool // see hasFew

	slot    slotState
	idles   map[idlePlace]bool // idle boxes that were written, and not read
	pending map[onion.Tag]*pending
	waiting []onion.Tag // of pending, in the order in which they left; of some the reply has come
	skipped int         // emissions whose moment had passed

	out *Output
}

// New returns a Machine that has no view, no guard and no contact yet.
func New(cfg Config) *Machine {
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Onion == nil {
		cfg.Onion = packets{}
	}
	if cfg.Boxes == nil {
		cfg.Boxes = boxes{}
	}
	m := &Machine{
		cfg: cfg, clocks: clocks{}, health: newHealth(), work: map[onion.ID]int{}, misses: map[onion.ID]int{},
		middles: map[ends]middles{}, evens: map[onion.ID]map[onion.ID]float64{}, idles: map[idlePlace]bool{}, pending: map[onion.Tag]*pending{},
	}
	m.seed, m.idle = m.draw(), m.draw()
	ways := m.draw()
	defer ways.Wipe()
	m.ways = mrand.New(mrand.NewChaCha8([32]byte(ways.Bytes())))
	return m
}

// draw returns 32 random bytes. A source of randomness that fails leaves nothing to go
// on with.
func (m *Machine) draw() secret.Key {
	k, err := secret.Read(m.cfg.Random)
	if err != nil {
		panic("relayed: the source of randomness failed")
	}
	return k
}

func (m *Machine) fill(b []byte) {
	if _, err := io.ReadFull(m.cfg.Random, b); err != nil {
		panic("relayed: the source of randomness failed")
	}
}

// Wipe clears the keys that the machine holds. It is not used after that.
func (m *Machine) Wipe() {
	m.seed.Wipe()
	m.idle.Wipe()
	for _, l := range m.slot.lanes {
		l.seal.Wipe()
	}
	for _, c := range m.contacts {
		c.wipe()
	}
	for _, p := range m.pending {
		p.reply.Wipe()
		p.box.Wipe()
	}
	for _, e := range m.errands {
		e.Keys.Wipe()
	}
}

func (m *Machine) begin() { m.out = &Output{} }

func (m *Machine) end() *Output {
	out := m.out
	m.out = nil
	return out
}

// SetView tells the relays of the epoch that begins. Nil: none are known, and nothing is
// sent.
func (m *Machine) SetView(now time.Time, v View) *Output {
	m.begin()
	m.view = v
	if v == nil {
		return m.end()
	}
	mean := m.cfg.Constants.Mean
	for _, r := range v.Members() {
		mean = max(mean, r.Mean)
	}
	m.lag = cadence.ReadLag(mean, m.cfg.Constants.Slot)
	m.trip = time.Duration(2*v.Middles()+3) * mean // guard, middles, the drop and back
	m.keepGuards(now)
	m.forgetWays()
	m.fewOperators = hasFew(v)
	m.drawAnew()
	m.clocks.keep(v)
	m.health.keep(v)
	for _, forget := range []map[onion.ID]int{m.work, m.misses} {
		for id := range forget {
			if _, ok := v.Member(id); !ok {
				delete(forget, id)
			}
		}
	}
	m.chooseOwnSet()
	return m.end()
}

// SetLocked says whether the machine is locked. A locked machine sends as much as any
// other, but reads and writes nothing.
func (m *Machine) SetLocked(locked bool) { m.locked = locked }

// A NoticeKind says what a person should be told.
type NoticeKind byte

// The kinds.
const (
	// Taken: a drop says that somebody else wrote this contact's box first. Only who has
	// the pair's keys can; or the drop lies.
	Taken NoticeKind = 1 + iota
	// Losing: many packets are lost, and no single relay behind the guard explains it.
	// Somebody may be holding back all but ours.
	Losing
	// Moved: the guard was down for a slot, or gone from the view, and the other one took
	// over.
	Moved
	// ClockOff: this machine's clock and those of the relays are more than 36 hours
	// apart. Nothing is read or written until one of them is set.
	ClockOff
)

// String is the kind in words.
func (k NoticeKind) String() string {
	switch k {
	case Taken:
		return "a box was taken"
	case Losing:
		return "packets are lost"
	case Moved:
		return "the other guard took over"
	case ClockOff:
		return "the clock is off by days"
	}
	return "no notice"
}

// A Notice is one thing to tell a person. Contact is zero if it is about none.
type Notice struct {
	Kind    NoticeKind
	Contact ContactID
}

func (m *Machine) notice(k NoticeKind, c ContactID) {
	m.out.Notices = append(m.out.Notices, Notice{k, c})
}
