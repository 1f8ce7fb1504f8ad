package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
)

// The kinds of record that a node keeps. Those of the vault itself are one record each,
// object and sequence number zero. A conversation's begin at 1.
const (
	kindBacked  store.Kind = 128 + iota // what the last backup holds
	kindMoved                           // the vault went to another machine
	kindRoute                           // of a contact, by session: what was written at drops; see package relayed
	kindMeeting                         // of a contact, one: what was put and got at the drop where it is met
	kindBook                            // of a contact, by session and block: what was read there
	kindReunion                         // of a contact, one: what was put and got where a lost session is made anew
)

// Backed is a backup that was sealed.
type Backed struct {
	File    []byte         // random bytes to everybody without the secrets
	Content *backup.Backup // less its keys
	LeftOut int            // contacts with whom there was no session yet
}

// MakeBackup seals who the contacts are, how each was verified, and the keys from
// which sessions are made anew. It is not told to the vault before [Node.BackedUp]:
// the file has to be on its disk first.
func (n *Node) MakeBackup(ctx context.Context, s backup.Secrets) (b Backed, err error) {
	err = n.do(ctx, func(d *desk) error {
		b.Content, b.LeftOut = d.backup()
		return nil
	})
	if err != nil {
		return b, err
	}
	defer b.Content.Wipe()
	if !b.Content.Valid() {
		return b, channel.ErrRecord
	}
	content := b.Content.Append(nil)
	defer clear(content)
	n.opening.Lock() // one Argon2 at a time
	defer n.opening.Unlock()
	s.Cost = n.cfg.BackupCost
	b.File, err = backup.Seal(n.cfg.Random, s, backup.Identity, content)
	return b, err
}

// backup collects what a backup holds.
func (d *desk) backup() (b *backup.Backup, leftOut int) {
	b = &backup.Backup{Made: uint32(d.cfg.Now().Unix() / 60)}
	for _, p := range d.people {
		if c, ok := p.conversation.Backup(); ok {
			if by, introduced := p.conversation.Introducer(); introduced {
				c.Introducer = d.numberBacked(by)
			}
			b.Contacts = append(b.Contacts, c)
		} else if p.conversation.View().Stage != channel.Leaving {
			leftOut++
		}
	}
	slices.SortFunc(b.Contacts, func(x, y backup.Contact) int { return int(int64(x.Number) - int64(y.Number)) })
	return b, leftOut
}

// numberBacked is the number by which a backup names a contact, or 0 if it does not.
func (d *desk) numberBacked(id channel.ContactID) uint32 {
	if p := d.people[id]; p != nil && p.conversation.View().Stage == channel.Met {
		return p.conversation.View().Number
	}
	return 0
}

// maxBacked is how many contacts a vault remembers to be in the last backup.
const maxBacked = 3000

// BackedUp tells the vault that a backup of the minute was written, with the
// contacts of these numbers, so that it can say when the backup is too old.
//
// It returns ErrOffline if the vault is open for reading only: it then forgets.
func (n *Node) BackedUp(ctx context.Context, made uint32, numbers []uint32) error {
	return n.act(ctx, func(d *desk) error {
		b := backed{made: made}
		for id, p := range d.people {
			if v := p.conversation.View(); slices.Contains(numbers, v.Number) && len(b.held) < maxBacked {
				b.held = append(b.held, heldAs(id, p.conversation))
			}
		}
		return d.saveBacked(b)
	})
}

// backed is what is kept of the last backup: when it was made, of whom, and not
// where it is.
type backed struct {
	made uint32
	held []held
}

// held is a contact as a backup holds it.
type held struct {
	id    channel.ContactID
	mark  byte
	at    uint32 // minute of the mark, or 0
	route channel.Policy
}

func heldAs(id channel.ContactID, c *channel.Conversation) held {
	v := c.View()
	h := held{id: id, mark: byte(v.Mark), route: c.Route()}
	if v.Mark != channel.NotVerified {
		h.at = uint32(v.MarkedAt.Unix() / 60)
	}
	return h
}

// The record is a version, the minute, and for each contact ID, mark, its minute and the
// route. In version 1 there was no route, in the backup neither.
const (
	backedVersion = 2
	backedFixed   = 1 + 4
	heldSize      = 16 + 1 + 4 + 1
)

func (b backed) append(to []byte) []byte {
	to = append(to, backedVersion)
	to = binary.BigEndian.AppendUint32(to, b.made)
	for _, h := range b.held {
		to = append(append(to, h.id[:]...), h.mark)
		to = append(binary.BigEndian.AppendUint32(to, h.at), byte(h.route))
	}
	return to
}

func (d *desk) saveBacked(b backed) error {
	slices.SortFunc(b.held, func(x, y held) int { return slices.Compare(x.id[:], y.id[:]) })
	return d.commitOwn(store.Write{Key: store.Key{Kind: kindBacked}, Value: b.append(nil)})
}

