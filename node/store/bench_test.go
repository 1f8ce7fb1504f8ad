package store

import (
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// BenchmarkCommit commits a value of 4 KiB; beside it what Badger alone takes for
// a synced write of as many bytes.
func BenchmarkCommit(b *testing.B) {
	b.Run("store", func(b *testing.B) {
		cfg := testConfig(b)
		mustCreate(b, cfg)
		s := mustOpen(b, cfg)
		value := make([]byte, 4096)
		seq := uint64(0)
		for b.Loop() {
			mustCommit(b, s, put(seq%1000, value))
			seq++
		}
	})
	b.Run("badger", func(b *testing.B) {
		db, err := badger.Open(badgerOptions(b.TempDir(), false).WithNumCompactors(2))
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		seq := uint64(0)
		for b.Loop() {
			err := db.Update(func(txn *badger.Txn) error {
				name := [16]byte{byte(seq), byte(seq % 1000 >> 8)}
				return txn.Set(name[:], make([]byte, SealedSize(4096)))
			})
			if err != nil {
				b.Fatal(err)
			}
			seq++
		}
	})
}

// BenchmarkOpen opens and closes a store of 4 KiB records at the test cost.
func BenchmarkOpen(b *testing.B) {
	for name, n := range map[string]uint64{"empty": 0, "1000 records": 1000, "10000 records": 10000} {
		b.Run(name, func(b *testing.B) {
			cfg := testConfig(b)
			mustCreate(b, cfg)
			s := mustOpen(b, cfg)
			for seq := uint64(0); seq < n; seq += 25 {
				var writes []Write
				for i := range uint64(25) {
					writes = append(writes, put(seq+i, numbered(seq+i, 4096)))
				}
				mustCommit(b, s, writes...)
			}
			mustClose(b, s)
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
}

func BenchmarkGet(b *testing.B) {
	cfg := testConfig(b)
	mustCreate(b, cfg)
	s := mustOpen(b, cfg)
	mustCommit(b, s, put(0, make([]byte, 4096)))
	for b.Loop() {
		if _, err := s.Get(key(0)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStandardCost(b *testing.B) {
	for b.Loop() {
		stretch(testPass, header{version: formatVersion}, Standard).Wipe()
	}
}
