package node

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// carriers are the contacts whose boxes the machine writes and reads, and in which of
// their sessions.
type carriers map[channel.ContactID]uint32

// contactPeriod is how many slots there are to a contact's box, as a rule. With two lanes that is
// enough for four contacts; with more, delivery slows evenly.
const contactPeriod = cadence.Period(2)

// record is where a write of the machine is kept: under its contact and session.
func (c carriers) record(w relayed.Write) store.Write {
	k := store.Key{Object: w.Contact, Seq: uint64(c[channel.ContactID(w.Contact)])<<32 | w.Seq&(1<<32-1)}
	if k.Kind = kindRoute; w.Kind == relayed.Book {
		k.Kind = kindBook
	}
	return store.Write{Key: k, Value: w.Value, Delete: w.Value == nil}
}

// kept returns the records of a contact's session, and deletes those of others.
func (m *mail) kept(id channel.ContactID, epoch uint32) (kept []relayed.Write, err error) {
	var old []store.Write
	if m.desk.people[id] == nil {
		for _, kind := range []store.Kind{kindMeeting, kindReunion} {
			old = append(old, store.Write{Key: store.Key{Kind: kind, Object: id}, Delete: true})
		}
	}
	for kind, as := range map[store.Kind]relayed.RecordKind{kindRoute: relayed.Route, kindBook: relayed.Book} {
		for r, err := range m.desk.store.Scan(kind, id) {
			if err != nil {
				return nil, err
			}
			if r.Key.Seq>>32 != uint64(epoch) {
				old = append(old, store.Write{Key: r.Key, Delete: true})
				continue
			}
			kept = append(kept, relayed.Write{Contact: relayed.ContactID(id), Kind: as, Seq: r.Key.Seq & (1<<32 - 1), Value: slices.Clone(r.Value)})
		}
	}
	for chunk := range slices.Chunk(old, store.MaxWrites/2) {
		if err := m.desk.commitOwn(chunk...); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// load gives the machine the contacts that the store holds, and deletes what is left of
// contacts that are gone.
func (m *mail) load() error {
	gone := map[channel.ContactID]bool{}
	for _, kind := range []store.Kind{kindRoute, kindBook, kindMeeting, kindReunion} {
		for r, err := range m.desk.store.ScanKind(kind) {
			if err != nil {
				return err
			}
			if m.desk.people[r.Key.Object] == nil {
				gone[r.Key.Object] = true
			}
		}
	}
	for id := range gone {
		if _, err := m.kept(id, 0); err != nil {
			return err
		}
	}
	for _, p := range m.desk.people {
		m.sync(p)
	}
	return nil
}

// sync has the machine write and read a contact's boxes if drops are agreed in the
// session in use, and unread ones of earlier periods while something is missing: what is
// stored may say so before a box comes.
func (m *mail) sync(p *person) {
	id, o := p.conversation.ID(), p.conversation.Drops()
	ours := o.Set != nil && o.Set.Network == m.network.ID()
	if epoch, ok := m.carried[id]; ok && (!ours || epoch != o.Epoch) {
		m.turn(m.at, m.machine.RemoveContact(relayed.ContactID(id)))
		delete(m.carried, id)
	}
	if _, ok := m.carried[id]; ours && !ok {
		m.add(p, o)
	} else if ok && ours {
		m.seal(p)
		m.branch(p)
		m.machine.SetDrops(relayed.ContactID(id), o.Set.Relays)
	}
	if _, ok := m.carried[id]; ok {
		m.machine.SetMissing(relayed.ContactID(id), p.conversation.Lacking())
	}
}

// add hands a contact to the machine: as it was kept, else from the first period on.
func (m *mail) add(p *person, o channel.Drops) {
	id := p.conversation.ID()
	c := relayed.Contact{ID: relayed.ContactID(id), Direction: drop.FromInviter, Set: o.Set.Relays, Period: o.Set.Period}
	if o.Side == identity.Accepter {
		c.Direction = drop.FromAccepter
	}
	var err error
	if c.Kept, err = m.kept(id, o.Epoch); err != nil {
		return
	}
	if len(c.Kept) == 0 {
		root := p.conversation.MailRoot()
		defer root.Wipe()
		if root.IsZero() {
			return // the chain began, and is not kept: the next one comes with a recovery
		}
		first, from := time.Duration(o.Set.First*uint64(o.Set.Period))*m.slot, o.Set.First
		if o.Hour != 0 { // the cards named the drops
			first = time.Duration(o.Hour) * time.Hour
			from = uint64(first/m.slot) / uint64(o.Set.Period)
		}
		c.Chain, c.From = drop.NewChain(root, drop.DayAt(first)), from
	}
	m.carried[id] = o.Epoch
	out, err := m.machine.AddContact(c)
	if err != nil {
		delete(m.carried, id)
		return
	}
	stored := m.turn(m.at, out)
	m.seal(p)
	m.branch(p)
	if stored { // else what the chain begins with is still needed
		_ = m.desk.apply(p, p.conversation.MailBegan(m.desk.cfg.Now()))
	}
}

// branch tells the machine on which chains a contact's boxes lie, and has it keep that of the
// session in use before the conversation counts on it.
func (m *mail) branch(p *person) {
	id := relayed.ContactID(p.conversation.ID())
	if session, root, first, ok := p.conversation.NextBranch(); ok {
		m.turn(m.at, m.machine.SetBranches(id, p.conversation.Branches()))
		chain, _ := drop.NewBranch(root, first)
		root.Wipe()
		if m.turn(m.at, m.machine.AddBranch(id, session, chain)) {
			_ = m.desk.apply(p, p.conversation.Watch(m.desk.cfg.Now()))
		}
	}
	m.turn(m.at, m.machine.SetBranches(id, p.conversation.Branches()))
}

// move has a contact's boxes move to another chain when it is time for that.
func (m *mail) move(p *person, now time.Time) {
	today, ok := m.machine.Today()
	if _, carried := m.carried[p.conversation.ID()]; !ok || !carried {
		return
	}
	kept := m.network.Constants.Expiry * 5 / 4 // what a drop has at most
	oldest := today - min(today, drop.Day(kept/(24*time.Hour))+1)
	if out := p.conversation.Move(now, today, oldest); out != nil && m.desk.apply(p, out) != nil {
		return
	}
	m.branch(p) // the days that are waited may be over
}

// seal tells the machine of which sessions a contact's boxes may be.
func (m *mail) seal(p *person) {
	var seals []relayed.Seal
	for _, s := range p.conversation.Seals() {
		seals = append(seals, relayed.Seal{Session: s.Session, Key: s.Key})
	}
	m.machine.SetSeals(relayed.ContactID(p.conversation.ID()), seals)
	for _, s := range seals {
		s.Key.Wipe()
	}
}

// forget ends a contact that is removed.
func (m *mail) forget(id channel.ContactID) {
	if _, ok := m.carried[id]; ok {
		m.turn(m.at, m.machine.RemoveContact(relayed.ContactID(id)))
		delete(m.carried, id)
	}
	m.endMeeting(id)
	m.endReunion(id)
	_, _ = m.kept(id, 0) // what is left goes with the next run
}

// agree tells a contact which drop this side chooses; the inviter names all three when
// both have told. It is only called while there is a view.
func (m *mail) agree(p *person, now time.Time) {
	o := p.conversation.Drops()
	if m.view == nil || o.Epoch == 0 || o.Set != nil {
		m.replaceGone(p, o, now)
		return
	}
	if o.Own == (onion.ID{}) || o.Network != m.network.ID() {
		if own, ok := m.chooseDrop(); ok && p.conversation.MayOfferDrop(now) {
			_ = m.desk.apply(p, p.conversation.OfferDrop(now, m.network.ID(), own, m.desk.cfg.BoxPeriod))
		}
		return
	}
	if o.Side != identity.Inviter || o.Peer == (onion.ID{}) {
		return
	}
	if _, ok := m.view.Member(o.Peer); !ok && !m.gone(o.Peer, now) {
		return // it may be known here later; of one that left the other side names another, once there is a set
	}
	own := o.Own
	if _, there := m.view.Member(own); !there || own == o.Peer || m.avoids(own) { // it may be avoided since it was told
		own, _ = m.chooseDrop(o.Peer) // three relays that differ
	}
	root := p.conversation.MailRoot()
	defer root.Wipe()
	third, ok := relayed.Neutral(m.view, root, own, o.Peer)
	slot, synced := m.machine.Slot()
	if !ok || !synced || own == (onion.ID{}) {
		return
	}
	set := channel.DropSet{
		Network: o.Network, Relays: [drop.SetSize]onion.ID{own, o.Peer, third}, Period: o.Period,
		First: uint64(slot)/uint64(o.Period) + 2,
	}
	_ = m.desk.apply(p, p.conversation.NameDrops(now, set))
}

// replaceGone puts others in the place of this side's drops that founders have put out of
// the network.
func (m *mail) replaceGone(p *person, o channel.Drops, now time.Time) {
	if m.view == nil || o.Set == nil || o.Set.Network != m.network.ID() {
		return
	}
	for place, id := range o.Set.Relays {
		if !p.conversation.ReplacesDrop(place) || !m.gone(id, now) && !p.conversation.DropClashes(now, place) {
			continue
		}
		named := p.conversation.NamedDrops(place)
		by, ok := m.chooseDrop(named...)
		if place == drop.SetSize-1 {
			root := m.draw()
			by, ok = relayed.Neutral(m.view, root, o.Set.Relays[0], o.Set.Relays[1])
			root.Wipe()
		}
		if ok && !slices.Contains(named, by) {
			_ = m.desk.apply(p, p.conversation.ReplaceDrop(now, id, by))
			return // the set is another one now
		}
	}
}

// goneAfter is for how long a relay whose voucher has ended may still get another one.
const goneAfter = 7 * 24 * time.Hour

// gone reports whether a relay has left the network for good: founders took back their
// word, or let it end a week ago. One of which nothing is known may only be not known yet.
func (m *mail) gone(id onion.ID, now time.Time) bool {
	v := m.voucher(id)
	return v != nil && (v.Revoked || v.Until <= m.network.EpochAt(now.Add(-goneAfter)))
}

// dropGone reports that to conversations, of the network that the machine is in.
func (d *desk) dropGone(n identity.NetworkID, relay onion.ID) bool {
	return d.mail != nil && d.mail.view != nil && d.mail.network.ID() == n && d.mail.gone(relay, d.cfg.Now())
}

// chooseDrop draws a relay that is not avoided and none of some others, and no guard of
// this machine's if there is such a one.
func (m *mail) chooseDrop(not ...onion.ID) (onion.ID, bool) {
	return m.drawDrop(m.view.Members(), not)
}

func (m *mail) drawDrop(members []directory.Member, not []onion.ID) (onion.ID, bool) {
	guards := pinnedIn(m.relays.Guards())
	all := slices.DeleteFunc(m.mayChoose(members), func(r directory.Member) bool { return slices.Contains(not, r.ID) })
	free := slices.DeleteFunc(slices.Clone(all), func(r directory.Member) bool { return slices.Contains(guards, r.ID) })
	if len(free) == 0 {
		free = all
	}
	if len(free) == 0 {
		return onion.ID{}, false
	}
	return free[m.below(len(free))].ID, true
}

// opened hands boxes that came, and drops' words, to the conversations.
func (m *mail) opened(out *relayed.Output) {
	now := m.desk.cfg.Now()
	for _, o := range out.Opened {
		if p := m.of(o.Contact); p != nil {
			_ = m.desk.apply(p, p.conversation.MailedIn(now, o.Session, o.Control, o.Cell))
			m.seal(p)
			m.machine.SetMissing(o.Contact, p.conversation.Lacking())
		}
	}
	for _, s := range out.Stored {
		if p := m.of(s.Contact); p != nil {
			_ = m.desk.apply(p, p.conversation.Boxed(now, s.Period, s.Drop))
		}
	}
}

// of returns the contact of a box, if its session is still the one in use.
func (m *mail) of(id relayed.ContactID) *person {
	p := m.desk.people[channel.ContactID(id)]
	if p == nil || m.carried[channel.ContactID(id)] != p.conversation.Drops().Epoch {
		return nil
	}
	return p
}

// fill gives a box its content. What cannot be stored does not leave: cover does, so that
// it does not show.
func (m *mail) fill(at time.Time, f relayed.Fill) {
	content := relayed.Content{}
	if p := m.of(f.Contact); p != nil {
		var out *channel.Output
		content.Control, content.Cell, out = p.conversation.Fill(m.desk.cfg.Now(), f.Period)
		if m.desk.apply(p, out) != nil {
			content = relayed.Content{}
		}
		m.seal(p)
	}
	m.turn(at, m.machine.Filled(at, f, content))
}

// boxTaken tells of a drop that says that somebody else wrote a contact's box first.
func (m *mail) boxTaken(relayed.ContactID) { m.taken++ }
