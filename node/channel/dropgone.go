package channel

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A drop that left the network is replaced by whoever chose it: the inviter's and that of
// neither side by the inviter, the accepter's by the accepter. What is chosen is told in the
// session, and never chosen anew while it is in the network. Until the other side knows, it
// goes on at the two drops that are left, so the two may know of it at different times.

// ReplacesDrop reports whether a place of the set is this side's to fill.
func (v *Conversation) ReplacesDrop(place int) bool { return replaces(v.c.side, place) }

func replaces(side identity.Side, place int) bool {
	return (side == identity.Accepter) == (int(identity.Accepter)-1 == place)
}

// ReplaceDrop puts another relay in the place of one of the set that left the network.
func (v *Conversation) ReplaceDrop(now time.Time, gone, by onion.ID) *Output {
	v.begin(now)
	if v.overDrops() && v.putInPlace(v.c.side, gone, by) {
		v.control(wire.FrameDropGone, slices.Concat(v.drops.Set.Network[:], gone[:], by[:]))
		v.saveSession()
		v.out.More = true
	}
	return v.end()
}

// dropGoneCame takes what the other side has put in a place of its own.
func (v *Conversation) dropGoneCame(content []byte) {
	var network identity.NetworkID
	if len(content) != len(network)+2*onion.IDSize || !v.overDrops() || identity.NetworkID(content) != v.drops.Set.Network {
		return
	}
	ids := content[len(network):]
	v.putInPlace(v.c.side.Other(), onion.ID(ids), onion.ID(ids[onion.IDSize:]))
}

// putInPlace changes the set, if that side may and three different relays are left.
func (v *Conversation) putInPlace(side identity.Side, gone, by onion.ID) bool {
	o := &v.drops
	place := slices.Index(o.Set.Relays[:], gone)
	if place < 0 || !replaces(side, place) || by == (onion.ID{}) || slices.Contains(o.Set.Relays[:], by) {
		return false
	}
	set := *o.Set
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
	return true
}

// owedGone returns what the other side may not know of drops that were replaced.
func (v *Conversation) owedGone() (all [][]byte) {
	if v.s == nil {
		return nil
	}
	for _, n := range v.unacknowledged() {
		if f, err := wire.ParseFrame(v.sealed[n].body[:]); err == nil && f.Kind == wire.FrameDropGone {
			all = append(all, slices.Clone(f.Content))
		}
	}
	for _, c := range v.s.controls {
		if c.kind == wire.FrameDropGone {
			all = append(all, c.content)
		}
	}
	return all
}
