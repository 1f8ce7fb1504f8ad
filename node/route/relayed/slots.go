package relayed

import (
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/onion"
)

// slotState is the slot that the machine is in.
type slotState struct {
	number  cadence.Slot
	begin   time.Time // on this machine's clock
	length  time.Duration
	plan    []step
	beside  onion.ID // of the packet that leaves now
	writers [cadence.Lanes]cadence.Turn
	readers [cadence.Lanes]cadence.Turn
	lanes   [cadence.Lanes]laneState
	synced  bool
	running bool
	replies int // that came in it
	sent    int
}

func (s *slotState) end() time.Time { return s.begin.Add(s.length) }

// grace is how late a packet may leave. What is later was slept through, and does not
// leave at all.
func (m *Machine) grace() time.Duration { return m.cfg.Constants.Slot / 40 }

// Tick sends what is due. Call it at the time that Next returned, or at any other.
func (m *Machine) Tick(now time.Time) *Output {
	m.begin()
	m.abandon(now)
	if m.view == nil {
		m.slot.running = false
		return m.end()
	}
	if !m.slot.running || !now.Before(m.slot.end()) || now.Before(m.slot.begin.Add(-m.cfg.Constants.Slot)) {
		m.enter(now)
	}
	for len(m.slot.plan) > 0 {
		e := m.slot.plan[0]
		late := now.Sub(m.slot.begin.Add(e.At))
		if late < 0 {
			break
		}
		m.slot.plan = m.slot.plan[1:]
		if late > m.grace() || !m.linked() {
			m.skipped++
			continue
		}
		m.slot.beside = e.beside
		m.emit(now, e.Emission)
	}
	return m.end()
}

// Next returns when Tick has something to do next.
func (m *Machine) Next(now time.Time) time.Time {
	switch {
	case m.view == nil:
		return now.Add(time.Hour)
	case !m.slot.running:
		return now
	case len(m.slot.plan) > 0:
		return m.slot.begin.Add(m.slot.plan[0].At)
	}
	return m.slot.end()
}

// Skipped returns how many packets did not leave because their moment had passed, or
// there was no guard.
func (m *Machine) Skipped() int { return m.skipped }

// Slot returns the number of the slot that the machine is in, and whether it goes by
// the clocks of relays already.
func (m *Machine) Slot() (cadence.Slot, bool) { return m.slot.number, m.slot.synced }

// Lag returns how many slots after its end a period is read at the earliest.
func (m *Machine) Lag() cadence.Slot { return m.lag }

// maxBack is how many slots a clock may be put back and be followed by longer slots.
// What is more is jumped over; what was written and read is known by its period.
const maxBack = 16

// maxAhead is how far the relays' clocks may be from this machine's. Beyond, it reads
// and writes nothing until a person has looked.
const maxAhead = 36 * time.Hour

// enter begins a slot now. It ends when the relays' clocks say so; but a slot is not
// made shorter than half and not longer than one and a half by that, so that all its
// packets leave in it: clocks that were set are followed in the time of some slots.
func (m *Machine) enter(now time.Time) {
	ahead, synced := m.clocks.ahead(now, len(m.view.Members()))
	if synced && m.slot.synced && (ahead-m.ahead).Abs() < m.cfg.Constants.Slot/8 {
		ahead = m.ahead // readings vary; slots need not
	}
	m.ahead = ahead
	if ahead.Abs() > maxAhead {
		// Relays that lie together could else have all keys of days erased.
		synced = false
		if now.Sub(m.guards.clockTold) >= alarmEvery {
			m.guards.clockTold = now
			m.notice(ClockOff, ContactID{})
		}
	}
	length := m.cfg.Constants.Slot
	number, passed := cadence.At(time.Duration(now.Add(ahead).UnixNano()), length)
	if passed >= length/2 {
		number++
		passed -= length
	}
	if last := m.slot.number; m.slot.running && m.slot.synced == synced && number <= last && last-number < maxBack {
		passed -= time.Duration(last+1-number) * length
		number = last + 1
	}
	m.judge(now)
	for _, l := range m.slot.lanes {
		l.seal.Wipe()
	}
	m.slot = slotState{
		number: number, begin: now, synced: synced, running: true,
		length: min(max(length-passed, length/2), length+length/2),
	}
	if synced {
		m.forget()
		m.giveBack()
	}
	periods := make([]cadence.Period, len(m.contacts))
	for i, c := range m.contacts {
		periods[i] = c.period
	}
	m.slot.writers = cadence.Writers(m.seed, periods, number)
	m.slot.readers = cadence.Readers(m.seed, periods, number, m.lag)
	for lane := range m.slot.lanes {
		m.slot.lanes[lane] = m.planLane(lane)
	}
	m.slot.plan = m.plan()
}
