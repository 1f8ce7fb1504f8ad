package store

import (
	"fmt"
	"testing"
)

// BenchmarkTick makes ticks, of which most write three pages and a head.
func BenchmarkTick(b *testing.B) {
	for _, n := range []uint32{1024, 8192} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cfg := testConfig(b)
			cfg.Slots = n
			mustCreate(b, cfg)
			s := mustOpen(b, cfg)
			seq := uint64(0)
			for b.Loop() {
				if _, err := s.Stage(put(seq%100, numbered(seq, 100))); err != nil {
					b.Fatal(err)
				}
				mustTick(b, s, 1)
				seq++
			}
		})
	}
}

// BenchmarkOpen opens stores and closes them.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []uint32{1024, 8192} {
		for _, online := range []bool{false, true} {
			b.Run(fmt.Sprint(n, " online ", online), func(b *testing.B) {
				cfg := testConfig(b)
				cfg.Slots = n
				mustCreate(b, cfg)
				for b.Loop() {
					s, err := Open(cfg, testPass)
					if err != nil {
						b.Fatal(err)
					}
					if online {
						if err := s.Online(); err != nil {
							b.Fatal(err)
						}
					}
					mustClose(b, s)
				}
			})
		}
	}
}
