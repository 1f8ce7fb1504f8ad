//go:build tap

package link

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// A program that is built with the tag tap, for tests alone, writes down each frame that it
// sends, as somebody does who taps the line: when, from whom, to whom, and how many bytes
// of TCP it takes. It is the trace of docs/simulator.md, but for the connections that are
// made and questions about the directory. Each process writes a file of its own, in the
// folder that the environment names; a line is written at once, so that a process that is
// killed leaves what it has sent. Places are the names of relays, and of principals at their
// guards, which are others for each connection. Times are those of the machine's clock.
const tapVariable = "BACKCHANNEL_TAP"

var tap struct {
	once sync.Once
	mu   sync.Mutex
	file *os.File // guarded by mu; nil: nobody asked for it
}

// What TLS and yamux add to a frame (docs/simulator.md).
const (
	tapHeader     = 12
	tapRecord     = 22
	tapRecordMost = 16384
)

func tapped(from, to onion.ID, frames, packet int) {
	tap.once.Do(func() {
		if dir := os.Getenv(tapVariable); dir != "" {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.csv", os.Getpid())))
			if err != nil {
				panic(err) // a test without its recorder must not pass
			}
			tap.file = f
		}
	})
	tap.mu.Lock()
	defer tap.mu.Unlock()
	if tap.file == nil {
		return
	}
	now := time.Now()
	size := frameSize(packet) + tapHeader
	size += tapRecord * ((size + tapRecordMost - 1) / tapRecordMost)
	for range frames {
		if _, err := fmt.Fprintf(tap.file, "%d.%06d,%x,%x,%d\n", now.Unix(), now.Nanosecond()/1000, from[:], to[:], size); err != nil {
			panic(err)
		}
	}
}
