package node

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// nowhere is a network on which nobody can be reached.
type nowhere struct{ accept chan p2p.Incoming }

func (w nowhere) Run(ctx context.Context) error { <-ctx.Done(); close(w.accept); return nil }
func (w nowhere) Accept() <-chan p2p.Incoming   { return w.accept }
func (nowhere) Add(p2p.Pair) error              { return nil }
func (nowhere) Remove(p2p.Handle)               {}
func (nowhere) Dial(context.Context, p2p.Handle, string) (p2p.Conn, error) {
	return nil, errors.New("nobody")
}

// slow is a disk that takes its time when a vault is closed, or gone online with.
type slow struct {
	*storetest.Memory
	by time.Duration
}

func (s slow) Online() error { <-time.After(s.by); return s.Memory.Online() }
func (s slow) Close() error  { <-time.After(s.by); return s.Memory.Close() }

// tappedNode is a node in a tapped network. Its vault holds a contact that talks at three drops.
type tappedNode struct {
	*Node
	*tapped
	cfg Config
	end func()
}

func newTappedNode(t *testing.T, w *tapped, change func(*Config)) *tappedNode {
	t.Helper()
	ids := w.ids()
	disk, _ := storeOfOneMet(t, time.Now(), w.file.Network.ID(), [drop.SetSize]onion.ID(ids[:drop.SetSize]))
	n := &tappedNode{tapped: w}
	n.cfg = Config{
		OpenStore: func([]byte, string) (Store, error) {
			disk = disk.Reopen()
			return slow{disk, 40 * time.Second}, nil
		},
		OpenNetwork: func(Settings) (Network, error) { return nowhere{make(chan p2p.Incoming)}, nil },
		OpenRelays:  func(Settings) (Relays, error) { return w, nil },
		Rest:        24 * time.Hour,
	}
	if change != nil {
		change(&n.cfg)
	}
	n.Node = Open(n.cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	n.end = func() { cancel(); <-ended }
	return n
}

func (n *tappedNode) unlock() { n.must(n.Unlock(n.t.Context(), []byte(storetest.Passphrase))) }
func (n *tappedNode) online() { n.must(n.GoOnline(n.t.Context())) }
func (n *tappedNode) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// constant reports whether ten packets left in each slot from one moment to another. Slots
// begin, all of them, at some moment after a full half minute of this clock, since the
// machine goes by clocks that it has read: there is one for which all fits, or there is not.
func (n *tappedNode) constant(from, to time.Time) (slots int, ok bool) {
	n.tapped.mu.Lock()
	sent := slices.Clone(n.sent)
	n.tapped.mu.Unlock()
	before := func(at time.Time) int {
		i, _ := slices.BinarySearchFunc(sent, at, time.Time.Compare)
		return i
	}
	slot := n.file.Network.Constants.Slot
	for by := time.Duration(0); by < slot; by += 5 * time.Millisecond {
		slots, ok = 0, true
		for at := from.Truncate(slot).Add(by); ok && !at.Add(slot).After(to); at = at.Add(slot) {
			slots++
			ok = before(at.Add(slot))-before(at) == cadence.Packets
		}
		if ok {
			return slots, true
		}
	}
	return slots, false
}

// TestCountsOverLockAndUnlock: who taps the line counts ten packets in each slot, on one
// link, from a node that is locked, open for reading, online, or on the way from one to
// another, however slow its disk; and while nothing is online all of them are loops, those
// too that were decided before.
func TestCountsOverLockAndUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTappedNode(t, newTapped(t, 7), nil)
		defer n.end()
		start := time.Now()
		time.Sleep(15 * time.Minute)
		if _, ok := n.constant(start.Add(5*time.Minute), time.Now()); !ok {
			t.Fatal("a locked node does not send ten packets in each slot")
		}
		type stretch struct{ from, to time.Time }
		var dark []stretch // nothing is online
		locked := start
		for i, pause := range []time.Duration{95 * time.Second, 4 * time.Minute, 11 * time.Second, 7*time.Minute + 3*time.Second, time.Millisecond, 200 * time.Second} {
			n.unlock()
			time.Sleep(pause)
			if s, err := n.Status(t.Context()); err != nil || !s.Cover || s.Online || s.Mail == nil || s.Mail.Taken != 0 {
				t.Errorf("open for reading: %+v, %v", s, err)
			}
			dark = append(dark, stretch{locked, time.Now()})
			n.online()
			n.online() // changes nothing
			began := time.Now()
			time.Sleep(pause + 3*time.Minute)
			if s, err := n.Status(t.Context()); err != nil || s.Cover || !s.Online || s.Mail == nil {
				t.Errorf("online: %+v, %v", s, err)
			}
			// A slot is decided before it begins: its boxes leave from then on.
			if got := n.puts(began.Add(time.Minute), time.Now()); got < 3*4-2 {
				t.Errorf("online for %v, and %d puts", time.Since(began), got)
			}
			locked = time.Now()
			if i%2 == 0 {
				n.Lock()
			} else {
				n.unlock() // which closes what is open
				n.Lock()
			}
			if s, err := n.Status(t.Context()); err != nil || !s.Cover || s.Condition != Locked || s.Mail == nil || s.Contacts != nil {
				t.Errorf("locked: %+v, %v", s, err)
			}
			time.Sleep(pause)
		}
		dark = append(dark, stretch{locked, time.Now()})
		slots, ok := n.constant(start.Add(5*time.Minute), time.Now())
		if !ok {
			t.Error("there are slots that do not have ten packets")
		}
		for _, s := range dark {
			if got := n.puts(s.from, s.to); got > 0 {
				t.Errorf("%d boxes are put between %v and %v, when nothing is online", got, s.from.Sub(start), s.to.Sub(start))
			}
		}
		if all := n.linked(); len(all) != 1 {
			t.Errorf("%d links", len(all))
		}
		t.Logf("%d slots", slots)
	})
}

