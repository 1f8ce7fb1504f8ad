package node

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/protocol/wire"
)

const (
	helloTimeout = 15 * time.Second
	writeTimeout = 30 * time.Second
	// idleTimeout ends a connection on which nothing comes; the conversation's
	// own time is shorter.
	idleTimeout = 5 * time.Minute
	dialTimeout = time.Minute
	// queueLength is how many boxes may wait for a peer that does not read: more
	// than a window, about 2 MB.
	queueLength = 512
)

// link is one connection with its two goroutines. The desk puts boxes into its
// queue; close may be called by anybody, any number of times.
type link struct {
	id     channel.LinkID
	number journal.Link
	up     time.Time
	conn   p2p.Conn
	queue  chan *wire.Box
	bulk   chan *wire.Box // leaves when the queue is empty
	closed chan struct{}
	once   sync.Once
}

func newLink(id channel.LinkID, conn p2p.Conn) *link {
	return &link{id: id, conn: conn, queue: make(chan *wire.Box, queueLength), bulk: make(chan *wire.Box, queueLength), closed: make(chan struct{})}
}

// close ends the connection, after what is in the queue has been written or
// writing it has failed.
func (l *link) close() { l.once.Do(func() { close(l.closed) }) }

// send queues boxes. A peer that lets a queue run full loses the connection, and
// nothing else.
func (l *link) send(queue chan<- *wire.Box, boxes []*wire.Box) {
	for _, box := range boxes {
		select {
		case queue <- box:
		default:
			l.close()
		}
	}
}

// write is the writer goroutine.
func (l *link) write() {
	defer func() { _ = l.conn.Close() }()
	var buffer []byte
	for {
		select {
		case box := <-l.queue:
			buffer = append(buffer[:0], box[:]...)
		default:
			if buffer = l.next(buffer[:0]); len(buffer) == 0 {
				l.drain()
				return
			}
		}
		if !l.writeBytes(buffer) {
			l.close()
			return
		}
		select {
		case <-l.closed:
			l.drain()
			return
		default:
		}
	}
}

// drain writes what the desk put into the queue before the link was closed.
func (l *link) drain() {
	for {
		select {
		case box := <-l.queue:
			if !l.writeBytes(box[:]) {
				return
			}
		default:
			return
		}
	}
}

// bulkBoxes is how many pieces of files are written at once: more cost less, and a
// text waits for them.
const bulkBoxes = 8

// next waits for a box, or for the end. Pieces of files come last, and several at
// a time.
func (l *link) next(buffer []byte) []byte {
	select {
	case box := <-l.queue:
		return append(buffer, box[:]...)
	case box := <-l.bulk:
		for buffer = append(buffer, box[:]...); len(buffer) < bulkBoxes*wire.BoxSize; {
			select {
			case box := <-l.bulk:
				buffer = append(buffer, box[:]...)
			default:
				return buffer
			}
		}
		return buffer
	case <-l.closed:
		return nil
	}
}

func (l *link) writeBytes(b []byte) bool {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return false
	}
	_, err := l.conn.Write(b)
	return err == nil
}

// accept takes incoming streams until the network ends.
func (d *desk) accept() {
	for in := range d.network.Accept() {
		d.group.Go(func() { d.serve(in.Handle, in.Conn, false) })
	}
}

// dialIfDue starts a dial if the route says so.
func (d *desk) dialIfDue(p *person, now time.Time) {
	address, due := p.direct.Dial(now)
	if !due {
		return
	}
	links := p.conversation.Links(now)
	if len(links) == 0 {
		p.direct.Failed(now)
		return
	}
	h := handle(p.conversation.ID(), links[0].Invitation)
	d.journal.Add(journal.DialBegan)
	d.group.Go(func() {
		ctx, cancel := context.WithTimeout(d.ctx, dialTimeout)
		conn, err := d.network.Dial(ctx, h, address)
		cancel()
		if err != nil {
			d.post(func(d *desk) {
				d.journal.Add(journal.DialFailed, reasonFor(err), journal.TookOf(d.cfg.Now().Sub(now)))
				if p, _, ok := d.whose(h); ok {
					p.direct.Failed(d.cfg.Now())
				}
			})
			return
		}
		d.serve(h, conn, true)
	})
}

