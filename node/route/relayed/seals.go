package relayed

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A Seal is what one session of a contact seals its boxes with (see [drop.SealKey]).
// Sessions come and go, and the places of boxes stay.
type Seal struct {
	Session uint32 // by which Opened names it; never zero
	Key     secret.Key
}

// SetSeals says which sessions the boxes of a contact may be of: the first is the one in
// use, in which boxes are written. A box that carries a flight is sealed under the key of
// its place alone, since its reader may be in another session; so are all boxes of a
// contact without seals.
func (m *Machine) SetSeals(id ContactID, seals []Seal) {
	for _, c := range m.contacts {
		if c.id != id || slices.EqualFunc(c.seals, seals, same) {
			continue
		}
		c.wipeSeals()
		for _, s := range seals {
			c.seals = append(c.seals, Seal{s.Session, s.Key.Clone()})
		}
	}
}

func same(a, b Seal) bool { return a.Session == b.Session && a.Key.Equal(b.Key) }

func (c *contact) wipeSeals() {
	for _, s := range c.seals {
		s.Key.Wipe()
	}
	c.seals = nil
}

// seal seals a box under the key of its place and that of its session, if it is of one.
func (m *Machine) seal(session, place secret.Key, random *[32]byte, content *Content) *drop.Box {
	if session.IsZero() || content.Control.Flags&drop.FlagFlight != 0 {
		return m.cfg.Boxes.Seal(place, random, content.Control, content.Cell)
	}
	key := drop.SealKey(place, session)
	defer key.Wipe()
	return m.cfg.Boxes.Seal(key, random, content.Control, content.Cell)
}

// open opens a box of a contact, and says of which session it is; zero: of none.
func (m *Machine) open(c *contact, place secret.Key, box *drop.Box) (session uint32, control drop.Control, cell *wire.Cell, ok bool) {
	for _, s := range c.seals {
		key := drop.SealKey(place, s.Key)
		control, cell, err := m.cfg.Boxes.Open(key, box)
		key.Wipe()
		if err == nil {
			return s.Session, control, cell, control.Flags&drop.FlagFlight == 0
		}
	}
	control, cell, err := m.cfg.Boxes.Open(place, box)
	return 0, control, cell, err == nil && (len(c.seals) == 0 || control.Flags&drop.FlagFlight != 0)
}
