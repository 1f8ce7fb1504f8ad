package link

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/backchannel/backchannel/protocol/onion"
)

const controlTopic = "/x/directory/test"

// field writes a field of bytes as protobuf does.
func field(number int, parts ...[]byte) (b []byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b = binary.AppendUvarint(b, uint64(number<<3|2))
	b = binary.AppendUvarint(b, uint64(n))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// The fields of an RPC, of a subscription and a message in it, and of its control message.
const (
	fieldSubscription, fieldMessage, fieldControl = 1, 2, 3

	fieldSubscribed, fieldSubscribedTopic = 1, 2
	fieldData                             = 2

	fieldIHave, fieldIWant, fieldGraft, fieldPrune, fieldIDontWant = 1, 2, 3, 4, 5

	fieldTopic, fieldIDsOfIHave = 1, 2 // topic: of GRAFT and PRUNE, too
	fieldIDs                    = 1    // of IWANT and IDONTWANT
)

// controls is a control message with one thing in it.
func controls(kind int, parts ...[]byte) []byte { return field(fieldControl, field(kind, parts...)) }

// subscription says that one is in a topic.
func subscription(topic string) []byte {
	in := binary.AppendUvarint(nil, fieldSubscribed<<3)
	return field(fieldSubscription, append(in, 1), field(fieldSubscribedTopic, []byte(topic)))
}

// ids are message IDs, in a field that there are several of.
func ids(number int, all ...string) (b []byte) {
	for _, id := range all {
		b = append(b, field(number, []byte(id))...)
	}
	return b
}

// A heckler is a relay that speaks gossip by hand.
type heckler struct {
	*testing.T
	out   network.Stream
	heard atomic.Int64 // bytes that came

	mu     sync.Mutex
	asked  map[string]bool // which of its offers it was asked for; guarded by mu
	copies int             // of the message that it wants; guarded by mu
}

// wanted is a message that hecklers ask for again and again.
const wanted = "a message that is wanted again and again"

// heckle lets a relay that does not gossip take part in it.
func heckle(t *testing.T, from, to *Host) *heckler {
	t.Helper()
	k := &heckler{T: t, asked: map[string]bool{}}
	from.host.SetStreamHandler(pubsub.GossipSubID_v12, func(s network.Stream) {
		_ = k.listen(bufio.NewReader(s))
		_ = s.Reset()
	})
	eventually(t, "a connection", func() bool {
		return len(from.host.Network().ConnsToPeer(to.host.ID())) > 0
	})
	var err error
	if k.out, err = from.host.NewStream(t.Context(), to.host.ID(), pubsub.GossipSubID_v12); err != nil {
		t.Fatal(err)
	}
	k.says(subscription(controlTopic))
	return k
}

// listen reads what is said to the heckler, and remembers what is wanted of it.
func (k *heckler) listen(in *bufio.Reader) error {
	for {
		n, err := binary.ReadUvarint(in)
		if err != nil || n > 1<<20 {
			return err
		}
		rpc := make([]byte, n)
		if _, err := io.ReadFull(in, rpc); err != nil {
			return err
		}
		k.heard.Add(int64(n))
		k.mu.Lock()
		each(rpc, fieldControl, func(message []byte) {
			each(message, fieldIWant, func(iwant []byte) {
				each(iwant, fieldIDs, func(id []byte) {
					if len(id) > 0 && id[0] != 0 { // not one of many
						k.asked[string(id)] = true
					}
				})
			})
		})
		each(rpc, fieldMessage, func(message []byte) {
			each(message, fieldData, func(data []byte) {
				if string(data) == wanted {
					k.copies++
				}
			})
		})
		k.mu.Unlock()
	}
}

// each calls for every field of bytes that has a number.
func each(b []byte, number int, do func([]byte)) {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}
		b = b[n:]
		length, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}
		b = b[n:]
		if key&7 == 0 {
			continue // it was a number
		}
		if key&7 != 2 || length > uint64(len(b)) {
			return
		}
		if int(key>>3) == number {
			do(b[:length])
		}
		b = b[length:]
	}
}