// TestNothingOfALevelOnTheLine: a line that a desk has given back leads to nothing of it.
func TestNothingOfALevelOnTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTappedNode(t, newTapped(t, 7), nil)
		time.Sleep(10 * time.Minute)
		n.unlock()
		n.online()
		time.Sleep(10 * time.Minute)
		synctest.Wait() // what belongs to the desk is looked at while it rests
		d := n.current()
		machine := d.mail.machine
		if found := reached(d.mail, of[desk]()); !found {
			t.Fatal("the walk does not find a desk where there is one")
		}
		n.Lock()
		synctest.Wait()
		l := n.cover.line
		if l == nil {
			t.Fatal("the line is not back")
		}
		if l.machine == machine {
			t.Error("the machine is the one that had the contact")
		}
		if reached(l, of[desk](), of[mail](), of[person](), of[carriers](), of[meeting](), of[channel.Conversation](), of[storetest.Memory]()) {
			t.Error("something of a desk is left on the line")
		}
		n.end()
	})
}

func of[T any]() reflect.Type { return reflect.TypeFor[T]() }

// reached reports whether something of one of the types can be got at from v.
func reached(v any, types ...reflect.Type) bool {
	return prototest.Reaches(v, func(v reflect.Value) bool { return slices.Contains(types, v.Type()) && !v.IsZero() })
}

// TestLockedLeavesADeafGuard: a guard that takes all and gives nothing back is left by a
// locked node as by any other, and kept in mind for the next run.
func TestLockedLeavesADeafGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTappedNode(t, newTapped(t, 7), nil)
		defer n.end()
		time.Sleep(10 * time.Minute)
		first := n.linked()
		if len(first) != 1 {
			t.Fatalf("%d links", len(first))
		}
		n.tapped.mu.Lock()
		n.deaf[first[0].relay] = true
		n.tapped.mu.Unlock()
		time.Sleep(10 * time.Minute)
		all := n.linked()
		if len(all) != 2 || all[1].relay == first[0].relay {
			t.Fatalf("%d links; a guard that gives nothing back is kept", len(all))
		}
		if s, err := n.Status(t.Context()); err != nil || s.Mail == nil || s.Mail.Stage != MailRunning {
			t.Errorf("%+v, %v", s.Mail, err)
		}
		if pinned := pinnedIn(n.Guards()); len(pinned) != 2 {
			t.Errorf("%d guards are kept", len(pinned))
		}
	})
}

