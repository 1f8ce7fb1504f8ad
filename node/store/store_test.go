package store_test

import (
	"path/filepath"
	"testing"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
)

// diskHarness crashes by going on with a copy of the folder as it is, while the
// store that was open is closed where it lies.
type diskHarness struct {
	t   *testing.T
	cfg store.Config
}

func (h *diskHarness) Open() (storetest.Store, error) { return store.Open(h.cfg, h.Passphrase()) }
func (h *diskHarness) Passphrase() []byte             { return []byte(storetest.Passphrase) }

func (h *diskHarness) Crash(storetest.Store) (storetest.Store, error) {
	dir := filepath.Join(h.t.TempDir(), "s")
	if err := store.CopyFolder(h.cfg.Dir, dir); err != nil {
		return nil, err
	}
	h.cfg.Dir = dir
	return h.Open()
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		h := &diskHarness{t, store.Config{Dir: filepath.Join(t.TempDir(), "s"), Slots: 1024, Cost: store.Cheap}}
		if err := store.Create(h.cfg, h.Passphrase()); err != nil {
			t.Fatal(err)
		}
		return h
	})
}
