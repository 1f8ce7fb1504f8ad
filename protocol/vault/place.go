package vault

// The rule that hides deeper levels; docs/spec/vault.md, section Placement. It is
// kept apart from everything that is sealed, as one pure function.

// demand is what one level asks of a tick.
type demand struct {
	holds func(slot uint32) bool // a live block of the level lies there
	fresh func(room int) int     // how many new blocks it places, of so many at most
}

// assignment is what the level gets.
type assignment struct {
	fresh []uint32          // slots of its new blocks
	moved map[uint32]uint32 // live blocks that a shallower level has hit: from, to
}

// assign shares the touched slots out, the shallowest level first. Its new blocks
// go to touched slots where none of its own lies, each as likely as another and
// whatever deeper levels have there. Then comes the next level among what is
// left, and first of all it moves its own blocks that were hit.
//
// The result for a level depends on that level, on shallower ones and on the
// coins. It reports false if a level's blocks that were hit find no place.
func assign(touched []uint32, demands []demand, draw func(level int) stream) ([]assignment, bool) {
	taken := make(map[uint32]bool, len(touched))
	out := make([]assignment, len(demands))
	for level, d := range demands {
		var hit, open, stay []uint32
		for _, slot := range touched {
			switch holds := d.holds(slot); {
			case holds && taken[slot]:
				hit = append(hit, slot)
			case holds:
				stay = append(stay, slot)
			case !taken[slot]:
				open = append(open, slot)
			}
		}
		room := len(open) - len(hit)
		if room < 0 {
			return nil, false
		}
		n := len(hit) + d.fresh(room)
		moved := make(map[uint32]uint32, len(hit))
		for i, at := range draw(level).choose(uint32(len(open)), uint32(n)) {
			slot := open[at]
			taken[slot] = true
			if i < len(hit) {
				moved[hit[i]] = slot
			} else {
				out[level].fresh = append(out[level].fresh, slot)
			}
		}
		for _, slot := range stay {
			taken[slot] = true
		}
		out[level].moved = moved
	}
	return out, true
}