// commitOwn writes a record of the node's own. What cannot be written does no harm
// to any conversation.
func (d *desk) commitOwn(w ...store.Write) error {
	err := d.stage(w)
	if err != nil && !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrLevelFull) {
		d.fatal = fmt.Errorf("%w: %w", errStoring, err)
	}
	return err
}

// backed reads what is kept of the last backup; ok: there was one.
func (d *desk) backed() (b backed, ok bool, err error) {
	raw, err := d.store.Get(store.Key{Kind: kindBacked})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return b, false, nil
	case err != nil:
		return b, false, err
	case len(raw) < backedFixed:
		return b, false, channel.ErrRecord
	case raw[0] > backedVersion:
		return b, false, fmt.Errorf("a record: %w", store.ErrNewer)
	}
	size := heldSize
	if raw[0] < backedVersion {
		size--
	}
	if (len(raw)-backedFixed)%size != 0 {
		return b, false, channel.ErrRecord
	}
	b.made = binary.BigEndian.Uint32(raw[1:])
	for h := range slices.Chunk(raw[backedFixed:], size) {
		one := held{id: channel.ContactID(h[:16]), mark: h[16], at: binary.BigEndian.Uint32(h[17:])}
		if size == heldSize {
			one.route = channel.Policy(h[21])
		}
		b.held = append(b.held, one)
	}
	return b, true, nil
}

// forgetBacked takes a contact that was removed out of what is kept of the last
// backup: its ID would tell that there was one more.
func (d *desk) forgetBacked(id channel.ContactID) {
	b, ok, err := d.backed()
	of := func(h held) bool { return h.id == id }
	if err != nil || !ok || !slices.ContainsFunc(b.held, of) {
		return
	}
	b.held = slices.DeleteFunc(b.held, of)
	_ = d.saveBacked(b) // on a full disk it goes with the next backup
}

// BackupState says how old the last backup is. It does not count as a command.
type BackupState struct {
	Made    time.Time // of the last one; zero: there was none
	Lacking int       // contacts that it does not hold, or not as they were verified, or talked to, since
}

// backupState looks at the contacts with whom there was a session.
func (d *desk) backupState() (s BackupState) {
	b, ok, err := d.backed()
	if err != nil {
		return s
	}
	if ok {
		s.Made = time.Unix(int64(b.made)*60, 0).UTC()
	}
	for id, p := range d.people {
		if v := p.conversation.View(); v.Stage == channel.Met && !slices.Contains(b.held, heldAs(id, p.conversation)) {
			s.Lacking++
		}
	}
	return s
}

// Restore writes the contacts of a backup into a vault that is new and empty. Two that
// go by one name are refused, as everywhere.
func Restore(random io.Reader, s Store, b *backup.Backup) error {
	own, names := backed{made: b.Made}, map[string]bool{}
	ids := map[uint32]channel.ContactID{}
	for i := range b.Contacts {
		var id channel.ContactID
		if _, err := io.ReadFull(random, id[:]); err != nil {
			return fmt.Errorf("drawing a name: %w", err)
		}
		ids[b.Contacts[i].Number] = id
	}
	for i := range b.Contacts {
		slug := Slug(b.Contacts[i].Name)
		if !validName(b.Contacts[i].Name) || names[slug] {
			return backup.ErrFormat
		}
		names[slug] = true
		c := &b.Contacts[i]
		id := ids[c.Number]
		w, err := channel.Restored(random, id, ids[c.Introducer], c)
		if err != nil {
			return err
		}
		if err := stage(s, w...); err != nil {
			return err
		}
		if len(own.held) < maxBacked {
			own.held = append(own.held, held{id, c.Mark, c.MarkedAt, channel.RestoredRoute(c)})
		}
	}
	return errors.Join(stage(s, store.Write{Key: store.Key{Kind: kindBacked}, Value: own.append(nil)}), s.Purge())
}

// commit writes to a store that no desk has, and returns when it is on the disk. It
// makes as many ticks as a desk that goes online and locks at once.
func commit(s Store, writes ...store.Write) error {
	if err := s.Online(); err != nil {
		return err
	}
	ticket, err := s.Stage(writes...)
	for n := 0; err == nil && (n < closingWrites || s.Durable() < ticket); n++ {
		err = s.Tick()
	}
	return err
}

// stage has a new store take something up that a purge brings to the disk: how many
// ticks there were would tell how much it was.
func stage(s Store, writes ...store.Write) error {
	if err := s.Online(); err != nil {
		return err
	}
	_, err := s.Stage(writes...)
	if errors.Is(err, store.ErrLevelFull) { // until it is on the disk it takes room twice
		if err = s.Purge(); err == nil {
			_, err = s.Stage(writes...)
		}
	}
	return err
}
