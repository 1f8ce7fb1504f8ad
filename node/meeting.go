package node

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

const (
	// meetingSlots are the slots of a meeting time (docs/spec/drop.md). In each time a
	// first contact has one box written, and some read when it is over.
	meetingSlots = 12
	// meetingStride is of how many times that were missed one is looked at first. Who
	// was on for an hour has written in one of them.
	meetingStride = 10
	// meetingErrands bounds the boxes of one meeting that wait to be got.
	meetingErrands = 8
	// roomForPuts is what gets leave free among the errands that wait.
	roomForPuts = 64
	// meetingTimes is how many times back a meeting is looked at, at most.
	meetingTimes = 1024
)

// meeting is what is kept of a first contact at a drop: which boxes were asked for, so
// that none is asked for twice, and when the last one was put.
type meeting struct {
	begun uint32 // the first time that counts
	put   uint32 // the last time in which a box was put
	asked [2]map[uint32]bool
	open  map[uint64]bool // errands that wait

	stride uint32 // see meetingStride; 1: none is looked at before a newer one

	// Of a reunion, in this run: times of which a get of one replica brought no answer, and
	// the other replica, which was not asked for.
	again map[uint32]int
}

// The boxes of a meeting, as meeting.asked counts them.
const (
	askedCards = iota
	askedAnswers
)

func kindOfAsked(r channel.Rendezvous) int {
	if r.Cards {
		return askedCards
	}
	return askedAnswers
}

const meetingVersion = 1

// append writes the record: version 1, begun 4, put 4, and for cards and answers the
// number 2 of times asked for and each as its distance 2 from begun.
func (t *meeting) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, meetingVersion), t.begun)
	b = binary.BigEndian.AppendUint32(b, t.put)
	for _, asked := range t.asked {
		b = binary.BigEndian.AppendUint16(b, uint16(len(asked)))
		for at := range asked {
			b = binary.BigEndian.AppendUint16(b, uint16(at-t.begun))
		}
	}
	return b
}

func parseMeeting(b []byte) (*meeting, error) {
	const fixed = 1 + 4 + 4
	if len(b) < fixed || b[0] != meetingVersion {
		return nil, channel.ErrRecord
	}
	t := newMeeting(binary.BigEndian.Uint32(b[1:]))
	t.put = binary.BigEndian.Uint32(b[5:])
	b = b[fixed:]
	for i := range t.asked {
		if len(b) < 2 || len(b)-2 < 2*int(binary.BigEndian.Uint16(b)) {
			return nil, channel.ErrRecord
		}
		n := int(binary.BigEndian.Uint16(b))
		for at := range slices.Chunk(b[2:2+2*n], 2) {
			t.asked[i][t.begun+uint32(binary.BigEndian.Uint16(at))] = true
		}
		b = b[2+2*n:]
	}
	return t, nil
}

func newMeeting(begun uint32) *meeting {
	return &meeting{begun: begun, asked: [2]map[uint32]bool{{}, {}}, open: map[uint64]bool{}, stride: meetingStride, again: map[uint32]int{}}
}

// forget drops what is too old to be at a drop.
func (t *meeting) forget(oldest uint32) {
	if oldest <= t.begun {
		return
	}
	t.begun = oldest
	for _, asked := range t.asked {
		for at := range asked {
			if at < oldest {
				delete(asked, at)
			}
		}
	}
	maps.DeleteFunc(t.again, func(at uint32, _ int) bool { return at < oldest })
}

// next returns the time that is looked at next, of those that are over: of the missed
// ones each tenth (of a reunion each), the newest first, and then the others. The newest four
// come first. Those that are passed over are left out.
func (t *meeting) next(kind int, last uint32, passed map[uint32]bool) (uint32, bool) {
	for _, fits := range []func(uint32) bool{
		func(at uint32) bool { return at+4 > last },
		func(at uint32) bool { return at%t.stride == 0 },
		func(uint32) bool { return true },
	} {
		for at := last; at >= t.begun && at+meetingTimes > last; at-- {
			if !t.asked[kind][at] && !passed[at] && fits(at) {
				return at, true
			}
		}
	}
	return 0, false
}

