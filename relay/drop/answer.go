package drop

import (
	"context"
	"io"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

const statuses = int(drop.Looped) + 1

// Get returns the box at an address, or random bytes of its size: at a miss, and when
// something failed. It looks in every day, and changes nothing.
func (s *Store) Get(a drop.Address) (drop.Status, *drop.Box) {
	status, box := drop.None, new(drop.Box)
	s.fill(box)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, d := range s.live(s.cfg.Now()) {
		switch got, err := d.get(a); {
		case err != nil && status == drop.None:
			status = drop.Failed
		case got != nil:
			status, box = drop.Found, got
		}
	}
	return status, box
}

// Answer does what the body of a packet asks for, and returns what its reply block is
// used with. A put that is not done when ctx ends is answered with failed. The caller
// lets the answer wait until the moment that is the same for all (docs/spec/drop.md,
// section 5).
func (s *Store) Answer(ctx context.Context, body onion.Body) onion.Answer {
	var status drop.Status
	box := new(drop.Box)
	switch body.Command {
	case onion.Get:
		status, box = s.Get(drop.Address(body.Key))
	case onion.Put:
		status = s.Put(ctx, body.Key, body.Box, body.Token)
		s.fill(box)
	case onion.Loop:
		status = drop.Looped
		s.fill(box)
	default:
		panic("drop: a command that no parser lets through")
	}
	s.count[body.Command][status].Add(1)
	return onion.Answer{Status: byte(status), Time: uint32(s.cfg.Now().Unix()), Box: box}
}

func (s *Store) fill(box *drop.Box) {
	if _, err := io.ReadFull(s.cfg.Random, box[:]); err != nil {
		panic("drop: the source of randomness failed")
	}
}

// Count returns how often a command was answered so since Open, for all together.
func (s *Store) Count(c onion.Command, status drop.Status) uint64 {
	if !status.Answers(c) {
		return 0
	}
	return s.count[c][status].Load()
}
