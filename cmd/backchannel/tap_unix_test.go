//go:build unix && tap

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/cadence"
)

// TestTap records real programs over five real relays, idle and then busy, and counts what
// who taps a person's line sees. It is built and run by
//
//	go test -tags tap ./cmd/backchannel -run TestTap -v
//
// TAP_TRACE=FILE keeps the trace, in the form of docs/simulator.md.
//
// Each part must have ten packets a slot in either direction, and no more, over the whole of
// it: who counts by seconds of his own clock finds nine or eleven in some, since a machine's
// slots begin when the median of the relays' clocks says so, and are a little longer or shorter
// while that moves. The counts by slots that are logged begin at the border that fits the idle
// part best. What comes down belongs to the slot of the packet that it answers. A machine that
// was starved sends less, and says so in part; nothing may run beside this test.
func TestTap(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BACKCHANNEL_TAP", dir)
	v := newVillage(t)
	larch, alder := v.person(t, "larch"), v.person(t, "alder")
	people := []*person{larch, alder}
	for _, p := range people {
		p.runs()
	}
	for _, p := range people {
		p.joined()
	}
	alder.run(strings.TrimSpace(larch.run("Alder desk\n", "invite", "new"))+"\nLarch\n", "invite", "accept")
	for _, p := range people {
		p.until("the two have met", func() bool {
			var c control.ContactAnswer
			return p.ask(&c, "contact/show", control.NameRequest{Name: "1"}) && c.Contact.Stage == "met" && c.Contact.WordsReady
		})
	}
	var marks [3]time.Time
	var missed [3][2]uint64
	mark := func(i int) {
		marks[i] = time.Now()
		for k, p := range people {
			missed[i][k] = p.missed()
		}
	}
	mark(0)
	<-time.After(tapSlots * time.Second)
	mark(1)
	for i := range tapSlots { // more than lanes carry, in both directions
		for k, p := range people {
			text := fmt.Sprintf("Text %d of %d.", i, k)
			if !p.ask(&control.MessageAnswer{}, "send", control.SendRequest{Name: "1", Text: text}) {
				t.Fatal("a text was not taken")
			}
		}
		<-time.After(time.Until(marks[1].Add(time.Duration(i+1) * time.Second)))
	}
	<-time.After(time.Until(marks[1].Add(tapSlots * time.Second)))
	mark(2)
	for _, p := range people {
		p.until("all is delivered", func() bool {
			return !slices.ContainsFunc(p.messages().Messages, func(m control.Message) bool { return m.Direction == "out" && m.State != "delivered" })
		})
	}
	trace := readTap(t, dir)
	for k, p := range people {
		line := trace.lineOf(p)
		border := line.border(marks[0], marks[1])
		for i, part := range []string{"idle", "busy"} {
			c := line.count(marks[i], marks[i+1], border)
			lost := int(missed[i+1][k] - missed[i][k])
			t.Logf("%s, %s: %d slots with this many packets: up %v, down %v; not sent in time, as it says itself: %d", filepath.Base(p.home), part, c.slots, c.up, c.down, lost)
			if c.slots < tapSlots-2 || c.answered != c.packets {
				t.Errorf("%s, %s: %d slots; %d packets, %d answered", filepath.Base(p.home), part, c.slots, c.packets, c.answered)
			}
			if off := c.packets - cadence.Packets*c.slots; off > cadence.Packets/2 || off < -cadence.Packets/2-lost {
				t.Errorf("%s, %s: %d packets in %d slots", filepath.Base(p.home), part, c.packets, c.slots)
			}
		}
	}
}

// tapSlots is how many slots, of a second, each part has.
const tapSlots = 40

// missed is how many packets the machine itself did not send, because their moment had
// passed.
func (p *person) missed() uint64 {
	var s control.StatusAnswer
	if !p.ask(&s, "status", control.Empty{}) || s.RelayNetwork == nil {
		p.Fatal("no status")
	}
	return s.RelayNetwork.Missed
}

