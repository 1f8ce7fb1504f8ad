package node

import (
	"context"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/charter"
)

// ContactChannels are the channels with one contact.
type ContactChannels struct {
	Contact channel.View
	Route   channel.Policy
	List    []channel.ChannelView
}

// Channels returns the channels of a contact, or of all if the name is empty.
func (n *Node) Channels(ctx context.Context, name string) (list []ContactChannels, err error) {
	err = n.do(ctx, func(d *desk) error {
		of := func(p *person) ContactChannels {
			return ContactChannels{p.conversation.View(), p.conversation.Route(), p.conversation.Channels(d.cfg.Now())}
		}
		if name != "" {
			p, err := d.find(name)
			if err != nil {
				return err
			}
			list = []ContactChannels{of(p)}
			return nil
		}
		for _, v := range d.views() {
			if c := of(d.people[v.ID]); len(c.List) > 0 {
				list = append(list, c)
			}
		}
		return nil
	})
	return list, err
}

// Channel returns a channel of a contact.
func (n *Node) Channel(ctx context.Context, name string, number uint32) (c ContactChannels, err error) {
	err = n.do(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		w, err := p.conversation.Channel(d.cfg.Now(), number)
		c = ContactChannels{p.conversation.View(), p.conversation.Route(), []channel.ChannelView{w}}
		return err
	})
	return c, err
}

// OpenChannel proposes a channel with a contact.
func (n *Node) OpenChannel(ctx context.Context, name string, t charter.Terms) (channel.ChannelView, error) {
	return n.charter(ctx, name, func(c *channel.Conversation, now time.Time) (channel.ChannelView, *channel.Output, error) {
		return c.OpenChannel(now, t)
	})
}

// AmendChannel proposes other terms for a channel.
func (n *Node) AmendChannel(ctx context.Context, name string, number uint32, t charter.Terms) (channel.ChannelView, error) {
	return n.charter(ctx, name, func(c *channel.Conversation, now time.Time) (channel.ChannelView, *channel.Output, error) {
		return c.AmendChannel(now, number, t)
	})
}

// AnswerChannel accepts or declines the draft that the person was shown.
func (n *Node) AnswerChannel(ctx context.Context, name string, number uint32, shown charter.Digest, accept bool) (channel.ChannelView, error) {
	return n.charter(ctx, name, func(c *channel.Conversation, now time.Time) (channel.ChannelView, *channel.Output, error) {
		if accept {
			return c.AcceptChannel(now, number, shown)
		}
		return c.DeclineChannel(now, number, shown)
	})
}

// WithdrawDraft takes this side's draft back.
func (n *Node) WithdrawDraft(ctx context.Context, name string, number uint32) (channel.ChannelView, error) {
	return n.charter(ctx, name, func(c *channel.Conversation, now time.Time) (channel.ChannelView, *channel.Output, error) {
		return c.WithdrawDraft(now, number)
	})
}

// CloseChannel ends a channel for both sides; it is burned at its deadline.
func (n *Node) CloseChannel(ctx context.Context, name string, number uint32) (channel.ChannelView, error) {
	return n.charter(ctx, name, func(c *channel.Conversation, now time.Time) (channel.ChannelView, *channel.Output, error) {
		return c.CloseChannel(now, number)
	})
}

func (n *Node) charter(ctx context.Context, name string,
	f func(*channel.Conversation, time.Time) (channel.ChannelView, *channel.Output, error),
) (w channel.ChannelView, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		w, out, err = f(c, now)
		return out, err
	})
	return w, err
}

// BurnChannel burns this side's copy of a channel now, and takes it out of the
// store's files. It returns the part files that could not be deleted.
func (n *Node) BurnChannel(ctx context.Context, name string, number uint32) (left []string, err error) {
	return n.burn(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) {
		return c.BurnChannel(now, number)
	})
}

// SendIn is Send in a channel.
func (n *Node) SendIn(ctx context.Context, name string, number uint32, text string) (m channel.Message, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		m, out, err = c.SendIn(now, number, text)
		return out, err
	})
	if err != nil {
		return m, err
	}
	if got, err := n.ReadIn(ctx, name, number, m.Seq-1); err == nil && len(got) > 0 && got[0].Seq == m.Seq {
		m = got[0]
	}
	return m, nil
}

// ReadIn is Read of a channel.
func (n *Node) ReadIn(ctx context.Context, name string, number uint32, after uint64) (list []channel.Message, err error) {
	err = n.look(ctx, name, func(c *channel.Conversation) error {
		list, err = c.TranscriptIn(n.cfg.Now(), number, after)
		return err
	})
	return list, err
}

// lapse lets the deadlines of channels pass, before anything is shown. What is burned by
// that in memory is soon burned on the disk.
func (d *desk) lapse() {
	now := d.cfg.Now()
	for _, p := range d.people {
		p.conversation.Lapse(now)
		if !p.conversation.Lapsed() {
			continue
		}
		if at := p.conversation.Next(now); at.Before(p.wake) {
			p.wake = at
		}
	}
}

// burnLapsed stages that channels were burned whose deadlines came while this machine was
// off, before anything else is: who ends it right after has burned them.
func (d *desk) burnLapsed() {
	d.lapse()
	for _, p := range d.people {
		if p.conversation.Lapsed() {
			_ = d.apply(p, p.conversation.Tick(d.cfg.Now())) // a failure is kept in full or fatal, and tried again
		}
	}
}

// stated is what contacts and relays say the time is: one statement of each contact and
// of each operator, of the last day.
func (d *desk) stated(now time.Time) (list []time.Duration) {
	for _, p := range d.people {
		if ahead, ok := p.conversation.Stated(now); ok {
			list = append(list, ahead)
		}
	}
	if d.mail != nil {
		list = append(list, d.mail.stated(now)...)
	}
	return list
}

// stated is what relays say the time is. An operator counts once, however many relays
// it runs: by the median of them.
func (m *mail) stated(now time.Time) (list []time.Duration) {
	if m.view == nil {
		return nil
	}
	operators := map[string][]time.Duration{}
	for id, c := range m.machine.Clocks(now) {
		r, known := m.view.Member(id)
		ahead, ok := charter.Stated(c.Ahead, now.Round(0).Sub(c.Read.Round(0)), now.Sub(c.Read))
		if known && ok {
			operators[r.Operator] = append(operators[r.Operator], ahead)
		}
	}
	for _, all := range operators {
		slices.Sort(all)
		list = append(list, all[len(all)/2])
	}
	return list
}
