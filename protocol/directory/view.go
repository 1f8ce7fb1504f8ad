package directory

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
)

// The least that a view must have for anybody to hide in it.
const (
	MinRelays    = 3
	MinOperators = 2
)

// ManyOperators is from how many operators on what a drop sees says next to nothing of whose
// boxes are one writer's (docs/spec/cadence.md, section 4). With fewer it says something,
// however ways are drawn, since no operator is to stand twice on one.
const ManyOperators = 10

// A Member is a relay that can be used in an epoch.
type Member struct {
	ID       onion.ID
	Relay    Identity
	Operator string
	Places   []identity.Place
	Key      onion.PublicKey // of this epoch
	Mean     time.Duration
	Pool     uint32

	since Epoch    // when founders admitted it
	told  [32]byte // hash of the key of this epoch that was known before it began
	known []identity.Place
}

// A View is the relays of one epoch. It does not change after it was made.
type View struct {
	n       *Network
	epoch   Epoch
	members []Member // by rising ID
	hash    [32]byte
	vouched int        // relays that founders vouch for in this epoch
	present int        // how many of them have told their key
	crowded []onion.ID // of those that are left out as too many
	links   [][]int
}

// View returns the relays of an epoch. A relay is among them if founders vouched for it
// from an earlier epoch on, and if it told its key in an earlier epoch: what is new has
// one epoch's time to reach everybody. Of one operator, and of one address block, no
// more are taken than the network's constants say, the longest admitted first.
func (s *Set) View(e Epoch) *View {
	v := &View{n: s.n, epoch: e}
	for id, r := range s.relays {
		w := r.voucher
		if r.dropped() || w.From >= e || w.Until <= e {
			continue
		}
		v.vouched++
		if m, ok := r.member(e); ok {
			m.ID, m.Relay, m.Operator, m.since = id.ID(), id, w.Operator, w.From
			v.members = append(v.members, m)
		}
	}
	v.present = len(v.members)
	v.limit()
	slices.SortFunc(v.members, func(a, b Member) int { return compareIDs(a.ID, b.ID) })
	v.hash = v.membership()
	v.links = v.graph()
	return v
}

// member fills in what a relay has told: its key of now from the newest descriptor,
// and what was known of it before the epoch began.
func (r *relay) member(e Epoch) (Member, bool) {
	fits := func(d *Descriptor) bool { return d.Epoch <= e && d.Expiry > e && d.Operator == r.voucher.Operator }
	before := r.newest(func(d *Descriptor) bool { return fits(d) && d.Epoch < e })
	if before == nil {
		return Member{}, false
	}
	now := r.newest(fits)
	key, _ := now.Key(e)
	told, _ := before.Key(e)
	return Member{
		Places: now.Places, Key: key, Mean: now.Mean, Pool: now.Pool,
		told: label.Hash(label.DirectoryKey, told.Bytes()), known: before.Places,
	}, true
}

// limit leaves out relays of which there are too many in one hand or one place.
func (v *View) limit() {
	slices.SortFunc(v.members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.since, b.since), compareIDs(a.ID, b.ID))
	})
	l := newLimits(v.n.Constants)
	v.members = slices.DeleteFunc(v.members, func(m Member) bool {
		fits := l.take(m.Operator, m.known)
		if !fits {
			v.crowded = append(v.crowded, m.ID)
		}
		return !fits
	})
}

// Crowded reports whether a relay is left out because there are as many of its operator, or
// of one of its address blocks, as the network's constants allow.
func (v *View) Crowded(id onion.ID) bool { return slices.Contains(v.crowded, id) }

// limits counts relays by who runs them and where they are.
type limits struct {
	c                 Constants
	operators, blocks map[string]int
}

func newLimits(c Constants) limits { return limits{c, map[string]int{}, map[string]int{}} }

// take takes a relay in, and reports whether there is room for it.
func (l limits) take(operator string, places []identity.Place) bool {
	own := blocksOf(places)
	full := slices.ContainsFunc(own, func(b string) bool { return l.blocks[b] >= l.c.PerBlock })
	if full || l.operators[operator] >= l.c.PerOperator {
		return false
	}
	l.operators[operator]++
	for _, b := range own {
		l.blocks[b]++
	}
	return true
}

// blocksOf returns the address blocks of places, each once: /24 of IPv4, /48 of IPv6,
// the last two labels of a name. Onion addresses cost nothing and are in no block.
func blocksOf(places []identity.Place) []string {
	var out []string
	for _, p := range places {
		address := p.Address()
		host := strings.Trim(address[:strings.LastIndexByte(address, ':')], "[]")
		switch p.Kind() {
		case identity.PlaceIPv4, identity.PlaceIPv6:
			size := 24
			if p.Kind() == identity.PlaceIPv6 {
				size = 48
			}
			block, err := netip.MustParseAddr(host).Prefix(size)
			if err != nil {
				panic("directory: an address without a block")
			}
			out = append(out, block.String())
		case identity.PlaceName:
			parts := strings.Split(host, ".")
			out = append(out, strings.Join(parts[max(0, len(parts)-2):], "."))
		case identity.PlaceNone, identity.PlaceOnion, identity.PlaceDrop:
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// membership is the hash that two parties compare. The order in which things came is
// not in it, and neither are signatures and addresses.
func (v *View) membership() [32]byte {
	parts := [][]byte{v.n.root[:], binary.BigEndian.AppendUint32(nil, uint32(v.epoch))}
	for i := range v.members {
		parts = append(parts, v.members[i].Relay[:], v.members[i].told[:])
	}
	return label.Hash(label.DirectoryMembership, parts...)
}

// Epoch returns the epoch of the view.
func (v *View) Epoch() Epoch { return v.epoch }

// Hash is the same for two parties exactly if they have the same relays in this epoch,
// with the same keys.
func (v *View) Hash() [32]byte { return v.hash }

// Members returns the relays by rising ID. The caller does not change them.
func (v *View) Members() []Member { return v.members }

// Member returns the relay of a name.
func (v *View) Member(id onion.ID) (Member, bool) {
	i, ok := v.find(id)
	if !ok {
		return Member{}, false
	}
	return v.members[i], true
}

func (v *View) find(id onion.ID) (int, bool) {
	return slices.BinarySearchFunc(v.members, id, func(m Member, id onion.ID) int { return bytes.Compare(m.ID[:], id[:]) })
}

// Check returns an error if nobody should build ways over this view: [ErrFewRelays] or
// [ErrWithheld].
func (v *View) Check() error {
	operators := map[string]bool{}
	for _, m := range v.members {
		operators[m.Operator] = true
	}
	if 2*v.present < v.vouched {
		return ErrWithheld
	}
	if len(v.members) < MinRelays || len(operators) < MinOperators {
		return ErrFewRelays
	}
	return nil
}