// says sends an RPC, and reports whether the line still takes it.
func (k *heckler) says(rpc []byte) bool {
	_ = k.out.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := k.out.Write(append(binary.AppendUvarint(nil, uint64(len(rpc))), rpc...))
	return err == nil
}

// offers says that it has a message.
func (k *heckler) offers(id string) {
	k.says(controls(fieldIHave, field(fieldTopic, []byte(controlTopic)), ids(fieldIDsOfIHave, id)))
}

func (k *heckler) wasAsked(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked[id]
}

func (k *heckler) got() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.copies
}

// The floods, each of one relay: what an RPC of it is, of about so many bytes, and whether
// whoever goes on with it is not listened to any more.
var floods = []struct {
	what string
	rpc  func(r *rand.Rand, size int) []byte
	deaf bool
}{
	{"what it claims to have", func(r *rand.Rand, size int) []byte {
		return controls(fieldIHave, field(fieldTopic, []byte(controlTopic)), ids(fieldIDsOfIHave, many(r, size)...))
	}, true},
	{"what it wants", func(r *rand.Rand, size int) []byte {
		m := messageID(&pb.Message{Topic: new(controlTopic), Data: []byte(wanted)})
		return controls(fieldIWant, ids(fieldIDs, append(many(r, size), m, m, m, m)...))
	}, false},
	{"what it does not want", func(r *rand.Rand, size int) []byte {
		return controls(fieldIDontWant, ids(fieldIDs, many(r, size)...))
	}, false},
	{"going and coming", func(_ *rand.Rand, size int) (rpc []byte) {
		topic := field(fieldTopic, []byte(controlTopic))
		for len(rpc) < size {
			rpc = append(append(rpc, field(fieldPrune, topic)...), field(fieldGraft, topic)...)
		}
		return field(fieldControl, rpc)
	}, true},
	{"topics that nobody has", func(r *rand.Rand, size int) (rpc []byte) {
		for len(rpc) < size {
			topic := fmt.Sprint("/x/directory/", r.Uint64())
			rpc = append(append(rpc, subscription(topic)...), controls(fieldGraft, field(fieldTopic, []byte(topic)))...)
		}
		return rpc
	}, false},
}

// many makes message IDs that nobody has, of 20 bytes each, which begin with zeros.
func many(r *rand.Rand, size int) (all []string) {
	for range size / 22 {
		id := make([]byte, 4, 20)
		all = append(all, string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(id, r.Uint64()), r.Uint64())))
	}
	return all
}

