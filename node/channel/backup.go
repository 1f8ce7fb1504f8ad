package channel

import (
	"io"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
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
		Static: c.static.Clone(), Dial: c.dial.Clone(), Recovery: c.recovery.Clone(), Month: c.month,
		OwnCard: c.ownCard, PeerCard: c.peerCard, OwnPlace: c.ownPlace, PeerPlace: c.peerPlace, Name: c.name,
	}
	if c.mark != NotVerified {
		b.MarkedAt = c.markMinute
	}
	return b, true
}

// Restored returns the record of a contact from a backup. It has no session, and no
// pair secret that anybody else knows: the first connection runs a recovery.
func Restored(random io.Reader, id ContactID, b *backup.Contact) (store.Write, error) {
	pair, err := secret.Read(random)
	if err != nil {
		return store.Write{}, err
	}
	defer pair.Wipe()
	c := contact{
		stage: Met, number: b.Number, name: b.Name, side: b.Side, mode: b.Mode, made: b.Made, static: b.Static,
		ownCard: b.OwnCard, peerCard: b.PeerCard, hasPeer: true, pair: pair, dial: b.Dial, recovery: b.Recovery, month: b.Month,
		mark: Mark(b.Mark), markMinute: b.MarkedAt, usedTwice: b.UsedTwice, ownPlace: b.OwnPlace, peerPlace: b.PeerPlace,
	}
	return store.Write{Key: store.Key{Kind: KindContact, Object: id}, Value: c.append(nil)}, nil
}
