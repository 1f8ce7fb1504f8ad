package p2p

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// TestEveryLength sends noise of every length around that of an opening, and a true
// opening cut at every length: no byte comes back, and the end comes at one moment.
func TestEveryLength(t *testing.T) {
	_, pb := pairOf(1)
	n := started(t, Config{Listen: loopback, HandshakeTimeout: silenceFor}, pb)
	var wait sync.WaitGroup
	try := func(what string, b []byte) {
		wait.Go(func() {
			got, took, err := strangersEnd(n.Addr().String(), func(c net.Conn) { _, _ = c.Write(b) })
			if len(got) != 0 || err != nil || took < silenceFor || took > silenceFor+tolerance {
				t.Errorf("%s: got %d bytes, %v after %v", what, len(got), err, took)
			}
		})
	}
	for size := range 2*openingSize + 2 {
		try(fmt.Sprint("noise of ", size), random(size))
	}
	for size := range openingSize {
		try(fmt.Sprint("an opening cut to ", size), openingFor(pb.Network)[:size])
	}
	wait.Wait()
}

// TestStormOfResets is the other ends of many pairs that dial at once and end each
// connection in a bad way. What they took is given back, and an honest connection
// is taken in the midst of it and after it.
func TestStormOfResets(t *testing.T) {
	const storms = 40
	pa, pb := pairOf(0)
	b := started(t, Config{Listen: loopback, HandshakeTimeout: time.Second}, pb)
	a := opened(t, Config{})
	tcps := make(chan *net.TCPConn, 1)
	a.hooks.wire = func(c net.Conn) net.Conn {
		select {
		case <-tcps:
		default:
		}
		tcps <- c.(*net.TCPConn)
		return c
	}
	if err := a.Add(pa); err != nil {
		t.Fatal(err)
	}
	run(t, a)
	addr := b.Addr().String()
	honest := func() {
		t.Helper()
		c := dial(t, a, pa.Handle, addr)
		in := accept(t, b)
		say(t, c, in.Conn, "honest")
		say(t, in.Conn, c, "and back")
		_ = c.Close()
		_ = in.Conn.Close()
	}
	honest()
	for i := range storms { // a host for each, before anything is counted
		qa, qb := pairOf(1 + i)
		if err := errors.Join(a.Add(qa), b.Add(qb)); err != nil {
			t.Fatal(err)
		}
	}
	storm := func(i int) {
		qa, _ := pairOf(1 + i)
		c := dial(t, a, qa.Handle, addr).(*conn)
		badEnd(t, i, c, accept(t, b).Conn, <-tcps)
	}
	for i := range 4 { // so that what is made once is made
		storm(i)
	}
	eventually(t, "all is quiet", func() bool { return links(a)+links(b) == 0 })
	before := measure(t)
	for i := range storms {
		storm(i)
		if i%8 == 0 {
			honest()
		}
	}
	var after usage
	eventually(t, "goroutines, descriptors and links are back", func() bool {
		after = measure(t)
		return links(a)+links(b) == 0 && after.goroutines <= before.goroutines+5 && after.descriptors <= before.descriptors+1
	})
	honest()
	t.Logf("before %+v, after %+v", before, after)
}

// badEnd ends a connection in one of four bad ways, and looks at what the other
// end, in, sees of it.
func badEnd(t *testing.T, i int, c *conn, in Conn, tcp *net.TCPConn) {
	t.Helper()
	_ = in.SetReadDeadline(time.Now().Add(patience))
	want := ErrBroken
	switch i % 4 {
	case 0: // the stream alone
		_ = c.stream.Reset()
	case 1: // half-closed, and nothing is read
		_ = c.stream.CloseWrite()
		want = nil
	case 2: // a reset on TCP, with bytes under way
		_, _ = c.Write(random(5000))
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	case 3: // many streams, of which one is allowed
		for range 20 {
			if more, err := c.link.muxed.OpenStream(t.Context()); err == nil {
				_, _ = more.Write([]byte("x"))
				_ = more.CloseWrite()
			}
		}
		_ = c.stream.Reset()
	}
	if _, err := io.Copy(io.Discard, in); !errors.Is(err, want) {
		t.Errorf("bad end %d: the other end reads %v, want %v", i%4, err, want)
	}
	_ = in.Close()
	if i%4 == 1 {
		_ = c.stream.Reset()
	}
	_ = c.Close()
}
