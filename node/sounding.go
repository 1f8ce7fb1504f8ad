package node

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/backchannel/backchannel/node/channel"
)

// ContactSoundings are the soundings with one contact.
type ContactSoundings struct {
	Contact channel.View
	List    []channel.SoundingView
	Next    time.Time // the earliest agreed time of the next one; zero: any
}

// Sound names what this person would talk about with a contact: in the sounding that
// is open, or in a new one that ends at the given time.
func (n *Node) Sound(ctx context.Context, name string, at time.Time, topics []string) (s channel.SoundingView, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		s, out, err = c.Sound(now, at, topics)
		return out, err
	})
	return s, err
}

// DropSounding takes out what this person named, or deletes what is over: see
// [channel.Conversation.DropSounding].
func (n *Node) DropSounding(ctx context.Context, name string) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.DropSounding(now) })
}

// Soundings returns the soundings with a contact, or with all if the name is empty;
// then contacts without any are left out.
func (n *Node) Soundings(ctx context.Context, name string) (list []ContactSoundings, err error) {
	err = n.do(ctx, func(d *desk) error {
		now := d.cfg.Now()
		of := func(p *person) ContactSoundings {
			c := ContactSoundings{Contact: p.conversation.View()}
			c.List, c.Next = p.conversation.Soundings(now)
			return c
		}
		if name != "" {
			p, err := d.find(name)
			if err == nil {
				list = []ContactSoundings{of(p)}
			}
			return err
		}
		for _, p := range d.people {
			if c := of(p); len(c.List) > 0 {
				list = append(list, c)
			}
		}
		slices.SortFunc(list, func(a, b ContactSoundings) int { return strings.Compare(Slug(a.Contact.Name), Slug(b.Contact.Name)) })
		return nil
	})
	return list, err
}
