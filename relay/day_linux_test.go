package relay

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// A day has 2,880 slots of half a minute and 24 epochs. Here a slot is a hundred and fiftieth
// of that, and the delay of relays is, too.
const (
	daySlots  = 2880
	shortSlot = 200 * time.Millisecond
	dayEpoch  = daySlots / 24 * shortSlot
	dayMean   = 133 * time.Millisecond
	guests    = 6 // of relay 0, at once
)

var slots = flag.Int("slots", daySlots, "how many slots TestEvidence plays")

// forgotten is after what time a relay holds nothing more of a principal who has gone: a
// minute and something in which it counts how often an address comes, and in which libp2p
// counts by keys; and before it, if the line just fell silent, the time until it takes
// notice. These are not slots: they are the same in a real network.
const forgotten = 2*time.Minute + 20*time.Second

// A visit is one connection of a principal with his guard.
type visit struct {
	guard  int
	from   netip.Addr
	name   onion.ID
	traces []trace
	came   time.Time
	left   time.Time // zero: he is there; guarded by day.mu
}

// A day is a network in which people come and go. Relay 0 is looked at.
type day struct {
	*testing.T
	w      *relaytest.World
	places []identity.Place
	relay  *child
	others []*Relay
	begun  time.Time
	lines  sync.WaitGroup // until relays have noticed that people have left

	mu        sync.Mutex
	visits    []*visit // guarded by mu
	addresses int      // guarded by mu
}

// address returns one that nobody had. All are of one length, so that none contains
// another.
func (d *day) address() netip.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addresses++
	n := d.addresses
	return netip.AddrFrom4([4]byte{127, byte(100 + n*37%150), byte(100 + n*11%150), byte(100 + n%150)})
}

// A line comes to a relay from an address of its own.
type line struct {
	to     string // where the principal dials
	port   chan uint16
	silent atomic.Bool // nothing of it arrives any more, not even its end
	end    func()
}

func (d *day) line(from netip.Addr, relay int) *line {
	d.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	x := &line{to: l.Addr().String(), port: make(chan uint16, 1)}
	var both sync.WaitGroup
	both.Go(func() {
		in, err := l.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}).Dial("tcp", d.places[relay].Address())
		if err != nil {
			d.Error(err)
			return
		}
		defer out.Close()
		x.port <- uint16(out.LocalAddr().(*net.TCPAddr).Port)
		both.Go(func() {
			_, _ = io.Copy(writer(func(b []byte) (int, error) {
				if x.silent.Load() {
					return len(b), nil
				}
				return out.Write(b)
			}), in)
			if !x.silent.Load() {
				_ = out.Close()
			}
		})
		_, _ = io.Copy(in, out)
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out) // until the relay has had enough
	})
	x.end = func() {
		_ = l.Close()
		both.Wait()
	}
	return x
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// person comes and goes until the day is over: mostly from another address than before, now
// and then from the same one, as after a restart. Some leave as a machine does that loses
// its power.
func (d *day) person(ctx context.Context, guard int, r *rand.Rand) {
	var from netip.Addr
	for ctx.Err() == nil {
		if !from.IsValid() || r.IntN(3) > 0 {
			from = d.address()
		}
		stay := time.Duration(50+r.IntN(350)) * shortSlot
		d.visit(ctx, guard, from, stay, r)
		wait := time.NewTimer(time.Duration(10+r.IntN(110)) * shortSlot)
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
	}
}

// visit links with a guard and sends as many packets in a slot as everybody does.
func (d *day) visit(ctx context.Context, guard int, from netip.Addr, stay time.Duration, r *rand.Rand) {
	there, leave := context.WithCancel(d.Context())
	defer leave()
	x := d.line(from, guard)
	d.lines.Go(func() {
		<-there.Done()
		x.end()
	})
	g, err := link.DialGuard(d.Context(), link.GuardConfig{
		Relay: relaytest.Identity(guard), Address: x.to, Packet: d.w.Network.Constants.Suite.Geometry().Packet,
	})
	if err != nil {
		d.Errorf("a relay that takes nobody: %v", err)
		return
	}
	v := &visit{guard: guard, from: from, name: g.Name(), came: time.Now()}
	v.traces = tracesOf(netip.AddrPortFrom(from, <-x.port), g.Key(), g.TLSKey(), g.Name())
	d.mu.Lock()
	d.visits = append(d.visits, v)
	d.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- g.Run(there, func([]byte) {}) }()
	tick, over := time.NewTicker(shortSlot/time.Duration(d.w.Network.Constants.Packets())), time.NewTimer(stay)
	defer tick.Stop()
	defer over.Stop()
	for staying := true; staying; {
		select {
		case <-tick.C:
			if packet := d.packet(guard, g.Name(), r); packet != nil && g.Send(packet) != nil {
				d.Error("a packet does not leave")
				staying = false
			}
		case <-over.C:
			staying = false
		case <-ctx.Done():
			staying = false
		}
	}
	x.silent.Store(r.IntN(3) == 0)
	leave()
	d.mu.Lock()
	v.left = time.Now()
	d.mu.Unlock()
	if err := <-done; err != nil && !errors.Is(err, link.ErrClosed) {
		d.Error(err)
	}
}

