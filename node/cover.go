package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// cover keeps the machine's line with its relay network while no desk is online: while the
// node is locked, is being unlocked or closed, or is open for reading. Loops alone leave
// then, as many in each slot as at any other time, and nothing is received. So a line does
// not show whether anybody has unlocked anything. It needs no key of a vault, and writes to
// none.
type cover struct {
	cfg  Config
	line *line // nil: no relay network, or a desk has it

	takes   chan chan<- lent
	given   chan *line
	rereads chan chan<- bool
	running atomic.Bool
	once    sync.Once
	quit    chan struct{}             // closed by stop
	shown   atomic.Pointer[MailState] // nil: as line
	ended   chan struct{}
}

// lent is what a desk gets: nil, if the machine is in no relay network.
type lent struct {
	line *line
	err  error
}

func newCover(cfg Config) *cover {
	return &cover{cfg: cfg, takes: make(chan chan<- lent), given: make(chan *line), rereads: make(chan chan<- bool), quit: make(chan struct{}), ended: make(chan struct{})}
}

// run serves until ctx is done and the line is back, and ends it.
func (c *cover) run(ctx context.Context) {
	defer close(c.ended)
	defer c.close()
	failed := c.reread(ctx) != nil // who goes online hears of it
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var events chan func()
		if c.line != nil {
			next := c.line.tick(c.cfg.Now())
			c.shown.Store(c.line.state())
			timer.Reset(min(max(next.Sub(c.cfg.Now()), time.Millisecond), time.Minute))
			events, failed = c.line.events, false
		} else if failed { // a file that cannot be read may be mended
			timer.Reset(time.Minute)
		}
		select {
		case f := <-events:
			f()
		case <-timer.C:
			if failed {
				failed = c.reread(ctx) != nil
			}
		case to := <-c.takes:
			c.lend(ctx, to)
			failed = c.line == nil
		case to := <-c.rereads:
			failed = c.reread(ctx) != nil
			to <- c.line != nil
		case <-c.quit:
			return
		case <-ctx.Done():
			return
		}
	}
}

// stop ends it, and waits for that.
func (c *cover) stop() {
	c.once.Do(func() { close(c.quit) })
	if c.running.Load() {
		<-c.ended
	}
}

func (c *cover) close() {
	if c.line != nil {
		c.line.close()
	}
	c.line = nil
	c.shown.Store(nil)
}

// lend hands the line over, and waits until it is back: a desk that has it gives it back
// before it ends, and ends before Run does.
func (c *cover) lend(ctx context.Context, to chan<- lent) {
	err := c.reread(ctx)
	if err != nil || c.line == nil {
		to <- lent{err: err}
		return
	}
	to <- lent{line: c.line}
	c.line = nil
	c.shown.Store(nil)
	for c.line == nil {
		select {
		case c.line = <-c.given:
		case to := <-c.rereads:
			to <- false // the desk's
		}
	}
	_ = c.reread(ctx)
}

// reread takes the machine's settings and its relay network as they are now. A link stays
// if they are the same; if the network is another one, or how relays are dialled, it ends.
func (c *cover) reread(ctx context.Context) error {
	if c.cfg.OpenRelays == nil {
		return nil
	}
	settings, err := c.cfg.Settings()
	if err != nil {
		return fmt.Errorf("%w: %w", errSettings, err)
	}
	r, err := c.cfg.OpenRelays(settings)
	if err != nil {
		return err
	}
	if r != nil && c.line != nil && c.line.proxy == settings.Proxy && c.line.network.Root() == r.File().Network.Root() {
		c.line.renew(r)
		return nil
	}
	c.close()
	if r != nil {
		c.line = newLine(ctx, c.cfg, settings.Proxy, r)
	}
	return nil
}

// state tells how the line stands, if the cover has it.
func (c *cover) state() *MailState { return c.shown.Load() }

// take gets the line for a desk that goes online; nil if there is none.
func (c *cover) take(ctx context.Context) (*line, error) {
	to := make(chan lent, 1)
	select {
	case c.takes <- to:
		l := <-to
		return l.line, l.err
	case <-c.ended:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// give brings it back.
func (c *cover) give(l *line) { c.given <- l }

// renew has what the machine keeps about relays read anew, and reports whether the cover has
// a line now.
func (c *cover) renew(ctx context.Context) bool {
	if !c.running.Load() {
		return false
	}
	to := make(chan bool, 1)
	select {
	case c.rereads <- to:
		return <-to
	case <-c.ended:
	case <-ctx.Done():
	}
	return false
}