// meet does what first contacts at drops want done.
func (m *mail) meet(now time.Time) {
	slot, synced := m.machine.Slot()
	if !synced || m.view == nil {
		return
	}
	for id, p := range m.desk.people {
		w, ok := p.conversation.Meeting(now)
		if !ok {
			m.endMeeting(id)
			continue
		}
		m.attend(id, w, uint64(slot))
	}
}

func (m *line) meetingSlots() uint64 {
	if n := m.cfg.MeetingSlots; n > 0 {
		return uint64(n)
	}
	return meetingSlots
}

func (m *mail) endMeeting(id channel.ContactID) {
	if t := m.meetings[id]; t != nil {
		delete(m.meetings, id)
		_ = m.desk.commitOwn(store.Write{Key: store.Key{Kind: kindMeeting, Object: id}, Delete: true})
	}
}

// recordOf returns what is kept of a meeting, or a reunion, whose times have so many slots.
// A new one begins a time before now: the other side's clock may be behind.
func (m *mail) recordOf(all map[channel.ContactID]*meeting, kind store.Kind, id channel.ContactID, at uint32, slots uint64) *meeting {
	t := all[id]
	if t == nil {
		raw, err := m.desk.store.Get(store.Key{Kind: kind, Object: id})
		if err == nil {
			t, err = parseMeeting(raw)
		}
		if err != nil {
			t = newMeeting(at - min(at, 1))
		}
		if kind == kindReunion {
			t.stride = 1 // what is said there is said in each
		}
		all[id] = t
	}
	t.forget(at - min(at, uint32(m.network.Constants.Expiry/(time.Duration(slots)*m.slot)), meetingTimes))
	return t
}

// attend puts the box that is due, and asks for those of times that are over.
func (m *mail) attend(id channel.ContactID, w channel.Meeting, slot uint64) {
	if _, there := m.view.Member(w.Drop); !there {
		return // else its boxes would count as asked for
	}
	slots := m.meetingSlots()
	at := uint32(slot / slots)
	t := m.recordOf(m.meetings, kindMeeting, id, at, slots)
	// What is put in the last third of a time could wait for a lane until it is over.
	if w.Write != nil && t.put != at && slot%slots < slots-slots/3 && m.machine.Room() > 0 {
		t.put = at
		number := uint64(0)
		if w.Write.Numbers > 1 {
			number = uint64(m.below(w.Write.Numbers))
		}
		keys := meetingKeys(*w.Write, w.Write.Direction, at, number)
		control := drop.Control{Flags: wire.FlagFlight}
		m.run(errandOf{id: id, at: at}, t, relayed.Errand{
			Command: onion.Put, Drop: w.Drop, Keys: keys, Control: control, Cell: w.Cell, Until: cadence.Slot(uint64(at+1)*slots - 1),
		})
	}
	lag := uint64(m.machine.Lag()) + 2
	if slot < lag+slots {
		return
	}
	last := uint32((slot-lag)/slots) - 1
	for _, r := range answersFirst(w.Read) {
		kind := kindOfAsked(r)
		for len(t.open) < meetingErrands && m.machine.Room() > roomForPuts {
			over, ok := t.next(kind, last, nil)
			if !ok {
				break
			}
			t.asked[kind][over] = true
			for n := range r.Numbers {
				m.run(errandOf{id: id, get: true, kind: kind, at: over}, t, relayed.Errand{
					Command: onion.Get, Drop: w.Drop, Keys: meetingKeys(r, r.Direction, over, uint64(n)),
				})
			}
		}
	}
}

// answersFirst puts answers before cards: there is one of them in a time, and four boxes
// of cards, which would keep it waiting until it is too late for the next flight.
func answersFirst(all []channel.Rendezvous) []channel.Rendezvous {
	slices.SortStableFunc(all, func(a, b channel.Rendezvous) int { return kindOfAsked(b) - kindOfAsked(a) })
	return all
}

func meetingKeys(r channel.Rendezvous, d drop.Direction, at uint32, number uint64) drop.Keys {
	hour := drop.HourKey(r.Root, at)
	defer hour.Wipe()
	return drop.DeriveKeys(hour, d, number, 0)
}

