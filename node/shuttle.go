package node

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

// ContactShuttles is what is carried to and from one contact.
type ContactShuttles struct {
	Contact channel.View
	List    []channel.ShuttleView
	Others  []string // by the List: the name of the other of the two, at the mediator
	Texts   []channel.HeldText
}

// OpenShuttle begins, as the mediator, an exchange of sealed offers between two
// contacts, and calls for both offers.
func (n *Node) OpenShuttle(ctx context.Context, first, second, subject string, until time.Time) error {
	return n.act(ctx, func(d *desk) error {
		a, err := d.find(first)
		if err != nil {
			return err
		}
		b, err := d.find(second)
		if err != nil {
			return err
		}
		if a == b {
			return channel.ErrShuttleSelf
		}
		now := d.cfg.Now()
		r, err := channel.NewShuttle(now, until, subject, d.cfg.Random)
		if err != nil {
			return err
		}
		outA, err := a.conversation.OpenShuttle(now, r, shuttle.First, b.conversation.ID())
		if err != nil {
			return err
		}
		outB, err := b.conversation.OpenShuttle(now, r, shuttle.Second, a.conversation.ID())
		if err != nil {
			d.reload(a)
			return err
		}
		return d.applyBoth(a, outA, b, outB)
	})
}

// CarryText hands a text to a mediator, to be carried to somebody else.
func (n *Node) CarryText(ctx context.Context, name, text string) (m channel.Message, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		m, out, err = c.Carry(now, text)
		return out, err
	})
	return m, err
}

// SealOffer seals this person's offer in an exchange that a mediator has called for; 0
// stands for the latest one.
func (n *Node) SealOffer(ctx context.Context, name string, number uint64, offer string) (s channel.ShuttleView, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		s, out, err = c.Offer(now, number, offer)
		return out, err
	})
	return s, err
}

// ReleaseText has the mediator carry a text of one contact on to another, and forgets
// it here.
func (n *Node) ReleaseText(ctx context.Context, from string, number uint64, to string) error {
	return n.act(ctx, func(d *desk) error {
		a, err := d.find(from)
		if err != nil {
			return err
		}
		b, err := d.find(to)
		if err != nil {
			return err
		}
		if a == b {
			return channel.ErrShuttleSelf
		}
		now := d.cfg.Now()
		m, outA, err := a.conversation.TakeHeld(now, number)
		if err != nil {
			return err
		}
		if err := d.applyBoth(a, outA, b, b.conversation.Pass(now, m)); err != nil {
			return err
		}
		return d.sweep(a)
	})
}

// ReleaseOffers has the mediator open the offers of an exchange in which a contact is one of
// the two; 0 stands for the latest in which both have sealed.
func (n *Node) ReleaseOffers(ctx context.Context, name string, number uint64) error {
	return n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		if number == 0 {
			number = d.readyShuttle(p)
		}
		u, ok := p.conversation.Carried(number)
		if !ok {
			return channel.ErrNoShuttle
		}
		first, second := d.bothOf(p, u)
		if first == nil || second == nil {
			return channel.ErrNoShuttle
		}
		now := d.cfg.Now()
		m, out, err := first.conversation.Release(now, u.ID)
		if err != nil {
			return err
		}
		return d.applyBoth(first, out, second, second.conversation.Pass(now, m))
	})
}

// DropShuttle ends an exchange with a contact on this side, as one of the two in it or as the
// mediator, and says what the others have of it; 0 stands for the only one.
func (n *Node) DropShuttle(ctx context.Context, name string, number uint64) (dropped channel.DroppedShuttle, err error) {
	err = n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		number, mediator, err := p.conversation.Mediates(number)
		if err != nil {
			return err
		}
		if mediator {
			dropped, err = d.dropRound(p, number)
		} else {
			var out *channel.Output
			if dropped, out, err = p.conversation.DropShuttle(d.cfg.Now(), number); err == nil {
				err = d.apply(p, out)
			}
		}
		if err != nil {
			return err
		}
		return d.sweep(p)
	})
	return dropped, err
}

