package onion

import "crypto/subtle"

// A Relay unwraps packets with the key of one epoch. It has buffers of its own:
// one caller at a time, and a Relay for each caller.
type Relay struct {
	id    ID
	key   *PrivateKey
	fresh func(Tag) bool
	g     Geometry
	keys  *deriver
	hop   hopKeys
	mac   [32]byte
	wide  wideBlock
	plain []byte // the blocks of a header and one of zeros, decrypted
}

// NewRelay returns a Relay for the relay named id. It calls fresh once for each
// packet whose header verifies: fresh remembers the tag and reports whether it is
// new, in this epoch.
func NewRelay(id ID, key *PrivateKey, fresh func(Tag) bool) *Relay {
	suite := key.public.suite
	g := suite.Geometry()
	return &Relay{
		id: id, key: key, fresh: fresh, g: g,
		keys: newDeriver(suite), wide: newLioness(), plain: make([]byte, (MaxHops+1)*g.Block),
	}
}

// Unwrapped is what a relay finds in a packet.
type Unwrapped struct {
	Action Action
	Next   ID     // for Forward and Deliver
	Packet []byte // for Forward and Deliver: what goes to Next
	Body   Body   // for Exit
	Delay  Seed   // what the time is drawn from that the packet stays here
}

// Unwrap takes one layer off a packet that came from the relay named from; zeros
// if it came from a client. What goes on is made in the memory of the packet,
// which has one size. With [ErrMAC] nothing was changed and nothing remembered, and
// the key of another epoch may be tried.
func (r *Relay) Unwrap(packet []byte, from ID) (Unwrapped, error) {
	if len(packet) != r.g.Packet || packet[0] != version || packet[1] != byte(r.key.public.suite) {
		return Unwrapped{}, ErrFormat
	}
	defer r.forget()
	ct := packet[adSize : adSize+r.g.Ciphertext]
	if err := r.keys.decapsulate(&r.hop, ct, r.id, r.key); err != nil {
		return Unwrapped{}, err
	}
	signed, mac := packet[:r.g.Header-macSize], packet[r.g.Header-macSize:r.g.Header]
	r.keys.hash.mac(&r.mac, r.hop.mac[:], signed)
	if subtle.ConstantTimeCompare(r.mac[:macSize], mac) != 1 {
		return Unwrapped{}, ErrMAC
	}
	if !r.fresh(r.hop.replay) {
		return Unwrapped{}, ErrReplay
	}
	blocks := signed[adSize+r.g.Ciphertext:]
	clear(r.plain[copy(r.plain, blocks):])
	xorStream(&r.hop.stream, r.plain)
	own, err := parseBlock(r.plain[:r.g.Block])
	if err != nil {
		return Unwrapped{}, err
	}
	if own.action == Forward && (own.next == r.id || own.next == from) {
		return Unwrapped{}, ErrRoute
	}
	r.wide.decrypt(&r.hop.wide, packet[r.g.Header:])
	out := Unwrapped{Action: own.action, Next: own.next, Delay: r.hop.delay}
	if own.action == Exit {
		out.Body, err = parseBody(r.key.public.suite, packet[r.g.Header:], r.id)
		return out, err
	}
	copy(ct, own.ciphertext)
	copy(blocks, r.plain[r.g.Block:])
	copy(mac, own.mac[:])
	out.Packet = packet
	return out, nil
}

// forget clears what the last packet left in the buffers.
func (r *Relay) forget() {
	r.hop = hopKeys{}
	r.keys.secret = [32]byte{}
	clear(r.plain)
}
