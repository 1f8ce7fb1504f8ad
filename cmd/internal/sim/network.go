package sim

import (
	"crypto/ed25519"
	"fmt"
	"math"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/mix"
)

// begin is when every simulation starts.
var begin = time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)

// visits is how many relays keep a packet and its reply, by the middles of a way.
func visits(relays int) int {
	if relays > directory.MeshLimit {
		return 7
	}
	return 5
}

func (w *World) key(i int) ed25519.PrivateKey {
	seed := w.seedOf(forKey, i, 0)
	return ed25519.NewKeyFromSeed(seed[:])
}

// found makes the network and its founder, who vouches alone.
func (w *World) found() error {
	c := w.cfg.Constants
	c.PerOperator, c.PerBlock = 255, 255
	if w.cfg.Unprotected || w.cfg.Weaken == ZeroDelay {
		c.Mean = time.Millisecond // the least that there is
	}
	founder := w.key(-1)
	n, err := directory.NewNetwork("simulated.net", c, 1, []directory.Founder{
		{Key: [32]byte(founder.Public().(ed25519.PublicKey)), Name: "founder"},
	})
	if err != nil {
		return fmt.Errorf("founding: %w", err)
	}
	w.network, w.set = n, directory.NewSet(n)
	return nil
}

// admit adds the founder's voucher for a relay, an epoch before the start.
func (w *World) admit(r *relay) error {
	e := w.network.EpochAt(begin)
	v := &directory.Voucher{
		Relay: r.identity(), From: e - 10, Until: math.MaxUint32, Operator: r.operator, Place: r.place,
	}
	v, err := v.Sign(w.network, w.key(-1))
	if err != nil {
		return fmt.Errorf("vouching: %w", err)
	}
	return w.add(directory.Item{Kind: directory.VoucherItem, Bytes: v.Append(nil, w.network)}, begin.Add(-time.Minute))
}

func (w *World) add(item directory.Item, now time.Time) error {
	if v := w.set.Add(item, now); v != directory.Accepted {
		return fmt.Errorf("sim: %v: %v", item.Kind, v)
	}
	return nil
}

// publish makes a relay's descriptor of the epoch of now, and returns its length.
func (w *World) publish(r *relay, now time.Time) (int, error) {
	e, keys, err := r.mix.Keys(now)
	if err != nil {
		return 0, fmt.Errorf("making keys: %w", err)
	}
	d := directory.Descriptor{
		Epoch: e, Expiry: e + directory.KeyEpochs, Pool: uint32(math.Ceil(r.level)), Mean: r.mean,
		Operator: r.operator, Places: []identity.Place{r.place}, Keys: keys,
	}
	b, err := d.Sign(w.network, r.key)
	if err != nil {
		return 0, fmt.Errorf("signing a descriptor: %w", err)
	}
	return len(b), w.add(directory.Item{Kind: directory.DescriptorItem, Bytes: b}, now)
}

// expected is what a relay holds on average, and the mean delay that follows: a network
// that is simulated has run before.
func (w *World) expected() (level float64, mean time.Duration) {
	c := w.network.Constants
	packets := float64(w.cfg.Users*c.Packets())/c.Slot.Seconds() + float64(w.cfg.Relays)*2/c.Slot.Seconds()
	rate := packets * float64(visits(w.cfg.Relays)) / float64(w.cfg.Relays)
	mean = c.Mean
	if w.padded() {
		mean = mix.Raise(c, rate*c.Mean.Seconds(), c.Mean)
	}
	if w.cfg.Weaken == ZeroDelay {
		mean = c.Mean
	}
	return rate * mean.Seconds(), mean
}

// measure looks at what a relay held in the epoch that ends, as a relay does.
func (w *World) measure(r *relay, now time.Time) {
	r.level = r.mix.Average(now)
	if w.padded() && w.cfg.Weaken != ZeroDelay {
		r.mean = mix.Raise(w.network.Constants, r.level, r.mean)
	}
}

// A view looks up in tables what [directory.View] searches for.
type view struct {
	*directory.View
	table   [tableSize]uint8 // place + 1, at the slot of an ID or the next that was free
	members []directory.Member
	linked  []bool
}

const tableSize = 1 << 12

func slotOf(id onion.ID) int { return (int(id[0])<<8 | int(id[1])) % tableSize }

func newView(v *directory.View) *view {
	f := &view{View: v, members: v.Members()}
	n := len(f.members)
	f.linked = make([]bool, n*n)
	for i, a := range f.members {
		s := slotOf(a.ID)
		for f.table[s] != 0 {
			s = (s + 1) % tableSize
		}
		f.table[s] = uint8(i + 1)
		for j, b := range f.members {
			f.linked[i*n+j] = v.Linked(a.ID, b.ID)
		}
	}
	return f
}

func (v *view) find(id onion.ID) (int, bool) {
	for s := slotOf(id); v.table[s] != 0; s = (s + 1) % tableSize {
		if i := int(v.table[s]) - 1; v.members[i].ID == id {
			return i, true
		}
	}
	return 0, false
}

// Member implements [relayed.View].
func (v *view) Member(id onion.ID) (directory.Member, bool) {
	i, ok := v.find(id)
	if !ok {
		return directory.Member{}, false
	}
	return v.members[i], true
}

// Linked implements [relayed.View].
func (v *view) Linked(a, b onion.ID) bool {
	i, ok := v.find(a)
	j, found := v.find(b)
	return ok && found && v.linked[i*len(v.members)+j]
}

// A Passage is what is publicly known of the time from a user's link to a drop.
type Passage struct {
	Relays int           // that keep a packet on the way, but the drop's
	Mean   time.Duration // of each
	Links  time.Duration // what links take on average, all together
}

// Expect returns it for a network that is to be simulated.
func Expect(cfg Config) (p Passage, err error) {
	if err := cfg.check(); err != nil {
		return p, err
	}
	w := &World{cfg: cfg, places: map[onion.ID]uint8{}}
	if err := w.found(); err != nil {
		return p, err
	}
	level, mean := w.expected()
	p.Relays, p.Mean = visits(cfg.Relays)/2, mean
	each := 83*time.Millisecond + jitter
	p.Links = time.Duration(p.Relays+1) * each
	if w.padded() {
		slot := w.network.Constants.Slot
		p.Links += time.Duration(p.Relays) * slot * 7 / 16 / time.Duration(w.rate(level, mean))
	}
	return p, nil
}

// rate is about how many frames a link of the network carries in a slot.
func (w *World) rate(level float64, mean time.Duration) int64 {
	rate := int64(32)
	for float64(rate) < 4*math.Ceil(level)*w.network.Constants.Slot.Seconds()/mean.Seconds()/w.neighbours() {
		rate *= 2
	}
	return rate
}

// neighbours is about how many links a relay has.
func (w *World) neighbours() float64 {
	if w.cfg.Relays > directory.MeshLimit {
		return 1.6 * math.Cbrt(32*float64(w.cfg.Relays))
	}
	return float64(w.cfg.Relays - 1)
}
