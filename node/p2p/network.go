package p2p

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A Config says how a machine listens and dials. The zero Config never listens
// and dials directly.
type Config struct {
	// Listen is the "host:port" of the one TCP port, with an IP address or nothing
	// as host; empty: never listens.
	Listen string
	// Proxy is "socks5://host:port", with user:password@ if the proxy wants one;
	// empty: dials directly. With a proxy every dial goes through it.
	Proxy string
	// HandshakeTimeout is the time from accept to the close of a dialler who is
	// not let in; after the gate, the time for libp2p's handshake, the opening of
	// the stream and its being taken from Accept. Zero: 10 s.
	HandshakeTimeout time.Duration
	// DialTimeout bounds a Dial whose context has no earlier end. Zero: 60 s, for
	// an onion service may need it.
	DialTimeout time.Duration
	// MaxHalfOpen is how many diallers who are not known yet are held at once. When
	// one more comes, or the process has no file descriptor left, the oldest from
	// the source that has most gives way: the only case in which one is closed
	// before HandshakeTimeout. Zero: 256.
	MaxHalfOpen int
	// MaxPerPair is how many connections a pair may have in each direction. Zero: 4.
	MaxPerPair int
}

func (c Config) withDefaults() Config {
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = time.Minute
	}
	if c.MaxHalfOpen <= 0 {
		c.MaxHalfOpen = 256
	}
	if c.MaxPerPair <= 0 {
		c.MaxPerPair = 4
	}
	return c
}

// Incoming is a stream that a pair's other end has opened. The receiver closes
// its Conn.
type Incoming struct {
	Handle Handle
	Conn   Conn
}

// state is where a network is in its life:
//
//	Open → idle ── Run ──→ running ── ctx done ──→ ended
type state int

const (
	idle state = iota + 1
	running
	ended
)

// A Network is a machine's links to all its pairs. Its methods may be called from
// several goroutines.
type Network struct {
	cfg      Config
	proxy    *socksProxy
	dialer   net.Dialer
	listener *net.TCPListener // nil: never listens
	lobby    *lobby
	incoming chan Incoming
	hooks    hooks // set by tests before anything else
	tasks    sync.WaitGroup

	changing sync.Mutex // held while pairs or the state change; taken before mu

	mu    sync.RWMutex
	state state            // guarded by mu
	ctx   context.Context  // guarded by mu; Run's, set while running
	pairs map[Handle]*pair // guarded by mu
}

// Open binds the port, if the Config has one, and starts nothing. [Network.Run]
// gives the port back, also when its context is already done.
func Open(cfg Config) (*Network, error) {
	n := &Network{
		cfg: cfg.withDefaults(), state: idle,
		incoming: make(chan Incoming), pairs: map[Handle]*pair{},
	}
	n.lobby = newLobby(n.cfg.MaxHalfOpen)
	// Multipath TCP would tell the other end this machine's other addresses.
	n.dialer.SetMultipathTCP(false)
	if cfg.Proxy != "" {
		var err error
		if n.proxy, err = parseProxy(cfg.Proxy); err != nil {
			return nil, err
		}
	}
	if cfg.Listen == "" {
		return n, nil
	}
	if err := parseListen(cfg.Listen); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", cfg.Listen)
	if err != nil {
		return nil, bindError(err)
	}
	n.listener = l.(*net.TCPListener)
	return n, nil
}

func bindError(err error) error {
	var number syscall.Errno
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return ErrAddressInUse
	case errors.As(err, &number):
		return errors.Join(ErrAddress, number) // the number has no address in it
	}
	return ErrAddress
}

// Addr is the address that the network listens on, nil if it does not.
func (n *Network) Addr() net.Addr {
	if n.listener == nil {
		return nil
	}
	return n.listener.Addr()
}

// Accept returns the channel of incoming streams. It has no buffer: a stream that
// is not taken within HandshakeTimeout after it passed the gate is reset, with its
// connection. The channel is closed when Run returns.
func (n *Network) Accept() <-chan Incoming { return n.incoming }

// Run serves until ctx is done, and returns when every goroutine of the network
// has ended. A network runs once; its pairs are forgotten when it ends.
func (n *Network) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := n.begun(ctx); err != nil {
		return err
	}
	if n.listener != nil {
		n.spawn(func() { n.acceptAll(ctx) })
	}
	<-ctx.Done()
	n.changing.Lock()
	n.mu.Lock()
	n.state = ended
	pairs := n.pairs
	n.pairs = map[Handle]*pair{}
	n.mu.Unlock()
	n.changing.Unlock()

	n.closeListener()
	for _, p := range pairs {
		p.close()
	}
	n.tasks.Wait()
	close(n.incoming)
	return nil
}

// begun starts the hosts of the pairs added so far.
func (n *Network) begun(ctx context.Context) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	if n.state != idle {
		return ErrClosed
	}
	for _, p := range n.pairs {
		if err := p.start(n.hooks, n.deliver); err != nil {
			for _, known := range n.pairs {
				known.close()
			}
			n.closeListener()
			n.mu.Lock()
			n.state = ended
			n.mu.Unlock()
			close(n.incoming) // who takes from Accept must not wait for ever
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state, n.ctx = running, ctx
	return nil
}

func (n *Network) closeListener() {
	if n.listener != nil {
		_ = n.listener.Close()
	}
}

// begin counts a task that Run has to wait for, and returns the context that ends
// it. The caller calls tasks.Done.
func (n *Network) begin() (context.Context, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.state != running {
		return nil, false
	}
	n.tasks.Add(1)
	return n.ctx, true
}

// spawn runs task on a goroutine that Run waits for. It reports false, and runs
// nothing, if the network does not run.
func (n *Network) spawn(task func()) bool {
	_, ok := n.begin()
	if ok {
		go func() {
			defer n.tasks.Done()
			task()
		}()
	}
	return ok
}

// deliver offers a link's stream to Accept until the link is closed; admit closes
// it when its time is over.
func (n *Network) deliver(l *link, s network.Stream) {
	if _, ok := n.begin(); !ok {
		_ = s.Reset()
		return
	}
	defer n.tasks.Done()
	select {
	case n.incoming <- Incoming{Handle: l.pair.Handle, Conn: &conn{network: n, link: l, stream: s}}:
		close(l.taken)
	case <-l.done:
		_ = s.Reset()
	}
}
