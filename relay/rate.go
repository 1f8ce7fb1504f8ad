package relay

import (
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Frames in a slot, on one link and in one direction.
const (
	leastRate = 32
	mostRate  = 1 << 17
	headroom  = 4
)

// Rate returns how many frames a link of two members carries in a slot of an epoch, each way
// (docs/spec/link.md, section 2). It follows from the view alone.
func Rate(v *directory.View, slot time.Duration, a, b onion.ID) int {
	want := max(share(v, slot, a), share(v, slot, b))
	rate := leastRate
	for int64(rate) < want && rate < mostRate {
		rate *= 2
	}
	return rate
}

// share is what a member expects on each of its links, with room above it.
func share(v *directory.View, slot time.Duration, id onion.ID) int64 {
	m, ok := v.Member(id)
	if !ok {
		return 0
	}
	var links int64
	for _, other := range v.Members() {
		if other.ID != id && v.Linked(id, other.ID) {
			links++
		}
	}
	below := m.Mean.Milliseconds() * links
	if below == 0 {
		return 0
	}
	return (headroom*int64(m.Pool)*slot.Milliseconds() + below - 1) / below
}