// TestCoverFollowsTheMachine: a locked node sends nothing before its machine joins a network
// and after it leaves it, takes what is avoided at once, and makes another link if
// connections go through another proxy.
func TestCoverFollowsTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTapped(t, 7)
		joined, settings := false, Settings{}
		var broken error
		n := newTappedNode(t, w, func(c *Config) {
			c.Settings = func() (Settings, error) { return settings, nil }
			c.OpenRelays = func(Settings) (Relays, error) {
				if !joined || broken != nil {
					return nil, broken
				}
				return w, nil
			}
		})
		defer n.end()
		sends := func(what string, want bool) {
			t.Helper()
			n.Rejoin(t.Context())
			time.Sleep(3 * time.Minute)
			from := time.Now().Add(-time.Minute)
			if got := w.count(from, time.Now()) > 0; got != want {
				t.Errorf("%s: sends %v", what, got)
			}
			if s, err := n.Status(t.Context()); err != nil || s.Cover != want || (s.Mail != nil) != want {
				t.Errorf("%s: %+v, %v", what, s, err)
			}
		}
		sends("no network", false)
		joined = true
		sends("joined", true)
		broken = errors.New("the file is cut")
		sends("a file that cannot be read changes nothing", true)
		n.unlock()
		if err := n.GoOnline(t.Context()); !errors.Is(err, broken) {
			t.Errorf("going online then: %v", err)
		}
		n.Lock()
		broken = nil
		sends("it can be read again", true)
		guard := w.linked()[0].relay
		w.mu.Lock()
		w.avoided.Relays = append(w.avoided.Relays, guard)
		w.mu.Unlock()
		if taken, err := n.Avoid(t.Context()); err != nil || !taken {
			t.Errorf("avoiding: %v, %v", taken, err)
		}
		sends("a guard is avoided", true)
		all := w.linked()
		if last := all[len(all)-1]; last.relay == guard || len(all) != 2 {
			t.Errorf("%d links, after the guard is avoided", len(all))
		}
		settings.Proxy = "socks5://127.0.0.1:9050"
		sends("a proxy", true)
		if all = w.linked(); len(all) != 3 || !slices.Contains(pinnedIn(w.Guards()), all[2].relay) {
			t.Errorf("%d links, after there is a proxy", len(all))
		}
		joined = false
		sends("left", false)
		n.unlock()
		n.online()
		if s, err := n.Status(t.Context()); err != nil || s.Cover || s.Mail != nil || !s.Online {
			t.Errorf("online in no network: %+v, %v", s, err)
		}
	})
}

// TestQuit: what is burned sends nothing more, and writes nothing beside its vault.
func TestQuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTapped(t, 7)
		n := newTappedNode(t, w, nil)
		defer n.end()
		time.Sleep(10 * time.Minute)
		n.unlock()
		n.online()
		n.Quit()
		from := time.Now()
		w.mu.Lock()
		w.guards = nil
		w.mu.Unlock()
		if taken, err := n.Avoid(t.Context()); taken || err != nil {
			t.Errorf("something is taken, %v", err)
		}
		time.Sleep(time.Hour)
		if got := w.count(from, time.Now()); got > 0 || w.Guards() != nil {
			t.Errorf("%d packets after the end; guards %x", got, w.Guards())
		}
		n.unlock()
		if err := n.GoOnline(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("going online: %v", err)
		}
	})
}

// TestLineComesBackFromAFailure: a node that cannot go online keeps its line as it was.
func TestLineComesBackFromAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := errors.New("the port is taken")
		n := newTappedNode(t, newTapped(t, 7), func(c *Config) {
			open := c.OpenNetwork
			c.OpenNetwork = func(s Settings) (Network, error) {
				if failing != nil {
					return nil, failing
				}
				return open(s)
			}
		})
		defer n.end()
		start := time.Now()
		time.Sleep(10 * time.Minute)
		n.unlock()
		for range 3 {
			if err := n.GoOnline(t.Context()); !errors.Is(err, failing) {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if s, err := n.Status(t.Context()); err != nil || !s.Cover {
				t.Fatalf("%+v, %v", s, err)
			}
		}
		failing = nil
		n.online()
		time.Sleep(5 * time.Minute)
		if _, ok := n.constant(start.Add(5*time.Minute), time.Now()); !ok || len(n.linked()) != 1 {
			t.Errorf("%d links, and not ten packets in each slot", len(n.linked()))
		}
	})
}
