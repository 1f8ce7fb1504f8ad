package node

import (
	"errors"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
)

// A below is a contact of a level that is open and not shown. What time and the
// settings bring about in such a level is done as in one that is shown: messages
// expire, contacts that are being removed go, a new address is written down. If it
// were not, that level would contradict the ticks over it, and show that a deeper one
// was open.
type below struct {
	view         *store.View
	id           channel.ContactID
	conversation *channel.Conversation
	wake         time.Time
	lost         bool // closed, and cannot be loaded
}

// openBeneath loads the contacts of the levels that are not shown. One that cannot be
// loaded is left alone, as it is by who opens its level.
func (d *desk) openBeneath() {
	d.closeBeneath()
	for _, v := range d.store.Beneath() {
		if _, err := v.Get(store.Key{Kind: kindMoved}); !errors.Is(err, store.ErrNotFound) {
			continue // it stays off the network, and is not tended by its own sessions, either
		}
		for r, err := range v.ScanKind(channel.KindContact) {
			if err != nil {
				break
			}
			b := &below{view: v, id: r.Key.Object}
			if d.load(b) {
				d.beneath = append(d.beneath, b)
			}
		}
	}
}

func (d *desk) closeBeneath() {
	for _, b := range d.beneath {
		b.conversation.Close()
	}
	d.beneath = nil
}

// load reads a contact as it is in the store.
func (d *desk) load(b *below) bool {
	c := d.cfg.Channel
	c.Random, c.Records, c.Stated, c.Gone = d.cfg.Random, b.view, d.stated, d.dropGone
	conversation, err := channel.Load(c, b.id)
	if err != nil {
		return false
	}
	b.conversation, b.wake = conversation, d.cfg.Now()
	return true
}

// tendBeneath does what is due, and returns when the next thing is.
func (d *desk) tendBeneath(now time.Time) time.Time {
	next := now.Add(time.Hour)
	for i := 0; i < len(d.beneath); i++ {
		b := d.beneath[i]
		if b.lost || !b.wake.After(now) && !d.tend(b, now) {
			b.conversation.Close()
			d.beneath = append(d.beneath[:i], d.beneath[i+1:]...)
			i--
			continue
		}
		if b.wake.Before(next) {
			next = b.wake
		}
	}
	return next
}

// tend reports false when the contact is gone.
func (d *desk) tend(b *below, now time.Time) bool {
	if b.conversation.View().Stage == channel.Leaving {
		for done := false; !done; {
			var out *channel.Output
			if out, done = b.conversation.Forget(now); !d.stageBelow(b, out) {
				return true
			}
		}
		return false
	}
	if d.stageBelow(b, b.conversation.Tick(now)) {
		if b.wake = b.conversation.Next(now); !b.wake.After(now) {
			b.wake = now.Add(10 * time.Millisecond)
		}
	}
	return true
}

// stageBelow stages what an output writes. There is no connection that anything else
// could go to. If it is refused the conversation is put back to what the store holds,
// and tried again in a minute; one that cannot be loaded any more is left alone.
func (d *desk) stageBelow(b *below, out *channel.Output) bool {
	for {
		if b.view.Stage(out.Writes...) != nil {
			b.conversation.Close()
			b.lost = !d.load(b)
			b.wake = d.cfg.Now().Add(time.Minute)
			return false
		}
		d.discard(out.Discard)
		if out.Burned {
			d.purgeAt = time.Time{}
		}
		if !out.More {
			return true
		}
		out = b.conversation.Flush(d.cfg.Now())
	}
}
