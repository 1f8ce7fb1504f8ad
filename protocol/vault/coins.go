package vault

import (
	"encoding/binary"

	"golang.org/x/crypto/chacha20"

	"github.com/backchannel/backchannel/protocol/label"
)

// Coins are the randomness of one tick, refresh or creation: 32 fresh random
// bytes. Each use inside has a stream of its own, so that what a deeper level
// draws shifts nothing of what a shallower one does.
type Coins [32]byte

// stream is an endless sequence of pseudorandom bytes.
type stream struct{ cipher *chacha20.Cipher }

// stream returns the stream of one purpose and level.
func (c *Coins) stream(purpose string, level int) stream {
	return newStream(label.Derive(label.VaultCoins, c[:], nil, 32, []byte(purpose), []byte{byte(level)}))
}

func newStream(key []byte) stream {
	c, err := chacha20.NewUnauthenticatedCipher(key, make([]byte, chacha20.NonceSize))
	if err != nil {
		panic("vault: a key that ChaCha20 does not take")
	}
	return stream{c}
}

func (s stream) read(b []byte) {
	clear(b)
	s.cipher.XORKeyStream(b, b)
}

func (s stream) next() (b [32]byte) {
	s.read(b[:])
	return b
}

// below draws a number below n, each as likely as another.
func (s stream) below(n uint32) uint32 {
	end := uint64(1<<32) - uint64(1<<32)%uint64(n)
	for {
		var b [4]byte
		s.read(b[:])
		if x := binary.BigEndian.Uint32(b[:]); uint64(x) < end {
			return x % n
		}
	}
}

// choose draws k different numbers below n, each sequence as likely as another.
func (s stream) choose(n, k uint32) []uint32 {
	moved := make(map[uint32]uint32, k) // a shuffle of 0 … n-1 that is written down where it differs
	at := func(i uint32) uint32 {
		if x, ok := moved[i]; ok {
			return x
		}
		return i
	}
	out := make([]uint32, k)
	for i := range k {
		j := i + s.below(n-i)
		out[i] = at(j)
		moved[j] = at(i)
	}
	return out
}

// chain holds what was sealed so far. With the coins it gives the randomness of
// slots: if coins come again on a machine that was cloned, two lives that differ
// in anything differ in every slot that they write, and not only in those that
// hold something.
type chain [32]byte

func (c *chain) add(p *plain) { *c = label.Hash(label.VaultChain, c[:], p[:]) }

// seals returns the stream of which each slot that is written takes 32 bytes, and
// the keys for slots that hold nothing.
func (c *chain) seals(coins *Coins) (stream, *slotKeys) {
	mixed := Coins(label.MAC(label.VaultChain, coins[:], c[:]))
	return mixed.stream("seal", 0), mixed.noKeys()
}
