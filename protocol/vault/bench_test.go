package vault

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/backchannel/backchannel/protocol/secret"
)

// filled makes a store whose levels hold so many pages of small records each.
func filled(b *testing.B, slots uint32, levels, pages int) *disk {
	b.Helper()
	d := &disk{t: b, g: Standard(slots), slots: make([]Slot, slots), coins: rand.NewChaCha8([32]byte{1})}
	v, _, err := Create(d.g, &testStore, testKEKs(levels), secret.Key{}, d.draw())
	if err != nil {
		b.Fatal(err)
	}
	d.vault = v
	for n := range levels {
		l := v.Level(n)
		for seq := range uint64(pages * pageSize / 160) {
			if seq%250 != 0 {
				continue
			}
			var writes []Write
			for i := range uint64(250) {
				writes = append(writes, put(key(1, byte(i%7), seq+i), 130, 1))
			}
			if _, err := l.Stage(writes); err != nil {
				b.Fatal(err)
			}
			l.freeze(d.draw().stream("keys", n))
			l.commit(l.group)
		}
	}
	all, err := v.Refresh(testKEKs(levels), d.draw())
	if err != nil {
		b.Fatal(err)
	}
	d.write(all)
	return d
}

// BenchmarkOpen is three header and three level passes, over levels that are
// nearly full, and over an empty one.
func BenchmarkOpen(b *testing.B) {
	for _, slots := range []uint32{MinSlots, MaxSlots} {
		for _, levels := range []int{1, 3} {
			for _, full := range []bool{false, true} {
				pages := 0
				if full {
					pages = int(slots) / 10
				}
				b.Run(fmt.Sprintf("slots=%d/levels=%d/pages=%d", slots, levels, pages), func(b *testing.B) {
					d := filled(b, slots, levels, pages)
					for b.Loop() {
						if _, err := d.open(levels - 1); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkPass is what one pass over the slots costs with the marks, and what it
// would cost without them.
func BenchmarkPass(b *testing.B) {
	d := newDisk(b, Standard(MinSlots), 1, 1)
	keys := dummyKeys(testKEK(2))
	b.Run("marks", func(b *testing.B) {
		for b.Loop() {
			for i := range d.slots {
				if keys.matches(d.slots[i][:]) {
					b.Fatal("a match")
				}
			}
		}
	})
	b.Run("opening", func(b *testing.B) {
		for b.Loop() {
			for i := range d.slots {
				if _, err := keys.openSlot(place(&testStore, uint32(i)), &d.slots[i]); err == nil {
					b.Fatal("a match")
				}
			}
		}
	})
}

// BenchmarkArgon2id is what opening stands beside.
func BenchmarkArgon2id(b *testing.B) {
	for b.Loop() {
		argon2.IDKey([]byte("passphrase"), testStore[:], 4, 256<<10, 4, 32)
	}
}

// BenchmarkTick is a tick that has nothing to write, and one of a message: a
// session of 5 KB, a text and its state.
func BenchmarkTick(b *testing.B) {
	for _, slots := range []uint32{MinSlots, MaxSlots} {
		for _, message := range []bool{false, true} {
			b.Run(fmt.Sprintf("slots=%d/message=%v", slots, message), func(b *testing.B) {
				d := filled(b, slots, 3, int(slots)/16)
				seq := uint64(1 << 40)
				for b.Loop() {
					if message {
						seq++
						d.stage(2, put(key(2, 1, 0), 5000, 1), put(key(5, 1, seq), 130, 1), put(key(6, 1, seq), 1, 1))
						if seq%64 == 0 {
							b.StopTimer()
							for i := range uint64(64) {
								d.stage(2, drop(key(5, 1, seq-i)), drop(key(6, 1, seq-i)))
							}
							b.StartTimer()
						}
					}
					d.tick()
				}
			})
		}
	}
}

// BenchmarkRefresh rewrites every slot.
func BenchmarkRefresh(b *testing.B) {
	for _, slots := range []uint32{MinSlots, MaxSlots} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			d := filled(b, slots, 3, int(slots)/16)
			for b.Loop() {
				all, err := d.vault.Refresh(testKEKs(3), d.draw())
				if err != nil {
					b.Fatal(err)
				}
				for range all {
				}
			}
		})
	}
}
