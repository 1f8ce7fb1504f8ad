package channel

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A Policy says by which routes a contact is talked to.
type Policy byte

// The policies.
const (
	BothRoutes  Policy = iota // direct while there is a connection, else over relays
	DirectRoute               // never over relays
	RelayRoute                // never by a direct connection
)

// String returns the policy in one word.
func (p Policy) String() string {
	switch p {
	case BothRoutes:
		return "both"
	case DirectRoute:
		return "direct"
	case RelayRoute:
		return "relayed"
	default:
		return "no route"
	}
}

// A DropSet is where the boxes of two people lie, for as long as a session lasts.
type DropSet struct {
	Network identity.NetworkID
	Relays  [drop.SetSize]onion.ID // the inviter's choice, the accepter's, that of neither
	Period  cadence.Period
	First   uint64 // period; boxes are written and read from it on
}

// Drops is how far two people have agreed on a [DropSet] in the session in use.
type Drops struct {
	Epoch   uint32 // counts sessions; zero: there is none that is used
	Side    identity.Side
	Network identity.NetworkID // of the own choice
	Own     onion.ID           // the own choice, as it was told; zero: nothing was told
	Peer    onion.ID           // the other side's; zero: it told nothing, or is in another network
	Period  cadence.Period     // the longer of both
	Hour    uint32             // of the handshake, if the set is of the cards: its First is the hour's; else zero
	Set     *DropSet           // nil: not agreed
}

// drops is what is kept of it.
type drops struct {
	policy      Policy
	peerNetwork identity.NetworkID
	Drops
	sure bool       // of Set: the other side has it, too
	root secret.Key // of the chain of the boxes at Set; empty once that has begun

	said     [drop.SetSize]onion.ID // Set as the other side has it, by its last word; zeros without Set
	unsaid   bool                   // not kept: what a version before this one said of Set is not understood
	believed uint32                 // hour of the last change for which there was only the other side's word; zero: there was none

	branches []branch        // chains of boxes, see branches.go; none: the first alone
	theirs   drop.BranchName // the chain that the other side was last heard to watch
}

// dropsVersion is that of docs/spec/session.md. A chain of version 1 has begun as soon as
// there was a set; in version 2 it was the only one. Up to version 3 nothing was known of what the
// other side has, and its word always believed.
const dropsVersion = 4

func (o *drops) append(b []byte) []byte {
	e := encoder{b}
	e.u8(dropsVersion)
	e.u8(byte(o.policy))
	e.u32(o.Epoch)
	e.fixed(o.Network[:])
	e.fixed(o.Own[:])
	e.fixed(o.Peer[:])
	e.fixed(o.peerNetwork[:])
	e.u8(byte(o.Period))
	e.u32(o.Hour)
	e.flag(o.Set != nil)
	if o.Set != nil {
		e.fixed(o.Set.append(nil))
	}
	e.flag(o.sure)
	e.key(o.root)
	said := o.said
	if o.unsaid {
		said = [drop.SetSize]onion.ID{}
	}
	for _, relay := range said {
		e.fixed(relay[:])
	}
	e.u32(o.believed)
	o.appendBranches(&e)
	return e.b
}

func parseDrops(b []byte) (o drops, err error) {
	d := decoder{b: b}
	old, one, unsaid := d.first(), d.upTo(2), d.upTo(3)
	if err := d.version(dropsVersion); err != nil {
		return o, err
	}
	o.policy = Policy(d.u8())
	o.Epoch = d.u32()
	o.Network = identity.NetworkID(d.fixed(len(o.Network)))
	o.Own, o.Peer = onion.ID(d.fixed(onion.IDSize)), onion.ID(d.fixed(onion.IDSize))
	o.peerNetwork = identity.NetworkID(d.fixed(len(o.peerNetwork)))
	o.Period = cadence.Period(d.u8())
	o.Hour = d.u32()
	if d.flag() {
		if o.Set, err = parseDropSet(d.fixed(dropSetSize)); err != nil {
			return o, ErrRecord
		}
	}
	if old {
		o.sure = o.Set != nil && o.Hour != 0 // the cards named it to both
	} else {
		o.sure, o.root = d.flag(), d.key()
	}
	if !unsaid {
		o.said = parseRelays(d.fixed(drop.SetSize * onion.IDSize))
		o.believed = d.u32()
		unsaid = o.said == [drop.SetSize]onion.ID{}
	}
	if unsaid && o.Set != nil {
		o.said, o.unsaid = o.Set.Relays, true
	}
	if !one {
		o.parseBranches(&d)
	}
	if o.policy > RelayRoute || o.Set == nil && o.said != [drop.SetSize]onion.ID{} || o.Set != nil && !differ(o.said) {
		return o, ErrRecord
	}
	return o, d.end()
}

