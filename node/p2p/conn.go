package p2p

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// lingerTime is how long a closed Conn waits for the other end to read what was
// written and to close too; lingerBytes is what it throws away meanwhile.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 1 << 20
)

// A Conn is one stream on a connection of its own. Its methods may be called from
// several goroutines.
//
// Errors are [io.EOF] when the other end has closed, [os.ErrDeadlineExceeded],
// [ErrClosed] after Close, and [ErrBroken] for everything else.
type Conn interface {
	io.ReadWriter
	// Close returns at once. What was written still reaches a peer that reads it
	// within about two seconds; then the connection is gone.
	io.Closer
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// conn implements Conn on a stream of libp2p.
type conn struct {
	network *Network
	link    *link
	stream  network.MuxedStream
	closed  atomic.Bool
	reading sync.Mutex // held by whoever reads the stream
}

var _ Conn = (*conn)(nil)

// Read implements [io.Reader]. There is never more than one reader of a stream: when
// a stream ends yamux wakes one, and forgets the deadlines of all.
func (c *conn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, ErrClosed
	}
	n, err := c.stream.Read(b)
	return n, c.explain(err)
}

// Write implements [io.Writer].
func (c *conn) Write(b []byte) (int, error) {
	if c.closed.Load() {
		return 0, ErrClosed
	}
	n, err := c.stream.Write(b)
	return n, c.explain(err)
}

func (c *conn) explain(err error) error {
	if err != nil && c.closed.Load() {
		return ErrClosed
	}
	return plain(err)
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error { return c.set(c.stream.SetDeadline, t) }

// SetReadDeadline bounds Read.
func (c *conn) SetReadDeadline(t time.Time) error { return c.set(c.stream.SetReadDeadline, t) }

// SetWriteDeadline bounds Write.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.set(c.stream.SetWriteDeadline, t) }

// set leaves the deadlines of a closed Conn alone: they are its farewell's.
func (c *conn) set(deadline func(time.Time) error, t time.Time) error {
	if c.closed.Load() {
		return ErrClosed
	}
	return c.explain(deadline(t))
}

// Close implements [io.Closer].
func (c *conn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return nil
	}
	// Reads and writes that wait are sent home before the linger begins.
	_ = c.stream.SetDeadline(time.Unix(1, 0))
	if !c.network.spawn(c.linger) {
		c.link.close() // the network is ending and waits for nobody
	}
	return nil
}

// linger says goodbye and waits for the other end's. Closing the socket at once
// would throw away what is still in yamux's queue.
func (c *conn) linger() {
	force := time.AfterFunc(lingerTime, c.link.close)
	defer force.Stop()
	defer c.link.close()
	if c.stream.CloseWrite() != nil {
		return
	}
	c.reading.Lock() // Close has sent home whoever was reading
	defer c.reading.Unlock()
	_ = c.stream.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.stream, lingerBytes)
}
