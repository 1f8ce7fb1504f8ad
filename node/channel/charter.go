package channel

import (
	"errors"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/wire"
)

// KindCharter is by number of a channel: its charter; at 0, which numbers were used.
const KindCharter store.Kind = 13

const (
	charterVersion = 1
	// maxChannels bounds the channels of a contact that are not burned yet.
	maxChannels = 16
	// maxNumber is the highest number of a channel: a side opens 512 in a contact's life.
	maxNumber = 1025
	// maxDrafts bounds the drafts of one channel. Who goes on has it closed.
	maxDrafts = 64
	// maxUnknown bounds the answers that wait for messages of channels that are not there.
	maxUnknown = 16
	// floorEvery is how often the time is written down, in minutes.
	floorEvery = 10
)

// Errors that a person meets.
var (
	ErrNoChannel    = errors.New("there is no channel of this number with this contact")
	ErrNoCharter    = errors.New("number 1 is the conversation that has no charter; channels have numbers from 2 on")
	ErrBurned       = errors.New("the channel was burned, at its deadline or by you")
	ErrNotAgreed    = errors.New("nothing is agreed yet: nothing flows in a channel before both accepted the same text")
	ErrManyChannels = errors.New("there are too many channels with this contact")
	ErrNoReceipts   = errors.New("the channel was agreed to have no receipts: nobody is told what has arrived")
	ErrCharterRoute = errors.New("the charter of a channel says that its messages go over relays alone")
	ErrCharterLine  = errors.New("this line is part of a charter: it goes when its channel is burned")
	ErrStaysSecret  = errors.New("this channel was agreed to stay secret: nothing of it is ever published")
	ErrSecret       = errors.New("a channel with this contact was agreed to stay secret: nothing is published together while it lasts")
)

// Lines of the program about a channel.
const (
	noteCrossed    = "Both of you proposed at once. The draft above stands, and yours is void."
	noteEarlyText  = "A text came in before both of you had accepted. One of the two machines has lost what it knew of this channel, or does not keep to the rules. It was not taken, and this machine has closed the channel."
	noteManyDrafts = "There were too many drafts. This machine has closed the channel."
	noteRefused    = "A draft came that cannot be: its deadline has passed or is more than a year away. This machine has declined it."
)

// used says which numbers of channels were used and burned, and is all that is kept
// of them. floor is the latest time that was known, in minutes since 1970: a clock
// that is put back does not go behind it.
type used struct {
	burned [(maxNumber + 7) / 8]byte
	floor  uint32
}

func (u *used) has(n uint32) bool {
	return n > Open && n <= maxNumber && u.burned[(n-1)/8]&(1<<((n-1)%8)) != 0
}
func (u *used) mark(n uint32) { u.burned[(n-1)/8] |= 1 << ((n - 1) % 8) }

func (u *used) append(b []byte) []byte {
	e := encoder{b}
	e.u8(charterVersion)
	e.u32(u.floor)
	e.fixed(u.burned[:])
	return e.b
}

func parseUsed(b []byte) (u used, err error) {
	d := decoder{b: b}
	if err := d.version(charterVersion); err != nil {
		return u, err
	}
	u.floor = d.u32()
	copy(u.burned[:], d.fixed(len(u.burned)))
	if u.burned[0]&1 != 0 {
		return u, ErrRecord // the first one is burned with the contact's conversation
	}
	return u, d.end()
}

// loadCharters reads the charters, before any line is read: what was burned is not.
func (v *Conversation) loadCharters() error {
	for r, err := range v.cfg.Records.Scan(KindCharter, v.id) {
		if err != nil {
			return err
		}
		switch {
		case v.c.stage == Leaving:
			v.stale = append(v.stale, r.Key)
			continue
		case r.Key.Seq == 0:
			if v.used, err = parseUsed(r.Value); err != nil {
				return err
			}
			continue
		}
		c, err := charter.ParseState(r.Value)
		if err != nil || uint64(c.Channel()) != r.Key.Seq || c.Channel() > maxNumber {
			return ErrRecord
		}
		v.charters[c.Channel()] = c
	}
	return nil
}

func (v *Conversation) saveCharter(n uint32) {
	v.put(KindCharter, uint64(n), v.charters[n].Append(nil))
}

