package sim

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/relay/mix"
)

// fastUser makes packets by reference.
type fastUser struct{ u *user }

// Create implements [relayed.Onion].
func (f fastUser) Create(coins secret.Key, r onion.Request) ([]byte, onion.Tag, relayed.Reply, error) {
	l := f.u.w.fast(coins, r)
	l.cover, l.user, l.blur = f.u.covers(r), true, f.u.w.sent()
	l.sender = f.u.index
	return l.name[:], l.tag, fastReply{l}, nil
}

// Tag implements [relayed.Onion].
func (f fastUser) Tag(packet []byte) (tag onion.Tag, err error) {
	copy(tag[:], packet)
	return tag, nil
}

type fastReply struct{ l *letter }

// Delays implements [relayed.Reply].
func (f fastReply) Delays() (out, back []onion.Seed) { return f.l.delays() }

// Open implements [relayed.Reply].
func (f fastReply) Open([]byte) (onion.Answer, error) { return f.l.answer, nil }

// Wipe implements [relayed.Reply].
func (f fastReply) Wipe() {}

// fast makes a letter that goes by reference.
func (w *World) fast(coins secret.Key, r onion.Request) *letter {
	l := w.letter(coins, r)
	copy(l.tag[:], l.name[:])
	copy(l.box[nameAt:], l.name[:])
	return l
}

// fastRelay opens packets by reference.
type fastRelay struct{ w *World }

// Relay implements [mix.Onion].
func (f fastRelay) Relay(id onion.ID, _ *onion.PrivateKey, fresh func(onion.Tag) bool) mix.Opener {
	return &fastOpener{f.w, f.w.place(id), fresh}
}

// Reply implements [mix.Onion].
func (f fastRelay) Reply(_ onion.SURB, a onion.Answer) []byte {
	l := f.w.post.find(a.Box[nameAt : nameAt+8])
	if l == nil {
		return nil
	}
	l.answer = a
	return l.name[:]
}

// Create implements [mix.Onion].
func (f fastRelay) Create(coins secret.Key, r onion.Request) ([]byte, onion.Tag, func([]byte) error, error) {
	l := f.w.fast(coins, r)
	f.w.loops++
	return l.name[:], l.tag, func([]byte) error { f.w.post.end(l); return nil }, nil
}

// Tag implements [mix.Onion].
func (fastRelay) Tag(reply []byte) (tag onion.Tag, err error) {
	copy(tag[:], reply)
	return tag, nil
}

type fastOpener struct {
	w     *World
	here  uint8
	fresh func(onion.Tag) bool
}

// Unwrap implements [mix.Opener].
func (o *fastOpener) Unwrap(packet []byte, _ onion.ID) (onion.Unwrapped, error) {
	l := o.w.post.find(packet)
	if l == nil || l.at >= l.all || l.way[l.at] != o.here {
		return onion.Unwrapped{}, onion.ErrMAC
	}
	hop := l.at
	var tag onion.Tag
	copy(tag[:], l.name[:])
	binary.BigEndian.PutUint64(tag[8:], uint64(hop))
	if !o.fresh(tag) {
		return onion.Unwrapped{}, onion.ErrReplay
	}
	l.at++
	u := onion.Unwrapped{Delay: l.delay(hop), Packet: packet}
	switch l.at {
	case l.out:
		u.Action = onion.Exit
		u.Body = onion.Body{
			Command: l.command, Key: l.key, Box: l.box, Token: l.token, SURB: onion.SURB{First: o.w.relays[l.way[l.at]].id},
		}
	case l.all:
		u.Action, u.Next = onion.Deliver, l.home
	default:
		u.Action, u.Next = onion.Forward, o.w.relays[l.way[l.at]].id
	}
	return u, nil
}
