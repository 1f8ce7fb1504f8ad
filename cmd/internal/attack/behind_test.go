package attack

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

func TestTable(t *testing.T) {
	for _, n := range [][2]int{{6, 3}, {6, 6}, {8, 4}, {10, 5}, {10, 10}, {12, 4}, {12, 6}, {12, 12}, {14, 14}, {20, 10}, {20, 20}, {24, 12}, {50, 10}, {50, 25}, {50, 50}, {120, 30}} {
		begin := time.Now()
		a, err := Links(sim.Config{Users: 10, Relays: n[0], Operators: n[1], Seed: 1}, 6)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d/%d: %.4f (%v)", n[0], n[1], a, time.Since(begin))
	}
}
