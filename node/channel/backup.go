package channel

import (
	"io"
	"slices"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Backup returns what a machine has to know to make a session with the contact
// anew, and reports whether there is anything: not before the first session. The
// keys in it are copies.
func (v *Conversation) Backup() (backup.Contact, bool) {
	c := v.c
	if c.stage != Met {
		return backup.Contact{}, false
	}
	b := backup.Contact{
		Number: c.number, Made: c.made, Side: c.side, Mode: c.mode, Mark: byte(c.mark), UsedTwice: c.usedTwice,
		Static: c.static.Clone(), Dial: c.dial.Clone(), Recovery: c.recovery.Clone(), Month: c.month, Route: backedRoute(v.drops.policy),
		OwnCard: c.ownCard, PeerCard: c.peerCard, OwnPlace: c.ownPlace, PeerPlace: c.peerPlace, Name: c.name,
	}
	if c.mark != NotVerified {
		b.MarkedAt = c.markMinute
	}
	b.Introduced = v.introducer != nil
	b.Channels = v.backedChannels()
	return b, true
}

// backedRoutes are the policies, by what a backup calls them.
var backedRoutes = [...]Policy{backup.BothRoutes: BothRoutes, backup.DirectAlone: DirectRoute, backup.RelaysAlone: RelayRoute}

func backedRoute(p Policy) backup.Route { return backup.Route(slices.Index(backedRoutes[:], p)) }

// RestoredRoute returns by which routes a contact of a backup is talked to.
func RestoredRoute(b *backup.Contact) Policy { return backedRoutes[b.Route] }

// backedChannels is what a backup holds of the channels; nil: there was none. Of those that
// are not burned, this side's own do not come back: nobody proposes them. The others do,
// with what was agreed.
func (v *Conversation) backedChannels() *backup.Channels {
	if len(v.charters) == 0 && v.used == (used{}) {
		return nil
	}
	u := v.used
	for n := range v.charters {
		if charter.MayOpen(v.c.side, n) {
			u.mark(n)
		}
	}
	return &backup.Channels{Floor: u.floor, Used: u.burned}
}

// Introducer returns which contact introduced this one. It may have been removed since.
func (v *Conversation) Introducer() (id ContactID, introduced bool) {
	if v.introducer == nil {
		return id, false
	}
	return *v.introducer, true
}

// Restored returns the records of a contact from a backup. It has no session, and no
// pair secret that anybody else knows: the first connection runs a recovery. introducer
// is the contact that has the number of its introducer, or zero.
func Restored(random io.Reader, id, introducer ContactID, b *backup.Contact) ([]store.Write, error) {
	pair, err := secret.Read(random)
	if err != nil {
		return nil, err
	}
	defer pair.Wipe()
	month := b.Month
	if month == 0 { // version 1: of when the two met, for want of better
		month = handshake.Month(b.Made / (24 * 60))
	}
	c := contact{
		stage: Met, number: b.Number, name: b.Name, side: b.Side, mode: b.Mode, made: b.Made, static: b.Static,
		ownCard: b.OwnCard, peerCard: b.PeerCard, hasPeer: true, pair: pair, dial: b.Dial, recovery: b.Recovery, month: month,
		mark: Mark(b.Mark), markMinute: b.MarkedAt, usedTwice: b.UsedTwice, ownPlace: b.OwnPlace, peerPlace: b.PeerPlace,
	}
	record := func(kind store.Kind, value []byte) store.Write {
		return store.Write{Key: store.Key{Kind: kind, Object: id}, Value: value}
	}
	records := []store.Write{record(KindContact, c.append(nil))}
	if p := RestoredRoute(b); p != BothRoutes || b.Month != 0 { // else what its cards say: see Load
		records = append(records, record(KindDrops, (&drops{policy: p}).append(nil)))
	}
	if b.Introduced {
		records = append(records, record(KindIntroduction, introducedBy(introducer)))
	}
	if u := b.Channels; u != nil {
		records = append(records, record(KindCharter, (&used{burned: u.Used, floor: u.Floor}).append(nil)))
	}
	return records, nil
}
