package sim

import "github.com/backchannel/backchannel/relay/mix"

// What is on links beside packets: connections that are made, questions about the
// directory, gossip. It follows hours and epochs alone.

func (r *relay) source() mix.Source { return mix.Source{ID: r.id} }

// shake makes a TLS connection from a user to a relay, then goes on.
func (u *user) shake(r *relay, then func()) {
	w, p := u.w, u.paths[r.index].latency
	w.row(w.now, u.place(), r.index, onWire(hello))
	w.after(p, func() {
		w.row(w.now, r.index, u.place(), onWire(welcome))
		w.after(p, func() {
			w.row(w.now, u.place(), r.index, onWire(finish))
			w.after(p, func() {
				w.row(w.now, r.index, u.place(), onWire(settle))
				w.after(p, then)
			})
		})
	})
}

// pull asks a guard for the directory, at the same moment of each epoch.
func (u *user) pull(run int32) {
	if !u.on || u.run != run || u.client == nil {
		return
	}
	w, r := u.w, u.client.guard
	w.row(w.now, u.place(), r.index, onWire(question))
	w.after(u.paths[r.index].latency, func() { w.row(w.now, r.index, u.place(), onWire(answer)) })
}

// gossip floods a descriptor: over each link once, from who has it first.
func (w *World) gossip(from *relay, size int) {
	if w.view == nil {
		return
	}
	has := map[int]bool{}
	var give func(r *relay, by int)
	give = func(r *relay, by int) {
		if has[r.index] {
			return
		}
		has[r.index] = true
		for _, l := range r.links {
			if l == nil || l.to.index == by || has[l.to.index] || !w.view.Linked(r.id, l.to.id) {
				continue
			}
			w.row(w.now, r.index, l.to.index, onWire(size))
			w.after(l.latency, func() { give(l.to, r.index) })
		}
	}
	// Each relay has its own moment in the first minute.
	w.after(int64(mix64(uint64(from.index))%60e9), func() { give(from, -1) })
}
