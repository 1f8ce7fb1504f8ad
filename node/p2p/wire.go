package p2p

import (
	"errors"
	"net"

	ma "github.com/multiformats/go-multiaddr"
)

// nowhere stands for every address inside libp2p. libp2p never sees a real one,
// so it can store, announce or log none.
var (
	nowhere    = ma.StringCast("/ip4/127.0.0.1/tcp/1")
	nowhereTCP = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
)

var errNonceSeen = errors.New("reading a nonce: seen before")

// A wireConn is the TCP connection below libp2p. It replays what the gate has
// read, hides the addresses, and remembers the nonces of both directions before
// anything encrypted under them leaves or is used.
type wireConn struct {
	net.Conn
	replay  []byte // owned by the reader
	nonces  *nonceSet
	in, out nonceWatch // owned by the reader and by the writer
}

// newWireConn wraps conn. A non-empty replay begins with a nonce that the gate
// has already remembered.
func newWireConn(conn net.Conn, p *pair, replay []byte, h hooks) *wireConn {
	if h.wire != nil {
		conn = h.wire(conn)
	}
	c := &wireConn{Conn: conn, replay: replay, nonces: &p.nonces}
	if len(replay) > 0 {
		c.in.n = nonceSize
	}
	return c
}

// Read implements [net.Conn].
func (c *wireConn) Read(b []byte) (int, error) {
	if len(c.replay) > 0 {
		n := copy(b, c.replay)
		c.replay = c.replay[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if !c.in.see(b[:n], c.nonces) {
		return 0, errNonceSeen
	}
	return n, err
}

// Write implements [net.Conn].
func (c *wireConn) Write(b []byte) (int, error) {
	if !c.out.see(b, c.nonces) {
		return 0, errNonceSeen // 24 random bytes came twice: the generator is broken
	}
	return c.Conn.Write(b)
}

// LocalAddr, RemoteAddr and the multiaddrs implement [manet.Conn], with nothing.
func (c *wireConn) LocalAddr() net.Addr           { return nowhereTCP }
func (c *wireConn) RemoteAddr() net.Addr          { return nowhereTCP }
func (c *wireConn) LocalMultiaddr() ma.Multiaddr  { return nowhere }
func (c *wireConn) RemoteMultiaddr() ma.Multiaddr { return nowhere }

// A nonceWatch collects the nonce at the head of one direction.
type nonceWatch struct {
	nonce [nonceSize]byte
	n     int
}

// see looks at the next bytes and reports whether the nonce, once complete, is
// new to the set.
func (w *nonceWatch) see(b []byte, set *nonceSet) bool {
	if w.n == nonceSize || len(b) == 0 {
		return true
	}
	w.n += copy(w.nonce[w.n:], b)
	return w.n < nonceSize || set.add(w.nonce)
}
