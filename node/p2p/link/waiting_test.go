package link

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// sixSlots makes the queue of a client three times as long as it is: six slots' worth.
const sixSlots = 3

// TestRepliesAfterAStall: for three minutes nothing comes to a guard, then all that was due.
// From then on each packet of the client takes one reply and brings another, so that what is
// once too much in the queue stays in it. A day later replies are late by as much as the queue
// holds. In virtual time, with the moments and the delays of the network; ways have five
// delays, or seven.
func TestRepliesAfterAStall(t *testing.T) {
	const (
		slot, mean = 30 * time.Second, 20 * time.Second
		day        = 24 * time.Hour
		stallAt    = time.Hour
		stall      = 3 * time.Minute
	)
	for _, c := range []struct {
		delays, times int
		least, most   time.Duration // how long a reply waits on average, a day after
		dropped       float64       // of all, at most
	}{
		{5, sixSlots, 2 * time.Minute, 3 * time.Minute, 0.001},
		{5, 1, 0, 35 * time.Second, 0.0025},
		{7, 1, 0, 35 * time.Second, 0.003},
	} {
		random := rand.New(rand.NewChaCha8([32]byte{byte(c.delays)}))
		h, name, key := &Host{cfg: Config{Packet: 16, PerClient: cadence.Packets * c.times}}, onion.ID{1}, secret.New(&[32]byte{7})
		h.clients = map[passing]*client{{ID: name}: {}}
		type reply struct{ at, sent time.Duration }
		var due []reply // on their way back, the next one first
		var waits []time.Duration
		all, dropped, late := 0, 0, 0
		for s := range cadence.Slot((day + time.Hour + stallAt) / slot) {
			for _, e := range cadence.Emissions(key, s, slot) {
				now := time.Duration(s)*slot + e.At
				for len(due) > 0 && due[0].at <= now {
					packet := binary.BigEndian.AppendUint64(make([]byte, 8, 16), uint64(due[0].at))
					switch err := h.Deliver(name, packet); {
					case errors.Is(err, ErrFull):
						dropped++
					case err != nil:
						t.Fatal(err)
					}
					all++
					due = due[1:]
				}
				if len(h.clients[passing{ID: name}].waiting) > 0 {
					frame, err := h.reply(nil, h.clients[passing{ID: name}], make([]byte, 16))
					if err != nil {
						t.Fatal(err)
					}
					if came := time.Duration(binary.BigEndian.Uint64(frame[len(frame)-8:])); now > stallAt+day {
						waits = append(waits, now-came)
						if now-came > slot/2+slot {
							late++ // for who is to blame for it, a machine holds it lost
						}
					}
				}
				r := reply{now, now}
				for range c.delays {
					var seed onion.Seed
					binary.BigEndian.PutUint64(seed[:], random.Uint64())
					r.at += cadence.Delay(seed, mean)
				}
				if r.at > stallAt && r.at < stallAt+stall {
					r.at = stallAt + stall
				}
				i, _ := slices.BinarySearchFunc(due, r, func(a, b reply) int { return cmp.Compare(a.at, b.at) })
				due = slices.Insert(due, i, r)
			}
		}
		var sum time.Duration
		for _, w := range waits {
			sum += w
		}
		average, share := sum/time.Duration(len(waits)), float64(dropped)/float64(all)
		t.Logf("%d delays, %d replies may wait: a day after a stall they wait %v on average, %v at most, %.1f %% longer than a slot and a half; %.3f %% are dropped",
			c.delays, waitingSlots*h.cfg.PerClient, average.Round(time.Second), slices.Max(waits).Round(time.Second), 100*float64(late)/float64(len(waits)), 100*share)
		if average < c.least || average > c.most {
			t.Errorf("they wait %v on average, want %v to %v", average, c.least, c.most)
		}
		if share > c.dropped {
			t.Errorf("%.4f of them are dropped, want %.4f at most", share, c.dropped)
		}
	}
}
