package onion

import (
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A Request is all that goes into one packet.
type Request struct {
	Suite Suite
	Out   []Hop // 1 to MaxHops relays; the last is the exit
	Back  []Hop // the way of the reply; the last relay delivers it
	Home  ID    // the name under which that relay knows the sender's connection

	Command Command
	Key     [KeySize]byte // write key or address
	Box     *wire.Box     // random bytes if nothing is stored
	Token   []byte        // at most [Geometry.Token] bytes; zeros follow it
}

func (r Request) check() error {
	if !r.Suite.Valid() || r.Box == nil || r.Home == (ID{}) || len(r.Token) > r.Suite.Geometry().Token {
		return ErrFormat
	}
	if r.Command < Put || r.Command > Loop {
		return ErrFormat
	}
	for _, path := range [][]Hop{r.Out, r.Back} {
		if err := checkPath(r.Suite, path); err != nil {
			return err
		}
	}
	if r.Back[0].ID == r.Out[len(r.Out)-1].ID {
		return ErrRoute
	}
	return nil
}

// root is the secret from which all of the packet is made. It depends on the
// whole request, so that a source of randomness that repeats itself, as a cloned
// machine's may, does not make two packets with a key in common.
func (r Request) root(coins secret.Key) secret.Key {
	path := func(hops []Hop) []byte {
		var b []byte
		for _, h := range hops {
			b = append(append(b, h.ID[:]...), h.Key.b...)
		}
		return b
	}
	return label.DeriveKey(label.OnionCoins, coins, []byte{byte(r.Suite), byte(r.Command)},
		path(r.Out), path(r.Back), r.Home[:], r.Key[:], r.Box[:], r.Token)
}

// Create makes a packet, which is sent to the first relay on the way out, and the
// keys to its reply. The coins are 32 fresh random bytes.
func Create(coins secret.Key, r Request) ([]byte, *ReplyKeys, error) {
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	g := r.Suite.Geometry()
	b := &builder{suite: r.Suite, g: g, root: r.root(coins), keys: newDeriver(r.Suite)}
	defer b.root.Wipe()
	surb, reply, err := b.surb(r.Back, r.Home)
	if err != nil {
		return nil, nil, err
	}
	packet := make([]byte, g.Packet)
	keys, err := b.header(packet[:g.Header], 'o', r.Out, block{action: Exit})
	if err != nil {
		return nil, nil, err
	}
	appendBody(packet[:g.Header+zeroSize], g, Body{r.Command, r.Key, r.Box, surb, r.Token})
	wide := newLioness()
	for i := len(keys) - 1; i >= 0; i-- {
		wide.encrypt(&keys[i].wide, packet[g.Header:])
	}
	reply.Out = seeds(keys)
	clear(keys)
	return packet, reply, nil
}

// surb makes the reply block of the packet.
func (b *builder) surb(path []Hop, home ID) (SURB, *ReplyKeys, error) {
	drawn := label.Derive(label.OnionSURB, b.root.Bytes(), nil, replyKeySize+TagSize)
	key, tag := secret.FromBytes(drawn[:replyKeySize]), Tag(drawn[replyKeySize:])
	header := make([]byte, b.g.Header)
	keys, err := b.header(header, 'b', path, block{action: Deliver, next: home, mac: tag})
	if err != nil {
		return SURB{}, nil, err
	}
	reply := &ReplyKeys{Tag: tag, key: key, g: b.g, s: b.suite, wide: make([][wideKeySize]byte, len(keys))}
	for i := range keys {
		reply.wide[i] = keys[i].wide
	}
	reply.Back = seeds(keys)
	clear(keys)
	return SURB{path[0].ID, b.suite, header, key}, reply, nil
}

// seeds are those of the delays at the hops.
func seeds(keys []hopKeys) []Seed {
	all := make([]Seed, len(keys))
	for i := range keys {
		all[i] = keys[i].delay
	}
	return all
}