// circle lets relay 0 gossip, and relay 1 with it; the others have connections with relay 0, and
// speak by hand.
func circle(t *testing.T, n int) (hosts []*Host, friend *Gossip, jury0 *jury) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	relays := map[onion.ID]bool{}
	for i := range n {
		hosts = append(hosts, open(t, i, nil))
		relays[identity(i).ID()] = true
	}
	t.Cleanup(cancel)
	var juries [2]*jury
	for i := range juries {
		juries[i] = &jury{relays: relays, seen: map[string]int{}}
		var err error
		if friend, err = hosts[i].Gossip(ctx, controlTopic, juries[i]); err != nil {
			t.Fatal(err)
		}
	}
	var all []Neighbour
	for i, h := range hosts[1:] {
		all = append(all, Neighbour{identity(i + 1), []string{h.Address()}, 2})
		if err := h.Neighbours([]Neighbour{{identity(0), []string{hosts[0].Address()}, 2}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := hosts[0].Neighbours(all); err != nil {
		t.Fatal(err)
	}
	warm(t, friend, "warm", juries[0])
	return hosts, friend, juries[0]
}

// TestControlFlood: five relays flood another one, each with one of the things that gossip has
// beside messages. It keeps next to nothing of it, sends next to nothing back, and hears what
// another relay says meanwhile. It does not listen any more to those who claim to have
// what they have not, or who come too soon after they went.
func TestControlFlood(t *testing.T) {
	const (
		rounds = 100
		full   = 30 << 10 // of an RPC, a little less than it may have
		words  = 10       // of another relay
		most   = 1 << 20  // bytes that come back: 5,000 IDs in each of the seconds until no message has come of them
	)
	hosts, friend, jury := circle(t, 2+len(floods))
	var hecklers []*heckler
	for i := range floods {
		hecklers = append(hecklers, heckle(t, hosts[2+i], hosts[0]))
	}
	for i, k := range hecklers {
		eventually(t, "it asks for what it is offered", func() bool {
			id := fmt.Sprintf("before, of %d", i)
			k.offers(id)
			return k.wasAsked(id)
		})
	}
	if err := friend.Publish(t.Context(), []byte(wanted)); err != nil {
		t.Fatal(err)
	}
	want := controls(fieldIWant, ids(fieldIDs, messageID(&pb.Message{Topic: new(controlTopic), Data: []byte(wanted)})))
	eventually(t, "the message that is wanted", func() bool { return hecklers[1].says(want) && hecklers[1].got() > 0 })

	before, routines := inUse(), runtime.NumGoroutine()
	sent, heard := make([]int, len(floods)), make([]int64, len(floods))
	var flood sync.WaitGroup
	for i, k := range hecklers {
		heard[i] = k.heard.Load()
		flood.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range rounds {
				rpc := floods[i].rpc(r, full)
				if !k.says(rpc) {
					t.Errorf("%s: thrown out after %d bytes", floods[i].what, sent[i])
					return
				}
				sent[i] += len(rpc)
			}
		})
	}
	for i := range words {
		if err := friend.Publish(t.Context(), fmt.Appendf(nil, "meanwhile %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	flood.Wait()
	eventually(t, "what another relay says", func() bool { return jury.heard("meanwhile ") == words })
	kept := inUse() - before
	total := 0
	for i, k := range hecklers {
		total += sent[i]
		back := k.heard.Load() - heard[i]
		t.Logf("%s: %d bytes sent, %d came back", floods[i].what, sent[i], back)
		if back > most {
			t.Errorf("%s: %d bytes were answered by %d", floods[i].what, sent[i], back)
		}
	}
	t.Logf("%d bytes more in use, %d goroutines more", kept, runtime.NumGoroutine()-routines)
	if total < len(floods)*rounds*full*9/10 || kept > int64(total)/8 {
		t.Errorf("of %d bytes that were sent %d are kept", total, kept)
	}
	if n := runtime.NumGoroutine() - routines; n > 2*len(floods) {
		t.Errorf("%d goroutines more", n)
	}
	if n := hecklers[1].got(); n > 4 { // one that is passed on, and three that are asked for
		t.Errorf("a message was sent %d times to one relay", n)
	}
	for i, f := range floods {
		if f.deaf {
			hecklers[i].wantDeaf(f.what, friend, jury)
		}
	}
}

// wantDeaf wants three offers in a row to find nobody who asks for them, while another relay
// is heard. They are a second apart: of many at once some would not be looked at anyhow.
func (k *heckler) wantDeaf(what string, other *Gossip, to *jury) {
	k.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deaf := 0
	for n := 0; deaf < 3; n++ {
		if n == 20 {
			k.Fatalf("%s: it is listened to still", what)
		}
		id := fmt.Sprintf("%s, offer %d", what, n)
		k.offers(id)
		for wait := 0; wait < 21 || to.heard(id) == 0; wait++ {
			if wait == 1000 {
				k.Fatal("the other relay is not heard")
			}
			if wait%10 == 0 {
				say(k.T, other, fmt.Sprintf("%s, other %d", id, wait))
			}
			<-tick.C
		}
		if deaf++; k.wasAsked(id) {
			deaf = 0
		}
	}
}

// inUse is how many bytes of the heap are in use when it has been collected.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
