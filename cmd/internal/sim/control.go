package sim

import (
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// extra sends packets beside those of the slot, soon, and each is answered. They stand for
// what a program does that sends at once what there is to send: rows, and nothing else.
func (u *user) extra(n int) {
	w := u.w
	if !u.on || u.client == nil {
		return
	}
	r, latency := u.client.guard, u.paths[u.client.guard.index].latency
	for range n {
		w.after(int64(exponential(w.random, 2*time.Second)), func() {
			w.row(w.now, u.place(), r.index, w.frame)
			w.after(latency, func() { w.row(w.now, r.index, u.place(), w.frame) })
		})
	}
}

// Without cover only those packets leave that somebody asked for: boxes that say
// something, and gets of contacts' boxes. The machine decides as always; of the others it
// is told at once that they came back.

// boxOf says whose box lies at an address.
type boxOf struct {
	t      *talk
	period uint64
}

// expectBoxes notes where the boxes of all contacts will lie in the next epoch.
func (w *World) expectBoxes() {
	if !w.cfg.Unprotected && !w.cfg.Chains {
		return
	}
	slot := w.network.Constants.Slot
	from := uint64(w.time().Add(-slot*16).UnixNano()) / uint64(slot)
	to := uint64(w.time().Add(w.network.Constants.Epoch+16*slot).UnixNano()) / uint64(slot)
	for _, t := range w.talks {
		p := uint64(t.setup.Period)
		chain := drop.NewChain(t.root, drop.DayAt(time.Duration(begin.Add(-warmUp).UnixNano())))
		for period := from / p; period <= to/p; period++ {
			day, ok := chain.Key(drop.DayAt(time.Duration(period*p) * slot))
			for replica := 0; ok && replica < drop.Replicas; replica++ {
				keys := drop.DeriveKeys(day, t.setup.Direction, period, replica)
				w.real[short(keys.Address())] = boxOf{t, period}
			}
		}
	}
}

// covers reports whether a packet is for nobody.
func (u *user) covers(r onion.Request) bool {
	if !u.w.cfg.Unprotected {
		return false
	}
	switch r.Command {
	case onion.Put:
		b, ok := u.w.real[short(drop.AddressOf(r.Key[:]))]
		return !ok || !b.t.worth[b.period]
	case onion.Get:
		_, ok := u.w.real[short(r.Key)]
		return !ok
	case onion.Loop:
	}
	return true
}

// pretend answers a packet that did not leave.
func (u *user) pretend(l *letter) {
	status := drop.None
	if l.command == onion.Put {
		status = drop.Stored
	}
	l.local, l.answer = true, onion.Answer{Status: byte(status), Time: uint32(u.clock().Unix()), Box: l.box}
	run := u.run
	u.w.after(0, func() {
		if u.on && u.run == run {
			u.turn(u.m.Reply(u.clock(), l.name[:]))
		}
		u.w.post.end(l)
	})
}
