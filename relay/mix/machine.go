package mix

import (
	"container/heap"
	"errors"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A Source is whom a packet came from.
type Source struct {
	ID     onion.ID
	Client bool
}

// An ActionKind says what an Action asks for.
type ActionKind int

// The kinds.
const (
	Send    ActionKind = iota + 1 // Packet to the relay To
	Deliver                       // Packet to the client To
	Ask                           // Body of the drop; the answer belongs to Ticket
)

// String names the kind.
func (k ActionKind) String() string {
	switch k {
	case Send:
		return "send"
	case Deliver:
		return "deliver"
	case Ask:
		return "ask"
	}
	return "unknown"
}

// A Ticket names a question to the drop.
type Ticket uint64

// An Action is what the owner of a Machine has to do now.
type Action struct {
	Kind   ActionKind
	To     onion.ID
	Packet []byte
	Ticket Ticket
	Body   onion.Body
	Until  time.Time // of Ask: an answer that comes later comes too late
}

// held is a packet in the pool.
type held struct {
	due    time.Time
	order  uint64 // of arrival; decides between equal times
	source Source
	action Action // Send or Deliver, unless it is an exit's

	exit   bool
	surb   onion.SURB
	answer *onion.Answer
}

// A Machine is a relay's mix. It has one owner.
type Machine struct {
	cfg   Config
	epoch directory.Epoch
	erase time.Time // when keys have to be looked at again
	keys  []*epochKey
	mean  time.Duration
	view  View

	pool    pool
	order   uint64
	sources map[passing]int  // packets in the pool, of those who have any
	held    [parties]int     // packets in the pool
	asked   map[uint64]*held // exits in the pool, by order
	loops   loops
	level   level
	counts  Counts
}

// New returns a Machine with fresh keys and an empty pool.
func New(cfg Config, now time.Time) (*Machine, error) {
	m := &Machine{
		cfg: cfg.withDefaults(), mean: cfg.Network.Constants.Mean,
		sources: map[passing]int{}, asked: map[uint64]*held{},
	}
	m.level.begun, m.level.since = now, now
	m.loops.init(m, now)
	if err := m.roll(now); err != nil {
		return nil, err
	}
	return m, nil
}

// SetMean sets the mean delay, from now on: what this relay's descriptor says of the
// epoch. What is outside of what a descriptor can say is brought inside.
func (m *Machine) SetMean(mean time.Duration) {
	least := m.cfg.Network.Constants.Mean
	m.mean = min(max(mean, least), directory.MeanRaise*least)
}

// SetView tells which relays there are. Without any, no loops are sent.
func (m *Machine) SetView(v View) { m.view = v }

// Counts returns what became of all packets so far.
func (m *Machine) Counts() Counts { return m.counts }

// Count counts what the owner did with an action.
func (m *Machine) Count(r Reason) { m.counts[r]++ }

// Held returns how many packets are in the pool.
func (m *Machine) Held() int { return len(m.pool) }

// Packet takes a packet, and the memory that it is in. What follows at once, a question
// to the drop, is returned.
func (m *Machine) Packet(now time.Time, from Source, packet []byte) []Action {
	if err := m.roll(now); err != nil {
		m.counts[Malformed]++
		return nil
	}
	if reason, ok := m.room(from); !ok {
		m.counts[reason]++
		return nil
	}
	u, reason, ok := m.unwrap(now, from, packet)
	if !ok {
		m.counts[reason]++
		return nil
	}
	h := &held{source: from, due: now.Add(cadence.Delay(u.Delay, m.mean))}
	switch u.Action {
	case onion.Forward:
		h.action = Action{Kind: Send, To: u.Next, Packet: u.Packet}
	case onion.Deliver:
		h.action = Action{Kind: Deliver, To: u.Next, Packet: u.Packet}
	case onion.Exit:
		// The drop begins at once, so that the answer is there when its time comes, which
		// does not depend on what was asked.
		h.exit, h.surb = true, u.Body.SURB
		if least := now.Add(answerAfter); h.due.Before(least) {
			h.due = least
		}
		m.hold(now, h)
		m.asked[h.order] = h
		return []Action{{Kind: Ask, Ticket: Ticket(h.order), Body: u.Body, Until: h.due}}
	}
	m.hold(now, h)
	return nil
}

func (m *Machine) unwrap(now time.Time, from Source, packet []byte) (u onion.Unwrapped, why Reason, ok bool) {
	var before onion.ID
	if !from.Client {
		before = from.ID
	}
	why = BadMAC
	for _, k := range m.trials(now) {
		if k == nil {
			continue
		}
		got, err := k.open.Unwrap(packet, before)
		if err == nil {
			return got, 0, true
		}
		why = reasonOf(err)
		if errors.Is(err, onion.ErrReplay) && k.full {
			why = TagsFull
		}
		if !errors.Is(err, onion.ErrMAC) {
			break
		}
	}
	return u, why, false
}

func (m *Machine) hold(now time.Time, h *held) {
	m.level.change(now, len(m.pool))
	m.order++
	h.order = m.order
	heap.Push(&m.pool, h)
	m.sources[passing{Source: h.source}]++
	m.held[m.partyOf(h.source)]++
}

// Answer gives the drop's answer to a question. One that comes too late, or twice, is
// ignored.
func (m *Machine) Answer(t Ticket, a onion.Answer) {
	if h := m.asked[uint64(t)]; h != nil && h.answer == nil {
		h.answer = &a
	}
}

// Next returns when Advance has something to do again.
func (m *Machine) Next() time.Time {
	next := m.erase
	if at, ok := m.loops.next(); ok && at.Before(next) {
		next = at
	}
	if len(m.pool) > 0 && m.pool[0].held.due.Before(next) {
		next = m.pool[0].held.due
	}
	return next
}

// Advance lets time pass, and returns what leaves now.
func (m *Machine) Advance(now time.Time) ([]Action, error) {
	if err := m.roll(now); err != nil {
		return nil, err
	}
	m.loops.advance(m, now)
	var out []Action
	for len(m.pool) > 0 && !m.pool[0].held.due.After(now) {
		m.level.change(now, len(m.pool))
		h := heap.Pop(&m.pool).(*held)
		m.left(h.source)
		if h.exit {
			h.action = m.reply(now, h)
		}
		if h.action.Kind == Deliver && h.action.To == m.cfg.ID {
			m.loops.back(m, h.action.Packet)
			continue
		}
		out = append(out, h.action)
	}
	return out, nil
}

// reply makes the reply to a packet that had its exit here.
func (m *Machine) reply(now time.Time, h *held) Action {
	delete(m.asked, h.order)
	if h.answer == nil {
		h.answer = &onion.Answer{Status: m.cfg.Failed, Time: uint32(now.Unix()), Box: m.randomBox()}
	}
	m.counts[Answered]++
	return Action{Kind: Send, To: h.surb.First, Packet: m.cfg.Onion.Reply(h.surb, *h.answer)}
}

// A pool is a heap of packets, by the time at which they leave.
type pool []place

// A place in the pool has what it is ordered by beside it: to look that up in each packet
// took most of a full pool's time.
type place struct {
	due   int64 // nanoseconds from 1970
	order uint64
	*held
}

// Len implements [heap.Interface].
func (p pool) Len() int { return len(p) }

// Less implements [heap.Interface].
func (p pool) Less(i, j int) bool {
	a, b := &p[i], &p[j]
	return a.due < b.due || a.due == b.due && a.order < b.order
}

// Swap implements [heap.Interface].
func (p pool) Swap(i, j int) { p[i], p[j] = p[j], p[i] }

// Push implements [heap.Interface].
func (p *pool) Push(x any) {
	h := x.(*held)
	*p = append(*p, place{h.due.UnixNano(), h.order, h})
}

// Pop implements [heap.Interface].
func (p *pool) Pop() any {
	last := len(*p) - 1
	h := (*p)[last].held
	(*p)[last] = place{}
	*p = (*p)[:last]
	return h
}
