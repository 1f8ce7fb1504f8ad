package cadence_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/secret"
)

// drawContacts draws periods that the lanes can serve, or any.
func drawContacts(t *rapid.T, served bool) []cadence.Period {
	var contacts []cadence.Period
	left := 8 * cadence.Lanes
	for range rapid.IntRange(0, 16).Draw(t, "contacts") {
		p := cadence.Period(1 << rapid.IntRange(0, 3).Draw(t, "period"))
		if left -= 8 / int(p); served && left < 0 {
			break
		}
		contacts = append(contacts, p)
	}
	return contacts
}

// TestEveryPeriodHasItsTurn: contacts whom the lanes can serve are written once in
// each period and read once, not before the lag, and in the slots of the next
// period.
func TestEveryPeriodHasItsTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		contacts := drawContacts(t, true)
		key := secret.New(&[32]byte{rapid.Byte().Draw(t, "seed")})
		lag := cadence.Slot(rapid.IntRange(3, 9).Draw(t, "lag"))
		start := cadence.Slot(8 * rapid.Uint64Range(100, 1<<40).Draw(t, "start"))
		written, read := map[cadence.Turn]int{}, map[cadence.Turn]int{}
		for slot := start; slot < start+64; slot++ {
			for _, turn := range cadence.Writers(key, contacts, slot) {
				if turn.Contact < 0 {
					continue
				}
				written[turn]++
				if p := cadence.Slot(contacts[turn.Contact]); turn.Period != uint64(slot/p) {
					t.Fatalf("slot %d: period %d of contact %d", slot, turn.Period, turn.Contact)
				}
			}
			for _, turn := range cadence.Readers(key, contacts, slot, lag) {
				if turn.Contact < 0 {
					continue
				}
				read[turn]++
				p := cadence.Slot(contacts[turn.Contact])
				end := (cadence.Slot(turn.Period) + 1) * p
				if slot < end+lag || slot >= end+lag+p {
					t.Fatalf("slot %d: read of a period that ended at %d, lag %d", slot, end, lag)
				}
			}
		}
		for c, p := range contacts {
			for k := uint64(start) / uint64(p); k < (uint64(start)+64)/uint64(p); k++ {
				turn := cadence.Turn{Contact: c, Period: k}
				inside := cadence.Slot(k+2)*cadence.Slot(p)+lag <= start+64 && cadence.Slot(k+1)*cadence.Slot(p)+lag >= start
				if written[turn] != 1 || read[turn] > 1 || inside && read[turn] != 1 {
					t.Fatalf("contact %d, period %d: written %d times, read %d times", c, k, written[turn], read[turn])
				}
			}
		}
	})
}

// TestWritingIsLate: one contact of period 8 is written in the last slot; reading is
// as early as can be.
func TestWritingIsLate(t *testing.T) {
	for slot := cadence.Slot(800); slot < 880; slot++ {
		if w := cadence.Writers(seed, []cadence.Period{8}, slot); (w[0].Contact == 0) != (slot%8 == 7) {
			t.Errorf("slot %d: written: %v", slot, w)
		}
		if r := cadence.Readers(seed, []cadence.Period{8}, slot, 3); (r[0].Contact == 0) != ((slot-3)%8 == 0) {
			t.Errorf("slot %d: read: %v", slot, r)
		}
	}
}

// TestTooManyContacts slows all of them about alike: a long period finds room more
// easily.
func TestTooManyContacts(t *testing.T) {
	contacts := []cadence.Period{1, 1, 1, 2, 2, 4, 4, 8, 8} // twice and a bit what there is
	const slots = 8000
	served := make([]float64, len(contacts))
	once := map[cadence.Turn]bool{}
	for slot := range cadence.Slot(slots) {
		for _, turn := range cadence.Writers(seed, contacts, slot) {
			if turn.Contact < 0 {
				t.Fatalf("slot %d: a lane is idle though contacts wait", slot)
			}
			served[turn.Contact]++
			if once[turn] {
				t.Fatalf("slot %d: period %d of contact %d is written again", slot, turn.Period, turn.Contact)
			}
			once[turn] = true
		}
	}
	for c, p := range contacts {
		share := served[c] * float64(p) / slots
		if want := 2 / 4.75; math.Abs(share-want) > 0.1 {
			t.Errorf("contact %d of period %d: %.3f of its periods, want %.3f", c, p, share, want)
		}
	}
}

// TestLanesDoNotShow: whatever the contacts are, a slot has the same lanes.
func TestLanesDoNotShow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		contacts := drawContacts(t, false)
		slot := cadence.Slot(rapid.Uint64Range(0, 1<<40).Draw(t, "slot"))
		for _, turns := range [][cadence.Lanes]cadence.Turn{cadence.Writers(seed, contacts, slot), cadence.Readers(seed, contacts, slot, 4)} {
			seen := map[int]bool{}
			for _, turn := range turns {
				if turn.Contact < -1 || turn.Contact >= len(contacts) || turn.Contact >= 0 && seen[turn.Contact] {
					t.Fatalf("slot %d: %v", slot, turns)
				}
				seen[turn.Contact] = true
			}
		}
	})
}
