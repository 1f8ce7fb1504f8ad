package p2p

import (
	"context"
	"errors"
	"net"
	"time"
)

// Bounds of the pause after an accept that failed, mostly for want of file
// descriptors. It doubles from one to the other while accepting fails.
const (
	minPause = 5 * time.Millisecond
	maxPause = 500 * time.Millisecond
)

// acceptAll makes a guest of every connection, until the listener is closed. No
// other error ends it: descriptors run out and come back.
func (n *Network) acceptAll(ctx context.Context) {
	defer n.lobby.empty()
	pause := minPause
	for {
		conn, err := n.listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Whoever holds most gives a descriptor back.
			n.lobby.evict()
			if !wait(ctx, pause) {
				return
			}
			pause = min(2*pause, maxPause)
			continue
		}
		pause = minPause
		g := n.lobby.enter(ctx, conn)
		if g == nil || !n.spawn(func() { n.welcome(ctx, g) }) {
			_ = conn.Close()
			if g != nil {
				n.lobby.exit(g)
			}
			return
		}
	}
}

// wait pauses for d and reports false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
