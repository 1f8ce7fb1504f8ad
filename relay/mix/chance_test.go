package mix

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/relay/relaytest"
)

var errDry = errors.New("no randomness")

// A well gives randomness so many times, and then none, or none once.
type well struct {
	io.Reader
	left int
	once bool
}

// Read implements [io.Reader].
func (w *well) Read(b []byte) (int, error) {
	if w.left--; w.left == -1 || w.left < 0 && !w.once {
		return 0, errDry
	}
	return w.Reader.Read(b)
}

// TestKeysAreDrawnOrNotMade: without randomness there is no key, and what fails is tried
// again: a descriptor has every key that it says.
func TestKeysAreDrawnOrNotMade(t *testing.T) {
	w := newWorld(t, 0, nil)
	now := w.Network.Begins(498_000)
	open := func(left int) (*Machine, *well, error) {
		from := &well{Reader: w.random, left: left}
		m, err := New(Config{Network: w.Network, ID: relaytest.ID(0), LoopEvery: -1, Random: from}, now)
		return m, from, err
	}
	for left := range directory.KeyEpochs {
		if _, _, err := open(left); !errors.Is(err, errDry) {
			t.Errorf("after %d keys: %v", left, err)
		}
		if x, err := Open(Config{Network: w.Network, LoopEvery: -1, Random: &well{Reader: w.random, left: left}}, nil, nil); x != nil || !errors.Is(err, errDry) {
			t.Errorf("a mix after %d keys: %v", left, err)
		}
	}
	whole := func(m *Machine, when time.Time) {
		t.Helper()
		e, keys, err := m.Keys(when)
		if err != nil || e != w.Network.EpochAt(when) {
			t.Fatalf("epoch %d: %v", e, err)
		}
		for i, k := range keys {
			if len(k.Bytes()) == 0 {
				t.Errorf("the key of the epoch after %d is missing", i)
			}
		}
	}
	for _, hours := range []int{3, 1, -1, -4} { // the clock goes on, or back
		for left := range 3 {
			m, from, err := open(directory.KeyEpochs)
			if err != nil {
				t.Fatal(err)
			}
			whole(m, now)
			later := now.Add(time.Duration(hours) * w.Network.Constants.Epoch)
			from.left = left
			for range 2 {
				if _, _, err = m.Keys(later); err != nil {
					break
				}
			}
			if want := min(3, max(hours, -hours)) > left; want != errors.Is(err, errDry) {
				t.Errorf("%d epochs later, randomness for %d keys: %v", hours, left, err)
			} else if want {
				if _, err := m.Advance(later); !errors.Is(err, errDry) {
					t.Errorf("time passes without keys: %v", err)
				}
				if m.Packet(later, clientNamed(1), nil); m.Counts()[Malformed] != 1 {
					t.Errorf("a packet without keys: %v", m.Counts())
				}
			}
			from.left = 1 << 20
			whole(m, later)
		}
	}
}

// TestRunEndsWithoutRandomness: a Mix that cannot make its next keys says so.
func TestRunEndsWithoutRandomness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, nil)
		time.Sleep(time.Until(w.Network.Begins(498_000)))
		x, err := Open(Config{Network: w.Network, ID: relaytest.ID(0), LoopEvery: -1, Random: &well{Reader: w.random, left: directory.KeyEpochs}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*w.Network.Constants.Epoch)
		defer cancel()
		if err := x.Run(ctx); !errors.Is(err, errDry) || ctx.Err() != nil {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestLoopsAreDrawnOrNotSent: a loop whose way, address, keys or delay would not be random
// does not leave, wherever randomness fails.
func TestLoopsAreDrawnOrNotSent(t *testing.T) {
	w := newWorld(t, 5, noLoops)
	m := w.machines[0]
	send := func(left int) (err error) {
		m.cfg.Random = &well{prototest.Reader(1), left, true} // the same each time, but for the failure
		defer func() {
			switch why := recover(); why {
			case nil:
			case "mix: the source of randomness failed":
				err = errDry
			default:
				t.Error(why)
			}
		}()
		return m.loops.send(m, w.now)
	}
	failed := 0
	for ; ; failed++ {
		err := send(failed)
		if err == nil {
			break
		}
		if !errors.Is(err, errDry) || m.Held() > 0 || len(m.loops.pending) > 0 || m.Health().Sent > 0 {
			t.Fatalf("after %d draws: %v, %d held, %+v", failed, err, m.Held(), m.Health())
		}
	}
	if failed < 7 || m.Held() != 1 || len(m.loops.pending) != 1 || m.Health().Sent != 1 {
		t.Errorf("a loop takes %d draws, %d held", failed, m.Held())
	}
}

// noMaker makes no packets.
type noMaker struct{ packets }

// Create implements Onion.
func (noMaker) Create(secret.Key, onion.Request) ([]byte, onion.Tag, func([]byte) error, error) {
	return nil, onion.Tag{}, nil, onion.ErrFormat
}

// few is a view of so many relays.
type few struct {
	View
	members []directory.Member
}

// Members implements View.
func (f few) Members() []directory.Member { return f.members }

// TestLoopsThatCannotBeMade: nothing is sent in their place, and nobody is blamed.
func TestLoopsThatCannotBeMade(t *testing.T) {
	w := newWorld(t, 5, nil)
	m := w.machines[0]
	own, _ := w.view.Member(m.cfg.ID)
	for name, spoil := range map[string]func(){
		"no relays":        func() { m.view = few{w.view, nil} },
		"alone":            func() { m.view = few{w.view, []directory.Member{own}} },
		"of another view":  func() { m.view = newWorld(t, 3, nil).view; m.cfg.ID = relaytest.ID(4) },
		"none can be made": func() { m.view, m.cfg.Onion = w.view, noMaker{} },
		"whole":            func() { m.view, m.cfg.Onion = w.view, packets{} },
	} {
		m.cfg.ID = own.ID
		spoil()
		if err := m.loops.send(m, w.now); (err == nil) != (name == "whole") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h := m.Health(); h.Sent != 1 || m.Held() != 1 || len(m.loops.pending) != 1 {
		t.Errorf("%+v, %d held", h, m.Held())
	}
	if packet, _, check, err := (packets{}).Create(w.coins(), onion.Request{}); err == nil || packet != nil || check != nil {
		t.Errorf("a packet of no request: %v", err)
	}
	// What is no reply at all belongs to no loop.
	for _, b := range [][]byte{nil, {1}, {1, 1}, make([]byte, 5120)} {
		if _, err := (packets{}).Tag(b); err == nil {
			t.Errorf("%d bytes have a tag", len(b))
		}
		m.loops.back(m, b)
	}
	if m.Counts()[UnknownReply] != 4 || len(m.loops.pending) != 1 {
		t.Errorf("%v", m.Counts())
	}
}
