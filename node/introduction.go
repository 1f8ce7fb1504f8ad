package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
)

// ErrSameContact is returned to who would introduce somebody to himself.
var ErrSameContact = errors.New("two contacts are introduced, and these are one")

const (
	// firstFlight is how long after the end of an introduction its invitation can be
	// taken up: the other one may have had it in the last minute.
	firstFlight = 48 * time.Hour
	// introduceAgain is how soon a contact that could not be made is tried again.
	introduceAgain = time.Minute
)

// ContactIntroduction is an introduction with a contact, as a screen shows it.
type ContactIntroduction struct {
	Contact channel.View
	channel.IntroductionView
	Other channel.View // of an introducer: the other contact
	New   channel.View // of one who was asked: the new contact, if there is one
}

// Introduce asks two contacts whether they want to meet. Each reads what is said of the
// other; life is how long they have to answer, at most 14 days. The one that can be
// reached makes the invitation.
func (n *Node) Introduce(ctx context.Context, first, second, firstReads, secondReads string, life time.Duration) (x ContactIntroduction, err error) {
	err = n.act(ctx, func(d *desk) error {
		p, err := d.find(first)
		if err != nil {
			return err
		}
		q, err := d.find(second)
		switch {
		case err != nil:
			return err
		case p == q:
			return ErrSameContact
		}
		for _, c := range []*person{p, q} {
			if err := c.conversation.MayIntroduce(); err != nil {
				return err
			}
		}
		inviter, accepter, ofInviter, ofAccepter := p, q, secondReads, firstReads
		if p.conversation.Place().IsNone() && !q.conversation.Place().IsNone() {
			inviter, accepter, ofInviter, ofAccepter = q, p, firstReads, secondReads
		}
		x, err = d.introduceTo(inviter, accepter, ofInviter, ofAccepter, life)
		return err
	})
	return x, err
}

func (d *desk) introduceTo(inviter, accepter *person, ofInviter, ofAccepter string, life time.Duration) (x ContactIntroduction, err error) {
	now := d.cfg.Now()
	made, err := introduction.New(ofInviter, ofAccepter, minutes(now.Add(life)), minutes(now), d.cfg.Random)
	if err != nil {
		return x, err
	}
	var tag [16]byte
	if _, err := io.ReadFull(d.cfg.Random, tag[:]); err != nil {
		return x, fmt.Errorf("drawing a tag: %w", err)
	}
	_, one, err := inviter.conversation.Introduce(now, identity.Inviter, accepter.conversation.ID(), tag, made)
	if err != nil {
		return x, err
	}
	n, other, err := accepter.conversation.Introduce(now, identity.Accepter, inviter.conversation.ID(), tag, made)
	if err != nil {
		return x, errors.Join(err, d.putBack(inviter)) // not reached: both were asked before
	}
	view, err := accepter.conversation.Introduction(now, n)
	if err != nil {
		return x, err
	}
	x = d.introduction(accepter, view)
	return x, d.applyBoth(inviter, one, accepter, other)
}

func minutes(t time.Time) uint32 { return uint32(t.Unix() / 60) }

// Introductions returns the introductions that this person makes, and those that are
// made of him, by contact. One that he makes stands at both contacts.
func (n *Node) Introductions(ctx context.Context) (list []ContactIntroduction, err error) {
	err = n.do(ctx, func(d *desk) error {
		for _, p := range d.people {
			for _, x := range p.conversation.Introductions(d.cfg.Now()) {
				list = append(list, d.introduction(p, x))
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b ContactIntroduction) int {
		if a.Contact.ID != b.Contact.ID {
			return strings.Compare(Slug(a.Contact.Name), Slug(b.Contact.Name))
		}
		return int(int64(a.Number) - int64(b.Number))
	})
	return list, err
}

func (d *desk) introduction(p *person, x channel.IntroductionView) ContactIntroduction {
	out := ContactIntroduction{Contact: p.conversation.View(), IntroductionView: x}
	if q := d.people[x.Other]; q != nil {
		out.Other = q.conversation.View()
	}
	if q := d.people[x.Contact]; q != nil {
		out.New = q.conversation.View()
	}
	return out
}

// nameOf is the name of a contact, or nothing.
func (d *desk) nameOf(id channel.ContactID) string {
	if p := d.people[id]; p != nil {
		return p.conversation.Name()
	}
	return ""
}

// OfferedIntroduction returns the introduction that a contact offers and that waits for
// an answer; number 0 stands for the only one.
func (n *Node) OfferedIntroduction(ctx context.Context, name string, number uint64) (x ContactIntroduction, err error) {
	err = n.do(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		now := d.cfg.Now()
		number, _, err := p.conversation.Offered(now, number)
		if err != nil {
			return err
		}
		view, err := p.conversation.Introduction(now, number)
		x = d.introduction(p, view)
		return err
	})
	return x, err
}

// AnswerIntroduction says yes or no to a contact that offers to introduce this person
// to somebody; number 0 stands for the only one that waits. With a yes, as is what the
// new contact will be called here: who it is, is not known before.
func (n *Node) AnswerIntroduction(ctx context.Context, name string, number uint64, yes bool, as string) (x ContactIntroduction, err error) {
	err = n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		now := d.cfg.Now()
		number, side, err := p.conversation.Offered(now, number)
		if err != nil {
			return err
		}
		if yes {
			if err := d.mayMeet(side, as); err != nil {
				return err
			}
		}
		view, out, err := p.conversation.AnswerIntroduction(now, number, yes, as)
		if err != nil {
			return err
		}
		x = d.introduction(p, view)
		return d.apply(p, out)
	})
	return x, err
}

