package store

import (
	"errors"
	"os"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// Purge writes every slot anew, under new roots, into records without history.
// Nothing that the folder held before opens under the keys that it holds now, and
// levels that are not open are destroyed. Everything that was staged is on the disk
// when it returns.
//
// ErrFull and a refused permission leave the store as it was. Any other error
// poisons it, as in Tick. If the process dies on the way, the next Open finds the
// slots as they were, or as they are to be.
func (s *Store) Purge() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	return s.refresh(func() ([]secret.Key, []int, error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		keks := s.vault.KEKs()
		from := make([]int, len(keks))
		for n := range from {
			from[n] = n
		}
		return keks, from, nil
	})
}

// Rekey is Purge with other passphrases, which are as with [Create]: what is open
// now opens with the first from then on. With two, the second opens what level 0
// held if there was one beside, and nothing yet if there was none; with one, that
// is gone.
func (s *Store) Rekey(passphrases ...[]byte) error {
	all, err := normalizeAll(passphrases)
	if err != nil {
		return err
	}
	defer clearAll(all)
	s.disk.Lock()
	defer s.disk.Unlock()
	return s.refresh(func() ([]secret.Key, []int, error) {
		keks, err := s.header.keks(all, s.cfg.Cost, s.cfg.random())
		s.mu.RLock()
		defer s.mu.RUnlock()
		from := make([]int, len(keks))
		for n := range from {
			from[n] = -1
			if n < s.vault.Depth()-1 {
				from[n] = n
			}
		}
		from[len(from)-1] = s.vault.Depth() - 1
		return keks, from, err
	})
}

// refresh writes all slots anew. Each level takes its records from the one that
// from names, or has none.
func (s *Store) refresh(levels func() (keks []secret.Key, from []int, err error)) error {
	s.mu.RLock()
	err := s.writable()
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	if err := s.secure(); err != nil {
		return err
	}
	if err := full(s.dir, rebuildSpace(s.header.slots)); err != nil {
		return err
	}
	keks, from, err := levels()
	if err != nil {
		return err
	}
	defer wipeAll(keks)
	coins, err := drawCoins(s.cfg.random())
	if err != nil {
		return err
	}
	if err := s.rewrite(keks, from, coins); err != nil {
		return s.poison(err)
	}
	return nil
}

// rewrite makes the new slots, and puts records and counters of them in the place
// of the old ones.
func (s *Store) rewrite(keks []secret.Key, from []int, coins *vault.Coins) error {
	s.mu.Lock()
	all, err := s.vault.Rearrange(keks, from, coins)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.kek.Wipe()
	s.keys.wipe()
	s.kek, s.keys = keks[len(keks)-1].Clone(), newCounterKeys(s.vault.CountKey())
	tick, durable := s.vault.Ticks(), s.level().Durable()
	s.mu.Unlock()
	if err := s.stop(); err != nil {
		return err
	}
	if err := s.counter.close(); err != nil {
		return err
	}
	s.mu.RLock() // nothing may be staged while slots are made
	err = rebuild(s.dir, all)
	s.mu.RUnlock()
	if err != nil {
		return errors.Join(err, os.RemoveAll(freshDir(s.dir)))
	}
	s.cfg.faults.hook(stepRebuilt)
	if err := freshCounters(s.dir, freshSuffix, s.keys, s.cfg.random(), tick); err != nil {
		return err
	}
	s.cfg.faults.hook(stepCounters)
	if err := s.exchange(); err != nil {
		return err
	}
	if err := settleCounters(s.dir, s.keys); err != nil {
		return err
	}
	s.cfg.faults.hook(stepCounted)
	if err := dropLeftovers(s.dir); err != nil {
		return err
	}
	s.cfg.faults.hook(stepCleared)
	if err := s.start(); err != nil {
		return err
	}
	s.mu.Lock()
	s.durable, s.accepting = durable, s.accepting && s.level().RolledBack()
	s.mu.Unlock()
	return nil
}
