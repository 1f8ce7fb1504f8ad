package cadence

import (
	"cmp"
	"slices"

	"github.com/backchannel/backchannel/protocol/secret"
)

// A Period is how many slots pass from one box of a contact to the next: 1, 2, 4
// or 8. It is a term of the channel, and does not depend on other contacts. Period
// number k is the slots from k·P on; nobody has a phase.
type Period Slot

// window is the longest period: lanes are planned for so many slots at a time.
const window = 8

// Valid reports whether p is one of the periods.
func (p Period) Valid() bool { return p == 1 || p == 2 || p == 4 || p == 8 }

// A Turn gives a lane to one contact for one of its periods.
type Turn struct {
	Contact int // its place in the list, or -1: the lane is idle, and writes to itself
	Period  uint64
}

// Writers returns whose boxes the lanes of a slot write: each contact once in each
// of its periods, as late in it as the lanes allow. If there are more contacts than
// lanes can serve, who must wait is drawn for each window of 8 slots.
func Writers(seed secret.Key, contacts []Period, slot Slot) [Lanes]Turn {
	return turns(plan(seed, "write", contacts, uint64(slot)/window, true), contacts, uint64(slot), 0)
}

// Readers returns whose boxes the lanes of a slot read: each period once, from lag
// slots after its end on, as early as the lanes allow.
func Readers(seed secret.Key, contacts []Period, slot, lag Slot) [Lanes]Turn {
	if slot < lag+window {
		return [Lanes]Turn{{Contact: -1}, {Contact: -1}}
	}
	v := uint64(slot - lag) // a period is read within the one after it, this much later
	return turns(plan(seed, "read", contacts, v/window, false), contacts, v, 1)
}

func turns(p [window][]int, contacts []Period, slot, back uint64) [Lanes]Turn {
	out := [Lanes]Turn{{Contact: -1}, {Contact: -1}}
	for lane, c := range p[slot%window] {
		out[lane] = Turn{c, slot/uint64(contacts[c]) - back}
	}
	return out
}

// A job is one box of one contact, to be placed in the slots [from, to) of a window.
type job struct {
	contact, from, to int
	rank              uint64 // drawn: who comes first where there is a choice
}

// plan says which contacts the lanes serve in each slot of a window.
func plan(seed secret.Key, purpose string, contacts []Period, number uint64, late bool) [window][]int {
	var all []job
	for c, p := range contacts {
		if !p.Valid() {
			panic("cadence: a period that cannot be")
		}
		for from := 0; from < window; from += int(p) {
			all = append(all, job{c, from, from + int(p), draw(seed, purpose, number, uint64(len(all)))})
		}
	}
	slices.SortFunc(all, func(a, b job) int { return cmp.Compare(a.rank, b.rank) })
	if late { // the mirror image of as early as possible
		for i, j := range all {
			all[i].from, all[i].to = window-j.to, window-j.from
		}
	}
	var admitted []job
	var best [window][]int
	for _, j := range all {
		if placed, ok := place(append(slices.Clip(admitted), j)); ok {
			admitted, best = append(admitted, j), placed
		}
		if len(admitted) == window*Lanes {
			break
		}
	}
	if late {
		slices.Reverse(best[:])
	}
	return best
}

// place puts each job into its earliest slot, the one that must end first before
// others, and reports whether all found one.
func place(jobs []job) (placed [window][]int, ok bool) {
	left := slices.Clone(jobs)
	slices.SortStableFunc(left, func(a, b job) int { return cmp.Compare(a.to, b.to) })
	for slot := range placed {
		left = slices.DeleteFunc(left, func(j job) bool {
			if j.from > slot || j.to <= slot || len(placed[slot]) == Lanes {
				return false
			}
			placed[slot] = append(placed[slot], j.contact)
			return true
		})
	}
	return placed, len(left) == 0
}