// dropSetSize is network 8, three relays 20 each, period 1, first 8.
const dropSetSize = 8 + drop.SetSize*onion.IDSize + 1 + 8

func (s *DropSet) append(b []byte) []byte {
	b = append(b, s.Network[:]...)
	for _, r := range s.Relays {
		b = append(b, r[:]...)
	}
	return binary.BigEndian.AppendUint64(append(b, byte(s.Period)), s.First)
}

func parseDropSet(b []byte) (*DropSet, error) {
	if len(b) != dropSetSize {
		return nil, ErrRecord
	}
	s := &DropSet{Network: identity.NetworkID(b)}
	s.Relays = parseRelays(b[len(s.Network):])
	b = b[len(s.Network)+drop.SetSize*onion.IDSize:]
	s.Period, s.First = cadence.Period(b[0]), binary.BigEndian.Uint64(b[1:])
	if !s.Period.Valid() || !differ(s.Relays) {
		return nil, ErrRecord
	}
	return s, nil
}

// parseRelays reads three relays of at least 60 bytes.
func parseRelays(b []byte) (r [drop.SetSize]onion.ID) {
	for i := range r {
		r[i] = onion.ID(b[i*onion.IDSize:])
	}
	return r
}

// differ reports whether there are three relays, each in one place.
func differ(r [drop.SetSize]onion.ID) bool {
	return r[0] != r[1] && r[0] != r[2] && r[1] != r[2] && !slices.Contains(r[:], onion.ID{})
}

// Drops returns how far drops are agreed in the session in use.
func (v *Conversation) Drops() Drops {
	if v.s == nil || v.s.dead {
		return Drops{Side: v.c.side}
	}
	if v.drops.Epoch != v.s.epoch && !v.s.chained {
		return Drops{Epoch: v.s.epoch, Side: v.c.side}
	}
	o := v.drops.Drops
	o.Side = v.c.side
	if v.drops.peerNetwork != o.Network {
		o.Peer = onion.ID{}
	}
	return o
}

// MailRoot is what the chain of boxes at drops begins with: the one that is agreed, or
// would be in the session in use. It is empty once the chain has begun.
func (v *Conversation) MailRoot() secret.Key {
	if v.drops.Set != nil {
		return v.drops.root.Clone()
	}
	return v.s.drops.Clone()
}

// MailBegan tells that the chain of boxes is kept elsewhere from now on. What led to it is
// wiped: it would lead back to days whose keys are gone.
func (v *Conversation) MailBegan(now time.Time) *Output {
	v.begin(now)
	if v.drops.Set != nil && !v.drops.root.IsZero() {
		v.drops.root.Wipe()
		v.drops.root = secret.Key{}
		v.saveDrops()
	}
	return v.end()
}

// takeRoot has the chain of the agreed drops begin with the session in use.
func (v *Conversation) takeRoot() {
	v.drops.root.Wipe()
	v.drops.root, v.s.drops = v.s.drops, secret.Key{}
	v.s.chained = false
	v.saveSession()
}

// inSession forgets what was agreed in a session before.
func (o *drops) inSession(epoch uint32) {
	if o.Epoch != epoch {
		o.root.Wipe()
		*o = drops{policy: o.policy, believed: o.believed, Drops: Drops{Epoch: epoch}}
	}
}

