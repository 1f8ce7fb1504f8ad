package onion

import (
	"crypto/subtle"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// An Action says what a relay does with a packet that it unwrapped.
type Action byte

// The actions, as they stand in a block.
const (
	Forward Action = 1 // to the relay Next
	Deliver Action = 2 // to the client Next
	Exit    Action = 3 // the packet is at its end; Body says what for
)

// String is the action as it is counted and shown.
func (a Action) String() string {
	switch a {
	case Forward:
		return "forward"
	case Deliver:
		return "deliver"
	case Exit:
		return "exit"
	}
	return "no action"
}

// A block is what one hop finds in the header.
//
//	 0   1  action
//	 1   3  flags, zero
//	 4  20  next relay (forward), client (deliver), zeros (exit)
//	24  16  MAC for the next relay (forward), tag of the reply (deliver), zeros (exit)
//	40   n  ciphertext for the next relay (forward), zeros (deliver, exit)
type block struct {
	action     Action
	next       ID
	mac        [macSize]byte
	ciphertext []byte // nil for zeros
}

// write writes the block to dst, which is zero.
func (b block) write(dst []byte) {
	dst[0] = byte(b.action)
	copy(dst[4:], b.next[:])
	copy(dst[4+IDSize:], b.mac[:])
	copy(dst[blockFixed:], b.ciphertext)
}

// parseBlock parses one block, whose length is right. That no freedom is left
// makes a way with a fifth hop impossible: it would need a block of key stream
// that happens to be right.
func parseBlock(b []byte) (block, error) {
	p := block{action: Action(b[0]), next: ID(b[4:]), mac: [macSize]byte(b[4+IDSize:]), ciphertext: b[blockFixed:]}
	ok := allZero(b[1:4])
	switch p.action {
	case Forward:
		ok = ok && p.next != ID{}
	case Deliver:
		ok = ok && p.next != ID{} && allZero(p.ciphertext)
	case Exit:
		ok = ok && allZero(b[4:])
	default:
		ok = false
	}
	if !ok {
		return block{}, ErrFormat
	}
	return p, nil
}

// A Hop is a relay on a way, with its key of the epoch.
type Hop struct {
	ID  ID
	Key PublicKey
}

// checkPath refuses a way that is empty, too long, names a relay twice, or has a
// relay without a key of the suite.
func checkPath(suite Suite, path []Hop) error {
	if len(path) == 0 || len(path) > MaxHops {
		return ErrRoute
	}
	seen := map[ID]bool{{}: true}
	for _, h := range path {
		if seen[h.ID] {
			return ErrRoute
		}
		if h.Key.suite != suite {
			return ErrFormat
		}
		seen[h.ID] = true
	}
	return nil
}

// A builder makes the headers of one packet from one secret.
type builder struct {
	suite Suite
	g     Geometry
	root  secret.Key
	keys  *deriver
}

// header writes a header for the path to dst and returns the keys of its hops.
// way separates the two ways of one packet.
func (b *builder) header(dst []byte, way byte, path []Hop, last block) ([]hopKeys, error) {
	keys := make([]hopKeys, len(path))
	cts := make([][]byte, len(path))
	for i, hop := range path {
		coins := label.Derive(label.OnionHop, b.root.Bytes(), nil, 64, []byte{way, byte(i)})
		cts[i] = make([]byte, b.g.Ciphertext)
		if err := b.keys.encapsulate(&keys[i], cts[i], hop, (*[64]byte)(coins)); err != nil {
			return nil, err
		}
		clear(coins)
	}
	streams := make([][]byte, len(path))
	for i := range keys {
		streams[i] = make([]byte, (MaxHops+1)*b.g.Block)
		xorStream(&keys[i].stream, streams[i])
	}
	end := len(path) - 1
	beta := b.innermost(streams, last, way)
	b.finish(dst, &keys[end], cts[end], beta)
	for i := end - 1; i >= 0; i-- {
		next := block{Forward, path[i+1].ID, [macSize]byte(dst[b.g.Header-macSize:]), cts[i+1]}
		copy(beta[b.g.Block:], beta)
		clear(beta[:b.g.Block])
		next.write(beta)
		subtle.XORBytes(beta, beta, streams[i])
		b.finish(dst, &keys[i], cts[i], beta)
	}
	return keys, nil
}

// innermost makes the blocks as the last hop finds them: its own, random ones in
// place of hops that there are not, both under its stream, and behind them what
// the hops before it will have put there by shifting zeros in.
func (b *builder) innermost(streams [][]byte, last block, way byte) []byte {
	n, size := len(streams), b.g.Block
	beta := make([]byte, MaxHops*size)
	own := beta[:(MaxHops-n+1)*size]
	pad := label.Derive(label.OnionPad, b.root.Bytes(), nil, secret.Size, []byte{way})
	xorStream((*[secret.Size]byte)(pad), own[size:])
	last.write(own)
	subtle.XORBytes(own, own, streams[n-1])
	filler := beta[len(own):]
	for i, s := range streams[:n-1] {
		// At hop i the filler has i blocks; a block of zeros comes behind it, and
		// the end of the stream covers both.
		f := filler[:(i+1)*size]
		subtle.XORBytes(f, f, s[len(s)-len(f):])
	}
	return beta
}

// finish writes one layer of the header, with its MAC.
func (b *builder) finish(dst []byte, k *hopKeys, ciphertext, beta []byte) {
	dst[0], dst[1] = version, byte(b.suite)
	copy(dst[adSize:], ciphertext)
	copy(dst[adSize+b.g.Ciphertext:], beta)
	var sum [32]byte
	b.keys.hash.mac(&sum, k.mac[:], dst[:b.g.Header-macSize])
	copy(dst[b.g.Header-macSize:b.g.Header], sum[:])
}