// saveUsed stores which channels were burned: with all that the end of one of them takes, since
// what is half burned would be taken for a channel after a start, and hold nothing.
func (v *Conversation) saveUsed() {
	for _, n := range v.ending {
		v.drop(KindCharter, uint64(n))
	}
	if len(v.ending) > 0 {
		v.c.next = max(v.c.next, v.nextSeq)
		v.saveContact()
		if v.s != nil {
			v.saveSession()
		}
		v.ending, v.out.More = nil, true // what came of them goes on
	}
	v.put(KindCharter, 0, v.used.append(nil))
}

// clock is the time by which deadlines count.
func (v *Conversation) clock() charter.Clock {
	return charter.CheckClock(v.now, v.used.floor, v.cfg.Stated(v.now))
}

// Stated returns how far the peer's clock was ahead of this one when it was last
// heard, if that was within a day.
func (v *Conversation) Stated(now time.Time) (ahead time.Duration, ok bool) {
	if v.clockAt.IsZero() {
		return 0, false
	}
	return charter.Stated(v.clockOff, now.Round(0).Sub(v.clockAt.Round(0)), now.Sub(v.clockAt))
}

// Lapse lets the deadlines pass that have come: from here on nothing of those
// channels is shown or taken. They are burned with the next Tick that is committed.
func (v *Conversation) Lapse(now time.Time) {
	if len(v.charters) == 0 {
		return
	}
	v.now = now
	clock := v.clock()
	for n, c := range v.charters {
		if c.Passed(clock) == charter.Over {
			v.burnChannel(n)
		}
	}
}

// Lapsed reports whether there are channels to be burned with the next Tick.
func (v *Conversation) Lapsed() bool { return len(v.lapsed) > 0 }

// burnChannel takes a channel out of memory, and has its records deleted.
func (v *Conversation) burnChannel(n uint32) {
	delete(v.charters, n)
	v.used.mark(n)
	v.lapsed, v.ending, v.burning = append(v.lapsed, n), append(v.ending, n), true
	gone, kept := map[uint64]bool{}, make([]Message, 0, len(v.messages))
	for _, m := range v.messages {
		if m.Channel != n {
			kept = append(kept, m)
			continue
		}
		gone[m.Seq] = true
		v.discardLine(m)
		if m.Direction == In {
			delete(v.byID, m.ID)
		}
	}
	clear(v.messages[len(kept):])
	v.messages = kept
	v.burnSignings(n)
	for number, cell := range v.sealed {
		if gone[cell.message] {
			v.discardCell(number, cell)
		}
	}
	if v.s != nil && gone[v.s.partSeq] {
		v.s.partSeq, v.s.partNext = 0, 0
	}
	v.requeue()
}

// burnLapsed stores that channels were burned, and blanks what came of them and
// waits for its turn. It writes down what time it is.
func (v *Conversation) burnLapsed() {
	if len(v.lapsed) > 0 {
		v.saveUsed()
		if v.blank() {
			v.lapsed = nil
		}
	}
	if len(v.charters) == 0 {
		return
	}
	if floor := v.floor(); floor >= v.used.floor+floorEvery || floor+floorEvery <= v.used.floor {
		v.used.floor = floor
		v.saveUsed()
	}
}

// waitsForEnd reports whether a frame has to wait, since its channel has ended and that is not
// stored. If the clock was wrong, and the process ends before it is, the channel goes on: what was
// acknowledged and not taken would be lost.
func (v *Conversation) waitsForEnd(f wire.Frame) bool { return slices.Contains(v.ending, f.Channel) }

// blank takes the text off what came of burned channels and waits for its turn, in the session
// before the one in use, too, and reports whether that was all. The frames stay: they could not
// come again.
func (v *Conversation) blank() bool {
	all := v.blankInbound()
	if v.former != nil && all {
		v.inFormer(func() { all = v.blankInbound() })
	}
	return all
}

func (v *Conversation) blankInbound() bool {
	for number, f := range v.inbound {
		if !v.used.has(f.Channel) || len(f.Content) == 0 {
			continue
		}
		if v.full() {
			return false
		}
		f.Content = nil
		v.inbound[number] = f
		v.put(KindInbound, v.cellKey(number), f.Append(nil))
	}
	return true
}

