package drop

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

func TestPutAndGet(t *testing.T) {
	s := mustOpen(t, testConfig(t, newClock()))
	wantNone(t, s, 1)
	mustPut(t, s, 1, 2)
	wantFound(t, s, 1, 2, 1, 1) // reads change nothing
	wantNone(t, s, 3)
}

func TestFirstWriteWins(t *testing.T) {
	c := newClock()
	cfg := testConfig(t, c)
	s := mustOpen(t, cfg)
	mustPut(t, s, 1)
	again := func(when string) {
		w, box := numbered(1)
		if got := s.Put(t.Context(), w, box, nil); got != drop.Stored {
			t.Errorf("%s: the same bytes again: %v", when, got)
		}
		box[7] ^= 1
		if got := s.Put(t.Context(), w, box, nil); got != drop.Taken {
			t.Errorf("%s: other bytes: %v", when, got)
		}
		wantFound(t, s, 1)
	}
	again("at once")
	c.forward(24 * time.Hour)
	again("a day later")
	mustClose(t, s)
	s = mustOpen(t, cfg)
	again("after a restart")
	if l := s.Load(); l.Boxes != 1 {
		t.Errorf("%d boxes", l.Boxes)
	}
}

// TestOneOfManyWins: of different boxes for one address that come at once one stays,
// and it is the one that was told stored.
func TestOneOfManyWins(t *testing.T) {
	s := mustOpen(t, testConfig(t, nil))
	w, _ := numbered(1)
	const n = 60
	var wg sync.WaitGroup
	answers := make([]drop.Status, n)
	for i := range n {
		wg.Go(func() {
			_, box := numbered(uint64(i))
			answers[i] = s.Put(context.Background(), w, box, nil)
		})
	}
	wg.Wait()
	_, kept := s.Get(drop.AddressOf(w[:]))
	stored := 0
	for i, a := range answers {
		if a == drop.Stored {
			stored++
			if _, box := numbered(uint64(i)); *box != *kept {
				t.Error("another box is there than the one that was stored")
			}
		} else if a != drop.Taken {
			t.Errorf("%v", a)
		}
	}
	if stored != 1 {
		t.Errorf("%d were stored", stored)
	}
}

// TestEveryAnswerHasOneShape: hit, miss, put and loop differ in status and box alone,
// and the box of all but a hit is fresh noise.
func TestEveryAnswerHasOneShape(t *testing.T) {
	c := newClock()
	s := mustOpen(t, testConfig(t, c))
	w, box := numbered(1)
	bodies := []onion.Body{
		{Command: onion.Get, Key: address(1), Box: box},
		{Command: onion.Put, Key: w, Box: box, Token: make([]byte, 127)},
		{Command: onion.Get, Key: address(1), Box: box},
		{Command: onion.Loop, Key: w, Box: box},
	}
	want := []drop.Status{drop.None, drop.Stored, drop.Found, drop.Looped}
	seen := map[drop.Box]bool{}
	for i, b := range bodies {
		a := s.Answer(t.Context(), b)
		status, got, err := drop.Read(b.Command, a)
		if err != nil || status != want[i] || a.Time != uint32(c.now().Unix()) || a.Box == nil {
			t.Errorf("%v: %v at %d, %v", b.Command, status, a.Time, err)
		}
		if status == drop.Found && *got != *box || seen[*a.Box] {
			t.Errorf("%v: not the box, or noise that came before", b.Command)
		}
		seen[*a.Box] = true
		if n := s.Count(b.Command, want[i]); n != 1 {
			t.Errorf("%v was counted %d times", want[i], n)
		}
	}
}

