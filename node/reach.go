package node

import (
	"fmt"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
)

// connectable tells the network about the ways to a contact and the route about
// its place. Ways that are of no more use are closed once nothing runs on them.
func (d *desk) connectable(p *person) error {
	now := d.cfg.Now()
	want := map[p2p.Handle]bool{}
	for _, s := range p.conversation.Links(now) {
		if p.conversation.Route() == channel.RelayRoute {
			break // nobody is dialled, and nobody who dials is answered
		}
		h := handle(p.conversation.ID(), s.Invitation)
		want[h] = true
		if p.pairs[h] {
			continue
		}
		err := d.network.Add(p2p.Pair{
			Handle: h, Network: s.Link.Network, Local: s.Link.Host(s.Side), Remote: s.Link.Host(s.Side.Other()),
		})
		if err != nil {
			return fmt.Errorf("preparing the link of a contact: %w", err)
		}
		p.pairs[h] = true
	}
	for h := range p.pairs {
		if !want[h] && len(p.links) == 0 {
			d.network.Remove(h)
			delete(p.pairs, h)
		}
	}
	address := ""
	if len(want) > 0 && p.conversation.Route() != channel.RelayRoute {
		address = p.conversation.Place().Address()
	}
	p.direct.SetAddress(now, address)
	return nil
}

// sync is connectable for a desk that runs: what cannot be prepared now is tried
// again with the next change.
func (d *desk) sync(p *person) {
	if d.online {
		_ = d.connectable(p)
	}
}

// handle names a way to a contact inside the process.
func handle(id channel.ContactID, invitation bool) p2p.Handle {
	h := p2p.Handle(id)
	if invitation {
		h[0] ^= 0xff
	}
	return h
}

// whose finds the contact that a way belongs to.
func (d *desk) whose(h p2p.Handle) (p *person, invitation, ok bool) {
	if p := d.people[channel.ContactID(h)]; p != nil && p.pairs[h] {
		return p, false, true
	}
	id := channel.ContactID(h)
	id[0] ^= 0xff
	p = d.people[id]
	return p, true, p != nil && p.pairs[h]
}