// floor is the latest time that is known now. A clock that is ahead of everybody who
// was heard does not move it, be they too few to say what time it is.
func (v *Conversation) floor() uint32 {
	clock := v.clock()
	if clock.Trust != charter.ClockUnchecked {
		return clock.Floor()
	}
	stated := v.cfg.Stated(v.now)
	if len(stated) > 0 && slices.Max(stated) < -charter.Tolerance && v.used.floor > 0 {
		return v.used.floor
	}
	return clock.Floor()
}

// notThere says why there is no channel of a number.
func (v *Conversation) notThere(n uint32) error {
	if v.used.has(n) {
		return ErrBurned
	}
	return ErrNoChannel
}

// withheld reports whether a channel is not shown because the own clock is ahead.
func (v *Conversation) withheld(n uint32) bool {
	c := v.charters[n]
	return c != nil && c.Passed(v.clock()) != charter.Running
}

// mayFlow reports whether this person may say something in a channel.
func (v *Conversation) mayFlow(n uint32) error {
	c := v.charters[n]
	switch {
	case n == Open:
		return nil
	case c == nil:
		return v.notThere(n)
	case v.withheld(n):
		return charter.ErrClock
	case c.Phase() == charter.Drafting:
		return ErrNotAgreed
	case c.Phase() != charter.Open:
		return charter.ErrEnded
	case c.Agreed().Route != charter.RouteDirect && v.drops.policy != RelayRoute:
		return ErrCharterRoute
	}
	return nil
}

// mayLeave reports whether a line that waits may leave: not while its channel is
// withheld or once it is closed, nor by another way than what was agreed on since it
// was written. What says so itself may.
func (v *Conversation) mayLeave(m Message) bool {
	c := v.charters[m.Channel]
	switch {
	case c == nil:
		return true
	case v.withheld(m.Channel):
		return false
	case m.Craft == CharterCraft:
		return true
	case c.Phase() != charter.Open:
		return false
	}
	return c.Agreed().Route == charter.RouteDirect || v.drops.policy == RelayRoute
}

// mayTake reports whether a text of the peer belongs to a channel that both agreed
// on. It may have left before the peer learned that this side closed the channel. To
// what belongs nowhere the answer is that there is no such channel.
func (v *Conversation) mayTake(f wire.Frame) bool {
	c := v.charters[f.Channel]
	if c == nil {
		v.answerFor(f.Channel, charter.CloseMessage())
		return false
	}
	own, other := c.ClosedBy()
	switch {
	case own || other || c.Phase() == charter.Declined: // who closed, and says more, has lost that
		v.answerFor(f.Channel, charter.CloseMessage())
	case c.Agreed() == nil:
		v.closeHere(f.Channel, noteEarlyText)
	}
	return c.Agreed() != nil && !other
}

// closeHere has this machine close a channel, and tells its person why.
func (v *Conversation) closeHere(n uint32, why string) {
	if message, err := v.charters[n].Close(); err == nil {
		v.endUnsent(n)
		v.sayCharter(n, message)
		v.noteIn(n, why)
		v.saveCharter(n)
	}
}

// NeedsRelays reports whether a channel that is open was agreed to go over relays
// alone.
func (v *Conversation) NeedsRelays() bool {
	for _, c := range v.charters {
		if d := c.Agreed(); d != nil && c.Phase() == charter.Open && d.Route != charter.RouteDirect {
			return true
		}
	}
	return false
}

// silent reports whether a channel was agreed to have no receipts. The machines
// acknowledge all the same, since else nothing could be sent again; but this one tells
// nobody what has arrived.
func (v *Conversation) silent(m Message) bool {
	c := v.charters[m.Channel]
	return m.Direction == Out && c != nil && c.Agreed() != nil && c.Agreed().Receipts == charter.ReceiptsNone
}

// ofBurned reports whether a cell that waits is of a channel that was burned.
func (v *Conversation) ofBurned(cell *sealedCell) bool {
	f, err := wire.ParseFrame(cell.body[:])
	return err == nil && f.Channel > Open && v.used.has(f.Channel)
}
