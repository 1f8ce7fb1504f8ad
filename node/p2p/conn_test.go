package p2p

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A lateStream holds its first Read back.
type lateStream struct {
	network.MuxedStream
	reads           atomic.Int32
	entered, second chan struct{} // closed by the first and the second Read
	release         chan struct{}
}

func (s *lateStream) Read(b []byte) (int, error) {
	switch s.reads.Add(1) {
	case 1:
		close(s.entered)
		<-s.release
	case 2:
		close(s.second)
	}
	return s.MuxedStream.Read(b)
}

// TestCloseWakesALateReader closes a connection while somebody is just about to
// read from it, and lets the other end vanish. Yamux wakes one reader when a stream
// ends and forgets all deadlines: another one would sleep for ever, and with it
// whoever waits for the desk to end.
func TestCloseWakesALateReader(t *testing.T) {
	pa, pb := pairOf(1)
	a, b := started(t, Config{}, pa), started(t, Config{Listen: "127.0.0.1:0"}, pb)
	for range 3 {
		c := dial(t, a, pa.Handle, b.Addr().String()).(*conn)
		in := accept(t, b).Conn.(*conn)
		late := &lateStream{
			MuxedStream: c.stream,
			entered:     make(chan struct{}), second: make(chan struct{}), release: make(chan struct{}),
		}
		c.stream = late
		read := make(chan error, 1)
		go func() { _, err := c.Read(make([]byte, 32)); read <- err }()
		<-late.entered
		_ = c.Close()
		select {
		case <-late.second: // somebody reads beside us
		case <-time.After(200 * time.Millisecond):
		}
		close(late.release)
		<-time.After(20 * time.Millisecond) // both sleep now, if there are two
		in.link.close()
		select {
		case err := <-read:
			if !errors.Is(err, ErrClosed) {
				t.Errorf("reading a closed connection gives %v", err)
			}
		case <-time.After(2 * lingerTime):
			t.Fatal("a reader of a closed connection sleeps on")
		}
	}
}
