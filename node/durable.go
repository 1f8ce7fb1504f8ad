package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/store"
)

// Pace is how often the store is written, whether or not there is anything to
// write: what is on the disk tells when a person was there, and no more.
type Pace struct {
	Attached time.Duration // while a person is there; zero: 2 s
	Rest     time.Duration // else; zero: 1 min
	Stay     time.Duration // how long a person counts as there after a command; zero: 1 min

	// Eager writes as soon as something waits. It shows on the disk that something
	// did: for tests alone.
	Eager bool
}

func (p Pace) withDefaults() Pace {
	for _, d := range []struct {
		v *time.Duration
		z time.Duration
	}{{&p.Attached, 2 * time.Second}, {&p.Rest, time.Minute}, {&p.Stay, time.Minute}} {
		if *d.v == 0 {
			*d.v = d.z
		}
	}
	return p
}

// An effect is what an output leads to besides its writes. It waits for them, and
// for those before: a box tells what was received until then.
type effect struct {
	ticket uint64
	person *person
	out    *channel.Output
}

// A waiter is a command whose person is told when its writes are on the disk.
type waiter struct {
	ticket uint64
	done   chan<- error
	result error // what it is told
}

// maxEffects is how many effects may wait before connections are read no further.
const maxEffects = 256

// stage hands writes to the store, which has them on the disk after one of the
// next ticks.
func (d *desk) stage(writes []store.Write) error {
	if len(writes) == 0 {
		return nil
	}
	ticket, err := d.store.Stage(writes...)
	if err != nil {
		return err
	}
	d.staged, d.crammed = ticket, false
	if d.cfg.Pace.Eager {
		d.writeAt = time.Time{}
	}
	return nil
}

// after carries an output out when its writes are on the disk: at once, if it has
// none and nothing of this contact waits before it.
func (d *desk) after(p *person, out *channel.Output) {
	if len(out.Writes) == 0 && p.waiting == 0 || d.staged <= d.store.Durable() && len(d.effects) == 0 {
		d.carry(p, out)
		return
	}
	p.waiting++
	d.effects = append(d.effects, effect{d.staged, p, out})
}

// release carries out what waited for what is on the disk now.
func (d *desk) release() {
	durable, n := d.store.Durable(), 0
	for n < len(d.effects) && d.effects[n].ticket <= durable {
		n++
	}
	ready := d.effects[:n:n]
	d.effects = d.effects[n:]
	for _, e := range ready {
		e.person.waiting--
		d.carry(e.person, e.out)
	}
	d.answer()
}

// answer tells the commands whose writes are on the disk now.
func (d *desk) answer() {
	for len(d.waiters) > 0 && d.waiters[0].ticket <= d.store.Durable() {
		d.waiters[0].done <- d.waiters[0].result
		d.waiters = d.waiters[1:]
	}
}

// attach tells that a person is there: from here on the store is written at the
// faster pace.
func (d *desk) attach() {
	now := d.cfg.Now()
	d.attached = now.Add(d.cfg.Pace.Stay)
	if soon := now.Add(d.cfg.Pace.Attached); d.online && soon.Before(d.writeAt) {
		d.writeAt = soon
	}
}

// writeIfDue writes the store by the clock.
func (d *desk) writeIfDue(now time.Time) {
	if d.cfg.Pace.Eager && d.staged > d.store.Durable() {
		d.writeAt = now
	}
	if now.Before(d.writeAt) {
		return
	}
	pace := d.cfg.Pace.Rest
	if now.Before(d.attached) || len(d.followers) > 0 {
		pace = d.cfg.Pace.Attached
	}
	if d.mail != nil {
		pace = d.mail.pace(pace)
	}
	// By the clock, however long the last one took; missed ticks are not made up for: they
	// would tell of a sleep.
	if d.writeAt = d.writeAt.Add(pace); !d.writeAt.After(now) {
		d.writeAt = now.Add(pace)
	}
	d.write()
	d.purgeIfDue(now)
	if d.cfg.Pace.Eager && d.staged > d.store.Durable() && !d.full {
		d.writeAt = now // one tick did not hold all of it
	}
}

// write makes one tick. A full disk is survived: what was staged waits.
func (d *desk) write() {
	switch err := d.store.Tick(); {
	case err == nil:
		if d.full {
			d.full = false
			d.journal.Add(journal.FullNoMore)
		}
		d.release()
		if d.mail != nil {
			d.mail.release()
		}
	case errors.Is(err, store.ErrFull):
		d.diskFull()
		for _, w := range d.waiters {
			w.done <- ErrInMemory
		}
		d.waiters = nil
	default:
		d.fatal = fmt.Errorf("%w: %w", errStoring, err)
		d.journal.Add(journal.NotStored, reasonFor(err))
	}
}

func (d *desk) diskFull() {
	if !d.full {
		d.journal.Add(journal.Full)
	}
	d.full = true
}

// closingWrites is how many ticks a desk ends with, always: enough for what a
// person can have done just before.
const closingWrites = 3

// lastWrites brings what was staged to the disk before the store is closed.
func (d *desk) lastWrites() {
	for range closingWrites {
		if !d.online || d.fatal != nil || d.store.Tick() != nil {
			return
		}
		d.answer()
	}
}
