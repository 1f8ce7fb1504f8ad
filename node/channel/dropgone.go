package channel

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A drop that left the network is replaced by whoever chose it: the inviter's and that of
// neither side by the inviter, the accepter's by the accepter. What is chosen is never chosen
// anew while it is in the network. Whose set changed says the whole of it, and so does each
// side when a session begins; nothing else is said, and no statement is answered as such
// (docs/spec/drop.md). Of a statement the sender's places tell what is to be taken, once it is
// seen that the relay which is there left, or may be believed; and the receiver's what was
// taken. Until then both go on at the two drops that are left.
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

// DropClashes reports whether a relay in a place of this side's is to give way: the inviter has
// it in a place of his, and nothing else keeps it from being taken there. [Conversation.ReplaceDrop]
// puts another one here, and takes it.
func (v *Conversation) DropClashes(now time.Time, place int) bool {
	if v.now = now; v.c.side != identity.Accepter || !v.ReplacesDrop(place) || !v.overDrops() {
		return false
	}
	_, due := v.due()
	return due == clashes
}

// NamedDrops returns the relays that may not take a place of this side's: those of the set, and
// what the other side has there by its last word. Else it would not be known of which time a
// word is that names it. What the other side is to have elsewhere is no reason: who says that
// he has many could leave only one to be drawn.
func (v *Conversation) NamedDrops(place int) []onion.ID {
	if v.drops.Set == nil {
		return nil
	}
	return append(slices.Clone(v.drops.Set.Relays[:]), v.drops.said[place])
}

// ReplaceDrop puts another relay, which is none of [Conversation.NamedDrops], in the place of one
// of this side's that left the network, or clashes.
func (v *Conversation) ReplaceDrop(now time.Time, gone, by onion.ID) *Output {
	v.begin(now)
	if !v.overDrops() || by == (onion.ID{}) {
		return v.end()
	}
	set := v.drops.Set.Relays
	if place := slices.Index(set[:], gone); place >= 0 && v.ReplacesDrop(place) && !slices.Contains(v.NamedDrops(place), by) {
		set[place] = by
		v.setRelays(set)
		v.takeSaid()
		v.sayDrops()
	}
	return v.end()
}

// sayDrops tells the other side the set as it is here: network 8, three relays 20 each.
func (v *Conversation) sayDrops() {
	s := v.drops.Set
	v.drops.unsaid = false
	v.control(wire.FrameDropGone, slices.Concat(s.Network[:], s.Relays[0][:], s.Relays[1][:], s.Relays[2][:]))
	v.saveDrops()
	v.saveSession()
	v.out.More = true
}

// dropGoneCame takes note of the set as the other side has it.
func (v *Conversation) dropGoneCame(content []byte) {
	var network identity.NetworkID
	if len(content) != len(network)+drop.SetSize*onion.IDSize || !v.overDrops() || identity.NetworkID(content) != v.drops.Set.Network {
		return
	}
	said := parseRelays(content[len(network):])
	if !differ(said) {
		return
	}
	o := &v.drops
	o.said = said
	for place, relay := range o.Set.Relays {
		if o.waiting(place) {
			v.mail.forget(relay)
		}
	}
	v.outOfMailbox()
	v.saveDrops()
	v.takeDrops()
}

// takeDrops takes what the other side has in places of its own, as far as it may be by now, and
// says so.
func (v *Conversation) takeDrops() {
	if v.overDrops() && (v.takeSaid() || v.drops.unsaid) {
		v.sayDrops()
	}
}

// takeSaid reports whether the set is another one now.
func (v *Conversation) takeSaid() bool {
	set, due := v.due()
	switch due {
	case believes:
		v.drops.believed = handshake.Hour(v.now)
	case sees:
	default:
		return false
	}
	v.setRelays(set)
	return true
}

// dueness is what is to be done about what the other side said.
type dueness byte

const (
	nothing  dueness = iota
	sees             // it is to be taken: the relays that were there are seen to have left
	believes         // likewise, and one of them is not
	clashes          // it would be, but a relay of it is in a place of this side's
)

// together are the places of the other side's that may be taken at once, the most first.
var together = map[identity.Side][][]int{
	identity.Accepter: {{0, 2}, {0}, {2}},
	identity.Inviter:  {{1}},
}

// due returns the set with the places of the other side's as it said, those that may be taken.
func (v *Conversation) due() (set [drop.SetSize]onion.ID, due dueness) {
	o := &v.drops
	for _, places := range together[v.c.side] {
		next, how := v.with(places)
		switch {
		case how == nothing:
		case differ(next):
			return next, how
		case next[0] != next[2]:
			due = clashes
		}
	}
	return o.Set.Relays, due
}

// with returns the set with some places as the other side said, and whether they may be taken
// as far as it goes by what is seen and believed. One relay is believed at a time, or that two
// of the set have changed places.
func (v *Conversation) with(places []int) (set [drop.SetSize]onion.ID, how dueness) {
	o, unseen, further := &v.drops, 0, 0
	set = o.Set.Relays
	for _, place := range places {
		if !o.waiting(place) {
			return set, nothing
		}
		gone, by := o.Set.Relays[place], o.said[place]
		if !v.cfg.Gone(o.Set.Network, gone) || v.cfg.Gone(o.Set.Network, by) {
			unseen++
		}
		if !slices.Contains(o.Set.Relays[:], by) {
			further++
		}
		set[place] = by
	}
	switch {
	case unseen == 0:
		return set, sees
	case o.mayBelieve(v.now) && (unseen == 1 || further == 0):
		return set, believes
	}
	return set, nothing
}

// waiting reports whether a place of the set may not be the same on both sides.
func (o *drops) waiting(place int) bool { return o.said[place] != o.Set.Relays[place] }

// setRelays changes the set. What relays have said that are in no place any more, or in another
// one, counts no longer.
func (v *Conversation) setRelays(relays [drop.SetSize]onion.ID) {
	o := &v.drops
	set := *o.Set
	for place, relay := range set.Relays {
		if relays[place] != relay {
			v.mail.forget(relay)
		}
	}
	set.Relays = relays
	o.Set = &set
	own := int(v.c.side) - 1
	o.Own, o.Peer = relays[own], relays[1-own]
	v.outOfMailbox()
	v.saveDrops()
}
