package relayed

import (
	"errors"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// ErrBusy is returned when too many errands wait.
var ErrBusy = errors.New("relayed: too many boxes wait to be put or got")

// maxErrands bounds the errands that wait: four boxes in each of the hours that a drop
// keeps, and as many again.
const maxErrands = 2 * drop.MeetingBoxes * 96

// An Errand is a box outside of any contact's periods: a meeting or a reunion box. It
// takes the place of something that a lane would have done for nobody, or of a loop, so
// it shows nowhere; and it waits for that.
type Errand struct {
	Number  uint64 // by which Done names it
	Command onion.Command
	Drop    onion.ID
	Keys    drop.Keys
	Control drop.Control // of a put
	Cell    *wire.Cell
	// Until is the last slot in which it may leave. One that could not is given back as
	// Unsent: a put would be of no use any more, a get can be asked for again. Zero: no end.
	Until cadence.Slot
	// Stay has the guard in use stay, though the errand's drop may be that: the errand waits.
	// What another person brings about must not move the guard.
	Stay bool
}

// Done says what came of an errand: the drop's word, or zero if none came. Control and
// Cell are those of a box that was found and opens; one that does not is [drop.None].
type Done struct {
	Number  uint64
	Status  drop.Status
	Control drop.Control
	Cell    *wire.Cell
	Unsent  bool // it never left, and its address was neither put nor asked for
}

// Room returns how many errands Run takes now. Owners that ask for much leave room for
// puts, which have their time.
func (m *Machine) Room() int { return maxErrands - len(m.errands) }

// Unsent returns the numbers of the errands that wait: they have not left, nor will they if the
// machine ends.
func (m *Machine) Unsent() []uint64 {
	all := make([]uint64, len(m.errands))
	for i, e := range m.errands {
		all[i] = e.Number
	}
	return all
}

// giveBack ends the errands whose time has passed.
func (m *Machine) giveBack() {
	m.errands = slices.DeleteFunc(m.errands, func(e Errand) bool {
		over := e.Until != 0 && e.Until < m.slot.number
		if over {
			m.out.Done = append(m.out.Done, Done{Number: e.Number, Status: drop.Failed, Unsent: true})
			e.Keys.Wipe()
		}
		return over
	})
}

// errandEvery is of how many catch-up gets one is an errand's first, whatever contacts have
// to catch up: a contact that has lost its session must not wait for the others.
const errandEvery = 4

// errandsTurn reports whether the catch-up get of a lane is an errand's.
func (m *Machine) errandsTurn(lane int) bool {
	return (uint64(m.slot.number)*cadence.Lanes+uint64(lane))%errandEvery == 0
}

// Run takes an errand. That its address is asked for, or written, counts from now on: the
// owner has committed it. If its drop is the guard in use, the other guard takes over, but for
// one that is to stay: no way leads from a relay to itself.
func (m *Machine) Run(e Errand) error {
	if e.Command != onion.Put && e.Command != onion.Get {
		return ErrRecord
	}
	if len(m.errands) >= maxErrands {
		return ErrBusy
	}
	if e.Drop == m.guards.active() && !e.Stay {
		m.useOther()
	}
	m.errands = append(m.errands, e)
	return nil
}

// errand sends the next put or get that waits, and reports whether there was one.
func (m *Machine) errand(now time.Time, c onion.Command) bool {
	for i, e := range m.errands {
		fits := m.fits(e.Drop, m.slot.beside)
		if _, there := m.view.Member(e.Drop); e.Command != c || there && fits == noWay {
			continue // another packet leads there
		}
		p := &pending{command: c, errand: &e.Number, drop: e.Drop, box: e.Keys.Box}
		m.errands = append(m.errands[:i:i], m.errands[i+1:]...)
		if m.sendErrand(now, p, e) {
			return true
		}
		m.out.Done = append(m.out.Done, Done{Number: e.Number, Status: drop.Failed, Unsent: true})
		e.Keys.Wipe()
		return false
	}
	return false
}

// wantedAt returns the drop of a get that waits and can be reached, but not by the packet
// that leaves now.
func (m *Machine) wantedAt() (at onion.ID, ok bool) {
	for _, e := range m.errands {
		if _, there := m.view.Member(e.Drop); there && e.Command == onion.Get && e.Drop != m.guards.active() {
			return e.Drop, true
		}
	}
	return at, false
}

func (m *Machine) sendErrand(now time.Time, p *pending, e Errand) bool {
	if e.Command == onion.Get {
		address := e.Keys.Address()
		return m.send(now, p, address[:], nil)
	}
	var random [32]byte
	m.fill(random[:])
	return m.send(now, p, e.Keys.Write.Bytes(), m.cfg.Boxes.Seal(e.Keys.Box, &random, e.Control, e.Cell))
}

func (m *Machine) done(p *pending, status drop.Status, box *drop.Box) {
	d := Done{Number: *p.errand, Status: status}
	if box != nil {
		var err error
		if d.Control, d.Cell, err = m.cfg.Boxes.Open(p.box, box); err != nil {
			d.Status = drop.None
		}
	}
	m.out.Done = append(m.out.Done, d)
}
