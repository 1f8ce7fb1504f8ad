package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
)

func (d *desk) open() (err error) {
	if d.settings, err = d.cfg.Settings(); err != nil {
		return fmt.Errorf("%w: %w", errSettings, err)
	}
	if err := notMoved(d.store); err != nil {
		return err
	}
	for r, err := range d.store.ScanKind(channel.KindContact) {
		if err != nil {
			return err
		}
		c, err := channel.Load(d.channelConfig(r.Key.Object), r.Key.Object)
		if err != nil {
			return fmt.Errorf("loading a contact: %w", err)
		}
		d.people[r.Key.Object] = d.newPerson(c)
	}
	return nil
}

// goOnline has the store written and the network opened from here on. If it fails
// the desk goes on showing what it holds, and it can be called again.
func (d *desk) goOnline() (err error) {
	if d.online {
		return nil
	}
	if d.settings, err = d.cfg.Settings(); err != nil {
		return fmt.Errorf("%w: %w", errSettings, err)
	}
	if err := d.store.Online(); err != nil {
		return err
	}
	if err := d.rolledBack(); err != nil {
		return err
	}
	d.openBeneath()
	if err := d.moved(); err != nil {
		return err
	}
	if err := d.openMail(); err != nil {
		d.closeMail()
		return err
	}
	if d.network, err = d.cfg.OpenNetwork(d.settings); err != nil {
		d.closeMail()
		return err
	}
	now := d.cfg.Now()
	d.online, d.purgeAt, d.writeAt = true, d.nextPurge(), now.Add(d.cfg.Pace.Attached)
	d.burnLapsed()
	d.group.Go(func() {
		if err := d.network.Run(d.ctx); err != nil && d.ctx.Err() == nil {
			d.post(func(d *desk) { d.fatal = fmt.Errorf("running the network: %w", err) })
		}
	})
	d.group.Go(d.accept)
	d.networkTold()
	for _, p := range d.people {
		if p.conversation.View().Stage == channel.Leaving {
			d.purgeAt = time.Time{} // at once
		}
		if err := d.connectable(p); err != nil {
			return err
		}
	}
	return nil
}

// moved tells contacts where this machine is.
func (d *desk) moved() error {
	place, _ := identity.PlaceOf(d.settings.Address) // none, if it does not listen
	for _, p := range d.people {
		err := d.apply(p, p.conversation.Moved(d.cfg.Now(), toldTo(p, place)))
		if err != nil && !errors.Is(err, store.ErrLevelFull) { // room can be made only online
			return err
		}
	}
	for _, b := range d.beneath {
		d.stageBelow(b, b.conversation.Moved(d.cfg.Now(), place))
	}
	return nil
}

// toldTo is the place that a contact is told: none, if it is reached over relays alone.
func toldTo(p *person, place identity.Place) identity.Place {
	if p.conversation.Route() == channel.RelayRoute {
		return identity.Place{}
	}
	return place
}

// rolledBack ends the use of every session of what was put back to an older state:
// what was sent since is not known. Recovery runs with each contact. Levels that are
// open and not shown are seen to in the same way, because one that stayed marked
// while the vault is written would tell that a deeper one is open.
func (d *desk) rolledBack() error {
	if d.store.RolledBack() {
		d.journal.Add(journal.RolledBack)
		for _, p := range d.people {
			if err := d.apply(p, p.conversation.RolledBack(d.cfg.Now())); err != nil {
				return err
			}
		}
	}
	return d.store.AcceptRollback(d.giveUp)
}

// giveUp ends the use of every session of a level that is not shown.
func (d *desk) giveUp(v *store.View) error {
	for r, err := range v.ScanKind(channel.KindContact) {
		if err != nil {
			return err
		}
		c := d.cfg.Channel
		c.Random, c.Records = d.cfg.Random, v
		conversation, err := channel.Load(c, r.Key.Object)
		if err != nil {
			continue // it cannot be loaded by who opens this level, either
		}
		writes := conversation.RolledBack(d.cfg.Now()).Writes
		conversation.Close()
		if err := v.Stage(writes...); err != nil {
			return err
		}
	}
	return nil
}
