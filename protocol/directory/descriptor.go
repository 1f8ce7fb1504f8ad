package directory

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
)

const (
	// MaxDescriptor is the longest encoding of a descriptor in bytes.
	MaxDescriptor = 4096

	// MeanRaise is how many times the network's mean delay a relay may make its own.
	MeanRaise = 10
)

// A Descriptor is what a relay says of itself.
type Descriptor struct {
	Relay    Identity
	Epoch    Epoch         // in which it was made
	Sequence byte          // below Sequences; 0, then one more after each restart
	Expiry   Epoch         // the first epoch in which it does not count; at most Epoch + KeyEpochs
	Pool     uint32        // packets that the relay holds on average, as it estimates
	Mean     time.Duration // of its delay: the network's, or up to MeanRaise times that
	Operator string
	Places   []identity.Place           // 1 to MaxPlaces, in the order of their encodings
	Keys     [KeyEpochs]onion.PublicKey // of Epoch, Epoch + 1 and Epoch + 2
}

// headerSize is the length of what stands in front of every descriptor at a fixed
// place, so that it can be read before anything costly is done.
const headerSize = 1 + 1 + 32 + identitySize + 4 + 1 + 4

// A mark says which of a relay's descriptors one is.
type mark struct {
	epoch    Epoch
	sequence byte
}

func (m mark) before(o mark) bool {
	return m.epoch < o.epoch || m.epoch == o.epoch && m.sequence < o.sequence
}

func (d *Descriptor) mark() mark { return mark{d.Epoch, d.Sequence} }

// Key returns the onion key of an epoch, and whether there is one.
func (d *Descriptor) Key(e Epoch) (onion.PublicKey, bool) {
	if e < d.Epoch || e >= d.Expiry {
		return onion.PublicKey{}, false
	}
	return d.Keys[e-d.Epoch], true
}

func (d *Descriptor) body(n *Network) []byte {
	b := append([]byte{version, byte(n.Constants.Suite)}, n.root[:]...)
	b = append(b, d.Relay[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(d.Epoch))
	b = append(b, d.Sequence)
	b = binary.BigEndian.AppendUint32(b, uint32(d.Expiry))
	b = binary.BigEndian.AppendUint32(b, d.Pool)
	b = binary.BigEndian.AppendUint32(b, uint32(d.Mean/time.Millisecond))
	b = appendName(b, d.Operator)
	b = append(b, byte(len(d.Places)))
	for _, p := range d.Places {
		b = p.Append(b)
	}
	for _, k := range d.Keys {
		b = append(b, k.Bytes()...)
	}
	return b
}

func said(body []byte) []byte {
	return label.AppendFramed(nil, []byte(label.DirectoryDescriptor), body)
}

// Sign returns the encoding of d with the relay's own signature. It puts the places in
// order, and returns [ErrFormat] for a descriptor that nobody would take.
func (d Descriptor) Sign(n *Network, key ed25519.PrivateKey) ([]byte, error) {
	d.Relay = Identity(key.Public().(ed25519.PublicKey))
	d.Places = slices.Clone(d.Places)
	slices.SortFunc(d.Places, func(a, b identity.Place) int { return bytes.Compare(a.Append(nil), b.Append(nil)) })
	b := d.body(n)
	b = append(b, ed25519.Sign(key, said(b))...)
	if _, err := n.decodeDescriptor(b); err != nil {
		return nil, err
	}
	return b, nil
}

// ParseDescriptor parses what Sign makes, and verifies it. It does not judge
// whether it has expired.
func (n *Network) ParseDescriptor(b []byte) (*Descriptor, error) {
	if len(b) > MaxDescriptor || len(b) < headerSize+signSize {
		return nil, ErrFormat
	}
	d, err := n.takeHeader(&cursor{b: b})
	if err != nil {
		return nil, err
	}
	// The signature comes first: junk does not get as far as the onion keys.
	body, sig := b[:len(b)-signSize], b[len(b)-signSize:]
	if !ed25519.Verify(d.Relay[:], said(body), sig) {
		return nil, ErrSignature
	}
	return n.decodeDescriptor(b)
}

// takeHeader takes the fixed part off the front of c.
func (n *Network) takeHeader(c *cursor) (*Descriptor, error) {
	d := new(Descriptor)
	c.expect(version)
	suite := c.u8()
	root := c.key()
	d.Relay = c.key()
	d.Epoch, d.Sequence, d.Expiry = Epoch(c.u32()), c.u8(), Epoch(c.u32())
	c.require(d.Sequence < Sequences)
	c.require(d.Expiry > d.Epoch && d.Expiry-d.Epoch <= KeyEpochs)
	if c.bad {
		return nil, ErrFormat
	}
	if root != n.root || suite != byte(n.Constants.Suite) {
		return nil, ErrNetwork
	}
	return d, nil
}

func (n *Network) decodeDescriptor(b []byte) (*Descriptor, error) {
	c := &cursor{b: b}
	d, err := n.takeHeader(c)
	if err != nil {
		return nil, err
	}
	d.Pool = c.u32()
	d.Mean = time.Duration(c.u32()) * time.Millisecond
	c.require(d.Mean >= n.Constants.Mean && d.Mean <= MeanRaise*n.Constants.Mean)
	d.Operator = c.name()
	d.Places = parsePlaces(c)
	for i := range d.Keys {
		raw := c.take(n.Constants.Suite.Geometry().PublicKey)
		for _, k := range d.Keys[:i] {
			c.require(!bytes.Equal(k.Bytes(), raw))
		}
		d.Keys[i], err = onion.ParsePublicKey(n.Constants.Suite, raw)
		c.require(err == nil)
	}
	c.take(signSize)
	return d, c.done()
}

func parsePlaces(c *cursor) []identity.Place {
	n := int(c.u8())
	c.require(n >= 1 && n <= MaxPlaces)
	var places []identity.Place
	var last []byte
	for i := 0; i < n && !c.bad; i++ {
		p := c.place()
		b := p.Append(nil)
		c.require(bytes.Compare(last, b) < 0)
		places, last = append(places, p), b
	}
	return places
}
