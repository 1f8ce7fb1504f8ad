package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// A demoClock is the clock of a node that the demo runs, which cannot wait for days.
// Whoever started that node has it set ahead, and nobody else can: what it is set to comes
// on the node's standard input.
type demoClock struct{ ahead atomic.Int64 }

// demoRest is how long a node of the demo goes without a command before it asks for the
// passphrase: its clock passes over days.
const demoRest = 30 * 24 * time.Hour

func (c *demoClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// follow reads how far ahead the clock is to be, a duration a line, and says each when it
// is so. It ends with the input, and at what is no duration or would put the clock back.
func (c *demoClock) follow(in io.Reader, out io.Writer) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		ahead, err := time.ParseDuration(lines.Text())
		if err != nil || int64(ahead) < c.ahead.Load() {
			return
		}
		c.ahead.Store(int64(ahead))
		if _, err := fmt.Fprintln(out, ahead); err != nil {
			return
		}
	}
}

// setClock has the clock of this player's node show another time, which is later.
func (p *player) setClock(now time.Time) error {
	if _, err := fmt.Fprintln(p.orders, time.Until(now).Round(time.Second)); err != nil {
		return fmt.Errorf("setting the clock of %s: %w", p.name, err)
	}
	if !p.answers.Scan() {
		return errors.New("a node did not set its clock ahead")
	}
	return nil
}
