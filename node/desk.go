package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/route"
	"github.com/backchannel/backchannel/node/store"
)

// desk is an unlocked node: the one owner of store and conversations. Its
// methods run on its own goroutine, but for do, stop and over.
type desk struct {
	cfg      Config
	journal  *journal.Journal
	store    Store
	network  Network
	settings Settings
	cover    *cover // that has the line with relays while this desk is offline
	mail     *mail  // nil: no relay network, or offline

	people    map[channel.ContactID]*person
	beneath   []*below // contacts of levels that are not shown, while online
	followers map[*follower]bool
	keyed     bool           // the store has a key file
	online    bool           // it writes, sends and receives; else it only shows
	links     channel.LinkID // the last one given out
	crammed   bool           // the last thing to be stored found the vault full
	full      bool           // the last attempt to write found the disk full
	purgeAt   time.Time      // when the store is purged next without being asked
	fatal     error          // a write failed otherwise: nothing more is done

	introduceAt time.Time // when introductions are gone on with next

	// What is to be on the disk before it has effect; see durable.go.
	staged   uint64    // the last ticket
	writeAt  time.Time // when the store is written next
	attached time.Time // until then a person counts as being there
	effects  []effect
	waiters  []waiter

	work  chan func(*desk)
	quit  chan struct{} // closed by stop
	once  sync.Once
	ended chan struct{} // closed by Run when all is over
	group sync.WaitGroup
	ctx   context.Context //nolint:containedctx // of the desk's own goroutines; set by run
}

// person is one contact on the desk.
type person struct {
	conversation *channel.Conversation
	direct       *route.Direct
	told         channel.Standing // to the journal
	links        map[channel.LinkID]*link
	pairs        map[p2p.Handle]bool
	wake         time.Time
	waiting      int // effects that wait for the disk

	// Files: who reads what goes out, who writes what comes in, and what they have open.
	reader, writer *worker
	source         source
	sink           sink
}

// newDesk loads what the store holds.
func newDesk(cfg Config, j *journal.Journal, s Store) (*desk, error) {
	d := &desk{
		cfg: cfg, journal: j, store: s, people: map[channel.ContactID]*person{}, followers: map[*follower]bool{},
		work: make(chan func(*desk), 64), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := d.open(); err != nil {
		d.wipe()
		return nil, err
	}
	return d, nil
}

func (d *desk) channelConfig(of channel.ContactID) channel.Config {
	c := d.cfg.Channel
	c.Random, c.Records, c.Stated, c.Name = d.cfg.Random, d.store, d.stated, d.nameOf
	c.Memberships, c.Gone = knownMemberships{d}, d.dropGone
	c.Known = func(static [32]byte) bool {
		for id, p := range d.people {
			if id == of {
				continue
			}
			peer, own := p.conversation.Static()
			if peer == static || own == static {
				return true
			}
		}
		return false
	}
	return c
}

func (d *desk) newPerson(c *channel.Conversation) *person {
	return &person{
		told:         c.Standing(),
		conversation: c, direct: route.NewDirect(d.cfg.Route),
		links: map[channel.LinkID]*link{}, pairs: map[p2p.Handle]bool{},
		reader: newWorker(), writer: newWorker(),
	}
}

// wipe clears the keys of all conversations.
func (d *desk) wipe() {
	for _, p := range d.people {
		p.conversation.Close()
	}
	d.closeBeneath()
}

// abandon gives up a desk that never ran.
func (d *desk) abandon() {
	d.wipe()
	_ = d.store.Close()
}

// stop asks the desk to end.
func (d *desk) stop() { d.once.Do(func() { close(d.quit) }) }

// over reports whether the desk was asked to end or has ended.
func (d *desk) over() bool {
	select {
	case <-d.quit:
		return true
	case <-d.ended:
		return true
	default:
		return false
	}
}

// do runs f on the desk's goroutine and waits for it. A caller who gives up does so
// before f begins or waits for its end: f is never left running on its own.
func (d *desk) do(ctx context.Context, f func(*desk) error) error {
	var taken atomic.Bool
	result := make(chan error, 1)
	work := func(d *desk) {
		if taken.CompareAndSwap(false, true) {
			d.lapse()
			result <- f(d)
		}
	}
	giveUp := func(err error) error {
		if taken.CompareAndSwap(false, true) {
			return err
		}
		return <-result
	}
	select {
	case d.work <- work:
	case <-d.ended:
		return ErrLocked
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		return err
	case <-d.ended:
		return giveUp(ErrLocked)
	case <-ctx.Done():
		return giveUp(ctx.Err())
	}
}

// post hands work over without waiting for it to be done. A desk that ends does
// not do it.
func (d *desk) post(f func(*desk)) {
	select {
	case d.work <- f:
	case <-d.quit:
	case <-d.ctx.Done():
	}
}

// run is the desk's goroutine.
func (d *desk) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	d.ctx = ctx
	timer := time.NewTimer(0)
	defer timer.Stop()
	for d.fatal == nil {
		select {
		case f := <-d.work:
			f(d)
		case f := <-d.lineEvents():
			f()
		case <-timer.C:
		case <-d.quit:
			return d.end(cancel)
		case <-ctx.Done():
			return d.end(cancel)
		}
		timer.Reset(d.tick())
	}
	return d.end(cancel)
}