// tapRow is a row of the trace.
type tapRow struct {
	at       int64  // microseconds since 1970
	writer   string // the process
	from, to string
	line     string
}

type tapTrace struct{ rows []tapRow }

// readTap reads what all processes have written, in the order of time.
func readTap(t *testing.T, dir string) (trace tapTrace) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(names) < 7 {
		t.Fatalf("%d processes have written: %v", len(names), err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			cells := strings.Split(s.Text(), ",")
			if len(cells) != 4 {
				continue // the last line of a process that writes
			}
			whole, micro, _ := strings.Cut(cells[0], ".")
			at, err := strconv.ParseInt(whole+micro, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			trace.rows = append(trace.rows, tapRow{at, strings.TrimSuffix(filepath.Base(name), ".csv"), cells[1], cells[2], strings.Join(cells[1:], ",")})
		}
		_ = f.Close()
	}
	slices.SortStableFunc(trace.rows, func(a, b tapRow) int { return int(a.at - b.at) })
	if name := os.Getenv("TAP_TRACE"); name != "" {
		var out strings.Builder
		out.WriteString("t,src,dst,size\n")
		for _, r := range trace.rows {
			at := r.at - trace.rows[0].at
			fmt.Fprintf(&out, "%d.%06d,%s\n", at/1e6, at%1e6, r.line)
		}
		if err := os.WriteFile(name, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d frames of %d processes", len(trace.rows), len(names))
	return trace
}

// A tapLine is what goes over a person's line: for each packet that leaves when that was, and
// whether it was answered.
type tapLine []struct {
	at       int64
	answered bool
}

// lineOf returns the packets of a person's program, which names itself otherwise in each
// connection. A guard answers each packet by one, in their order.
func (trace tapTrace) lineOf(p *person) (line tapLine) {
	own, waiting := strconv.Itoa(p.node.Process.Pid), map[string][]int{}
	for _, r := range trace.rows {
		switch {
		case r.writer == own:
			waiting[r.from] = append(waiting[r.from], len(line))
			line = append(line, struct {
				at       int64
				answered bool
			}{at: r.at})
		case len(waiting[r.to]) > 0:
			line[waiting[r.to][0]].answered = true
			waiting[r.to] = waiting[r.to][1:]
		}
	}
	return line
}

// tapCount is what was counted: how many slots have how many packets.
type tapCount struct {
	slots, packets, answered int
	up, down                 map[int]int
}

// count counts the slots that lie within a time and begin at a border, in microseconds of a
// second.
func (line tapLine) count(from, to time.Time, border int64) (c tapCount) {
	const slot = int64(time.Second / time.Microsecond)
	begin := (from.UnixMicro()-border+slot-1)/slot*slot + border
	c.slots = int((to.UnixMicro() - begin) / slot)
	up, down := make([]int, c.slots), make([]int, c.slots)
	for _, packet := range line {
		if at := (packet.at - begin) / slot; packet.at >= begin && at < int64(c.slots) {
			up[at]++
			c.packets++
			if packet.answered {
				down[at]++
				c.answered++
			}
		}
	}
	c.up, c.down = map[int]int{}, map[int]int{}
	for i := range up {
		c.up[up[i]]++
		c.down[down[i]]++
	}
	return c
}

// border is where this machine's slots begin, in microseconds of a second: in the middle of
// the moments for which most slots of a time have their count.
func (line tapLine) border(from, to time.Time) int64 {
	const steps, step = 200, 5000
	var full [steps]int
	for i := range full {
		full[i] = line.count(from, to, int64(i)*step).up[cadence.Packets]
	}
	best := slices.Max(full[:])
	longest, middle := 0, 0
	for i := range steps {
		run := 0
		for run < steps && full[(i+run)%steps] == best {
			run++
		}
		if run > longest {
			longest, middle = run, i+run/2
		}
	}
	return int64(middle%steps) * step
}