// serve runs one connection from its hellos to its end.
func (d *desk) serve(h p2p.Handle, conn p2p.Conn, dialled bool) {
	defer func() { _ = conn.Close() }()
	var l *link
	own, peer, err := exchangeHellos(conn, d.cfg.Random, dialled)
	up := err == nil && d.do(d.ctx, func(d *desk) error {
		p, invitation, ok := d.whose(h)
		if !ok {
			return io.EOF
		}
		d.links++
		l = newLink(d.links, conn)
		l.number, l.up = d.linkTold(dialled), d.cfg.Now()
		p.links[l.id] = l
		d.group.Go(l.write)
		p.direct.Up(d.cfg.Now())
		return d.apply(p, p.conversation.LinkUp(d.cfg.Now(), l.id, invitation, dialled, own, peer))
	}) == nil
	if up {
		d.read(h, l)
	}
	if l != nil {
		l.close()
	}
	d.post(func(d *desk) { d.down(h, l, dialled) })
}

// read hands box after box to the desk, and waits for each: so a peer is read
// no faster than the store is written.
func (d *desk) read(h p2p.Handle, l *link) {
	finished := make(chan struct{})
	defer close(finished)
	d.group.Go(func() { // wakes the read when the link is closed from here
		select {
		case <-l.closed:
		case <-d.ctx.Done():
			l.close()
		case <-finished:
			return
		}
		_ = l.conn.SetReadDeadline(time.Now())
	})
	for {
		select {
		case <-l.closed:
			return
		default:
		}
		if err := l.conn.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
			return
		}
		box := new(wire.Box)
		if _, err := io.ReadFull(l.conn, box[:]); err != nil {
			return
		}
		room := make(chan error, 1)
		err := d.do(d.ctx, func(d *desk) error {
			if len(d.effects) > maxEffects {
				d.waiters = append(d.waiters, waiter{d.staged, room, nil})
			} else {
				room <- nil
			}
			if p, _, ok := d.whose(h); ok && p.links[l.id] == l {
				return d.apply(p, p.conversation.Box(d.cfg.Now(), l.id, box))
			}
			return io.EOF
		})
		if err != nil {
			return
		}
		select {
		case <-room: //nolint:errcheck // on a full disk it waits in memory, as others do
		case <-l.closed:
		case <-d.ctx.Done():
		}
	}
}

// down takes a connection off the desk.
func (d *desk) down(h p2p.Handle, l *link, dialled bool) {
	p, _, ok := d.whose(h)
	if !ok {
		return
	}
	d.unlinkTold(l)
	if l == nil {
		if dialled {
			p.direct.Failed(d.cfg.Now())
		}
		return
	}
	if p.links[l.id] == l {
		delete(p.links, l.id)
		_ = d.apply(p, p.conversation.LinkDown(d.cfg.Now(), l.id))
	}
	if len(p.links) == 0 {
		p.direct.Down(d.cfg.Now())
		d.sync(p)
	}
}

// exchangeHellos writes 32 random bytes and reads 32. The dialler writes first,
// so that a listener says nothing to one who says nothing.
func exchangeHellos(conn p2p.Conn, random io.Reader, dialled bool) (own, peer wire.Hello, err error) {
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return own, peer, err
	}
	if _, err := io.ReadFull(random, own[:]); err != nil {
		return own, peer, err
	}
	write := func() error { _, err := conn.Write(own[:]); return err }
	read := func() error { _, err := io.ReadFull(conn, peer[:]); return err }
	steps := []func() error{read, write}
	if dialled {
		steps = []func() error{write, read}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return own, peer, err
		}
	}
	return own, peer, conn.SetDeadline(time.Time{})
}
