package store_test

import (
	"path/filepath"
	"testing"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
)

type diskHarness struct{ cfg store.Config }

func (h diskHarness) Open() (storetest.Store, error) { return store.Open(h.cfg, h.Passphrase()) }
func (h diskHarness) Passphrase() []byte             { return []byte(storetest.Passphrase) }

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		h := diskHarness{store.Config{Dir: filepath.Join(t.TempDir(), "s"), Cost: store.Cheap}}
		if err := store.Create(h.cfg, h.Passphrase()); err != nil {
			t.Fatal(err)
		}
		return h
	})
}
