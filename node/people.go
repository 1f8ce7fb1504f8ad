package node

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Slug is the form in which a name is typed: lower case, with hyphens for all
// that is neither letter nor digit.
func Slug(name string) string {
	fields := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	return strings.Join(fields, "-")
}

const maxName = 64 // bytes

func validName(name string) bool {
	return utf8.ValidString(name) && len(name) <= maxName && strings.ContainsFunc(name, unicode.IsLetter) &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return !unicode.IsPrint(r) && r != '\u200c' && r != '\u200d' // the joiners of Persian and Hindi
		})
}

// find returns the contact with the number that was typed, or the one whose name
// has the slug of what was typed.
func (d *desk) find(name string) (*person, error) {
	want, nearest, best := Slug(name), "", 4
	number, notNumber := strconv.ParseUint(want, 10, 32)
	for _, p := range d.people {
		if notNumber == nil && uint64(p.conversation.View().Number) == number {
			return p, nil
		}
		slug := Slug(p.conversation.Name())
		if slug == want {
			return p, nil
		}
		dist := distance(want, slug)
		if strings.HasPrefix(slug, want) && want != "" {
			dist = 1
		}
		if dist < best || dist == best && slug < nearest {
			nearest, best = slug, dist
		}
	}
	return nil, &NoContactError{Nearest: nearest}
}

// distance is the edit distance of Levenshtein.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(y)]
}

func (d *desk) views() []channel.View {
	views := make([]channel.View, 0, len(d.people))
	for _, p := range d.people {
		views = append(views, p.conversation.View())
	}
	slices.SortFunc(views, func(a, b channel.View) int { return strings.Compare(Slug(a.Name), Slug(b.Name)) })
	return views
}

// with runs f on a contact's conversation and carries out what it returns.
func (n *Node) with(ctx context.Context, name string, f func(*channel.Conversation, time.Time) (*channel.Output, error)) error {
	return n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		out, err := f(p.conversation, d.cfg.Now())
		if err != nil || out == nil {
			return err
		}
		return d.apply(p, out)
	})
}

// look runs f on a contact's conversation, which it only reads.
func (n *Node) look(ctx context.Context, name string, f func(*channel.Conversation) error) error {
	return n.do(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		return f(p.conversation)
	})
}

// placeToMeet is where a new contact is met: at a drop if a relay network is in use,
// unless it is to be directly; else at this machine's address.
func (d *desk) placeToMeet(direct bool) (intro channel.Introduction, at identity.Place, err error) {
	if d.mail != nil && !direct {
		place, id, ok := d.mail.meetingPlace()
		if !ok {
			return intro, at, ErrNoView
		}
		return channel.Introduction{Drop: id, Period: d.cfg.BoxPeriod}, place, nil
	}
	place, err := identity.PlaceOf(d.settings.Address)
	if err != nil || d.settings.Listen == "" {
		return intro, at, ErrNoPlace
	}
	return channel.Introduction{Place: place}, place, nil
}

// Invite makes an invitation for a new contact. It works once, until life from
// now has gone by. In a relay network the two meet at a drop, unless direct is set.
func (n *Node) Invite(ctx context.Context, name string, life time.Duration, strict, direct bool) (text string, view channel.View, err error) {
	err = n.act(ctx, func(d *desk) error {
		now := d.cfg.Now()
		inv, intro, err := d.newInvitation(now.Add(life), strict, direct)
		if err != nil {
			return err
		}
		intro.Name, text = name, inv.Text()
		view, err = d.meet(intro, now)
		return err
	})
	return text, view, err
}

// newInvitation makes an invitation, and what its contact begins with, less the name.
func (d *desk) newInvitation(until time.Time, strict, direct bool) (inv identity.Invitation, intro channel.Introduction, err error) {
	intro, place, err := d.placeToMeet(direct)
	if err != nil {
		return inv, intro, err
	}
	if inv, err = identity.NewInvitation(d.cfg.Random, place, until, strict); err != nil {
		return inv, intro, err
	}
	if intro.Drop != (onion.ID{}) {
		inv.Network = d.mail.network.ID()
	}
	intro.Side, intro.Invitation = identity.Inviter, inv
	return inv, intro, nil
}

// Accept takes up an invitation that somebody else made.
func (n *Node) Accept(ctx context.Context, name, text string) (view channel.View, err error) {
	err = n.act(ctx, func(d *desk) error {
		inv, err := identity.ParseInvitation(text)
		if err != nil {
			return err
		}
		now := d.cfg.Now()
		intro, err := d.takeUp(inv, now)
		if err != nil {
			return err
		}
		intro.Name = name
		view, err = d.meet(intro, now)
		return err
	})
	return view, err
}

// takeUp is what the contact of another one's invitation begins with, less the name.
func (d *desk) takeUp(inv identity.Invitation, now time.Time) (intro channel.Introduction, err error) {
	if !now.Before(inv.Expiry) {
		return intro, ErrExpired
	}
	for _, p := range d.people {
		switch held, side := p.conversation.Holds(inv); {
		case held && side == identity.Inviter:
			return intro, ErrOwn
		case held:
			return intro, ErrTakenUp
		}
	}
	if inv.Place.IsNone() {
		return intro, ErrUnreachable
	}
	intro = channel.Introduction{Side: identity.Accepter, Invitation: inv}
	if at, isDrop := inv.Place.Drop(); isDrop {
		if err := d.canMeet(inv.Network); err != nil {
			return intro, err
		}
		intro.Period = d.cfg.BoxPeriod
		if intro.Drop, err = d.mail.otherDrop(onion.ID(at)); err != nil {
			return intro, err
		}
	} else if d.settings.Listen != "" { // else none: this machine reaches out itself
		intro.Place, _ = identity.PlaceOf(d.settings.Address)
	}
	return intro, nil
}

