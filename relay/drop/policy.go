package drop

import (
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A Policy says which puts a drop takes, beside its bounds. It knows nothing of who
// puts: there is nothing to know.
type Policy interface {
	// Admit judges the token of a put. load is how much of the room that may be taken by
	// now is taken: 0 empty, 1 full.
	Admit(load float64, here onion.ID, writeKey []byte, token drop.Token) bool
}

// Free takes every put.
type Free struct{}

// Admit implements [Policy].
func (Free) Admit(float64, onion.ID, []byte, drop.Token) bool { return true }

// Work wants work when room gets short: none below half, then one bit more for each
// equal part of the other half, up to Most. Each bit doubles what filling the drop
// costs; who writes a box in each period hardly notices.
type Work struct{ Most int }

// Admit implements [Policy].
func (w Work) Admit(load float64, here onion.ID, writeKey []byte, token drop.Token) bool {
	want := int((load - 0.5) * 2 * float64(w.Most+1))
	return want <= 0 || token.Bits(here, writeKey) >= min(want, w.Most)
}

// room is how many boxes a day may hold when so much of it has passed: what has come
// due, and an eighth. So nobody can take a day's share at its beginning.
func room(quota int64, passed float64) int64 {
	return min(quota, int64(float64(quota)*passed)+(quota+7)/8)
}
