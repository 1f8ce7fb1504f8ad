package vault

// Sizes and limits; docs/spec/vault.md has the arithmetic behind them.
const (
	// SlotSize is the size of a slot in bytes.
	SlotSize = 4096
	// MaxLevels is how many levels a store can have.
	MaxLevels = 3
	// MinSlots is the smallest number of slots of a store.
	MinSlots = 8192
	// MaxSlots is the largest.
	MaxSlots = 262144
	// Touch is how many slots a tick rewrites.
	Touch = 128
	// Fresh is how many new blocks a level places in a tick, its head included.
	Fresh = 12
	// HeaderCopies is how many copies of its header a level keeps.
	HeaderCopies = 8

	share    = 8  // a level has at most one in so many slots
	maxSpare = 64 // blocks that a level keeps for both copies of pages in a long commit
	cleaning = 4  // pages that an idle tick rewrites to be rid of what was replaced
)

// A Geometry is how many slots a store has and how it ticks. It is written
// nowhere: the number of slots is counted, the rest is fixed by the version.
type Geometry struct {
	Slots uint32 // N
	Touch uint32 // K, slots rewritten by a tick
	Fresh int    // new blocks of a level in a tick, at most
}

// Standard returns the geometry of a store with so many slots.
func Standard(slots uint32) Geometry { return Geometry{Slots: slots, Touch: Touch, Fresh: Fresh} }

// Valid reports whether a geometry can hold levels. It allows small ones, for
// tests; whether a real store may have so few slots is for the caller to say.
func (g Geometry) Valid() bool {
	return g.Slots <= MaxSlots && g.Slots%share == 0 && g.Touch >= 1 && g.Touch <= g.Slots &&
		g.Fresh >= 2 && uint32(MaxLevels*g.Fresh) <= g.Touch && g.blocks() >= 4*HeaderCopies
}

// blocks is how many live blocks a level has at most.
func (g Geometry) blocks() int { return int(g.Slots) / share }

// spare is how many of them are kept for second copies.
func (g Geometry) spare() int { return min(maxSpare, g.blocks()/8) }

// Pages returns how many pages of records a level has at most.
func (g Geometry) Pages() int { return g.blocks() - HeaderCopies - 1 - g.spare() }
