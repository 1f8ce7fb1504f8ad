package relayed

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/onion"
)

// pins has the user's machine keep these two guards, the first of them in use.
func (u *user) pins(first, second onion.ID) {
	var b []byte
	for _, id := range []onion.ID{first, second} {
		b = binary.BigEndian.AppendUint64(append(b, id[:]...), uint64(u.local().Add(75*24*time.Hour).Unix()))
	}
	u.disk[recordName{ContactID{}, Guards, 0}] = b
}

// TestMailboxOfSmallNetwork: five relays of three operators, and both machines' guards are
// among the three drops of their talk, so that two boxes of three reach one drop of each. One
// packet in five does not leave; one of the two is always off. Each text is in the other's
// mailbox within some periods, whatever is under way beside it, and is read by who comes.
func TestMailboxOfSmallNetwork(t *testing.T) {
	const periods = 20 // if both drops of one box had to answer, 60 would be too few
	for seed := range byte(6) {
		w := newWorld(t, 70+seed, 5)
		a, b := w.user(1), w.user(2)
		all := set(2, 3, 4)
		ta, tb := w.meet(1, a, b, 1, all)
		ra, rb := w.correspond(ta, tb)
		a.pins(all[1], onion.ID{1})
		b.pins(all[seed%3], onion.ID{2})
		a.starved, b.starved = 0.2, 0.2
		say := func(u *user, r *correspondent, texts ...string) {
			u.start()
			w.run(2 * time.Minute) // clocks are read
			for _, text := range texts {
				m, out, err := r.c.Send(w.now, text)
				if err != nil {
					t.Fatal(err)
				}
				r.do(out)
				w.run(periods * w.cfg.Slot)
				if got := r.c.Transcript(m.Seq - 1)[0].State; got != channel.InMailbox && got != channel.Delivered {
					t.Errorf("world %d: %q is %v after %d periods", seed, text, got, periods)
				}
			}
			w.run(30 * time.Minute)
			u.stop()
		}
		for range 3 {
			say(a, ra, "Two is fine.", "Or three.", "Not four.", "Well?")
			say(b, rb, "Seven, then.", "Or six.")
		}
		for _, u := range []*user{a, b} {
			u.starved = 0
			u.start()
		}
		w.run(3 * time.Hour)
		for _, r := range []*correspondent{ra, rb} {
			for _, m := range r.c.Transcript(0) {
				if m.Direction == channel.Out && m.State != channel.Delivered {
					t.Errorf("world %d: %q is %v in the end", seed, m.Text, m.State)
				}
			}
		}
	}
}
