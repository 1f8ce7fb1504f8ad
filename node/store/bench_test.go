package store

import (
	"fmt"
	"path/filepath"
	"testing"
)

var benchSlots = []uint32{1024, 8192, 262144}

func benchConfig(b *testing.B, slots uint32) Config {
	return Config{Dir: filepath.Join(b.TempDir(), "s"), Cost: Cheap, Slots: slots}
}

// BenchmarkTick makes ticks that write three pages and a head, on the disk.
func BenchmarkTick(b *testing.B) {
	for _, n := range benchSlots {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cfg := benchConfig(b, n)
			mustCreate(b, cfg)
			s := mustOpen(b, cfg)
			seq := uint64(0)
			for b.Loop() {
				if _, err := s.Stage(put(seq%1000, numbered(seq, 100))); err != nil {
					b.Fatal(err)
				}
				mustTick(b, s, 1)
				seq++
			}
		})
	}
}

// BenchmarkCreate makes stores.
func BenchmarkCreate(b *testing.B) {
	for _, n := range benchSlots {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				mustCreate(b, benchConfig(b, n))
			}
		})
	}
}

// BenchmarkOpen opens a store and loads it, without the time that an answer is
// padded to and without Argon2; goes online; and closes it.
func BenchmarkOpen(b *testing.B) {
	for _, n := range benchSlots {
		cfg := benchConfig(b, n)
		mustCreate(b, cfg)
		b.Run(fmt.Sprint("look ", n), func(b *testing.B) {
			for b.Loop() {
				raw, err := readHeader(cfg.Dir)
				if err != nil {
					b.Fatal(err)
				}
				h, err := parseHeader(raw)
				if err != nil {
					b.Fatal(err)
				}
				s := &Store{cfg: cfg, dir: cfg.Dir, header: h, kek: h.kek(testPass, Cheap)}
				found, err := readSlots(recordsDir(cfg.Dir), n)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.load(found); err != nil {
					b.Fatal(err)
				}
			}
		})
		for _, closing := range []bool{false, true} {
			b.Run(fmt.Sprintf("online %d, close %v", n, closing), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					s, err := Open(cfg, testPass)
					if err != nil {
						b.Fatal(err)
					}
					if !closing {
						b.StartTimer()
					}
					if err := s.Online(); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					mustTick(b, s, 3)
					if closing {
						b.StartTimer()
					}
					mustClose(b, s)
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkStandardCost is Argon2id alone.
func BenchmarkStandardCost(b *testing.B) {
	for b.Loop() {
		header{}.kek(testPass, Standard).Wipe()
	}
}

// BenchmarkRead reads 10,000 messages from an open store.
func BenchmarkRead(b *testing.B) {
	cfg := benchConfig(b, 8192)
	mustCreate(b, cfg)
	s := mustOpen(b, cfg)
	for seq := uint64(0); seq < 10_000; seq += 200 {
		var writes []Write
		for i := range uint64(200) {
			writes = append(writes, put(seq+i, numbered(seq+i, 128)))
		}
		mustCommit(b, s, writes...)
	}
	for b.Loop() {
		if n, err := count(s, 128); n != 10_000 || err != nil {
			b.Fatal(n, err)
		}
	}
}