// errandOf says whose an errand is.
type errandOf struct {
	id      channel.ContactID
	reunion bool
	get     bool
	kind    int // of a get, as meeting.asked counts them
	at      uint32
	replica int  // of a reunion's get
	second  bool // the other replica was asked for before
}

// run gives the machine an errand, after what is kept of the meeting was staged: its
// packet waits for that. The caller has seen that there is room.
func (m *mail) run(of errandOf, t *meeting, e relayed.Errand) {
	w := store.Write{Key: store.Key{Kind: kindMeeting, Object: of.id}, Value: t.append(nil)}
	if of.reunion {
		w.Key.Kind = kindReunion
	}
	if m.desk.commitOwn(w) != nil {
		return
	}
	m.errand++
	e.Number = m.errand
	if m.machine.Run(e) == nil {
		m.errands[e.Number] = of
		if of.get {
			t.open[e.Number] = true
		}
	}
}

// done hands the boxes of meetings and reunions to their conversations.
func (m *mail) done(all []relayed.Done) {
	now := m.desk.cfg.Now()
	for _, d := range all {
		of, ok := m.errands[d.Number]
		delete(m.errands, d.Number)
		p, records := m.desk.people[of.id], m.meetings
		if of.reunion {
			records = m.reunions
		}
		if t := records[of.id]; t != nil && ok {
			delete(t.open, d.Number)
			t.cameBack(of, d)
		}
		switch {
		case !ok || p == nil || d.Cell == nil || d.Control.Flags != wire.FlagFlight:
		case of.reunion:
			_ = m.desk.apply(p, p.conversation.Reunited(now, m.reunionBegan(of.at), d.Cell))
		default:
			_ = m.desk.apply(p, p.conversation.Met(now, d.Cell, m.third))
		}
	}
}

// cameBack has a get of a reunion that never left asked for again. Of one that left, and was
// not answered, it is the other replica: no address is asked for twice. Of a meeting's, four
// go together, and some of them may have left.
func (t *meeting) cameBack(of errandOf, d relayed.Done) {
	unanswered := d.Status == 0 || d.Status == drop.Failed
	switch {
	case !of.get || !of.reunion:
	case d.Unsent && of.second:
		t.again[of.at] = of.replica
	case d.Unsent:
		delete(t.asked[of.kind], of.at)
	case unanswered && !of.second && of.at >= t.begun:
		t.again[of.at] = 1 - of.replica
	}
}

// putAside has reunion boxes that were to be asked for, and were not when the machine ends,
// asked for in the next run. Of a meeting's, four go together, and some of them may have left.
func (m *mail) putAside() {
	changed := map[channel.ContactID]*meeting{}
	for _, number := range m.machine.Unsent() {
		of, ok := m.errands[number]
		if t := m.reunions[of.id]; ok && t != nil && of.reunion && of.get && !of.second {
			delete(t.asked[of.kind], of.at)
			changed[of.id] = t
		}
	}
	for id, t := range changed {
		_ = m.desk.commitOwn(store.Write{Key: store.Key{Kind: kindReunion, Object: id}, Value: t.append(nil)})
	}
}

// otherDrop draws this side's choice, which is not the drop where the two meet.
func (m *mail) otherDrop(at onion.ID) (onion.ID, error) {
	if id, ok := m.chooseDrop(at); ok {
		return id, nil
	}
	return onion.ID{}, ErrNoView
}

// third draws the drop of neither side for two who meet.
func (m *mail) third(inviter, accepter onion.ID) (onion.ID, bool) {
	if m.view == nil || inviter == accepter {
		return onion.ID{}, false
	}
	if _, ok := m.view.Member(accepter); !ok {
		return onion.ID{}, false
	}
	root := m.draw()
	defer root.Wipe()
	return relayed.Neutral(m.view, root, inviter, accepter)
}

// meetingPlace is where a new invitation lets people meet, if the relay network is in
// use.
func (m *mail) meetingPlace() (identity.Place, onion.ID, bool) {
	if m == nil || m.view == nil {
		return identity.Place{}, onion.ID{}, false
	}
	id, ok := m.chooseDrop()
	return identity.DropPlace(identity.RelayID(id)), id, ok
}
