package node

import (
	"maps"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// reunionTimes is how many meeting times there are to a reunion time (docs/spec/drop.md).
// Every contact's is looked at, and hardly ever is there anything.
const reunionTimes = 10

// passedMost is how many times that cannot be asked for now are passed over at once, for older
// ones: as many as drops keep at the usual constants.
const passedMost = 128

// reunite looks where contacts are to be found again that have lost their session, and
// says there what is to be said.
func (m *mail) reunite(now time.Time) {
	slot, synced := m.machine.Slot()
	if !synced || m.view == nil {
		return
	}
	slots := m.meetingSlots() * reunionTimes
	at := uint32(uint64(slot) / slots)
	for id, p := range m.desk.people {
		w, ok := p.conversation.Reunion(now, at)
		if !ok || w.Set.Network != m.network.ID() {
			m.endReunion(id)
			continue
		}
		m.attendReunion(p, w, uint64(slot), slots)
	}
}

func (m *mail) endReunion(id channel.ContactID) {
	if t := m.reunions[id]; t != nil {
		delete(m.reunions, id)
		_ = m.desk.commitOwn(store.Write{Key: store.Key{Kind: kindReunion, Object: id}, Delete: true})
	}
}

// attendReunion puts the box that is due in this time, both replicas, and asks for one of
// each time that is over: which, is drawn, since what is to be said is said in each time. If
// no answer comes it asks for the other one. What cannot be reached now is asked for later.
func (m *mail) attendReunion(p *person, w channel.Reunion, slot, slots uint64) {
	id, at := p.conversation.ID(), uint32(slot/slots)
	t := m.recordOf(m.reunions, kindReunion, id, at, slots)
	if w.Write != nil && t.put != at && slot%slots < slots-slots/3 && m.machine.Room() >= drop.Replicas {
		t.put = at
		for replica := range drop.Replicas {
			if e, ok := m.reunionErrand(p, w, w.Own, at, slots, replica); ok {
				e.Command, e.Control, e.Cell = onion.Put, drop.Control{Flags: wire.FlagFlight}, w.Write
				e.Until = cadence.Slot(uint64(at+1)*slots - 1)
				m.run(errandOf{id: id, reunion: true, at: at}, t, e)
			}
		}
	}
	lag := uint64(m.machine.Lag()) + 2
	if slot < lag+slots {
		return
	}
	last := uint32((slot-lag)/slots) - 1
	get := func(of errandOf) bool {
		e, ok := m.reunionErrand(p, w, w.Theirs, of.at, slots, of.replica)
		if ok {
			of.id, of.reunion, of.get, of.kind = id, true, true, askedAnswers
			t.asked[askedAnswers][of.at] = true
			e.Command, e.Until = onion.Get, cadence.Slot(slot+slots)
			m.run(of, t, e)
		}
		return ok
	}
	room := func() bool { return len(t.open) < meetingErrands && m.machine.Room() > roomForPuts }
	passed := map[uint32]bool{} // neither replica can be reached now
	for room() && len(passed) < passedMost {
		over, ok := t.next(askedAnswers, last, passed)
		if !ok {
			break
		}
		first := m.below(drop.Replicas)
		if !get(errandOf{at: over, replica: first}) && !get(errandOf{at: over, replica: 1 - first}) {
			passed[over] = true
		}
	}
	for _, over := range slices.Backward(slices.Sorted(maps.Keys(t.again))) {
		if room() && get(errandOf{at: over, replica: t.again[over], second: true}) {
			delete(t.again, over)
		}
	}
}

// reunionBegan returns when a reunion time began.
func (m *mail) reunionBegan(at uint32) time.Time {
	return time.Unix(0, int64(uint64(at)*m.meetingSlots()*reunionTimes)*int64(m.slot))
}

// reunionErrand says where a replica of a time lies, if that drop is there and is not the
// guard in use: no way leads from a relay to itself, and a contact, who chooses drops, must not
// move the guard. The other replica is at another drop.
func (m *mail) reunionErrand(p *person, w channel.Reunion, d drop.Direction, at uint32, slots uint64, replica int) (e relayed.Errand, ok bool) {
	day, ok := p.conversation.ReunionKey(drop.DayAt(time.Duration(uint64(at)*slots) * m.slot))
	if !ok {
		return e, false
	}
	defer day.Wipe()
	key := drop.HourKey(day, at)
	defer key.Wipe()
	e.Drop = w.Set.Relays[drop.Pair(key, d, 0)[replica]]
	if _, ok = m.view.Member(e.Drop); !ok || e.Drop == m.machine.Guard() {
		return e, false
	}
	e.Keys, e.Stay = drop.DeriveKeys(key, d, 0, replica), true
	return e, true
}
