package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
)

// Rename gives a contact another name on this machine. Its number stays.
func (n *Node) Rename(ctx context.Context, name, to string) (view channel.View, err error) {
	err = n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		if !validName(to) {
			return ErrBadName
		}
		if other, err := d.find(to); err == nil && other != p {
			return ErrNameTaken
		}
		if err := d.apply(p, p.conversation.Rename(d.cfg.Now(), to)); err != nil {
			return err
		}
		view = p.conversation.View()
		return nil
	})
	return view, err
}

// RemoveContact deletes a contact and all that is kept of it. The other side is
// told nothing, and meets silence. It returns the part files that could not be
// deleted: their disk may be out, and nothing that is kept names them any more.
func (n *Node) RemoveContact(ctx context.Context, name string) (left []string, err error) {
	var parts <-chan []string
	err = n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		out, _ := p.conversation.Forget(d.cfg.Now())
		if parts, err = d.applyAndDiscard(p, out); err != nil {
			return err
		}
		if err := d.forget(p); err != nil {
			return err
		}
		return d.rotate()
	})
	return waitParts(parts), err
}

// Burn deletes the conversation with a contact here, and asks the other side's
// node to do the same. The contact stays. It returns what [Node.RemoveContact]
// does.
func (n *Node) Burn(ctx context.Context, name string) (left []string, err error) {
	return n.burn(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.Burn(now), nil })
}

// burn carries out what deletes lines, and then what names the part files of theirs.
func (n *Node) burn(ctx context.Context, name string, f func(*channel.Conversation, time.Time) (*channel.Output, error)) (left []string, err error) {
	var id channel.ContactID
	var parts <-chan []string
	if err := n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		id = p.conversation.ID()
		out, err := f(p.conversation, d.cfg.Now())
		if err != nil {
			return err
		}
		parts, err = d.applyAndDiscard(p, out)
		return err
	}); err != nil {
		return nil, err
	}
	// What names the part files goes after them: a kill in between is made good by
	// the next run.
	left = waitParts(parts)
	return left, n.do(ctx, func(d *desk) error {
		if p := d.people[id]; p != nil {
			return d.sweep(p)
		}
		return nil // removed meanwhile
	})
}

// EditMessage puts another text in the place of a line's, and returns the line as
// it was.
func (n *Node) EditMessage(ctx context.Context, name string, seq uint64, text string) (m channel.Message, err error) {
	return n.change(ctx, name, func(c *channel.Conversation, now time.Time) (channel.Message, *channel.Output, error) {
		return c.Edit(now, seq, text)
	})
}

// RemoveMessage deletes a line, and returns it as it was.
func (n *Node) RemoveMessage(ctx context.Context, name string, seq uint64) (m channel.Message, err error) {
	return n.change(ctx, name, func(c *channel.Conversation, now time.Time) (channel.Message, *channel.Output, error) {
		return c.Remove(now, seq)
	})
}

// change changes a line, and takes what was there out of the store's files.
func (n *Node) change(ctx context.Context, name string, f func(*channel.Conversation, time.Time) (channel.Message, *channel.Output, error)) (m channel.Message, err error) {
	err = n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		var out *channel.Output
		if m, out, err = f(p.conversation, d.cfg.Now()); err != nil {
			return err
		}
		if err := d.apply(p, out); err != nil {
			return err
		}
		return d.sweep(p)
	})
	return m, err
}

// sweep deletes what a conversation has let go, and rotates the store's keys.
func (d *desk) sweep(p *person) error {
	for done := false; !done; {
		var out *channel.Output
		out, done = p.conversation.Sweep(d.cfg.Now())
		if err := d.apply(p, out); err != nil {
			return d.kept(err)
		}
	}
	d.dropUnpaired()
	return d.rotate()
}

