package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
)

type diskHarness struct{ cfg store.Config }

func (h diskHarness) Open(passphrase []byte) (storetest.Store, error) {
	return store.Open(h.cfg, passphrase)
}
func (h diskHarness) Passphrase() []byte { return []byte(storetest.Passphrase) }

// Crash keeps the files as they are while the store is open.
func (h diskHarness) Crash(s storetest.Store) error {
	left := h.cfg.Dir + ".left"
	return errors.Join(os.CopyFS(left, os.DirFS(h.cfg.Dir)), s.Close(), os.RemoveAll(h.cfg.Dir), os.Rename(left, h.cfg.Dir))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		h := diskHarness{store.Config{Dir: filepath.Join(store.TempDir(t), "s"), Cost: store.Cheap}}
		if err := store.Create(h.cfg, h.Passphrase()); err != nil {
			t.Fatal(err)
		}
		return h
	})
}
