package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// How often neighbours are asked, in parts of an epoch: each one soon after there is a link
// with it and until an answer brings nothing new, then one now and then.
const (
	askParts   = 12
	eagerParts = 360
	askTimeout = 30 * time.Second
)

// Self is what a relay says of itself, besides what founders say.
type Self struct {
	Epoch directory.Epoch
	Keys  [directory.KeyEpochs]onion.PublicKey
	Pool  uint32        // packets held on average
	Mean  time.Duration // of its delay, from the next epoch on
}

// Neighbours are the relays that there are links with.
type Neighbours interface {
	Linked() []onion.ID
	Ask(ctx context.Context, relay onion.ID, question []byte) ([]byte, error)
}

// A Flood brings a message to all relays.
type Flood interface {
	Publish(ctx context.Context, message []byte) error
}

// Announce makes this relay's next descriptor, takes it, and returns the message that is
// flooded: voucher and descriptor.
func (d *Directory) Announce(self Self) ([]byte, error) {
	d.mu.Lock()
	voucher := d.vouchers[d.self.ID()]
	d.mu.Unlock()
	if voucher == nil {
		return nil, ErrNotVouched
	}
	sequence, err := d.next(self.Epoch)
	if err != nil {
		return nil, err
	}
	places := d.cfg.Places
	if len(places) == 0 {
		places = []identity.Place{voucher.Place}
	}
	descriptor, err := directory.Descriptor{
		Relay: d.self, Epoch: self.Epoch, Sequence: sequence, Expiry: self.Epoch + directory.KeyEpochs,
		Pool: self.Pool, Mean: self.Mean, Operator: voucher.Operator, Places: places, Keys: self.Keys,
	}.Sign(d.cfg.Network, d.cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("making the descriptor: %w", err)
	}
	items := []directory.Item{
		{Kind: directory.VoucherItem, Bytes: voucher.Append(nil, d.cfg.Network)},
		{Kind: directory.DescriptorItem, Bytes: descriptor},
	}
	d.add(items)
	message := directory.AppendItem(nil, items[0])
	return directory.AppendItem(message, items[1]), nil
}

// Run announces this relay at once and whenever an epoch begins, floods proofs, and asks
// neighbours, until ctx ends. A disk that does not take the sequence ends it at the first
// announcement; later it is tried again, and others use what this relay has said of the
// epochs to come. See [Directory.Muted]. self is called for each descriptor; changed, if it is not
// nil, after something new was taken in answer to a question, and when an epoch begins.
func (d *Directory) Run(ctx context.Context, self func(context.Context) (Self, error), near Neighbours, flood Flood, changed func()) error {
	var announced directory.Epoch
	var message []byte
	asks := asking{met: map[onion.ID]bool{}, next: d.cfg.Now().Add(d.part(eagerParts))}
	tick := time.NewTimer(d.part(eagerParts))
	defer tick.Stop()
	for {
		epoch := d.cfg.Network.EpochAt(d.cfg.Now())
		if epoch != announced {
			m, err := d.announce(ctx, self, flood)
			muted := announced > 0 && errors.Is(err, errUnwritten)
			if err != nil && !muted {
				return err
			}
			if d.muted.Store(muted); !muted {
				announced, message = epoch, m
			}
			if changed != nil {
				changed()
			}
		}
		next := time.NewTimer(max(time.Millisecond, d.cfg.Network.Begins(epoch+1).Sub(d.cfg.Now())))
		select {
		case <-ctx.Done():
			next.Stop()
			d.keep()
			return nil
		case <-next.C:
		case proof := <-d.proofs:
			_ = flood.Publish(ctx, proof)
		case <-tick.C:
			d.keep()
			fresh, asked := d.askNext(ctx, near, &asks)
			if fresh && changed != nil {
				changed()
			}
			if message != nil && asked {
				// Who had no neighbour when the epoch began was not heard.
				_ = flood.Publish(ctx, message)
				message = nil
			}
			tick.Reset(d.part(eagerParts))
		}
		next.Stop()
	}
}

// announce returns the message, or nil for a relay that has to wait.
func (d *Directory) announce(ctx context.Context, self func(context.Context) (Self, error), flood Flood) ([]byte, error) {
	s, err := self(ctx)
	if err != nil {
		return nil, err
	}
	m, err := d.Announce(s)
	switch {
	case errors.Is(err, ErrWait):
		return nil, nil
	case err != nil:
		return nil, err
	}
	_ = flood.Publish(ctx, m) // it is also found by asking
	return m, nil
}

// asking is whom Run has asked, and when it asks again.
type asking struct {
	met  map[onion.ID]bool // neighbours that were asked since they are linked
	next time.Time
}

// askNext asks a neighbour: one that was not asked since there is a link with it, or any
// if it is time. It reports whether something was new, and whether one could be asked.
func (d *Directory) askNext(ctx context.Context, near Neighbours, a *asking) (fresh, asked bool) {
	all := near.Linked()
	for id := range a.met {
		if !slices.Contains(all, id) {
			delete(a.met, id)
		}
	}
	from := slices.DeleteFunc(slices.Clone(all), func(id onion.ID) bool { return a.met[id] })
	if len(from) == 0 && !d.cfg.Now().Before(a.next) {
		from = all
	}
	if len(from) == 0 {
		return false, false
	}
	id := from[rand.IntN(len(from))] //nolint:gosec // whom to ask is no secret
	fresh, asked = d.askOne(ctx, near, id)
	if asked {
		a.met[id] = true
	}
	wait := askParts
	if fresh || !asked {
		wait = eagerParts
	}
	a.next = d.cfg.Now().Add(d.part(wait))
	return fresh, asked
}

// askOne asks a neighbour.
func (d *Directory) askOne(ctx context.Context, near Neighbours, id onion.ID) (fresh, asked bool) {
	question, err := d.Question()
	if err != nil {
		return false, false
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := near.Ask(ctx, id, question)
	if err != nil {
		return false, false
	}
	fresh, err = d.Take(answer)
	return fresh, err == nil
}

// part is one part of an epoch in so many, give or take a quarter, so that relays do not
// ask at once.
func (d *Directory) part(parts int) time.Duration {
	p := d.cfg.Network.Constants.Epoch / time.Duration(parts)
	return p*3/4 + rand.N(p/2+1) //nolint:gosec // when to ask is no secret
}
