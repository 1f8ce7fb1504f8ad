package store

import (
	"errors"
	"sync"
	"testing"
)

// TestConcurrentUse reads, scans and commits from several goroutines, and closes
// under them.
func TestConcurrentUse(t *testing.T) {
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(40) {
				k := Key{Kind: Kind(g + 1), Seq: i % 10}
				if _, err := s.Stage(Write{Key: k, Value: numbered(i, 800)}); err != nil {
					t.Errorf("staging: %v", err)
				}
				if err := s.Tick(); i%4 == 0 && err != nil {
					t.Errorf("ticking: %v", err)
				}
				if v, err := s.Get(k); err != nil || string(v) != string(numbered(i, 800)) {
					t.Errorf("reading what was just written: %v", err)
				}
				for _, err := range s.ScanKind(Kind(i%4 + 1)) {
					if err != nil {
						t.Errorf("scanning: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	for range 4 {
		wg.Go(func() {
			for seq := uint64(0); ; seq++ {
				if err := commit(s, put(seq%100, nil)); errors.Is(err, ErrClosed) {
					return
				} else if err != nil {
					t.Errorf("committing: %v", err)
					return
				}
			}
		})
	}
	mustClose(t, s)
	wg.Wait()
	wantRollback(t, cfg, false)
}