// canMeet reports whether this machine can meet somebody in a relay network.
func (d *desk) canMeet(network identity.NetworkID) error {
	switch {
	case d.mail == nil:
		return ErrOtherNetwork
	case d.mail.network.ID() != network:
		return ErrOtherNetwork
	case d.mail.view == nil:
		return ErrNoView
	}
	return nil
}

// meet makes a contact of an invitation and stores it.
func (d *desk) meet(intro channel.Introduction, now time.Time) (channel.View, error) {
	if !validName(intro.Name) {
		return channel.View{}, ErrBadName
	}
	if _, err := d.find(intro.Name); err == nil {
		return channel.View{}, ErrNameTaken
	}
	p, out, err := d.newContact(intro, now)
	if err != nil {
		return channel.View{}, err
	}
	if err := d.apply(p, out); err != nil {
		p.conversation.Close()
		delete(d.people, p.conversation.ID())
		return channel.View{}, err
	}
	return p.conversation.View(), d.connectable(p)
}

// newContact puts a contact on the desk; its output is yet to be applied.
func (d *desk) newContact(intro channel.Introduction, now time.Time) (*person, *channel.Output, error) {
	id, err := d.newID()
	if err != nil {
		return nil, nil, err
	}
	intro.Number = 1
	for _, p := range d.people {
		intro.Number = max(intro.Number, p.conversation.View().Number+1)
	}
	c, out, err := channel.New(d.channelConfig(id), id, intro, now)
	if err != nil {
		return nil, nil, err
	}
	p := d.newPerson(c)
	d.people[id] = p
	return p, out, nil
}

func (d *desk) newID() (channel.ContactID, error) {
	var id channel.ContactID
	if _, err := io.ReadFull(d.cfg.Random, id[:]); err != nil {
		return id, fmt.Errorf("drawing a name: %w", err)
	}
	return id, nil
}

// Cancel takes an invitation back that nobody has used, or gives up one that
// was taken up and never answered, and forgets the contact.
func (n *Node) Cancel(ctx context.Context, name string) error {
	return n.act(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		if p.conversation.View().Stage == channel.Met {
			return ErrInvitedOnly
		}
		return d.forget(p)
	})
}

// Contact returns one contact.
func (n *Node) Contact(ctx context.Context, name string) (view channel.View, err error) {
	err = n.look(ctx, name, func(c *channel.Conversation) error { view = c.View(); return nil })
	return view, err
}

// Contacts returns all contacts, by name.
func (n *Node) Contacts(ctx context.Context) (views []channel.View, err error) {
	err = n.do(ctx, func(d *desk) error { views = d.views(); return nil })
	return views, err
}

// Words returns what this person reads aloud to the contact.
func (n *Node) Words(ctx context.Context, name string) (sp identity.Spoken, err error) {
	err = n.look(ctx, name, func(c *channel.Conversation) (err error) { sp, err = c.Words(); return err })
	return sp, err
}

// RenewWords draws new words for a contact.
func (n *Node) RenewWords(ctx context.Context, name string) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.RenewWords(now) })
}

// Compare compares what was heard with the contact's words.
func (n *Node) Compare(ctx context.Context, name string, heard channel.Heard) (v channel.Verdict, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		v, out, err = c.Compare(now, heard)
		return out, err
	})
	return v, err
}

// Consent says that this person wants to go on after a recovery.
func (n *Node) Consent(ctx context.Context, name string) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.Consent(now) })
}

// Send puts a text into the outbox and returns it with its state.
func (n *Node) Send(ctx context.Context, name, text string) (m channel.Message, err error) {
	return n.SendIn(ctx, name, channel.Open, text)
}

// Recall takes a message back that still waits here.
func (n *Node) Recall(ctx context.Context, name string, seq uint64) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.Recall(now, seq) })
}

// Read returns a contact's messages with a sequence above after.
func (n *Node) Read(ctx context.Context, name string, after uint64) (list []channel.Message, err error) {
	err = n.look(ctx, name, func(c *channel.Conversation) error { list = c.Transcript(after); return nil })
	return list, err
}

// Forge makes a transcript of the talks with a contact, from this side's keys
// and whatever lines it is given.
func (n *Node) Forge(ctx context.Context, name, ownName string, lines []forge.Line) (*forge.Transcript, error) {
	var p forge.Params
	began := uint32(n.cfg.Now().Unix() / 60)
	if len(lines) > 0 {
		began = lines[0].Minute
	}
	err := n.look(ctx, name, func(c *channel.Conversation) (err error) {
		p, err = c.ForgeParams(ownName, began, func() (secret.Key, error) { return secret.Read(n.cfg.Random) })
		return err
	})
	if err != nil {
		return nil, err
	}
	return forge.Forge(p, lines, n.cfg.Random)
}
