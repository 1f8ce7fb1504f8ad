package route_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/route"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newDirect() *route.Direct {
	return route.NewDirect(route.Config{Random: rand.New(rand.NewPCG(1, 2))})
}

func TestWithoutAddressNothingIsDialled(t *testing.T) {
	d := newDirect()
	if _, due := d.Dial(start); due || d.State() != route.Idle {
		t.Errorf("state %v", d.State())
	}
	d.Up(start) // the other side came
	d.Down(start.Add(time.Minute))
	if _, ok := d.Next(); ok || d.State() != route.Idle {
		t.Errorf("after it left: state %v", d.State())
	}
}

func TestBackOffDoublesAndIsBounded(t *testing.T) {
	d := newDirect()
	now := start
	d.SetAddress(now, "192.0.2.1:1")
	last := time.Duration(0)
	for i := range 40 {
		if at, ok := d.Next(); !ok || at.Before(now) {
			t.Fatalf("try %d: next at %v, %v", i, at, ok)
		} else {
			last = at.Sub(now)
			now = at
		}
		most := min(time.Second<<max(0, min(i-1, 30)), time.Minute)
		if i > 0 && (last > most || last < most/2) {
			t.Errorf("try %d after %v, want %v to %v", i, last, most/2, most)
		}
		address, due := d.Dial(now)
		if !due || address != "192.0.2.1:1" {
			t.Fatalf("try %d: %q, %v", i, address, due)
		}
		if _, twice := d.Dial(now); twice {
			t.Fatal("two dials at once")
		}
		d.Failed(now)
	}
}

func TestAShortConnectionDoesNotResetTheBackOff(t *testing.T) {
	d := newDirect()
	now := start
	d.SetAddress(now, "192.0.2.1:1")
	for range 8 { // a peer that accepts and hangs up at once
		at, _ := d.Next()
		now = at
		d.Dial(now)
		d.Up(now)
		d.Down(now)
	}
	if at, _ := d.Next(); at.Sub(now) < 20*time.Second {
		t.Errorf("next dial after %v", at.Sub(now))
	}
	at, _ := d.Next()
	now = at
	d.Dial(now)
	d.Up(now)
	now = now.Add(time.Hour)
	d.Down(now)
	if at, _ := d.Next(); at.Sub(now) > time.Second {
		t.Errorf("after an hour's connection the next dial comes after %v", at.Sub(now))
	}
}

func TestANewAddressIsTriedAtOnce(t *testing.T) {
	d := newDirect()
	d.SetAddress(start, "192.0.2.1:1")
	d.Dial(start)
	d.Failed(start)
	d.SetAddress(start, "192.0.2.2:1")
	if address, due := d.Dial(start); !due || address != "192.0.2.2:1" {
		t.Errorf("%q, %v", address, due)
	}
	d.Failed(start)
	d.SetAddress(start, "")
	if _, ok := d.Next(); ok {
		t.Error("without an address a dial is due")
	}
}
