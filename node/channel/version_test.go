package channel_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
)

// TestNewerRecords has one record after the other written by a later program: the
// conversation is refused for that, and not for damage.
func TestNewerRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 85)
	w.meet()
	w.b.disk, w.a.disk = newDisk(), newDisk()
	w.a.sendFile("report.pdf", []byte("what was sent"))
	w.settle()
	w.b.do(w.b.c.KeepEndings(w.now, 1, 0))
	w.cut()
	for _, kind := range []store.Kind{channel.KindContact, channel.KindSession, channel.KindFile, channel.KindEnded} {
		for version, want := range map[byte]error{1: nil, 2: store.ErrNewer, 255: store.ErrNewer, 0: channel.ErrRecord} {
			changed, found := w.b.store.Copy(), 0
			for r, err := range w.b.store.Scan(kind, w.b.id) {
				value := bytes.Clone(r.Value)
				value[0] = version
				found++
				if err := errors.Join(err, changed.Commit(store.Write{Key: r.Key, Value: value})); err != nil {
					t.Fatal(err)
				}
			}
			cfg := w.b.cfg
			cfg.Records = changed
			if _, err := channel.Load(cfg, w.b.id); !errors.Is(err, want) || found == 0 {
				t.Errorf("%d records of kind %d and version %d: %v", found, kind, version, err)
			}
		}
	}
}
