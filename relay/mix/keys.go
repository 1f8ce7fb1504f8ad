package mix

import (
	"fmt"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// An epochKey opens the packets of one epoch, each once. Key and set live and end
// together, in memory alone: a relay that restarts has neither.
type epochKey struct {
	epoch directory.Epoch
	key   *onion.PrivateKey
	open  Opener
	seen  map[onion.Tag]struct{}
	full  bool // the last tag found no room
}

func (m *Machine) newKey(e directory.Epoch) (*epochKey, error) {
	seed, err := secret.Read(m.cfg.Random)
	if err != nil {
		return nil, fmt.Errorf("drawing an epoch key: %w", err)
	}
	defer seed.Wipe()
	key, err := onion.NewPrivateKey(m.cfg.Network.Constants.Suite, seed)
	if err != nil {
		return nil, fmt.Errorf("making an epoch key: %w", err)
	}
	k := &epochKey{epoch: e, key: key, seen: map[onion.Tag]struct{}{}}
	k.open = m.cfg.Onion.Relay(m.cfg.ID, key, func(t onion.Tag) bool {
		k.full = false
		if _, old := k.seen[t]; old {
			return false
		}
		// What cannot be remembered cannot be let through: it could come a second time.
		if k.full = len(k.seen) >= m.cfg.Tags; k.full {
			return false
		}
		k.seen[t] = struct{}{}
		return true
	})
	return k, nil
}

// roll makes the keys that a descriptor of now carries, and erases those that are over.
func (m *Machine) roll(now time.Time) error {
	e := m.cfg.Network.EpochAt(now)
	if e == m.epoch && now.Before(m.erase) {
		return nil
	}
	grace := m.cfg.Network.Constants.Epoch / graceParts
	first, erase := e, m.cfg.Network.Begins(e+1)
	m.erase = time.Time{} // until all keys are there: what fails is tried again
	if before := m.cfg.Network.Begins(e).Add(grace); now.Before(before) && e > 0 {
		first, erase = e-1, before
	}
	kept := m.keys[:0]
	for _, k := range m.keys {
		if k.epoch < first || k.epoch >= e+directory.KeyEpochs {
			k.key.Wipe()
			clear(k.seen)
			continue
		}
		kept = append(kept, k)
	}
	clear(m.keys[len(kept):])
	m.keys, m.epoch = kept, e
	for next := e; next < e+directory.KeyEpochs; next++ {
		if m.keyOf(next) == nil {
			k, err := m.newKey(next)
			if err != nil {
				return err
			}
			m.keys = append(m.keys, k)
		}
	}
	m.erase = erase
	return nil
}

func (m *Machine) keyOf(e directory.Epoch) *epochKey {
	for _, k := range m.keys {
		if k.epoch == e {
			return k
		}
	}
	return nil
}

// Keys returns the epoch of now, and the public keys that a descriptor made in it carries.
func (m *Machine) Keys(now time.Time) (e directory.Epoch, out [directory.KeyEpochs]onion.PublicKey, err error) {
	if err := m.roll(now); err != nil {
		return 0, out, err
	}
	for i := range out {
		if k := m.keyOf(m.epoch + directory.Epoch(i)); k != nil {
			out[i] = k.key.Public()
		}
	}
	return m.epoch, out, nil
}

// trials returns the keys that a packet may be for, in order: that of the epoch, then its
// neighbour, if the border is near enough for a clock that goes differently.
func (m *Machine) trials(now time.Time) (out [2]*epochKey) {
	out[0] = m.keyOf(m.epoch)
	grace := m.cfg.Network.Constants.Epoch / graceParts
	switch {
	case now.Before(m.cfg.Network.Begins(m.epoch).Add(grace)):
		if m.epoch > 0 {
			out[1] = m.keyOf(m.epoch - 1)
		}
	case !now.Before(m.cfg.Network.Begins(m.epoch + 1).Add(-grace)):
		out[1] = m.keyOf(m.epoch + 1)
	}
	return out
}

// Wipe erases all keys. The Machine opens nothing any more.
func (m *Machine) Wipe() {
	for _, k := range m.keys {
		k.key.Wipe()
		clear(k.seen)
	}
	m.keys = nil
}