func TestPutsEndWithTheirContext(t *testing.T) {
	s := mustOpen(t, testConfig(t, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w, box := numbered(1)
	for range 50 { // either is chosen when both are ready
		if got := s.Put(ctx, w, box, nil); got != drop.Failed && got != drop.Stored {
			t.Fatalf("%v", got)
		}
	}
	mustClose(t, s)
	if got := put(s, 2); got != drop.Failed {
		t.Errorf("after Close: %v", got)
	}
	wantNone(t, s, 2)
	if err := s.Expire(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("expiring after Close: %v", err)
	}
}

func TestExpiry(t *testing.T) {
	c := newClock() // ten in the morning
	s := mustOpen(t, testConfig(t, c))
	mustPut(t, s, 1)
	for range 4 {
		c.forward(24 * time.Hour)
		wantFound(t, s, 1)
	}
	c.forward(14*time.Hour - time.Second)
	wantFound(t, s, 1)
	c.forward(time.Second)
	wantNone(t, s, 1) // before anything was erased
	if err := s.Expire(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, 1) // the address is free again; nobody who has a key would use it
	wantFound(t, s, 1)
	c.forward(-48 * time.Hour) // a clock that is put back brings nothing back and loses nothing
	mustPut(t, s, 2)
	wantFound(t, s, 1, 2)
}

// TestExpiredBoxesCannotBeRead: whoever has an image of the disk from before, and one
// from after, and knows the address, has no key in the second: records of a day that
// was erased are gone, and what an image of before holds of them is noise without it.
func TestExpiredBoxesCannotBeRead(t *testing.T) {
	for _, how := range []string{"while it runs", "while it was off"} {
		t.Run(how, func(t *testing.T) {
			c := newClock()
			cfg := testConfig(t, c)
			s := mustOpen(t, cfg)
			mustPut(t, s, 1, 2, 3)
			key := bytes.Clone(s.days[0].key.Bytes())
			name, _ := s.days[0].record(address(1))
			if !holds(t, cfg.Dir, key) || !holds(t, cfg.Dir, name) {
				t.Fatal("the test looks at the wrong place")
			}
			if how == "while it runs" {
				c.forward(24 * time.Hour)
				mustPut(t, s, 4)
				c.forward(96 * time.Hour)
				if err := s.Expire(); err != nil {
					t.Fatal(err)
				}
			} else {
				mustClose(t, s)
				c.forward(120 * time.Hour)
				s = mustOpen(t, cfg)
			}
			if holds(t, cfg.Dir, key) {
				t.Error("the key of a day that has passed is still there")
			}
			if holds(t, cfg.Dir, name) {
				t.Error("the records of a day that has passed are still there")
			}
			wantNone(t, s, 1)
		})
	}
}

// TestNothingOnTheDiskSaysWhat: neither boxes nor addresses nor write keys lie on the
// disk as they are.
func TestNothingOnTheDiskSaysWhat(t *testing.T) {
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	for n := range uint64(50) {
		mustPut(t, s, n)
	}
	check := func() {
		for n := range uint64(50) {
			w, box := numbered(n)
			a := address(n)
			if holds(t, cfg.Dir, w[8:], a[:], box[:16], box[2000:2016]) {
				t.Fatalf("%d lies there in the clear", n)
			}
		}
	}
	check()
	mustClose(t, s)
	check()
	if b, err := os.ReadFile(cfg.reservePath()); err != nil || len(bytes.Trim(b, "\x00")) != 0 {
		t.Errorf("the reserve holds something: %v", err)
	}
}

func TestKeysElsewhere(t *testing.T) {
	cfg := testConfig(t, nil)
	cfg.KeyFile = t.TempDir() + "/keys"
	s := mustOpen(t, cfg)
	mustPut(t, s, 1)
	key := bytes.Clone(s.days[0].key.Bytes())
	mustClose(t, s)
	if holds(t, cfg.Dir, key) {
		t.Error("the key lies beside the boxes")
	}
	s = mustOpen(t, cfg)
	wantFound(t, s, 1)
	mustClose(t, s)
	if err := os.Remove(cfg.KeyFile); err != nil { // as a loss of power does
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	wantNone(t, s, 1)
	mustPut(t, s, 1)
}

func TestBounds(t *testing.T) {
	c := newClock()
	cfg := testConfig(t, c)
	cfg.Limit = 5 * 80 * recordSize // 80 boxes a day, of which 10 at once
	s := mustOpen(t, cfg)
	c.forward(-10 * time.Hour) // midnight
	fill := func() (n int) {
		for ; n < 1000; n++ {
			if got := put(s, c.next()); got != drop.Stored {
				if got != drop.Full {
					t.Fatalf("%v", got)
				}
				return n
			}
		}
		return n
	}
	if n := fill(); n != 10 {
		t.Errorf("%d at the beginning of the day", n)
	}
	c.forward(12 * time.Hour)
	if n := fill(); n != 40 {
		t.Errorf("%d by noon", n)
	}
	c.forward(12*time.Hour - time.Second)
	if n := fill(); n != 30 {
		t.Errorf("%d by the end of the day", n)
	}
	c.forward(time.Second)
	if n := fill(); n != 10 {
		t.Errorf("%d on the next day", n)
	}
	if l := s.Load(); l.Boxes != 90 || l.Today != 10 || l.Room != 10 {
		t.Errorf("%+v", l)
	}
	mustClose(t, s)
	s = mustOpen(t, cfg)
	if n := fill(); n != 0 {
		t.Errorf("%d more after a restart", n)
	}
}

// TestWorkMakesRoom: a stranger who does no work cannot have the last half of what is
// there; who does some can.
func TestWorkMakesRoom(t *testing.T) {
	c := newClock()
	cfg := testConfig(t, c)
	c.forward(-10 * time.Hour)
	cfg.Limit = 5 * 160 * recordSize // 20 at once
	cfg.Policy = Work{Most: 8}
	s := mustOpen(t, cfg)
	free := 0
	for put(s, c.next()) == drop.Stored {
		free++
	}
	if free < 10 || free > 12 {
		t.Errorf("%d without work", free)
	}
	if got := put(s, c.next()); got != drop.Refused {
		t.Errorf("%v", got)
	}
	for i := free; i < 20; i++ {
		w, box := numbered(c.next())
		token, ok := drop.Work(cfg.ID, w[:], 8, 1<<14)
		if got := s.Put(t.Context(), w, box, token.Append(nil)); !ok || got != drop.Stored {
			t.Errorf("%d with work: %v", i, got)
		}
	}
	w, box := numbered(c.next())
	token, _ := drop.Work(cfg.ID, w[:], 8, 1<<14)
	if got := s.Put(t.Context(), w, box, token.Append(nil)); got != drop.Full {
		t.Errorf("beyond the room: %v", got)
	}
	for n := range uint64(free) { // what lies there is safe
		wantFound(t, s, n+1)
	}
	c.forward(12 * time.Hour)
	if got := s.Put(t.Context(), w, box, []byte{9, 0, 0, 0, 0, 0, 0, 0, 0}); got != drop.Refused {
		t.Errorf("an unknown token: %v", got)
	}
	if got := put(s, c.next()); got != drop.Stored {
		t.Errorf("when there is room again: %v", got)
	}
}

func TestOneProcess(t *testing.T) {
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	mustPut(t, s, 1)
	if _, err := Open(cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("%v", err)
	}
	wantFound(t, s, 1)
}

func TestAnotherNetwork(t *testing.T) {
	cfg := testConfig(t, nil)
	mustClose(t, mustOpen(t, cfg))
	cfg.Expiry = 8 * time.Hour
	if _, err := Open(cfg); !errors.Is(err, ErrExpiry) {
		t.Errorf("%v", err)
	}
}

func TestKeyFileThatWasCut(t *testing.T) {
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	mustPut(t, s, 1)
	slot := slotOf(s.days[0].number)
	mustClose(t, s)
	f, err := os.OpenFile(cfg.Dir+"/keys", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1, 2, 3}, int64(keyHeader+slot*keySlotSize+10)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg) // its day has no key, and goes
	wantNone(t, s, 1)
	mustPut(t, s, 1)
	mustClose(t, s)
	if err := os.WriteFile(cfg.Dir+"/keys", []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

// TestDamagedDay: a day whose records cannot be read is set aside, the others go on, and
// it is erased when its time has come.
func TestDamagedDay(t *testing.T) {
	for _, file := range []string{"MANIFEST", "000001.vlog"} {
		t.Run(file, func(t *testing.T) {
			c := newClock()
			cfg := testConfig(t, c)
			s := mustOpen(t, cfg)
			mustPut(t, s, 1)
			damaged := s.days[0].number
			c.forward(24 * time.Hour)
			mustPut(t, s, 2)
			mustClose(t, s)
			path := dayDir(cfg.Dir, damaged) + "/" + file
			if err := os.WriteFile(path, bytes.Repeat([]byte{0xee}, 3000), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // and again
				s = mustOpen(t, cfg)
				wantFound(t, s, 2)
				if got, _ := s.Get(address(1)); got == drop.Found {
					t.Error("what is damaged was found")
				}
				mustPut(t, s, 3)
				if file == "MANIFEST" && s.Load().Damaged != 1 {
					t.Errorf("%+v", s.Load())
				}
				mustClose(t, s)
			}
			c.forward(97 * time.Hour)
			s = mustOpen(t, cfg)
			for _, dir := range []string{dayDir(cfg.Dir, damaged), damagedDir(cfg.Dir, damaged)} {
				if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is still there", dir)
				}
			}
			wantFound(t, s, 2)
		})
	}
}

// TestDiskThatFails: once the disk could not write, nothing is called stored any more;
// what was stored before is still given.
func TestDiskThatFails(t *testing.T) {
	cfg := testConfig(t, nil)
	fails := false
	cfg.sync = func(f *os.File) error {
		if fails {
			return syscall.EIO
		}
		return f.Sync()
	}
	s := mustOpen(t, cfg)
	mustPut(t, s, 1)
	fails = true
	if got := put(s, 2); got != drop.Failed {
		t.Errorf("%v", got)
	}
	fails = false
	if got := put(s, 3); got != drop.Failed {
		t.Errorf("afterwards: %v", got)
	}
	if !s.Load().Broken {
		t.Error("nobody is told")
	}
	wantFound(t, s, 1)
}

// TestErasedInTwoSteps: a drop that was stopped between the key and the records of a day
// goes on where it was.
func TestErasedInTwoSteps(t *testing.T) {
	c := newClock()
	cfg := testConfig(t, c)
	s := mustOpen(t, cfg)
	mustPut(t, s, 1)
	n := s.days[0].number
	if err := s.keys.erase(n); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, cfg)
	if _, err := os.Stat(dayDir(cfg.Dir, n)); !errors.Is(err, os.ErrNotExist) {
		t.Error("records without a key are still there")
	}
	mustPut(t, s, 1)
	wantFound(t, s, 1)
}

func (c *clock) next() uint64 { return uint64(c.serial.Add(1)) }
