package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// Purge writes every slot anew, under new roots and new keys of all objects, and
// rebuilds the database: nothing that was deleted or replaced is in any file of the
// folder, and what was in its slots opens under no key that is still there. What
// was staged is durable with it. Levels that are not open are destroyed.
//
// It takes about half a second for 8,192 slots, and reads wait for it. ErrFull and
// a refused permission leave everything as it was. Any other error poisons the
// store, as in Tick. If the process dies on the way, the next Open finds the
// records as they were before or after it.
func (s *Store) Purge() error {
	return s.refresh((*vault.Vault).Renew)
}

// Rotate is Purge with another second secret in the key file, and Purge if there is
// no key file: copies of the store from before open with the old secret alone, and
// it is gone. ErrKeyFile says that the medium is not there, and nothing has changed;
// ErrKeyFileOld that all is done, and the old secret is on the medium still.
func (s *Store) Rotate() error { return s.rotate((*vault.Vault).Rotate) }

// Rekey is Rotate with other passphrases, as in Create: the first opens the deepest
// level from now on, with what the deepest level that is open holds. With one
// passphrase more than levels are open there is a new, empty level that is
// shallower than all others; with one less the shallowest is destroyed.
func (s *Store) Rekey(passphrases ...[]byte) error {
	normalized, err := normalizeAll(passphrases)
	if err != nil {
		return err
	}
	defer wipe(normalized)
	keks := s.cfg.keks(&s.store, normalized)
	defer wipeKeys(keks)
	return s.rotate(func(v *vault.Vault, second secret.Key, coins *vault.Coins) (vault.All, error) {
		all, err := v.Rekey(keks, second, coins)
		if err == nil {
			s.kek.Wipe()
			s.kek = keks[len(keks)-1].Clone()
		}
		return all, err
	})
}

// rotate is refresh with a new second secret, if there is one. It lies in the key
// file beside the old one until the store is known to open with it.
func (s *Store) rotate(do func(*vault.Vault, secret.Key, *vault.Coins) (vault.All, error)) error {
	path := s.keyFile()
	if path == "" {
		return s.refresh(func(v *vault.Vault, coins *vault.Coins) (vault.All, error) { return do(v, secret.Key{}, coins) })
	}
	s.rotating.Lock()
	defer s.rotating.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	s.mu.Lock()
	old := s.second.Clone()
	s.mu.Unlock()
	defer old.Wipe()
	next, err := stageSecret(path, old)
	if err != nil {
		return err
	}
	defer next.Wipe()
	f, changed := s.cfg.faults, false
	f.hook(stepSecret)
	err = s.refresh(func(v *vault.Vault, coins *vault.Coins) (vault.All, error) {
		all, err := do(v, next, coins)
		if changed = err == nil; changed {
			s.second.Wipe()
			s.second = next.Clone()
		}
		return all, err
	})
	if err != nil {
		if !changed {
			_ = settleSecret(path, old)
		}
		return err
	}
	f.hook(stepSecretOld)
	if settleSecret(path, next) != nil {
		return ErrKeyFileOld
	}
	f.hook(stepSecretGone)
	return nil
}

// refresh makes new bytes for every slot and puts them in place, and then the
// counter. Memory is locked throughout: the slots are made from it as they are
// written.
func (s *Store) refresh(do func(*vault.Vault, *vault.Coins) (vault.All, error)) error {
	s.disk.Lock()
	defer s.disk.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.secure(); err != nil {
		return err
	}
	if err := full(s.dir, tickSpace+openSpace+tablesSpace(s.slots)); err != nil {
		return err
	}
	coins, err := s.cfg.coins()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What is read of the levels takes longer the more they hold, and the times of files
	// would tell: the first one is made at a moment that was fixed before.
	made := time.After(s.making)
	accepting := slices.Clone(s.accepting)
	s.acceptDurable(true) // all that was staged is durable with it
	all, err := do(s.vault, coins)
	if err != nil {
		s.acceptLater(accepting)
		return err
	}
	<-made
	s.accepting = nil // there may be another number of levels
	s.endViews()
	if err := s.putInPlace(all); err != nil {
		s.err = err
		return err
	}
	s.durable = s.level().Durable()
	return nil
}

// putInPlace writes the slots of a refresh. Its counter lies ready before they are
// exchanged, because the key of the old one goes with them.
func (s *Store) putInPlace(all vault.All) error {
	f, key, tick := s.cfg.faults, s.vault.CountKey(), s.vault.Ticks()
	defer key.Wipe()
	if err := build(s.dir, s.slots, sourceOf(all), f); err != nil {
		if errors.Is(err, ErrFull) {
			err = fmt.Errorf("refreshing: %w", errNoRoom) // it is too late to take it back
		}
		return err
	}
	box, err := s.counter.box(s.cfg.random(), key, tick)
	if err == nil {
		err = errors.Join(writeFile(nextCounterPath(s.dir), box), syncDir(s.dir))
	}
	if err != nil {
		return fmt.Errorf("writing counter: %w", lateError(err))
	}
	f.hook(stepNextCounter)
	if err := s.exchange(); err != nil {
		return err
	}
	if s.counter.both {
		err = s.counter.write(s.cfg.random(), key, tick, f.hook)
	} else {
		err = s.counter.put(box, tick%2, f.hook)
	}
	if err == nil {
		err = dropNextCounter(s.dir)
	}
	if err == nil {
		err = dropLeftovers(s.dir)
	}
	if err != nil {
		return fmt.Errorf("finishing: %w", lateError(err))
	}
	f.hook(stepRefreshEnd)
	return nil
}

var errNoRoom = errors.New("no room on the disk after all")
