package channel

import (
	"errors"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/wire"
)

// KindMembership is one: how the relays that the peer sees compared with those of this
// machine.
const KindMembership store.Kind = 18

// How often a side says which relays it sees: more often while the two differ, so that it
// is known before long whether that lasts.
const (
	statedEvery = 24 * time.Hour
	statedAgain = 6 * time.Hour

	comparedEvery = 5 * time.Hour // the peer's at most: so that it cannot raise the notice at will
)

// Lines of the program about the relays that the two see.
const (
	NoteOtherRelays = "Your machine and theirs see different relays, and did so again after both had asked anew. One of you may be shown a false network. Compare by voice what both read: backchannel network show"
	NoteSameRelays  = "Your machine and theirs see the same relays again."
)

// Memberships is what this machine knows of the relays of its network.
type Memberships interface {
	// Newest returns what is told of the newest epoch in which this machine's guards were asked.
	Newest() (directory.Statement, bool)
	// Membership returns the hash of such an epoch, as long as it is kept.
	Membership(n identity.NetworkID, e directory.Epoch) ([32]byte, bool)
}

// differs says how the last statements of the peer compared.
type differs byte

const (
	same      differs = iota // or none was compared
	once                     // the last one differed: it may only have come late to one of the two
	lastingly                // so did the one before, and the person was told
)

// compared is what is kept of it.
type compared struct {
	stated  uint32 // minute in which the own statement was sealed last; 0: none was
	network identity.NetworkID
	epoch   directory.Epoch // of the last statement of the peer that was compared
	differs differs
}

const comparedVersion = 1

func (c *compared) append(b []byte) []byte {
	e := encoder{b}
	e.u8(comparedVersion)
	e.u32(c.stated)
	e.fixed(c.network[:])
	e.u32(uint32(c.epoch))
	e.u8(byte(c.differs))
	return e.b
}

func parseCompared(b []byte) (c compared, err error) {
	d := decoder{b: b}
	if err := d.version(comparedVersion); err != nil {
		return c, err
	}
	c.stated = d.u32()
	c.network = identity.NetworkID(d.fixed(len(c.network)))
	c.epoch = directory.Epoch(d.u32())
	if c.differs = differs(d.u8()); c.differs > lastingly {
		return c, ErrRecord
	}
	return c, d.end()
}

func (v *Conversation) saveCompared() { v.put(KindMembership, 0, v.compared.append(nil)) }

func (v *Conversation) loadCompared() error {
	raw, err := v.cfg.Records.Get(store.Key{Kind: KindMembership, Object: v.id})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		v.compared, err = parseCompared(raw)
	}
	return err
}

// OtherRelays reports whether the peer's machine sees other relays than this one, in its
// last two statements that could be compared.
func (v *Conversation) OtherRelays() bool { return v.compared.differs == lastingly }

// state seals a statement of which relays this side sees, if one is due and nothing else
// waits, and reports whether it did. It goes in a box that leaves anyway.
func (v *Conversation) state() bool {
	if v.s.partSeq != 0 || len(v.s.controls) > 0 || !v.maySpeak() || !v.room(1) || !v.statementDue() {
		return false
	}
	s, ok := v.cfg.Memberships.Newest()
	if !ok {
		return false
	}
	content := s.Append(nil)
	if !v.sealFrame(wire.Frame{
		Kind: wire.FrameMembership, ID: v.messageID(uint64(v.s.sent), string(content)), Parts: 1, Minute: minute(v.now), Content: content,
	}, 0) {
		return false
	}
	v.compared.stated = minute(v.now)
	v.saveCompared()
	v.saveSession()
	return true
}

// statementDue reports whether it is time for the next one. While the peer does not confirm
// the last, there is none.
func (v *Conversation) statementDue() bool {
	if v.cfg.Memberships == nil {
		return false
	}
	every := statedEvery
	if v.compared.differs != same {
		every = statedAgain
	}
	if ago := v.now.Sub(fromMinute(v.compared.stated)); ago >= 0 && ago < every {
		return false
	}
	for _, cell := range v.sealed {
		if wire.FrameKind(cell.body[0]) == wire.FrameMembership {
			return false
		}
	}
	return true
}

// membershipCame compares which relays the peer sees with those that this machine saw in
// that epoch. One difference may pass: what is new may have come to one of the two first. By
// the next statement, of a later epoch, both have asked their guards again. Nothing is asked
// because of it: a peer who has a hand in a guard would else see which machine asks.
func (v *Conversation) membershipCame(content []byte) {
	s, err := directory.ParseStatement(content)
	if err != nil || v.cfg.Memberships == nil {
		return
	}
	c := &v.compared
	if ago := v.now.Sub(v.comparedAt); !v.comparedAt.IsZero() && ago >= 0 && ago < comparedEvery {
		return // an honest program says it less often
	}
	own, ok := v.cfg.Memberships.Membership(s.Network, s.Epoch)
	if !ok || s.Network == c.network && s.Epoch <= c.epoch {
		return
	}
	if s.Network != c.network {
		c.differs = same // with whom the two compared in another network does not count
	}
	c.network, c.epoch, v.comparedAt = s.Network, s.Epoch, v.now
	switch was := c.differs; {
	case own == s.Membership:
		if c.differs = same; was == lastingly {
			v.note(NoteSameRelays)
		}
	case was == same:
		c.differs = once
	case was == once:
		c.differs = lastingly
		v.note(NoteOtherRelays)
	}
	v.saveCompared()
}
