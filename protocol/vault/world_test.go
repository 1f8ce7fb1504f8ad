package vault

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

// small is a store that a test can tick a thousand times. Its ticks have the
// standard size, so that none has to be drawn again.
var small = Geometry{Slots: 1024, Touch: Touch, Fresh: Fresh}

var testStore = [32]byte{1, 2, 3}

func testKEK(n int) secret.Key {
	return KEK(&testStore, bytes.Repeat([]byte{byte('a' + n)}, 32))
}

func testKEKs(levels int) []secret.Key {
	keks := make([]secret.Key, levels)
	for n := range keks {
		keks[n] = testKEK(n)
	}
	return keks
}

// disk is what a caller of the package has: slots, and coins.
type disk struct {
	t     testing.TB
	g     Geometry
	slots []Slot
	coins *rand.ChaCha8
	vault *Vault
	seen  func([]Change) // shown every tick
}

func newDisk(t testing.TB, g Geometry, levels int, seed byte) *disk {
	t.Helper()
	d := &disk{t: t, g: g, slots: make([]Slot, g.Slots), coins: rand.NewChaCha8([32]byte{seed})}
	v, all, err := Create(g, &testStore, testKEKs(levels), secret.Key{}, d.draw())
	if err != nil {
		t.Fatal(err)
	}
	d.vault = v
	d.write(all)
	return d
}

func (d *disk) draw() *Coins {
	var c Coins
	d.coins.Read(c[:])
	return &c
}

func (d *disk) write(all All) {
	n := uint32(0)
	for i, s := range all {
		if i != n {
			d.t.Fatalf("slot %d came as number %d", i, n)
		}
		d.slots[i] = *s
		n++
	}
	if n != d.g.Slots {
		d.t.Fatalf("%d slots of %d", n, d.g.Slots)
	}
}

func (d *disk) tick() {
	d.t.Helper()
	changes, err := d.vault.Tick(d.draw())
	if errors.Is(err, ErrRedraw) {
		d.t.Fatal("a tick had to be drawn again")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	if len(changes) != int(d.g.Touch) {
		d.t.Fatalf("a tick wrote %d slots", len(changes))
	}
	for i, c := range changes {
		if i > 0 && changes[i-1].Index >= c.Index {
			d.t.Fatal("a tick is not in order")
		}
		d.slots[c.Index] = *c.Slot
	}
	if d.seen != nil {
		d.seen(changes)
	}
}

func (d *disk) read(i uint32) (*Slot, error) { return &d.slots[i], nil }

// open opens the slots as another process would.
func (d *disk) open(level int) (*Vault, error) {
	return Open(d.g, &testStore, testKEK(level), secret.Key{}, d.read)
}

func (d *disk) reopen(level int) {
	d.t.Helper()
	v, err := d.open(level)
	if err != nil {
		d.t.Fatal(err)
	}
	d.vault = v
}

func (d *disk) stage(level int, writes ...Write) uint64 {
	d.t.Helper()
	ticket, err := d.vault.Level(level).Stage(writes)
	if err != nil {
		d.t.Fatal(err)
	}
	return ticket
}

// settle ticks until everything that was staged is durable.
func (d *disk) settle() {
	d.t.Helper()
	for range 100 {
		waiting := false
		for n := range d.vault.Depth() {
			waiting = waiting || d.vault.Level(n).Waiting()
		}
		if !waiting {
			return
		}
		d.tick()
	}
	d.t.Fatal("a commit does not come to its end")
}

func key(kind Kind, object byte, seq uint64) Key {
	return Key{kind, [16]byte{object}, seq}
}

func put(k Key, n int, fill byte) Write { return Write{Key: k, Value: bytes.Repeat([]byte{fill}, n)} }

func drop(k Key) Write { return Write{Key: k, Delete: true} }

// model is what a level must hold.
type model map[Key][]byte

func (m model) apply(writes []Write) {
	for _, w := range writes {
		if w.Delete {
			delete(m, w.Key)
		} else {
			m[w.Key] = w.Value
		}
	}
}

func (m model) compare(l *Level) error {
	n := 0
	for kind := 1; kind < 256; kind++ {
		for _, k := range l.KindKeys(Kind(kind)) {
			n++
			if _, ok := m[k]; !ok {
				return fmt.Errorf("%v came back", k)
			}
		}
	}
	if n != len(m) {
		return fmt.Errorf("%d records are listed, %d were written", n, len(m))
	}
	for k, want := range m {
		if got, ok := l.Get(k); !ok || !bytes.Equal(got, want) {
			return fmt.Errorf("%v: %d bytes, %v; want %d", k, len(got), ok, len(want))
		}
	}
	return nil
}

// script is a random commit: small records mostly, over few objects.
func script(r *rand.Rand) []Write {
	writes := make([]Write, 1+r.IntN(5))
	for i := range writes {
		k := key(Kind(1+r.IntN(3)), byte(r.IntN(4)), uint64(r.IntN(12)))
		switch x := r.IntN(40); {
		case x < 10:
			writes[i] = drop(k)
		case x < 30:
			writes[i] = put(k, r.IntN(300), byte(r.IntN(256)))
		case x < 39:
			writes[i] = put(k, r.IntN(6000), byte(r.IntN(256)))
		default:
			writes[i] = put(k, r.IntN(40000), byte(r.IntN(256)))
		}
	}
	return writes
}
