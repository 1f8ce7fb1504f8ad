package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"sync/atomic"

	"github.com/backchannel/backchannel/protocol/directory"
	boxes "github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay"
	"github.com/backchannel/backchannel/relay/drop"
	"github.com/backchannel/backchannel/relay/mix"
)

// A demoOrder is the first thing that a relay of the demo reads on its standard input. Its
// network file lies in its folder. What it reads after that asks each time for a
// demoSight; when nothing more can come, it ends: so none is left behind.
type demoOrder struct {
	Dir    string
	Listen string
	Seed   []byte // of its identity
}

// A demoSight is what a relay has seen since its start, all told: from its own links, its
// own mix and its own drop, and from nobody else.
type demoSight struct {
	Members int // relays that it knows for this epoch
	Clients int // machines of people that are linked with it now
	Passed  uint64
	Put     uint64 // boxes that came
	Asked   uint64 // boxes that were asked for
	Found   uint64 // and were there
}

// countingDrop counts what is asked of a drop.
type countingDrop struct {
	mix.Drop
	put, asked, found atomic.Uint64
}

// Answer implements [mix.Drop].
func (c *countingDrop) Answer(ctx context.Context, body onion.Body) onion.Answer {
	answer := c.Drop.Answer(ctx, body)
	switch body.Command {
	case onion.Put:
		c.put.Add(1)
	case onion.Get:
		c.asked.Add(1)
		if answer.Status == byte(boxes.Found) {
			c.found.Add(1)
		}
	case onion.Loop:
	}
	return answer
}

// demoRelay is one relay of the demo, until its input ends.
func demoRelay(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	questions := json.NewDecoder(in)
	var o demoOrder
	if err := questions.Decode(&o); err != nil {
		return err
	}
	if len(o.Seed) != ed25519.SeedSize {
		return errors.New("a relay of the demo wants a key")
	}
	f, err := readNetwork(filepath.Join(o.Dir, "network.pem"))
	if err != nil {
		return err
	}
	key := ed25519.NewKeyFromSeed(o.Seed)
	id := directory.Identity(key.Public().(ed25519.PublicKey)).ID()
	store, err := drop.Open(drop.Config{Dir: filepath.Join(o.Dir, "drop"), ID: id, Expiry: f.Network.Constants.Expiry, Limit: 1 << 30, MinFree: 1 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	c := &countingDrop{Drop: store}
	r, err := relay.Open(relay.Config{Network: f.Network, Items: f.Items(), Key: key, Listen: o.Listen, Dir: o.Dir, Drop: c})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		for questions.Decode(&struct{}{}) == nil {
			s, err := c.sight(ctx, r)
			if err != nil || json.NewEncoder(out).Encode(s) != nil {
				return
			}
		}
	}()
	return r.Run(ctx)
}

func (c *countingDrop) sight(ctx context.Context, r *relay.Relay) (demoSight, error) {
	s, err := r.Status(ctx)
	if err != nil {
		return demoSight{}, err
	}
	return demoSight{
		Members: s.Members, Clients: s.Clients,
		Passed: s.Counts[mix.Forwarded] + s.Counts[mix.Delivered] + s.Counts[mix.Answered],
		Put:    c.put.Load(), Asked: c.asked.Load(), Found: c.found.Load(),
	}, nil
}
