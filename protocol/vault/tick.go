package vault

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A Vault is a store with some of its levels open.
type Vault struct {
	geometry Geometry
	store    [32]byte
	keks     []secret.Key
	second   secret.Key // zero: there is none
	roots    []secret.Key
	levels   []*Level
	owner    map[uint32]*block // live block in a slot, of any open level
	tick     uint64
	chain    chain
}

// A Change is a slot that a tick rewrites.
type Change struct {
	Index uint32
	Slot  *Slot
}

// Depth returns how many levels are open, at least 1.
func (v *Vault) Depth() int { return len(v.levels) }

// Level returns an open level; 0 is the shallowest.
func (v *Vault) Level(n int) *Level { return v.levels[n] }

// Ticks returns the number of the last tick. A caller who keeps it elsewhere, too,
// finds out with it that the slots were put back as a whole.
func (v *Vault) Ticks() uint64 { return v.tick }

// CountKey is for sealing that number elsewhere. It comes from level 0, so that
// every session can read and write it, and changes with every refresh.
func (v *Vault) CountKey() secret.Key { return label.DeriveKey(label.VaultCount, v.roots[0]) }

// Tick returns new bytes for K slots, in ascending order, which the caller writes
// in one transaction or not at all: then it throws the Vault away. The coins are
// fresh in every call. After ErrRedraw nothing has changed.
func (v *Vault) Tick(coins *Coins) ([]Change, error) {
	demands := make([]demand, len(v.levels))
	for n, l := range v.levels {
		l.freeze(coins.stream("keys", n))
		demands[n] = demand{
			holds: func(slot uint32) bool { b := v.owner[slot]; return b != nil && b.level == n },
			fresh: l.want,
		}
	}
	touched := coins.stream("touch", 0).choose(v.geometry.Slots, v.geometry.Touch)
	slices.Sort(touched)
	shares, ok := assign(touched, demands, func(level int) stream { return coins.stream("place", level) })
	if !ok {
		return nil, ErrRedraw
	}
	v.tick++
	v.settle(touched, shares)
	return v.sealAll(coins, touched), nil
}

// settle puts every block where the tick has assigned it.
func (v *Vault) settle(touched []uint32, shares []assignment) {
	after := make(map[uint32]*block, len(touched))
	for n, share := range shares {
		for _, slot := range touched {
			if b := v.owner[slot]; b != nil && b.level == n {
				to, moves := share.moved[slot]
				if !moves {
					to = slot
				}
				after[to] = b
			}
		}
		for i, b := range v.levels[n].take(len(share.fresh), v.tick) {
			after[share.fresh[i]] = b
			v.chain.add(b.plain)
		}
	}
	for _, slot := range touched {
		delete(v.owner, slot)
	}
	for slot, b := range after {
		b.slot = slot
		v.owner[slot] = b
	}
	for _, l := range v.levels {
		for _, b := range l.retired {
			if v.owner[b.slot] == b {
				delete(v.owner, b.slot)
			}
		}
		l.retired = nil
	}
}

// sealAll seals what lies in the given slots. A slot that holds nothing is made
// in the same way under keys that nobody keeps, and takes as long.
func (v *Vault) sealAll(coins *Coins, slots []uint32) []Change {
	draw, none := v.chain.seals(coins)
	defer none.wipe()
	changes := make([]Change, len(slots))
	for i, slot := range slots {
		changes[i] = Change{slot, v.sealOne(slot, draw, none)}
	}
	return changes
}

func (v *Vault) sealOne(slot uint32, draw stream, none *slotKeys) *Slot {
	b := v.owner[slot]
	if b == nil {
		b = &block{plain: new(plain), keys: none}
	}
	drawn := draw.next()
	return b.keys.sealSlot(b.bodyKey(), place(&v.store, slot), &drawn, b.plain)
}

// Wipe clears the keys and records, as far as Go lets one. The Vault is not to be
// used after that.
func (v *Vault) Wipe() {
	for _, b := range v.owner {
		b.keys.wipe()
	}
	for _, l := range v.levels {
		l.wipe()
	}
	for _, k := range append(v.keks, v.roots...) {
		k.Wipe()
	}
	v.second.Wipe()
	v.levels, v.owner = nil, nil
}
