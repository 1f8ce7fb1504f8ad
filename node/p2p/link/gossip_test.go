package link

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// A jury accepts each message once, and rejects what begins with "bad".
type jury struct {
	mu     sync.Mutex
	relays map[onion.ID]bool
	seen   map[string]int
	calls  int
}

func (j *jury) Relay(id onion.ID) bool { return j.relays[id] }

func (j *jury) Judge(m []byte) Judgement {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls++
	j.seen[string(m)]++
	switch {
	case bytes.HasPrefix(m, []byte("bad")):
		return Reject
	case j.seen[string(m)] > 1:
		return Ignore
	}
	return Accept
}

func (j *jury) count() (different, calls int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.seen), j.calls
}

// rejected counts the calls with a message that begins with "bad", and all calls.
func (j *jury) rejected() (bad, calls int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for m, n := range j.seen {
		if strings.HasPrefix(m, "bad") {
			bad += n
		}
	}
	return bad, j.calls
}

// chain joins relays in a row and lets them gossip.
func chain(t *testing.T, n int, known func(i int) bool) ([]*Host, []*Gossip, []*jury) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	relays := map[onion.ID]bool{}
	var hosts []*Host
	var gossips []*Gossip
	var juries []*jury
	for i := range n {
		if known(i) {
			relays[identity(i).ID()] = true
		}
		hosts = append(hosts, open(t, i, nil))
	}
	t.Cleanup(cancel)
	for _, h := range hosts {
		j := &jury{relays: relays, seen: map[string]int{}}
		g, err := h.Gossip(ctx, "/x/directory/test", j)
		if err != nil {
			t.Fatal(err)
		}
		juries, gossips = append(juries, j), append(gossips, g)
	}
	for i, h := range hosts {
		var all []Neighbour
		for _, k := range []int{i - 1, i + 1} {
			if k >= 0 && k < n {
				all = append(all, Neighbour{identity(k), []string{hosts[k].Address()}, 2})
			}
		}
		if err := h.Neighbours(all); err != nil {
			t.Fatal(err)
		}
	}
	return hosts, gossips, juries
}

// warm publishes until both ends hear: a mesh takes a heartbeat or two to form.
func warm(t *testing.T, from *Gossip, what string, heard ...*jury) {
	t.Helper()
	n := 0
	eventually(t, "gossip", func() bool {
		n++
		if n%20 == 1 {
			if err := from.Publish(t.Context(), fmt.Appendf(nil, "%s %d", what, n)); err != nil {
				t.Fatal(err)
			}
		}
		for _, j := range heard {
			if got, _ := j.count(); got == 0 {
				return false
			}
		}
		return true
	})
}

// TestGossipReachesAll sends a few messages along a row of relays. With libp2p's own message
// ID one would arrive.
func TestGossipReachesAll(t *testing.T) {
	_, gossips, juries := chain(t, 4, func(int) bool { return true })
	warm(t, gossips[0], "warm", juries[1:]...)
	before, _ := juries[3].count()
	const count = 10
	for i := range count {
		if err := gossips[0].Publish(t.Context(), fmt.Appendf(nil, "message %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all messages", func() bool {
		got, _ := juries[3].count()
		return got >= before+count
	})
	if err := gossips[0].Publish(t.Context(), make([]byte, MaxGossip+1)); err == nil {
		t.Error("a message that is too long is published")
	}
}

// A deliberator judges nothing before it has been asked about as many messages as it wants.
type deliberator struct {
	jury
	wanted chan struct{} // a place for each
	all    chan struct{} // closed when all have come
}

func (d *deliberator) Judge(m []byte) Judgement {
	if !bytes.HasPrefix(m, []byte("burst")) {
		return d.jury.Judge(m)
	}
	d.wanted <- struct{}{}
	if len(d.wanted) == cap(d.wanted) {
		close(d.all)
	}
	<-d.all
	return d.jury.Judge(m)
}

// TestGossipBurst sends a relay as many messages as a neighbour may, less those that warmed
// the line, while it has judged none of them: at the beginning of an epoch all relays speak.
func TestGossipBurst(t *testing.T) {
	const count = gossipEach / 2
	d := &deliberator{
		jury:   jury{relays: map[onion.ID]bool{identity(0).ID(): true, identity(1).ID(): true}, seen: map[string]int{}},
		wanted: make(chan struct{}, count), all: make(chan struct{}),
	}
	from, to := open(t, 0, nil), open(t, 1, nil)
	talker, err := from.Gossip(t.Context(), "/x/directory/test", &jury{relays: d.relays, seen: map[string]int{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.Gossip(t.Context(), "/x/directory/test", d); err != nil {
		t.Fatal(err)
	}
	for i, h := range []*Host{from, to} {
		other := []*Host{to, from}[i]
		if err := h.Neighbours([]Neighbour{{identity(1 - i), []string{other.Address()}, 2}}); err != nil {
			t.Fatal(err)
		}
	}
	warm(t, talker, "warm", &d.jury)
	before, _ := d.count()
	for i := range count {
		if err := talker.Publish(t.Context(), fmt.Appendf(nil, "burst %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all messages", func() bool {
		got, _ := d.count()
		return got >= before+count
	})
}

// TestGossipFlood sends more than may be. What is rejected goes no further, and neither does
// what is too much.
func TestGossipFlood(t *testing.T) {
	_, gossips, juries := chain(t, 3, func(int) bool { return true })
	warm(t, gossips[0], "warm", juries[1:]...)
	warm(t, gossips[2], "back", juries[0])
	for i := range 4 * gossipEach {
		_ = gossips[0].Publish(t.Context(), fmt.Appendf(nil, "message %d", i))
	}
	// gossipsub drops what does not fit into a queue: some are sent again on a slow machine.
	for n := 0; ; n++ {
		bad, calls := juries[1].rejected()
		if bad > 0 && calls >= gossipEach {
			break
		}
		if n == 100 {
			t.Fatalf("not in time: %d bad messages and %d in all", bad, calls)
		}
		if bad == 0 {
			_ = gossips[2].Publish(t.Context(), fmt.Appendf(nil, "bad %d", n))
		}
		if calls < gossipEach {
			_ = gossips[0].Publish(t.Context(), fmt.Appendf(nil, "more %d", n))
		}
		<-time.After(100 * time.Millisecond)
	}
	if _, calls := juries[1].count(); calls > 2*gossipEach {
		t.Errorf("%d messages were looked at", calls)
	}
	if got, _ := juries[2].count(); got > gossipEach {
		t.Errorf("%d messages were passed on", got)
	}
	if bad, _ := juries[0].rejected(); bad > 0 {
		t.Error("what is rejected was passed on")
	}
}

// TestStrangersDoNotGossip lets a relay that nobody knows publish.
func TestStrangersDoNotGossip(t *testing.T) {
	_, gossips, juries := chain(t, 3, func(i int) bool { return i != 0 })
	stranger := make(chan struct{})
	go func() {
		defer close(stranger)
		for i := range 50 {
			_ = gossips[0].Publish(t.Context(), fmt.Appendf(nil, "stranger %d", i))
			<-time.After(20 * time.Millisecond)
		}
	}()
	warm(t, gossips[2], "relay", juries[1])
	<-stranger
	juries[1].mu.Lock()
	defer juries[1].mu.Unlock()
	for m := range juries[1].seen {
		if !strings.HasPrefix(m, "relay") {
			t.Errorf("a stranger is heard: %s", m)
		}
	}
}
