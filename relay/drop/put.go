package drop

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/backchannel/backchannel/protocol/drop"
)

// maxGroup is how many puts are committed together, and how many wait for it.
const maxGroup = 128

// expireEvery is how often the writer looks for days that have passed.
const expireEvery = 5 * time.Minute

// A request waits for its group.
type request struct {
	writeKey [drop.AddressSize]byte
	box      *drop.Box
	token    []byte
	answer   chan drop.Status
}

// Put stores a box under the hash of a write key. The first one stays; the same bytes
// again are [drop.Stored], too. Stored means that it is on the disk. What is not done
// when ctx ends is [drop.Failed], and may be done later.
func (s *Store) Put(ctx context.Context, writeKey [drop.AddressSize]byte, box *drop.Box, token []byte) drop.Status {
	// The caller's memory is its own again when ctx ends.
	own := *box
	p := &request{writeKey, &own, bytes.Clone(token), make(chan drop.Status, 1)}
	select {
	case s.puts <- p:
	case <-ctx.Done():
		return drop.Failed
	case <-s.done:
		return drop.Failed
	}
	select {
	case status := <-p.answer:
		return status
	case <-ctx.Done():
		return drop.Failed
	case <-s.done:
		return drop.Failed
	}
}

// write is the writer's life.
func (s *Store) write() {
	defer close(s.done)
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case p := <-s.puts:
			group := []*request{p}
			for len(group) < maxGroup && len(s.puts) > 0 {
				group = append(group, <-s.puts)
			}
			s.commit(group)
		case answer := <-s.expire:
			answer <- s.pass()
		case <-tick.C:
			_ = s.pass() // it is tried again
		case <-s.stop:
			return
		}
	}
}

// commit decides about a group of puts, writes those that are taken with one sync, and
// answers all.
func (s *Store) commit(group []*request) {
	statuses := make([]drop.Status, len(group))
	for i := range statuses {
		statuses[i] = drop.Failed
	}
	defer func() {
		for i, p := range group {
			p.answer <- statuses[i]
		}
	}()
	now := s.cfg.Now()
	if !s.cfg.roomToWrite() {
		for i := range statuses {
			statuses[i] = drop.Full
		}
		return
	}
	today, err := s.today(now)
	if err != nil || s.broken.Load() || today.followLog(s.cfg.Dir) != nil {
		return
	}
	batch := newBatch(s, today, now)
	err = guard(func() error {
		txn := today.db.NewTransaction(true)
		defer txn.Discard()
		for i, p := range group {
			statuses[i] = batch.add(txn, p)
		}
		if len(batch.taken) == 0 {
			return nil
		}
		return txn.Commit()
	})
	// Badger syncs its value log, and drops the error. This descriptor was open before:
	// the system reports the error to it as well.
	if err == nil && len(batch.taken) > 0 && s.cfg.sync(today.log) != nil {
		s.broken.Store(true)
		err = ErrDamaged // what was written before may be lost, too
	}
	if err != nil {
		for i := range statuses {
			statuses[i] = drop.Failed
		}
		return
	}
	atomic.AddInt64(&today.boxes, int64(len(batch.taken)))
}

// A batch is the puts of a group that were admitted so far.
type batch struct {
	s     *Store
	today *day
	days  []*day
	taken map[drop.Address]*drop.Box
	quota int64 // that the day may hold by now
}

func newBatch(s *Store, today *day, now time.Time) *batch {
	return &batch{s, today, s.live(now), map[drop.Address]*drop.Box{}, room(s.cfg.quota(), s.cfg.passed(now))}
}

// add decides about one put.
func (b *batch) add(txn *badger.Txn, p *request) drop.Status {
	address := drop.AddressOf(p.writeKey[:])
	there, err := b.find(address)
	switch {
	case err != nil:
		return drop.Failed
	case there != nil && *there == *p.box:
		return drop.Stored
	case there != nil:
		return drop.Taken
	}
	held := atomic.LoadInt64(&b.today.boxes) + int64(len(b.taken))
	if held >= b.quota {
		return drop.Full
	}
	token, err := drop.ParseToken(p.token)
	if len(p.token) == 0 {
		token, err = drop.Token{}, nil
	}
	if err != nil || !b.s.cfg.Policy.Admit(float64(held)/float64(b.quota), b.s.cfg.ID, p.writeKey[:], token) {
		return drop.Refused
	}
	if b.today.put(txn, address, p.box, b.s.cfg.Random) != nil {
		return drop.Failed
	}
	b.taken[address] = p.box
	return drop.Stored
}

// find looks for a box in the batch and in every day.
func (b *batch) find(a drop.Address) (*drop.Box, error) {
	if box, ok := b.taken[a]; ok {
		return box, nil
	}
	for _, d := range b.days {
		if box, err := d.get(a); box != nil || err != nil {
			return box, err
		}
	}
	return nil, nil
}

// today returns the day that puts go to, and begins it if it is new. A clock that was
// put back does not lead to a day before.
func (s *Store) today(now time.Time) (*day, error) {
	n := s.cfg.dayAt(now)
	if last := len(s.days) - 1; last >= 0 && s.days[last].number >= n {
		return s.days[last], nil
	}
	if err := s.pass(); err != nil {
		return nil, err
	}
	key, err := s.keys.add(n, s.cfg.Random)
	if err != nil {
		return nil, err
	}
	d, err := openDay(s.cfg, n, key, true)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.days = append(s.days, d)
	return d, nil
}

// pass erases the days whose time has come. What fails is tried again the next time.
func (s *Store) pass() error {
	now := s.cfg.dayAt(s.cfg.Now())
	for len(s.days) > 0 && expired(s.days[0].number, now) {
		s.mu.Lock() // no get is inside it any more
		d := s.days[0]
		s.days = s.days[1:]
		s.mu.Unlock()
		_ = d.close() // its records go, whatever state they are in
	}
	for n := range s.keys.keys {
		if expired(n, now) {
			if err := s.remove(n); err != nil {
				return err
			}
		}
	}
	return nil
}
