package drop

import (
	"testing"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// TestAskedByAnother: who does not know an address gets from a drop that holds boxes what he
// gets from one that holds none: with an address that is nearly right, with the write key or
// the box itself in its place, and again and again. Nothing that he asks changes what the
// owner gets.
func TestAskedByAnother(t *testing.T) {
	held, empty := mustOpen(t, testConfig(t, newClock())), mustOpen(t, testConfig(t, newClock()))
	mustPut(t, held, 1, 2, 3)
	right := address(1)
	var asked []drop.Address
	for bit := range 8 * len(right) {
		near := right
		near[bit/8] ^= 1 << (bit % 8)
		asked = append(asked, near)
	}
	w, box := numbered(1)
	twice := drop.AddressOf(right[:])
	asked = append(asked, w, drop.Address(box[:]), twice, drop.Address{}, address(4), address(4))
	seen := map[drop.Box]bool{}
	for _, a := range asked {
		body := onion.Body{Command: onion.Get, Key: a, Box: new(drop.Box)}
		x, y := held.Answer(t.Context(), body), empty.Answer(t.Context(), body)
		if x.Status != y.Status || x.Time != y.Time || x.Status != byte(drop.None) || x.Box == nil || y.Box == nil {
			t.Errorf("%x: %d at %d, and %d at %d when it is empty", a[:4], x.Status, x.Time, y.Status, y.Time)
			continue
		}
		if seen[*x.Box] || *x.Box == *box {
			t.Errorf("%x: a box that is no fresh noise", a[:4])
		}
		seen[*x.Box] = true
	}
	wantFound(t, held, 1, 2, 3)
	if x, y := held.Count(onion.Get, drop.None), empty.Count(onion.Get, drop.None); x != y {
		t.Errorf("%d and %d are counted", x, y)
	}
}

// TestTokensAreForOnePut: work that was done for one put counts for no other one, and at no
// other drop.
func TestTokensAreForOnePut(t *testing.T) {
	const bits = 8
	here, elsewhere := onion.ID{1}, onion.ID{2}
	policy := Work{Most: bits}
	first, _ := numbered(1)
	token, ok := drop.Work(here, first[:], bits, 1<<20)
	if !ok || !policy.Admit(1, here, first[:], token) {
		t.Fatal("work is not taken where it was done for")
	}
	taken := 0
	for n := range uint64(200) {
		other, _ := numbered(n + 2)
		if policy.Admit(1, here, other[:], token) {
			taken++
		}
	}
	if policy.Admit(1, elsewhere, first[:], token) {
		taken++
	}
	if taken > 6 { // by chance one in 256
		t.Errorf("work for one put is taken for %d others of 201", taken)
	}
	if none := (drop.Token{}); policy.Admit(1, here, first[:], none) && none.Bits(here, first[:]) < bits {
		t.Error("no work is taken for work")
	}
}