// packet makes one for a way of the principal's choice; nil as long as not all relays are
// known. Those of relay 1 have their boxes kept at relay 0.
func (d *day) packet(guard int, home onion.ID, r *rand.Rand) []byte {
	v := d.others[0].View(d.w.Network.EpochAt(time.Now()))
	if len(v.Members()) < len(d.places) {
		return nil
	}
	p := r.Perm(3)
	out, back := []int{0, 1 + p[0], 1 + p[1]}, []int{1 + p[2], 0}
	if guard != 0 {
		out, back = []int{1, 2 + p[0]%2, 0}, []int{2 + p[1]%2, 1}
	}
	packet, _ := create(d.T, d.w, v, home, out, back)
	return packet
}

// sorted returns who is there and was for some time, who is forgotten by now, whose guard is
// another relay, and everybody.
func (d *day) sorted(now time.Time) (here, gone, strangers, all []*visit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := map[netip.Addr]bool{}
	for _, v := range d.visits {
		fresh[v.from] = fresh[v.from] || v.left.IsZero() || now.Sub(v.left) < forgotten
	}
	for _, v := range d.visits {
		switch {
		case v.guard != 0:
			strangers = append(strangers, v)
		case v.left.IsZero() && now.Sub(v.came) > 5*time.Second:
			here = append(here, v)
		case !fresh[v.from]:
			gone = append(gone, v)
		}
	}
	return here, gone, strangers, slices.Clone(d.visits)
}

// still are those of some visits that have not ended.
func (d *day) still(some []*visit) (all []*visit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range some {
		if v.left.IsZero() {
			all = append(all, v)
		}
	}
	return all
}

// look searches all that relay 0 has. Who is there is in its heap, which shows that he would
// be found; who has gone is nowhere, who has another guard neither, and on the disk and in
// what it says there is nobody at any time. It returns how many have gone, and how many packets
// the relay has passed on.
func (d *day) look() (gone, forwarded int) {
	d.Helper()
	here, left, strangers, all := d.sorted(time.Now())
	memory, heap, status := d.relay.dump()
	here = d.still(here)
	inHeap, inMemory := newSearch(heap, all), newSearch(memory, all)
	ids := []onion.ID{relaytest.ID(1), relaytest.ID(2), relaytest.ID(3)}
	d.Logf("after %.0f slots: %d visits, %d there, %d forgotten, %d at another guard\n%s"+
		"\theap of %d MiB: %v of those who are there, with %d pairs; %v of the forgotten\n"+
		"\tmemory of %d MiB: %v of those who are there, with %d pairs; %v of the forgotten, of %d of them",
		float64(time.Since(d.begun))/float64(shortSlot), len(all), len(here), len(left), len(strangers), status,
		len(heap)>>20, inHeap.of(here), pairs(heap, here, ids), inHeap.of(left),
		len(memory)>>20, inMemory.of(here), pairs(memory, here, ids), inMemory.of(left), inMemory.visited(left))
	for _, kind := range []string{"address as netip has it", "key", "key of the certificate", "name"} {
		if want := fmt.Sprintf("%s of %d", kind, len(here)); len(here) > 0 && !slices.Contains(inHeap.of(here), want) {
			d.Errorf("the heap does not show the %s: it would not show what is left", want)
		}
	}
	if want := fmt.Sprintf("key of %d", len(here)); len(memory) > 0 && len(here) > 0 && !slices.Contains(inMemory.of(here), want) {
		d.Error("the memory does not show who is there")
	}
	if found := inHeap.of(left); len(found) > 0 {
		d.Errorf("the heap holds of those who are forgotten %v", found)
	}
	// What was freed is overwritten, but for stacks: there the last words lie about those who
	// came last, until others come, or until a goroutine ends that took over a stack. In three
	// runs it was 6 of 60 at most.
	if n := inMemory.visited(left); n > 2*guests {
		d.Errorf("the memory holds something of %d who are forgotten", n)
	}
	for where, s := range map[string]*search{"heap": inHeap, "memory": inMemory} {
		if found := s.of(strangers); len(found) > 0 {
			d.Errorf("the %s holds of those whose guard is another relay %v", where, found)
		}
	}
	d.written(all, status)
	if _, counts, ok := strings.Cut(status, "Counts:["); ok {
		_, _ = fmt.Sscan(counts, &forwarded)
	}
	return len(left), forwarded
}