// MayOfferDrop reports whether this side may tell its choice in the session in use: not if
// drops were agreed anew lately in one before it.
func (v *Conversation) MayOfferDrop(now time.Time) bool {
	o := &v.drops
	return v.s != nil && !v.s.dead && (v.s.epoch == 1 || v.c.side == identity.Inviter || o.Epoch == v.s.epoch && o.Own != onion.ID{} || o.mayBelieve(now))
}

// OfferDrop tells the peer which drop this side chooses, and in which network, if it may.
func (v *Conversation) OfferDrop(now time.Time, network identity.NetworkID, own onion.ID, p cadence.Period) *Output {
	v.begin(now)
	if !v.MayOfferDrop(now) {
		return v.end()
	}
	o := &v.drops
	o.inSession(v.s.epoch)
	if v.s.epoch > 1 && o.Own == (onion.ID{}) && v.c.side == identity.Accepter {
		o.believed = handshake.Hour(now)
	}
	o.Network, o.Own, o.Period = network, own, max(o.Period, p)
	v.control(wire.FrameDrop, append(append(network[:], own[:]...), byte(p)))
	v.saveDrops()
	v.saveSession()
	out := v.end()
	out.More = true
	return out
}

// NameDrops tells the peer all three drops, as the inviter does. They are in use from
// here on.
func (v *Conversation) NameDrops(now time.Time, s DropSet) *Output {
	v.begin(now)
	if v.s == nil || v.s.dead || v.drops.Epoch != v.s.epoch || v.drops.Set != nil || v.c.side != identity.Inviter || v.s.epoch > 1 && !v.drops.mayBelieve(now) {
		return v.end()
	}
	v.agreedAnew()
	v.drops.Set, v.drops.said = &s, s.Relays
	v.takeRoot()
	v.control(wire.FrameDropSet, s.append(nil))
	v.saveDrops()
	v.saveSession()
	out := v.end()
	out.More = true
	return out
}

// dropCame takes the other side's choice: network 8, relay 20, period 1.
func (v *Conversation) dropCame(content []byte) {
	const size = len(identity.NetworkID{}) + onion.IDSize + 1
	if len(content) != size {
		return
	}
	p := cadence.Period(content[size-1])
	relay := onion.ID(content[8 : 8+onion.IDSize])
	if v.drops.inSession(v.s.epoch); v.drops.Set == nil {
		clear(v.mail.boxed)
		v.outOfMailbox()
	}
	if v.s.chained { // it agrees anew
		v.s.chained = false
		v.saveSession()
	}
	if o := &v.drops; p.Valid() && o.Set == nil {
		o.Peer, o.peerNetwork = relay, identity.NetworkID(content[:8])
		o.Period = max(o.Period, p)
		v.saveDrops()
	}
}

// agreedAnew counts a set of a later session as believed when it is taken.
func (v *Conversation) agreedAnew() {
	if v.s.epoch > 1 {
		v.drops.believed = handshake.Hour(v.now)
	}
}

// dropSetCame takes the set that the inviter names. It holds this side's choice.
func (v *Conversation) dropSetCame(content []byte) {
	s, err := parseDropSet(content)
	o := &v.drops
	if err != nil || v.c.side != identity.Accepter || o.Epoch != v.s.epoch || o.Set != nil ||
		s.Network != o.Network || s.Relays[1] != o.Own || o.Own == (onion.ID{}) {
		return
	}
	v.agreedAnew()
	o.Set, o.said, o.sure = s, s.Relays, true
	v.takeRoot()
	v.saveDrops()
}

func (v *Conversation) saveDrops() { v.put(KindDrops, 0, v.drops.append(nil)) }

// Route returns by which routes the contact is talked to.
func (v *Conversation) Route() Policy { return v.drops.policy }

// SetRoute changes by which routes the contact is talked to, from the next box on. What
// is under way is not lost by it, and does not come twice.
func (v *Conversation) SetRoute(now time.Time, p Policy) *Output {
	v.begin(now)
	if v.drops.policy != p {
		v.drops.policy = p
		v.saveDrops()
		v.out.Linked = true
		if p == RelayRoute && v.link != nil {
			v.closeLink()
		}
	}
	return v.end()
}

func (v *Conversation) loadDrops(raw []byte) (err error) {
	v.drops, err = parseDrops(bytes.Clone(raw))
	return err
}
