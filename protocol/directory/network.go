package directory

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Constants hold for everybody in a network: whoever had others would be known by
// them. The zero value of a field stands for its default in [NewNetwork]; an
// encoded network has no zeros.
type Constants struct {
	Suite       onion.Suite   // default: onion.Hybrid
	Slot        time.Duration // whole seconds, 1 s to 1 h; default 30 s
	Mean        time.Duration // of a relay's delay, whole milliseconds, 1 ms to 1 min; default 20 s
	Epoch       time.Duration // life of an onion key, whole seconds, 10 s to 24 h; default 1 h
	Expiry      time.Duration // of boxes at drops, whole hours, 1 h to 60 days; default 96 h
	Pool        int           // packets that a relay should hold at least, 1 to 255; default 15
	PerOperator int           // most relays of one operator in a view, 1 to 255; default 8
	PerBlock    int           // most relays of one address block in a view, 1 to 255; default 4
}

// Packets returns how many packets a machine sends in a slot.
func (Constants) Packets() int { return cadence.Packets }

// BytesPerDay returns what a machine sends, and what it receives, in a day.
func (c Constants) BytesPerDay() int64 {
	return int64(c.Packets()) * int64(c.Suite.Geometry().Packet) * 86400 / int64(c.Slot/time.Second)
}

func (c Constants) withDefaults() Constants {
	def := Constants{onion.Hybrid, 30 * time.Second, 20 * time.Second, time.Hour, 96 * time.Hour, 15, 8, 4}
	if c.Suite == 0 {
		c.Suite = def.Suite
	}
	for _, f := range []struct{ have, def *time.Duration }{
		{&c.Slot, &def.Slot}, {&c.Mean, &def.Mean}, {&c.Epoch, &def.Epoch}, {&c.Expiry, &def.Expiry},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	for _, f := range []struct{ have, def *int }{
		{&c.Pool, &def.Pool}, {&c.PerOperator, &def.PerOperator}, {&c.PerBlock, &def.PerBlock},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	return c
}

func (c Constants) valid() bool {
	count := func(n int) bool { return n >= 1 && n <= 255 }
	span := func(d, unit, least, most time.Duration) bool { return d%unit == 0 && d >= least && d <= most }
	return c.Suite.Valid() &&
		span(c.Slot, time.Second, time.Second, time.Hour) &&
		span(c.Mean, time.Millisecond, time.Millisecond, time.Minute) &&
		span(c.Epoch, time.Second, 10*time.Second, 24*time.Hour) &&
		span(c.Expiry, time.Hour, time.Hour, 60*24*time.Hour) &&
		count(c.Pool) && count(c.PerOperator) && count(c.PerBlock)
}

// A Founder admits relays.
type Founder struct {
	Key  [32]byte // Ed25519
	Name string   // see ValidName
}

// A Network is what never changes in it. All of it is in the root: other constants
// or other founders are another network.
type Network struct {
	Name      string
	Constants Constants
	Threshold int       // k: how many founders vouch together
	Founders  []Founder // by rising key
	root      [32]byte
}

// NewNetwork returns a network, or [ErrFormat] for a name, a constant, a threshold or
// founders that cannot be. Founders may come in any order.
func NewNetwork(name string, c Constants, threshold int, founders []Founder) (*Network, error) {
	n := &Network{Name: name, Constants: c.withDefaults(), Threshold: threshold, Founders: bySorting(founders)}
	if !n.valid() {
		return nil, ErrFormat
	}
	n.root = label.Hash(label.DirectoryNetwork, n.append(nil))
	return n, nil
}

func (n *Network) valid() bool {
	ok := ValidName(n.Name) && n.Constants.valid() && len(n.Founders) <= MaxFounders &&
		n.Threshold >= 1 && n.Threshold <= len(n.Founders)
	for i, f := range n.Founders {
		ok = ok && ValidName(f.Name) && (i == 0 || bytes.Compare(n.Founders[i-1].Key[:], f.Key[:]) < 0)
	}
	return ok
}

// Root is the hash of the network, which all that is signed in it contains.
func (n *Network) Root() [32]byte { return n.root }

// ID is the short name of the network in cards and invitations.
func (n *Network) ID() identity.NetworkID { return identity.NetworkID(n.root[:8]) }

// Fingerprint is what people compare: eight groups of four letters and digits, the
// first 160 bits of the root.
func (n *Network) Fingerprint() string {
	text := strings.ToLower(base32.StdEncoding.EncodeToString(n.root[:20]))
	var groups []string
	for ; text != ""; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(groups, " ")
}

func (n *Network) append(b []byte) []byte {
	c := n.Constants
	b = append(b, version, byte(c.Suite), cadence.Packets)
	b = binary.BigEndian.AppendUint16(b, uint16(c.Slot/time.Second))
	b = binary.BigEndian.AppendUint32(b, uint32(c.Mean/time.Millisecond))
	b = binary.BigEndian.AppendUint32(b, uint32(c.Epoch/time.Second))
	b = binary.BigEndian.AppendUint16(b, uint16(c.Expiry/time.Hour))
	b = append(b, byte(c.Pool), byte(c.PerOperator), byte(c.PerBlock))
	b = appendName(b, n.Name)
	b = append(b, byte(n.Threshold), byte(len(n.Founders)))
	for _, f := range n.Founders {
		b = append(b, f.Key[:]...)
		b = appendName(b, f.Name)
	}
	return b
}

// parseNetwork takes a network off the front of c.
func parseNetwork(c *cursor) *Network {
	c.expect(version)
	n := new(Network)
	k := &n.Constants
	k.Suite = onion.Suite(c.u8())
	c.expect(cadence.Packets)
	k.Slot = time.Duration(c.u16()) * time.Second
	k.Mean = time.Duration(c.u32()) * time.Millisecond
	k.Epoch = time.Duration(c.u32()) * time.Second
	k.Expiry = time.Duration(c.u16()) * time.Hour
	k.Pool, k.PerOperator, k.PerBlock = int(c.u8()), int(c.u8()), int(c.u8())
	n.Name = c.name()
	n.Threshold = int(c.u8())
	for count := c.u8(); count > 0 && !c.bad; count-- {
		n.Founders = append(n.Founders, Founder{c.key(), c.name()})
	}
	c.require(n.valid())
	n.root = label.Hash(label.DirectoryNetwork, n.append(nil))
	return n
}

// An Epoch is the time for which relays keep one onion key, counted from 1970.
type Epoch uint32

// EpochAt returns the epoch that a moment lies in.
func (n *Network) EpochAt(t time.Time) Epoch {
	return Epoch(t.Unix() / int64(n.Constants.Epoch/time.Second))
}

// Begins returns the first moment of an epoch.
func (n *Network) Begins(e Epoch) time.Time {
	return time.Unix(int64(e)*int64(n.Constants.Epoch/time.Second), 0).UTC()
}

// founder returns the place of a key among the founders.
func (n *Network) founder(key ed25519.PublicKey) (int, bool) {
	for i, f := range n.Founders {
		if bytes.Equal(f.Key[:], key) {
			return i, true
		}
	}
	return 0, false
}