// written looks at what the relay has written: boxes, among other things, and answers. What
// somebody had written into a file would be found.
func (d *day) written(all []*visit, status string) {
	d.Helper()
	d.relay.mu.Lock()
	said := bytes.Clone(d.relay.said.Bytes())
	d.relay.mu.Unlock()
	disk := onDisk(d.T, d.relay.dir)
	if len(disk) < 1<<20 || !bytes.Contains(disk, []byte("/descriptor")) || !bytes.Contains(said, []byte("status:")) {
		d.Errorf("what the relay writes is not looked at: %d bytes of files, %d of output", len(disk), len(said))
	}
	var planted []byte
	for _, t := range all[0].traces {
		planted = append(append(planted, t.bytes...), '\n')
	}
	dir := d.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "planted"), planted, 0o600); err != nil {
		d.Fatal(err)
	}
	if got := found(onDisk(d.T, dir), all[:1]); len(got) != len(all[0].traces) {
		d.Errorf("of what was planted %v was found", got)
	}
	for where, b := range map[string][]byte{"disk": disk, "output": said, "status": []byte(status)} {
		if found := found(b, all); len(found) > 0 {
			d.Errorf("the %s holds %v", where, found)
		}
	}
}

// newDay starts four relays, the first in a process of its own, and waits until they know
// one another.
func newDay(ctx context.Context, t *testing.T, tasks *sync.WaitGroup) *day {
	t.Helper()
	const relays = 4
	c := childConfig{
		Constants: directory.Constants{Epoch: dayEpoch, Mean: dayMean, Pool: 1}, Slot: shortSlot,
		Now: time.Now(), Dir: filepath.Join(t.TempDir(), "relay"),
	}
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range relays {
		c.Places = append(c.Places, free(t))
	}
	w, items, places := c.vouched(t)
	d := &day{T: t, w: w, places: places, relay: startChild(t, c)}
	for i := 1; i < relays; i++ {
		r, err := Open(Config{Network: w.Network, Key: relaytest.Key(i), Items: items, Listen: places[i].Address(), Dir: t.TempDir(), Drop: echo{}})
		if err != nil {
			t.Fatal(err)
		}
		d.others = append(d.others, r)
		tasks.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	tick := time.NewTicker(shortSlot)
	defer tick.Stop()
	for end := time.Now().Add(4 * dayEpoch); ; <-tick.C {
		v := d.others[0].View(w.Network.EpochAt(time.Now()))
		if len(v.Members()) == relays && len(d.others[0].Linked()) == relays-1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the relays do not find one another")
		}
	}
	d.begun = time.Now()
	return d
}

// TestEvidence runs a relay for a day of slots, in a process of its own, while people come
// and go, and looks now and then for what it knows of whom.
func TestEvidence(t *testing.T) {
	if !*long {
		t.Skip("it plays a day in a quarter of an hour: go test ./relay -run Evidence -long -v -timeout 30m")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var relays, people sync.WaitGroup
	defer relays.Wait()
	defer cancel()
	d := newDay(ctx, t, &relays)
	defer d.lines.Wait()
	length := time.Duration(*slots) * shortSlot
	today, evening := context.WithTimeout(ctx, length)
	defer evening()
	for i := range guests + 1 {
		people.Go(func() { d.person(today, i/guests, rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	const looks = 5
	for i := range looks {
		wait := time.NewTimer(time.Until(d.begun.Add(length * time.Duration(i+1) / (looks + 1))))
		<-wait.C
		d.look()
	}
	people.Wait()
	<-time.After(forgotten)
	if gone, forwarded := d.look(); gone < *slots/200 || forwarded < 5**slots {
		t.Errorf("%d visits were forgotten, %d packets passed on: that is no day", gone, forwarded)
	}
}