// dropRound forgets an exchange between whose two this person carries, at both of them.
func (d *desk) dropRound(p *person, number uint64) (channel.DroppedShuttle, error) {
	u, _ := p.conversation.Carried(number)
	now := d.cfg.Now()
	first, second := d.bothOf(p, u)
	if first == nil || second == nil { // the other one was removed
		return channel.DroppedUnopened, d.apply(p, p.conversation.DropRound(now, false, u.ID))
	}
	one, two, released, ok := first.conversation.Rounds(u.ID)
	if !ok {
		return channel.DroppedUnopened, d.apply(p, p.conversation.DropRound(now, false, u.ID))
	}
	dropped := channel.DroppedUnopened
	if released {
		dropped = channel.DroppedReleased
	}
	return dropped, d.applyBoth(first, first.conversation.DropRound(now, released, one), second, second.conversation.DropRound(now, released, two))
}

// readyShuttle is the number of the latest exchange of a contact that can be released,
// because another one may have been opened since; 0: none.
func (d *desk) readyShuttle(p *person) uint64 {
	for _, s := range slices.Backward(d.shuttles(p).List) {
		if s.State == channel.ShuttleReady {
			return s.Number
		}
	}
	return 0
}

// Shuttles returns what is carried to and from a contact, or all if the name is empty;
// then contacts without any are left out.
func (n *Node) Shuttles(ctx context.Context, name string) (list []ContactShuttles, err error) {
	err = n.do(ctx, func(d *desk) error {
		if name != "" {
			p, err := d.find(name)
			if err == nil {
				list = []ContactShuttles{d.shuttles(p)}
			}
			return err
		}
		for _, p := range d.people {
			if c := d.shuttles(p); len(c.List)+len(c.Texts) > 0 {
				list = append(list, c)
			}
		}
		slices.SortFunc(list, func(a, b ContactShuttles) int { return strings.Compare(Slug(a.Contact.Name), Slug(b.Contact.Name)) })
		return nil
	})
	return list, err
}

func (d *desk) shuttles(p *person) ContactShuttles {
	c := ContactShuttles{Contact: p.conversation.View()}
	c.List, c.Texts = p.conversation.Shuttle(d.cfg.Now(), func(id channel.ContactID) *channel.Conversation {
		if first := d.people[id]; first != nil {
			return first.conversation
		}
		return nil
	})
	for _, s := range c.List {
		name := ""
		if other := d.people[s.Other]; s.Mediator && other != nil {
			name = other.conversation.Name()
		}
		c.Others = append(c.Others, name)
	}
	return c
}

// bothOf returns the first and the second of the two between whom this person carries.
func (d *desk) bothOf(p *person, u channel.Unseen) (first, second *person) {
	if u.From == shuttle.First {
		return p, d.people[u.Other]
	}
	return d.people[u.Other], p
}

// carryOn sees to what the two between whom this person carries have sent: commitments
// go on at once, openings wait for a person.
func (d *desk) carryOn(p *person) {
	for d.fatal == nil {
		u, ok := p.conversation.Unseen()
		if !ok {
			return
		}
		now := d.cfg.Now()
		first, second := d.bothOf(p, u)
		if first == nil || second == nil { // the other one was removed
			if d.apply(p, p.conversation.Seen(now, u)) != nil {
				return
			}
			continue
		}
		pass, outFirst := first.conversation.See(now, u)
		outSecond := &channel.Output{}
		switch {
		case u.From == shuttle.Second:
			outSecond = second.conversation.Seen(now, u)
			if pass != nil { // to the first
				outFirst = joined(outFirst, first.conversation.Pass(now, pass))
			}
		case pass != nil:
			outSecond = second.conversation.Pass(now, pass)
		}
		if d.applyBoth(first, outFirst, second, outSecond) != nil {
			return // a full disk: it is seen to when there is room
		}
	}
}

// joined is one output of two of a conversation, of which the first sends nothing.
func joined(a, b *channel.Output) *channel.Output {
	b.Writes = append(a.Writes, b.Writes...)
	b.Changed = append(a.Changed, b.Changed...)
	b.More = true
	return b
}

// reload puts a conversation back to what the store holds.
func (d *desk) reload(p *person) {
	if d.fatal == nil {
		_ = d.refused(p, store.ErrTooLarge)
	}
}