// mayMeet says before a person has said yes what would be in the way of the contact.
func (d *desk) mayMeet(side identity.Side, as string) error {
	if !validName(as) {
		return ErrBadName
	}
	if _, err := d.find(as); err == nil {
		return ErrNameTaken
	}
	if side == identity.Inviter {
		_, _, err := d.placeToMeet(false)
		return err
	}
	return nil
}

// introduceIfDue goes on with introductions: it hands on what came from one of two, and
// makes the contacts of those who both said yes.
func (d *desk) introduceIfDue(now time.Time) {
	if now.Before(d.introduceAt) {
		return
	}
	d.introduceAt = now.Add(time.Hour)
	for _, p := range d.people {
		for _, pair := range p.conversation.Pairs() {
			d.passOn(now, p, pair)
		}
	}
	for _, p := range d.people {
		for _, n := range p.conversation.ToMeet() {
			d.meetIntroduced(now, p, n)
		}
	}
}

// dropUnpaired forgets the introductions of whoever was removed or burned, at the
// contacts to whom they would have been introduced.
func (d *desk) dropUnpaired() {
	d.introduceAt = time.Time{}
	d.introduceIfDue(d.cfg.Now())
}

func (d *desk) passOn(now time.Time, p *person, pair channel.Pair) {
	q := d.people[pair.Other]
	if q != nil {
		one, other, paired := channel.PassOn(now, p.conversation, pair, q.conversation)
		if one != nil {
			_ = d.applyBoth(p, one, q, other) // a failure is kept in full or fatal, and tried again
		}
		if paired {
			return
		}
	}
	_ = d.apply(p, p.conversation.DropPair(now, pair.Number))
}

// meetIntroduced makes the contact of an introduction, or tries again later.
func (d *desk) meetIntroduced(now time.Time, p *person, n uint64) {
	var q *person
	var first *channel.Output
	by := p.conversation.ID()
	out, met := p.conversation.MeetIntroduced(now, n,
		func(side identity.Side, inv identity.Invitation, name string, until time.Time) (identity.Invitation, channel.ContactID, error) {
			intro, err := d.beginning(side, &inv, until.Add(firstFlight), now)
			if err != nil {
				return inv, channel.ContactID{}, err
			}
			intro.Name, intro.Introducer = d.freeName(name), &by
			if q, first, err = d.newContact(intro, now); err != nil {
				return inv, channel.ContactID{}, err
			}
			return inv, q.conversation.ID(), nil
		})
	switch {
	case met && d.applyBoth(p, out, q, first) == nil:
		d.sync(q)
		return
	case !met && q != nil: // made in vain: what came was refused
		delete(d.people, q.conversation.ID())
		q.conversation.Close()
		fallthrough
	case !met && out != nil:
		_ = d.apply(p, out)
		return
	}
	d.introduceAt = now.Add(introduceAgain)
}

// beginning is what the contact of an introduction begins with. An inviter's invitation
// is made, and returned in inv.
func (d *desk) beginning(side identity.Side, inv *identity.Invitation, until, now time.Time) (intro channel.Introduction, err error) {
	if side == identity.Accepter {
		return d.takeUp(*inv, now)
	}
	*inv, intro, err = d.newInvitation(until, false, false)
	return intro, err
}

// freeName is a name that nobody has: what was chosen may have been given since.
func (d *desk) freeName(name string) string {
	base, free := name, name
	for n := 2; ; n++ {
		if _, err := d.find(free); err != nil {
			return free
		}
		suffix := " " + strconv.Itoa(n)
		for len(base)+len(suffix) > maxName {
			_, size := utf8.DecodeLastRuneInString(base)
			base = base[:len(base)-size]
		}
		free = strings.TrimSpace(base) + suffix
	}
}

// applyBoth is apply for a step that concerns two contacts: what it writes is on the
// disk together or not at all.
func (d *desk) applyBoth(p *person, out *channel.Output, q *person, other *channel.Output) error {
	if d.fatal != nil {
		return d.fatal
	}
	if err := d.stage(slices.Concat(out.Writes, other.Writes)); err != nil {
		return errors.Join(d.refused(p, err), d.refused(q, err))
	}
	d.after(p, out)
	d.after(q, other)
	for _, c := range []*person{p, q} {
		_ = d.apply(c, c.conversation.Flush(d.cfg.Now())) // the rest comes with the next connection
		d.setWake(c)
	}
	return d.fatal
}

// putBack puts a conversation back to what the store holds.
func (d *desk) putBack(p *person) error { return d.refused(p, store.ErrTooLarge) }
