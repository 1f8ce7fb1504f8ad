package drop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// A Store is the boxes of one drop. All methods may be called at once.
type Store struct {
	cfg  Config
	keys *keyFile

	mu   sync.RWMutex // guards days against the writer; a day's Badger guards itself
	days []*day       // by number; the last is the one that puts go to

	puts    chan *request
	expire  chan chan error
	stop    chan struct{}
	done    chan struct{}
	closed  sync.Once
	damaged int         // days that were set aside
	broken  atomic.Bool // the disk failed, and nothing is called stored any more
	count   [onion.Loop + 1][statuses]atomic.Uint64
}

// Open opens the boxes in a folder, or makes it. What has expired meanwhile is erased
// before anything else.
func Open(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	path := cfg.KeyFile
	if path == "" {
		path = filepath.Join(cfg.Dir, "keys")
	}
	if err := cfg.dropReserve(); err != nil {
		return nil, err
	}
	keys, err := openKeys(path, cfg.Expiry)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, keys: keys,
		puts: make(chan *request, maxGroup), expire: make(chan chan error), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.closeDays(), keys.close())
	}
	_ = cfg.holdReserve() // without it puts are refused, and gets go on
	go s.write()
	return s, nil
}

// load removes what has expired, and opens what has not.
func (s *Store) load() error {
	now := s.cfg.dayAt(s.cfg.Now())
	found, err := daysIn(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("reading the folder: %w", err)
	}
	for n := range s.keys.keys {
		if expired(n, now) {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	for _, n := range slices.Compact(found) {
		key, ok := s.keys.keys[n]
		if !ok || expired(n, now) {
			if err := s.remove(n); err != nil {
				return err
			}
			continue
		}
		d, err := openDay(s.cfg, n, key, n >= now)
		if errors.Is(err, ErrDamaged) {
			// Its boxes are lost, as if this drop had been down: others have replicas. It is
			// set aside until its time has come, and the other days go on. What was set aside
			// earlier the same day has no key any more.
			aside := damagedDir(s.cfg.Dir, n)
			if err := errors.Join(os.RemoveAll(aside), os.Rename(dayDir(s.cfg.Dir, n), aside)); err != nil {
				return fmt.Errorf("setting a damaged day aside: %w", err)
			}
			continue
		}
		if err != nil {
			return err
		}
		s.days = append(s.days, d)
	}
	s.damaged, err = s.setAside()
	return err
}

// setAside counts the days that were set aside, now or earlier, and have not expired.
func (s *Store) setAside() (count int, err error) {
	for n := range s.keys.keys {
		switch _, err := os.Stat(damagedDir(s.cfg.Dir, n)); {
		case err == nil:
			count++
		case !errors.Is(err, os.ErrNotExist):
			return 0, fmt.Errorf("reading the folder: %w", err)
		}
	}
	return count, nil
}

// expired reports whether the boxes of a day are gone on another.
func expired(n, now dayNumber) bool { return now >= n+daysKept }

// remove erases a day: first the key, then the records. Records that cannot be removed
// now are at the next Open: they have no key.
func (s *Store) remove(n dayNumber) error {
	if err := s.keys.erase(n); err != nil {
		return err
	}
	err := errors.Join(os.RemoveAll(dayDir(s.cfg.Dir, n)), os.RemoveAll(damagedDir(s.cfg.Dir, n)))
	if err != nil {
		return fmt.Errorf("removing a day: %w", err)
	}
	return syncDir(s.cfg.Dir)
}

// live returns the days that have not expired.
func (s *Store) live(now time.Time) []*day {
	today := s.cfg.dayAt(now)
	return slices.DeleteFunc(slices.Clone(s.days), func(d *day) bool { return expired(d.number, today) })
}

// Expire erases the days whose time has come. The writer does so by itself every few
// minutes.
func (s *Store) Expire() error {
	answer := make(chan error, 1)
	select {
	case s.expire <- answer:
		return <-answer
	case <-s.done:
		return os.ErrClosed
	}
}

// Close ends the writer and closes the records. Puts that wait are answered with
// failed.
func (s *Store) Close() error {
	err := error(nil)
	s.closed.Do(func() {
		close(s.stop)
		<-s.done
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = s.cfg.dropReserve()
		err = errors.Join(s.closeDays(), s.keys.close())
		s.days = nil
	})
	return err
}

func (s *Store) closeDays() error {
	var all []error
	for _, d := range s.days {
		all = append(all, d.close())
	}
	return errors.Join(all...)
}

// Load is what an operator may see: how much of a day's share is taken, and of what
// has come due of it.
type Load struct {
	Boxes int64 // in all days
	Today int64 // today's
	Room  int64 // that today may hold by now

	Damaged int // days whose records could not be read when the folder was opened

	NoSpace bool // the disk has less than puts leave free: none is taken
	Broken  bool // the disk has failed: none is taken until the store is opened again
}

// Load returns it for this moment.
func (s *Store) Load() Load {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.cfg.Now()
	l := Load{Room: room(s.cfg.quota(), s.cfg.passed(now)), Damaged: s.damaged, NoSpace: !s.cfg.spaceLeft(), Broken: s.broken.Load()}
	for _, d := range s.live(now) {
		n := atomic.LoadInt64(&d.boxes)
		l.Boxes += n
		if d.number >= s.cfg.dayAt(now) {
			l.Today = n
		}
	}
	return l
}
