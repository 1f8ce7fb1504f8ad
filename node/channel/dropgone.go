package channel

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A drop that left the network is replaced by whoever chose it: the inviter's and that of
// neither side by the inviter, the accepter's by the accepter. What is chosen is told in the
// session, and never chosen anew while it is in the network. Until the other side has taken
// it, it goes on at the two drops that are left (docs/spec/drop.md):
//
//	replaces it, waits ──drop gone──> keeps it, waits: sees that the drop left, or may believe it
//	goes on            <──drop gone── takes it
//
// A writer never puts a box at its own guard. So who could name one drop after the other would
// find the guard of his contact; what cannot be seen to be so is believed seldom.

// believeEvery is how many hours lie between two changes of the drops for which there is only
// the other side's word: that one left, or that a session has none. What waits for the later
// one of two is in use before what was said meanwhile expires.
const believeEvery = 10 * 24

// mayBelieve reports whether such a change may be. A clock that was far ahead when the last one
// was does not stop the next.
func (o *drops) mayBelieve(now time.Time) bool {
	hour := handshake.Hour(now)
	return o.believed == 0 || hour >= o.believed+believeEvery || o.believed > hour+24
}

// ReplacesDrop reports whether a place of the set is this side's to fill.
func (v *Conversation) ReplacesDrop(place int) bool { return replaces(v.c.side, place) }

func replaces(side identity.Side, place int) bool {
	return (side == identity.Accepter) == (int(identity.Accepter)-1 == place)
}

// DropWaits reports whether a place of the set may not be the same on both sides: one of this
// side's is not to be filled again before the other side has it.
func (v *Conversation) DropWaits(place int) bool { return v.drops.waiting(place) }

// ReplaceDrop puts another relay in the place of one of the set that left the network, unless
// that place waits, or the other relay may be in one on the other side.
func (v *Conversation) ReplaceDrop(now time.Time, gone, by onion.ID) *Output {
	v.begin(now)
	if v.overDrops() {
		place := slices.Index(v.drops.Set.Relays[:], gone)
		if place >= 0 && v.ReplacesDrop(place) && !v.drops.waiting(place) && v.drops.isFree(by) {
			v.replace(place, by)
		}
	}
	return v.end()
}

// isFree reports whether a relay may take a place: it is not in the set, and neither side may
// have it there still. Else an answer that names it could be of either place.
func (o *drops) isFree(by onion.ID) bool {
	return by != (onion.ID{}) && !slices.Contains(o.Set.Relays[:], by) && !slices.Contains(o.waits[:], by)
}

// replace fills a place of this side's, and tells the other side.
func (v *Conversation) replace(place int, by onion.ID) {
	gone := v.drops.Set.Relays[place]
	v.putInPlace(place, by)
	v.drops.waits[place] = gone
	v.saveDrops()
	v.tellReplaced(gone, by)
}

// tellReplaced queues the frame. Of a relay that takes a place the last one counts.
func (v *Conversation) tellReplaced(gone, by onion.ID) {
	v.s.controls = slices.DeleteFunc(v.s.controls, func(c controlFrame) bool {
		return c.kind == wire.FrameDropGone && onion.ID(c.content[len(c.content)-onion.IDSize:]) == by
	})
	v.control(wire.FrameDropGone, slices.Concat(v.drops.Set.Network[:], gone[:], by[:]))
	v.saveSession()
	v.out.More = true
}

// tellReplacedAgain says in a new session what the other side may not have taken yet.
func (v *Conversation) tellReplacedAgain() {
	for place, gone := range v.drops.waits {
		if v.ReplacesDrop(place) && v.drops.waiting(place) {
			v.tellReplaced(gone, v.drops.Set.Relays[place])
		}
	}
}

// dropGoneCame handles what the other side has put in a place of its own, or that it has taken
// what this side has.
func (v *Conversation) dropGoneCame(content []byte) {
	var network identity.NetworkID
	if len(content) != len(network)+2*onion.IDSize || !v.overDrops() || identity.NetworkID(content) != v.drops.Set.Network {
		return
	}
	o, ids := &v.drops, content[len(network):]
	gone, by := onion.ID(ids), onion.ID(ids[onion.IDSize:])
	theirs := func(place int) bool { return place >= 0 && !v.ReplacesDrop(place) }
	at, has := slices.Index(o.Set.Relays[:], gone), slices.Index(o.Set.Relays[:], by)
	switch {
	case by == onion.ID{}:
	case has >= 0 && v.ReplacesDrop(has) && o.waiting(has) && o.waits[has] == gone:
		o.waits[has] = onion.ID{}
		v.saveDrops()
	case theirs(has):
		if o.waits[has] == gone { // what was to take its place is taken back
			o.waits[has] = onion.ID{}
			v.saveDrops()
		}
		v.tellReplaced(gone, by)
	case theirs(at):
		o.waits[at] = by
		v.mail.forget(gone)
		v.outOfMailbox()
		v.saveDrops()
		v.takeDrops()
	}
}

// takeDrops takes what the other side has put in places of its own, where this side sees that
// the relay which was there left the network, or may believe it.
func (v *Conversation) takeDrops() {
	if !v.overDrops() {
		return
	}
	o := &v.drops
	for place, by := range o.waits {
		gone := o.Set.Relays[place]
		if v.ReplacesDrop(place) || !o.waiting(place) {
			continue
		}
		seen := v.cfg.Gone(o.Set.Network, gone)
		if !seen && !o.mayBelieve(v.now) || !v.makesRoom(by) {
			continue
		}
		if !seen {
			o.believed = handshake.Hour(v.now)
		}
		o.waits[place] = onion.ID{}
		v.putInPlace(place, by)
		v.tellReplaced(gone, by)
	}
}

// makesRoom reports whether a relay is in no place of the set. If both have chosen it, it stays
// with the inviter; the accepter puts back what was there before, and chooses anew.
func (v *Conversation) makesRoom(by onion.ID) bool {
	o := &v.drops
	place := slices.Index(o.Set.Relays[:], by)
	if place < 0 {
		return true
	}
	if v.c.side == identity.Inviter || !v.ReplacesDrop(place) || !o.waiting(place) || slices.Contains(o.Set.Relays[:], o.waits[place]) {
		return false
	}
	v.replace(place, o.waits[place])
	return true
}

// waiting is DropWaits.
func (o *drops) waiting(place int) bool { return o.waits[place] != onion.ID{} }

// putInPlace changes the set.
func (v *Conversation) putInPlace(place int, by onion.ID) {
	o := &v.drops
	set, gone := *o.Set, o.Set.Relays[place]
	set.Relays[place] = by
	o.Set = &set
	v.mail.forget(gone)
	v.outOfMailbox()
	switch gone {
	case o.Own:
		o.Own = by
	case o.Peer:
		o.Peer = by
	}
	v.saveDrops()
}
