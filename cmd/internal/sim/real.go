package sim

import (
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay/mix"
)

// In a run with cryptography packets are those of package onion. Which letter one is shows
// by the MAC of its header, which is known before each relay and after it. The seed of a
// delay is taken from the letter, so that a fast run has the same: that is all that
// differs from what a relay does.

type mac [16]byte

// A mark says which letter a packet is, and how many relays have opened it.
type mark struct {
	l  *letter
	at int
}

const (
	zeroSize  = 32                               // of a payload
	bodyFixed = 1 + onion.KeySize + wire.BoxSize // before the reply block
)

func (w *World) macOf(packet []byte) mac {
	h := w.network.Constants.Suite.Geometry().Header
	return mac(packet[h-len(mac{}) : h])
}

// letterOf finds the letter that a packet is.
func (w *World) letterOf(packet []byte) *letter {
	if w.cfg.Fast || len(packet) == len(letter{}.name) {
		return w.post.find(packet)
	}
	return w.marks[w.macOf(packet)].l
}

// ends forgets a letter whose packet goes no further.
func (w *World) ends(packet []byte) {
	w.post.end(w.letterOf(packet))
	if !w.cfg.Fast && len(packet) > len(letter{}.name) {
		delete(w.marks, w.macOf(packet))
	}
}

// realUser makes packets of package onion.
type realUser struct{ u *user }

type realReply struct {
	l    *letter
	keys *onion.ReplyKeys
}

// Create implements [relayed.Onion].
func (r realUser) Create(coins secret.Key, q onion.Request) ([]byte, onion.Tag, relayed.Reply, error) {
	w := r.u.w
	packet, keys, err := onion.Create(coins, q)
	if err != nil {
		return nil, onion.Tag{}, nil, err
	}
	l := w.letter(coins, q)
	l.sender = r.u.index
	l.cover, l.user, l.tag, l.blur = r.u.covers(q), true, keys.Tag, w.sent()
	w.marks[w.macOf(packet)] = mark{l, 0}
	return packet, keys.Tag, realReply{l, keys}, nil
}

// Tag implements [relayed.Onion].
func (r realUser) Tag(packet []byte) (onion.Tag, error) {
	if len(packet) == len(letter{}.name) {
		return r.u.w.post.find(packet).tag, nil
	}
	return onion.ReplyTag(r.u.w.network.Constants.Suite, packet)
}

// Delays implements [relayed.Reply].
func (r realReply) Delays() (out, back []onion.Seed) { return r.l.delays() }

// Open implements [relayed.Reply].
func (r realReply) Open(packet []byte) (onion.Answer, error) {
	if r.l.local {
		return r.l.answer, nil
	}
	return r.keys.Open(packet)
}

// Wipe implements [relayed.Reply].
func (r realReply) Wipe() { r.keys.Wipe() }

// realRelay opens packets of package onion.
type realRelay struct{ w *World }

// Relay implements [mix.Onion].
func (r realRelay) Relay(id onion.ID, key *onion.PrivateKey, fresh func(onion.Tag) bool) mix.Opener {
	return &realOpener{r.w, onion.NewRelay(id, key, fresh)}
}

// Reply implements [mix.Onion].
func (realRelay) Reply(s onion.SURB, a onion.Answer) []byte { return s.Use(a) }

// Create implements [mix.Onion].
func (r realRelay) Create(coins secret.Key, q onion.Request) ([]byte, onion.Tag, func([]byte) error, error) {
	packet, keys, err := onion.Create(coins, q)
	if err != nil {
		return nil, onion.Tag{}, nil, err
	}
	l := r.w.letter(coins, q)
	r.w.loops++
	r.w.marks[r.w.macOf(packet)] = mark{l, 0}
	check := func(reply []byte) error {
		r.w.ends(reply)
		_, err := keys.Open(reply)
		keys.Wipe()
		return err
	}
	return packet, keys.Tag, check, nil
}

// Tag implements [mix.Onion].
func (r realRelay) Tag(reply []byte) (onion.Tag, error) {
	return onion.ReplyTag(r.w.network.Constants.Suite, reply)
}

type realOpener struct {
	w     *World
	relay *onion.Relay
}

// Unwrap implements [mix.Opener].
func (o *realOpener) Unwrap(packet []byte, from onion.ID) (onion.Unwrapped, error) {
	before := o.w.macOf(packet)
	u, err := o.relay.Unwrap(packet, from)
	if err != nil {
		return u, err
	}
	m := o.w.marks[before]
	delete(o.w.marks, before)
	if m.l == nil {
		return u, nil // it was forgotten
	}
	u.Delay = m.l.delay(m.at)
	m.at++
	after := packet
	if u.Action == onion.Exit {
		// The header of the reply stands in the body, behind its first relay.
		after = packet[o.w.network.Constants.Suite.Geometry().Header+zeroSize+bodyFixed+onion.IDSize:]
	}
	o.w.marks[o.w.macOf(after)] = m
	return u, nil
}