// forget deletes a contact, step by step, and takes it off the desk. One that is
// cut off is taken up by the next tick or the next run.
func (d *desk) forget(p *person) error {
	for done := false; !done; {
		var out *channel.Output
		out, done = p.conversation.Forget(d.cfg.Now())
		if err := d.apply(p, out); err != nil {
			d.purgeAt = d.cfg.Now().Add(time.Minute)
			return err
		}
	}
	for _, l := range p.links {
		l.close()
	}
	for h := range p.pairs {
		d.network.Remove(h)
	}
	id := p.conversation.ID()
	if d.mail != nil {
		d.mail.forget(id)
	}
	for f := range d.followers {
		if f.contact != nil && *f.contact == id {
			close(f.events)
			delete(d.followers, f)
		}
	}
	delete(d.people, id)
	p.conversation.Close()
	d.forgetBacked(id)
	d.dropUnpaired()
	return nil
}

// ErrKept is returned when something was deleted, and its ciphertext could not be
// taken out of the store's files yet.
var ErrKept = errors.New("deleted; but the disk is full, so what was there is still in the vault's files, sealed")

// ErrKeyAway is returned when something was deleted, and the key file was not there
// to be given another secret.
var ErrKeyAway = errors.New("deleted here; but the key file is not there, so a copy of the disk that was made before still opens with it and a passphrase")

// A store is purged without being asked, too, at moments that are drawn: cells that
// were acknowledged leave the files. How long until the next one does not depend on
// how long ago the last one was. So a purge that a deletion called for comes out of no
// turn, also for who sees all purges and has the passphrase of a shallower level,
// where nothing was deleted.
const (
	purgeMean = time.Hour // between two, for a vault of up to 128 MiB; longer for larger ones, in proportion
	purgeMost = 24 * time.Hour
	purgeSize = 128 << 20
)

// nextPurge draws when the store is purged next.
func (d *desk) nextPurge() time.Time {
	var b [8]byte
	_, _ = io.ReadFull(d.cfg.Random, b[:]) // if it fails, something that matters fails next
	u := (float64(binary.BigEndian.Uint64(b[:])>>11) + 1) / (1 << 53)
	mean := float64(purgeMean) * max(1, float64(d.store.Size())/purgeSize)
	return d.cfg.Now().Add(time.Duration(min(-math.Log(u)*mean, float64(purgeMost))))
}

// purgeIfDue purges right after a tick: when the desk wakes between two depends on what
// comes from outside.
func (d *desk) purgeIfDue(now time.Time) {
	if now.Before(d.purgeAt) || d.fatal != nil {
		return
	}
	d.purgeAt = d.nextPurge()
	d.finishLeaving()
	_ = d.purge() // a full disk is met again later; else fatal
}

// purge takes what was deleted or replaced out of the store's files. On a full
// disk it is tried again later.
func (d *desk) purge() error { return d.refreshed(d.store.Purge()) }

// rotate is purge for what a person deletes: if there is a key file it gets another
// secret, without which no earlier copy of the store opens. If its medium is away
// the store is purged without, and the person told.
func (d *desk) rotate() error {
	err := d.store.Rotate()
	if errors.Is(err, store.ErrKeyFile) {
		if err := d.purge(); err != nil {
			return err
		}
		return ErrKeyAway
	}
	return d.refreshed(err)
}

// refreshed does what a refresh of the store, which ended with err, leads to.
func (d *desk) refreshed(err error) error {
	switch {
	case errors.Is(err, store.ErrKeyFileOld):
		d.release()
	case err == nil:
		d.release() // whatever was staged is on the disk with it
	case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrMemory), errors.Is(err, os.ErrPermission):
		return d.kept(err)
	case errors.Is(err, store.ErrKeyFile), errors.Is(err, store.ErrKeyFileExists), errors.Is(err, store.ErrSame), errors.Is(err, store.ErrEmpty), errors.Is(err, store.ErrLong), errors.Is(err, store.ErrSlots):
	default:
		d.fatal = fmt.Errorf("purging: %w", err)
	}
	return err
}

// kept has the purge tried again soon.
func (d *desk) kept(err error) error {
	d.purgeAt = d.cfg.Now().Add(time.Minute)
	if errors.Is(err, store.ErrFull) {
		return ErrKept // once what was staged is on the disk: see act
	}
	return err
}

// finishLeaving takes up the removal of contacts that was cut off.
func (d *desk) finishLeaving() {
	for _, p := range d.people {
		if p.conversation.View().Stage == channel.Leaving && d.forget(p) == nil {
			_ = d.purge() // tried again, or kept in fatal
		}
	}
}
