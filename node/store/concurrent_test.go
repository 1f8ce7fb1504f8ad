package store

import (
	"errors"
	"sync"
	"testing"
)

// TestConcurrentUse reads, scans, stages, ticks and purges from several goroutines,
// and closes under them.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(100) {
				k := Key{Kind: Kind(g + 1), Seq: i % 10}
				if _, err := s.Stage(Write{Key: k, Value: numbered(i, 800)}); err != nil {
					t.Errorf("staging: %v", err)
				}
				if v, err := s.Get(k); err != nil || string(v) != string(numbered(i, 800)) {
					t.Errorf("reading what was just staged: %v", err)
				}
				for _, err := range s.ScanKind(Kind(i%4 + 1)) {
					if err != nil {
						t.Errorf("scanning: %v", err)
					}
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 12 {
				if err := s.Tick(); err != nil {
					t.Errorf("ticking: %v", err)
				}
			}
			if err := s.Purge(); err != nil {
				t.Errorf("purging: %v", err)
			}
		})
	}
	wg.Wait()
	for range 4 {
		wg.Go(func() {
			for seq := uint64(0); ; seq++ {
				_, err := s.Stage(put(seq%10, nil))
				if err := errors.Join(err, s.Tick()); errors.Is(err, ErrClosed) {
					return
				} else if err != nil {
					t.Errorf("writing: %v", err)
					return
				}
			}
		})
	}
	mustClose(t, s)
	wg.Wait()
	wantRollback(t, cfg, false)
}

// TestReadsDoNotWait holds a tick up while it writes: reads and commits go on.
func TestReadsDoNotWait(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	writing, goOn := make(chan struct{}), make(chan struct{})
	armed := false
	cfg.faults = &faults{at: func(at step) {
		if armed && at == stepBadgerDone {
			close(writing)
			<-goOn
		}
	}}
	s := mustOpen(t, cfg)
	armed = true
	ticket := mustStage(t, s, put(0, nil))
	done := make(chan error)
	go func() { done <- s.Tick() }()
	<-writing
	later := mustStage(t, s, put(1, nil))
	if _, err := s.Get(key(1)); err != nil || s.Durable() >= ticket || later <= ticket {
		t.Errorf("while a tick is written: %v, durable %d, tickets %d and %d", err, s.Durable(), ticket, later)
	}
	armed = false
	close(goOn)
	if err := <-done; err != nil || s.Durable() != ticket {
		t.Errorf("after it: %v, durable %d, want %d", err, s.Durable(), ticket)
	}
}
