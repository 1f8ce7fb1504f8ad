package store

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/vault"
)

// benchSizes are the smallest and the largest store that there can be.
var benchSizes = []uint32{vault.MinSlots, vault.MaxSlots}

func benchStore(b *testing.B, slots uint32, cost Cost) Config {
	b.Helper()
	cfg := testConfig(b)
	cfg.Slots, cfg.Cost = slots, cost
	mustCreate(b, cfg)
	return cfg
}

// written is how many bytes this process has had written to a device.
func written(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			bytes, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
			if err != nil {
				b.Fatal(err)
			}
			return bytes
		}
	}
	return 0
}

// BenchmarkTick ticks through a rebuild, and says what one tick writes.
func BenchmarkTick(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := mustOpen(b, benchStore(b, n, Cheap))
			before := written(b)
			var longest time.Duration
			for b.Loop() {
				start := time.Now()
				mustTick(b, s)
				longest = max(longest, time.Since(start))
			}
			b.ReportMetric((written(b)-before)/float64(b.N), "device-B/op")
			b.ReportMetric(float64(longest.Milliseconds()), "longest-ms")
		})
	}
}

// BenchmarkOpen opens a store at the real cost, beside what stretching alone takes.
func BenchmarkOpen(b *testing.B) {
	for _, n := range benchSizes {
		cfg := benchStore(b, n, Standard)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				s, err := Open(cfg, testPass)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				mustClose(b, s)
				b.StartTimer()
			}
		})
	}
	b.Run("Argon2id alone", func(b *testing.B) {
		for b.Loop() {
			k := Config{}.kek(new([storeSize]byte), testPass)
			k.Wipe()
		}
	})
}

// BenchmarkSteps times what else there is: creating, going online, closing, a purge.
func BenchmarkSteps(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				at := time.Now()
				lap := func(what string) {
					b.ReportMetric(float64(time.Since(at).Milliseconds()), what+"-ms")
					at = time.Now()
				}
				cfg := benchStore(b, n, Cheap)
				lap("create")
				s := mustLook(b, cfg, testPass)
				lap("open")
				if err := s.Online(); err != nil {
					b.Fatal(err)
				}
				lap("online")
				if err := s.Purge(); err != nil {
					b.Fatal(err)
				}
				lap("purge")
				mustClose(b, s)
				lap("close")
			}
		})
	}
}

// BenchmarkRead reads 10,000 messages of 100 bytes back.
func BenchmarkRead(b *testing.B) {
	s := mustOpen(b, benchStore(b, vault.MinSlots, Cheap))
	for i := uint64(0); i < 10_000; i += 100 {
		var batch []Write
		for j := range uint64(100) {
			batch = append(batch, put(i+j, numbered(i+j, 128)))
		}
		mustCommit(b, s, batch...)
	}
	for b.Loop() {
		if n, err := count(s, 128); n != 10_000 || err != nil {
			b.Fatal(n, err)
		}
	}
}
