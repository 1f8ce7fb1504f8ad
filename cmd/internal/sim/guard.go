package sim

import (
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/mix"
)

// mostReplies is how many replies wait for a client (docs/spec/link.md, section 3).
const mostReplies = 20

// A client is a user's connection to a guard: its name there, and the replies that wait.
type client struct {
	u       *user
	run     int32
	guard   *relay
	name    onion.ID
	out, in path
	replies [][]byte
}

// frame takes a client's packet at its guard, and answers it at once by one frame: the
// reply that has waited longest, or noise.
func (c *client) frame(packet []byte) {
	w := c.guard.w
	if w.padded() {
		c.reply()
	}
	c.guard.take(mix.Source{ID: c.name, Client: true}, packet)
}

func (c *client) reply() {
	w := c.guard.w
	w.row(w.now, c.guard.index, c.u.place(), w.frame)
	if len(c.replies) == 0 {
		_ = w.lost() // noise may be lost as well
		return
	}
	packet := c.replies[0]
	c.replies = c.replies[1:]
	if w.lostTo(c.u.index) {
		w.ends(packet)
		return
	}
	w.queue.push(event{at: c.in.take(w, w.now), kind: toClient, who: int32(c.u.index), run: c.run, packet: packet})
}

// deliver hands a reply to the client of that name.
func (r *relay) deliver(a mix.Action) {
	c := r.clients[a.To]
	switch {
	case c == nil:
		r.mix.Count(mix.NoLink)
		r.w.ends(a.Packet)
	case len(c.replies) >= mostReplies:
		r.mix.Count(mix.LinkFull)
		r.w.ends(a.Packet)
	default:
		r.mix.Count(mix.Delivered)
		c.replies = append(c.replies, a.Packet)
		if !r.w.padded() {
			c.reply()
		}
	}
}
