package node

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/mandate"
)

// ContactMandates are the mandates of one contact: what this person holds for it,
// and what it showed.
type ContactMandates struct {
	Contact channel.View
	List    []channel.MandateView
}

// RequestMandate returns the request for mandates of an authority, to be taken to
// it. Nil: the listener's machine is asked for its key, and the same call returns it
// when that has come.
func (n *Node) RequestMandate(ctx context.Context, name string, authority mandate.PublicKey) (file []byte, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		file, out, err = c.RequestMandate(now, authority)
		return out, err
	})
	return file, err
}

// ImportMandate takes what an authority made for a request of this machine, and says
// for which contact it is.
func (n *Node) ImportMandate(ctx context.Context, g mandate.Grant) (view channel.View, m channel.MandateView, err error) {
	err = n.act(ctx, func(d *desk) error {
		for _, p := range d.people {
			if !p.conversation.Fits(g.Mandate) {
				continue
			}
			got, out, err := p.conversation.ImportMandate(d.cfg.Now(), g)
			if err != nil {
				return err
			}
			view, m = p.conversation.View(), got
			return d.apply(p, out)
		}
		return channel.ErrNoRequest
	})
	return view, m, err
}

// ShowMandate shows a mandate that this person holds to the contact; 0 stands for
// the latest one.
func (n *Node) ShowMandate(ctx context.Context, name string, number uint64) (m channel.MandateView, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		m, out, err = c.ShowMandate(now, number)
		return out, err
	})
	return m, err
}

// WithdrawMandate takes a withdrawal that an authority made: as the listener, or as
// the envoy, who passes it on. It returns the contact whose listener is told, if any.
func (n *Node) WithdrawMandate(ctx context.Context, b []byte) (view channel.View, passed bool, err error) {
	err = n.act(ctx, func(d *desk) error {
		for _, p := range d.people {
			_, out, err := p.conversation.PassWithdrawal(d.cfg.Now(), b)
			if err == nil {
				view, passed = p.conversation.View(), true
				return d.apply(p, out)
			}
		}
		for _, p := range d.people {
			if out, err := p.conversation.TakeWithdrawal(d.cfg.Now(), b); err == nil {
				return d.apply(p, out)
			}
		}
		return channel.ErrNotWithdrawal
	})
	return view, passed, err
}

// Mandates returns the mandates of a contact, or of all if the name is empty.
func (n *Node) Mandates(ctx context.Context, name string) (list []ContactMandates, err error) {
	err = n.do(ctx, func(d *desk) error {
		all := d.mandates()
		if name == "" {
			list = slices.DeleteFunc(all, func(c ContactMandates) bool { return len(c.List) == 0 })
			return nil
		}
		p, err := d.find(name)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(all, func(c ContactMandates) bool { return c.Contact.ID != p.conversation.ID() })
		return nil
	})
	return list, err
}

// Mandate checks a mandate that a contact showed; 0 stands for the latest one.
func (n *Node) Mandate(ctx context.Context, name string, line uint64) (view channel.View, m channel.MandateView, err error) {
	err = n.do(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		for _, c := range d.mandates() {
			if c.Contact.ID != p.conversation.ID() {
				continue
			}
			for _, got := range slices.Backward(c.List) {
				if !got.Held && (line == 0 || got.Number == line) {
					view, m = c.Contact, got
					return nil
				}
			}
		}
		return channel.ErrNoMandate
	})
	return view, m, err
}

// CompareAuthority compares what a person typed with the words of the authority of
// a mandate that a contact showed.
func (n *Node) CompareAuthority(ctx context.Context, name string, line uint64, typed [mandate.WordCount]string) (fit [mandate.WordCount]bool, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		fit, out, err = c.CompareAuthority(now, line, typed)
		return out, err
	})
	return fit, err
}

// mandates are those of all contacts, by name. What no single contact can tell is
// told here: that several came for one matter of one authority.
func (d *desk) mandates() (all []ContactMandates) {
	now := d.cfg.Now()
	type matter struct {
		authority mandate.PublicKey
		dossier   mandate.Dossier
	}
	who := map[matter][]channel.ContactID{}
	names := map[channel.ContactID]string{}
	for id, p := range d.people {
		c := ContactMandates{p.conversation.View(), p.conversation.Mandates(now)}
		all, names[id] = append(all, c), c.Contact.Name
		for _, m := range c.List {
			key := matter{m.Authority, m.Dossier}
			if m.State == channel.MandateValid && !slices.Contains(who[key], id) {
				who[key] = append(who[key], id)
			}
		}
	}
	slices.SortFunc(all, func(a, b ContactMandates) int { return strings.Compare(Slug(a.Contact.Name), Slug(b.Contact.Name)) })
	for _, c := range all {
		for i := range c.List {
			m := &c.List[i]
			for _, id := range who[matter{m.Authority, m.Dossier}] {
				if id != c.Contact.ID && m.State == channel.MandateValid {
					m.SameMatter = append(m.SameMatter, names[id])
				}
			}
			slices.Sort(m.SameMatter)
		}
	}
	return all
}
