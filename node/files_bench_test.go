package node_test

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p/p2ptest"
)

// BenchmarkFile sends a file from one machine to another over loopback, both with
// their stores on the disk, and as many bytes over a bare libp2p stream in writes
// of 4 KiB. NODE_TEST_FILE_MIB says how large it is.
func BenchmarkFile(b *testing.B) {
	mebis, err := strconv.ParseInt(cmp.Or(os.Getenv(fileSizeEnv), "64"), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	x, y := newMachine(b, freeSettings(b), hooks{}), newMachine(b, freeSettings(b), hooks{})
	newTalk(b, x, y).meet()
	path, _ := newFile(b, mebis<<20)
	var ours, bare time.Duration
	peak := uint64(0)
	b.SetBytes(mebis << 20)
	for b.Loop() {
		b.StopTimer()
		ctx, cancel := context.WithCancel(b.Context())
		x.sendFile(path)
		offer := y.fileAt(channel.In, channel.FileOffered)
		_, events, err := y.Follow(ctx, peer, offer.Seq)
		if err != nil {
			b.Fatal(err)
		}
		saved := filepath.Join(b.TempDir(), "saved")
		b.StartTimer()
		at := time.Now()
		if err := y.TakeFile(ctx, peer, offer.Seq, saved); err != nil {
			b.Fatal(err)
		}
		for e := range events {
			if e.Message.Seq == offer.Seq && e.Message.FileState == channel.FileWhole {
				break
			}
		}
		ours += time.Since(at)
		b.StopTimer()
		cancel()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
		if err := os.Remove(saved); err != nil {
			b.Fatal(err)
		}
		took, err := p2ptest.Stream(b.Context(), mebis<<20, 4<<10)
		if err != nil {
			b.Fatal(err)
		}
		bare += took
		b.StartTimer()
	}
	b.ReportMetric(float64(bare)/float64(ours), "of-bare")
	b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
}