// lineEvents is what the links with relays have for the desk; nil if they are not its.
func (d *desk) lineEvents() <-chan func() {
	if d.mail == nil {
		return nil
	}
	return d.mail.events
}

// end closes everything and waits.
func (d *desk) end(cancel context.CancelFunc) error {
	d.stop()
	cancel()
	for _, p := range d.people {
		for _, l := range p.links {
			l.close()
		}
	}
	for f := range d.followers {
		close(f.events)
	}
	d.followers = nil
	if d.mail != nil && d.fatal == nil {
		d.mail.putAside()
	}
	d.closeMail() // what follows may take long, and is not to show on the line
	d.lastWrites()
	// No goroutine touches keys or store but through the desk, and one may hang for
	// long, on a disk or a network that does not answer: the keys go before.
	d.wipe()
	err := d.store.Close()
	d.group.Wait()
	return errors.Join(d.fatal, err)
}

// tick does what is due and returns how long until the next thing is.
func (d *desk) tick() time.Duration {
	now := d.cfg.Now()
	d.journal.Expire()
	next := now.Add(time.Minute)
	if !d.online {
		return time.Minute
	}
	if d.writeIfDue(now); d.writeAt.Before(next) {
		next = d.writeAt
	}
	if at := d.tendBeneath(now); at.Before(next) {
		next = at
	}
	for _, p := range d.people {
		if !p.wake.After(now) {
			p.wake = next
			_ = d.apply(p, p.conversation.Tick(now)) // a failure is kept in full or fatal
			d.setWake(p)
			d.sync(p)
		}
		d.carryOn(p)
		d.dialIfDue(p, now)
		if p.wake.Before(next) {
			next = p.wake
		}
		if at, ok := p.direct.Next(); ok && at.Before(next) {
			next = at
		}
	}
	if d.introduceIfDue(now); d.introduceAt.Before(next) {
		next = d.introduceAt
	}
	if d.mail != nil {
		if at := d.mail.tick(now); at.Before(next) {
			next = at
		}
	}
	if d.writeAt.Before(next) {
		next = d.writeAt
	}
	return max(next.Sub(d.cfg.Now()), time.Millisecond)
}

// setWake says when the next thing of a conversation is due. What is due by now, or soon, is
// not put off by events that come meanwhile, however often they do.
func (d *desk) setWake(p *person) {
	now := d.cfg.Now()
	if !p.wake.After(now) {
		return // the tick comes
	}
	next := p.conversation.Next(now)
	if !next.After(now) {
		next = now.Add(10 * time.Millisecond) // more work is left; others come first
		if p.wake.Before(next) {
			return
		}
	}
	p.wake = next
}

// apply carries out an output: it stages the writes, and what else there is to do
// waits until they are on the disk. An error means that they were refused; the
// conversation is then as it was before.
func (d *desk) apply(p *person, out *channel.Output) error {
	for first := true; ; first = false {
		if d.fatal != nil {
			return d.fatal
		}
		if out.Introduced {
			d.introduceAt = time.Time{}
		}
		if out.Burned {
			d.purgeAt = time.Time{} // after the tick that deletes it
		}
		if err := d.stage(out.Writes); err != nil {
			if err = d.refused(p, err); first {
				return err
			}
			return nil // what was asked for is stored; the rest comes with the next connection
		}
		d.after(p, out)
		if !out.More {
			d.files(p)
			d.setWake(p)
			return nil
		}
		out = p.conversation.Flush(d.cfg.Now())
	}
}

// carry does what an output wants done when its writes are on the disk.
func (d *desk) carry(p *person, out *channel.Output) {
	d.discard(out.Discard)
	if l := p.links[out.Link]; l != nil {
		l.send(l.queue, out.Boxes)
		l.send(l.bulk, out.Bulk)
	}
	for _, id := range out.Close {
		if l := p.links[id]; l != nil {
			l.close()
		}
	}
	d.tell(p, out)
	if d.mail != nil {
		d.mail.sync(p)
	}
	d.publish(p, p.conversation.Current(d.cfg.Now(), out.Changed))
	if out.Linked {
		d.sync(p)
	}
}

// refused puts the conversation back to what the store holds and ends its
// connections: what was not stored is neither sent nor acknowledged. A full disk
// is survived; any other error ends the desk.
func (d *desk) refused(p *person, err error) error {
	for _, l := range p.links {
		l.close()
	}
	switch {
	case errors.Is(err, store.ErrFull):
		d.diskFull()
	case errors.Is(err, store.ErrLevelFull): // what is deleted makes room
		d.crammed = true
	case errors.Is(err, store.ErrTooLarge): // nothing that one contact sends ends the rest
	default:
		d.fatal = fmt.Errorf("%w: %w", errStoring, err)
		d.journal.Add(journal.NotStored, reasonFor(err))
		return d.fatal
	}
	id := p.conversation.ID()
	c, loadErr := channel.Load(d.channelConfig(id), id)
	if errors.Is(loadErr, store.ErrNotFound) {
		p.conversation.Close()
		delete(d.people, id) // it was never stored
		return err
	}
	if loadErr != nil {
		d.fatal = fmt.Errorf("loading again: %w", loadErr)
		return d.fatal
	}
	p.conversation.Close()
	p.conversation = c
	p.links = map[channel.LinkID]*link{}
	p.wake = d.cfg.Now().Add(time.Second)
	return err
}
