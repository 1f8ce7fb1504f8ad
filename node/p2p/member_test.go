package p2p

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/pnet"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
)

// A member is a turned counterparty: it has every key of its pair, and a program
// that says what no honest one says.
type member struct {
	Pair
	addr string
}

// enter passes the gate.
func (m member) enter() (net.Conn, error) {
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return pnet.NewProtectedConn(m.Network.Bytes(), c)
}

// greeted goes on to libp2p's Noise.
func (m member) greeted() (*turned, error) {
	c, err := m.enter()
	if err != nil {
		return nil, err
	}
	t := newTurned(c)
	return t, t.negotiate()
}

// secured goes on to yamux.
func (m member) secured() (net.Conn, error) {
	t, err := m.greeted()
	if err != nil {
		return nil, err
	}
	own, err1 := hostKey(m.Local)
	theirs, err2 := hostKey(m.Remote)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	id, err := peer.IDFromPrivateKey(theirs)
	if err != nil {
		return nil, err
	}
	tr, err := noise.New(noise.ID, own, []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return tr.SecureOutbound(ctx, t.c, id)
}

// frame is a header of yamux, whatever sense it makes.
func frame(version, kind byte, flags uint16, stream, length uint32) []byte {
	b := []byte{version, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return binary.BigEndian.AppendUint32(b, length)
}

// said is what a member says at one layer, and what it must not hear.
type said struct {
	at   func(member) (net.Conn, error)
	what []byte
	not  string
}

// third plays the member's last message of libp2p's Noise with any payload.
func third(payload []byte) func(member) (net.Conn, error) {
	return func(m member) (net.Conn, error) {
		t, err := m.greeted()
		if err != nil {
			return nil, err
		}
		if _, _, err := t.dialled(); err != nil {
			return nil, err
		}
		s, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		out := t.seal(s.PublicKey().Bytes())
		if err := t.mixKey(s, t.peer); err != nil {
			return nil, err
		}
		return t.c, t.send(append(out, t.seal(payload)...))
	}
}

// stream goes on to the one stream.
func stream(m member) (net.Conn, error) {
	c, err := m.secured()
	if err != nil {
		return nil, err
	}
	_, err = c.Write(frame(0, 1, 1, 1, 0)) // SYN
	return c, err
}

func data(b []byte) []byte { return append(frame(0, 0, 0, 1, uint32(len(b))), b...) }

// membersSay are the things that are said, layer by layer.
func membersSay() map[string]said {
	enter, secured := member.enter, member.secured
	greeted := func(m member) (net.Conn, error) {
		t, err := m.greeted()
		if err != nil {
			return nil, err
		}
		return t.c, nil
	}
	repeat := func(n int, b []byte) []byte { return bytes.Repeat(b, n) }
	var syns []byte
	for i := range uint32(2000) {
		syns = append(syns, frame(0, 1, 1, 2*i+1, 0)...)
	}
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f} // 2^63-1, as a varint
	return map[string]said{
		"nothing":                      {enter, []byte(multistreamHeader), ""},
		"TLS, please":                  {enter, []byte(multistreamHeader + "\x0b/tls/1.0.0\n"), "/tls"},
		"nothing secret, please":       {enter, []byte(multistreamHeader + "\x11/plaintext/2.0.0\n"), "/plaintext"},
		"an older Noise":               {enter, []byte(multistreamHeader + "\x11/noise/0.0.1-rc1\n"), "/noise/0"},
		"what can you do?":             {enter, []byte(multistreamHeader + "\x03ls\n"), "noise"},
		"a name without end":           {enter, append([]byte(multistreamHeader), huge...), ""},
		"names without end":            {enter, append([]byte(multistreamHeader), repeat(20_000, []byte("\x03/y\n"))...), ""},
		"no first message":             {greeted, nil, ""},
		"an empty first message":       {greeted, []byte{0, 0}, ""},
		"the longest first message":    {greeted, append([]byte{0xff, 0xff}, make([]byte, 0xffff)...), ""},
		"half a first message":         {greeted, append([]byte{0, 32}, make([]byte, 16)...), ""},
		"an empty payload":             {third(nil), nil, ""},
		"a payload of noise":           {third(random(500)), nil, ""},
		"a field without end":          {third(append([]byte{0x0a}, huge...)), nil, ""},
		"a number without end":         {third(repeat(200, []byte{0x80})), nil, ""},
		"groups in groups in groups":   {third(repeat(20_000, []byte{0x0b})), nil, ""},
		"messages in messages":         {third(repeat(10_000, []byte{0x22, 0x7f})), nil, ""},
		"one field over and over":      {third(repeat(10_000, []byte{0x0a, 0x01, 0x01})), nil, ""},
		"no stream":                    {secured, nil, ""},
		"another version of yamux":     {secured, frame(7, 0, 0, 1, 0), ""},
		"no kind of frame":             {secured, frame(0, 9, 0, 1, 0), ""},
		"more than can be said":        {stream, frame(0, 0, 0, 1, 1<<32-1), ""},
		"data of no stream":            {secured, append(frame(0, 0, 0, 99, 100), make([]byte, 100)...), ""},
		"2,000 streams":                {secured, syns, ""},
		"pings, and no ear for pongs":  {secured, repeat(20_000, frame(0, 2, 1, 0, 7)), ""},
		"windows without end":          {stream, repeat(1000, frame(0, 1, 0, 1, 1<<32-1)), ""},
		"resets of a stream":           {stream, repeat(1000, frame(0, 1, 8, 1, 0)), ""},
		"an end, and then more":        {stream, append(frame(0, 1, 4, 1, 0), data(random(100))...), ""},
		"another protocol":             {stream, data([]byte(multistreamHeader + "\x05/y/1\n")), "/y/1"},
		"identify, please":             {stream, data([]byte(multistreamHeader + "\x0f/ipfs/id/1.0.0\n")), "/ipfs/id"},
		"a protocol's name sans end":   {stream, data(append([]byte(multistreamHeader), huge...)), ""},
		"a stream that is not greeted": {stream, nil, ""},
	}
}

// TestHostileMember lets somebody with all the keys of a pair say, at each layer,
// what no honest program says. Every connection ends by its deadline, no stream comes
// of it, nothing is kept, and the friend of another pair gets in meanwhile.
func TestHostileMember(t *testing.T) {
	pa, pb := pairOf(1)
	friend, pd := pairOf(2)
	n := started(t, Config{Listen: loopback, HandshakeTimeout: silenceFor, MaxPerPair: 64}, pb, pd)
	a := started(t, Config{}, friend)
	addr := n.Addr().String()
	through := func() {
		t.Helper()
		c := dial(t, a, friend.Handle, addr)
		in := accept(t, n)
		if in.Handle != friend.Handle {
			t.Fatal("a stream came of what no honest program says")
		}
		say(t, c, in.Conn, "still here")
		_ = c.Close()
		_ = in.Conn.Close()
	}
	through()
	eventually(t, "the first connection is gone", func() bool { return links(a)+links(n) == 0 })
	before := measure(t)
	var wait sync.WaitGroup
	for what, s := range membersSay() {
		wait.Go(func() {
			c, err := s.at(member{pa, addr})
			if err != nil {
				t.Errorf("%s: it did not come so far: %v", what, err)
				return
			}
			defer c.Close()
			since := time.Now()
			wait.Go(func() { _, _ = c.Write(s.what) }) // a peer that is not read must not hang either
			got, _ := io.ReadAll(c)
			if took := time.Since(since); took > 2*silenceFor+2*tolerance {
				t.Errorf("%s: the end came after %v", what, took)
			}
			if s.not != "" && bytes.Contains(got, []byte(s.not)) {
				t.Errorf("%s: it was agreed to", what)
			}
		})
	}
	through()
	wait.Wait()
	through()
	select {
	case <-n.Accept():
		t.Error("a stream came of what no honest program says")
	default:
	}
	var after usage
	eventually(t, "goroutines, descriptors and heap are back", func() bool {
		after = measure(t)
		return links(n) == 0 && after.goroutines <= before.goroutines+5 && after.descriptors <= before.descriptors+2 && after.heap < before.heap+4<<20
	})
	t.Logf("before %+v, after %+v", before, after)
}

// TestReplayAfterARestart plays all that a friend ever said to a listener that was
// restarted, and so has forgotten the nonces of its gate: it gets no stream, and the
// end comes by the deadline.
func TestReplayAfterARestart(t *testing.T) {
	pa, pb := pairOf(1)
	n := opened(t, Config{Listen: loopback, HandshakeTimeout: silenceFor})
	if err := n.Add(pb); err != nil {
		t.Fatal(err)
	}
	stop := run(t, n)
	a := started(t, Config{}, pa)
	record := new(tape)
	a.hooks.wire = record.wrap
	c := dial(t, a, pa.Handle, n.Addr().String())
	in := accept(t, n)
	say(t, c, in.Conn, "what will be replayed")
	say(t, in.Conn, c, "and what was answered")
	_ = c.Close()
	stop()
	record.mu.Lock()
	recorded := slices.Clone(record.said)
	record.mu.Unlock()
	if len(recorded) < 400 {
		t.Fatalf("%d bytes were recorded: the test would prove nothing", len(recorded))
	}

	n = started(t, Config{Listen: loopback, HandshakeTimeout: silenceFor}, pb)
	for again := range 2 {
		got, took, _ := strangersEnd(n.Addr().String(), func(c net.Conn) { _, _ = c.Write(recorded) })
		if took > 2*silenceFor+tolerance {
			t.Errorf("time %d: the end came after %v", again, took)
		}
		if again == 1 && len(got) != 0 { // docs/spec/gate.md: a restart forgets, once
			t.Errorf("the second time it got %d bytes", len(got))
		}
	}
	select {
	case <-n.Accept():
		t.Error("a stream came of a recording")
	default:
	}
}
