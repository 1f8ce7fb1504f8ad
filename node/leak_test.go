package node_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// footprint is what a process holds.
type footprint struct {
	goroutines, files int
	heap              uint64
}

func measure(t *testing.T) footprint {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers let go in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := footprint{goroutines: runtime.NumGoroutine(), heap: m.HeapAlloc}
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.files = len(list)
	}
	return f
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d files, heap %.1f MiB", f.goroutines, f.files, float64(f.heap)/(1<<20))
}

// within reports whether f is no more than base and a little.
func (f footprint) within(base footprint) bool {
	return f.goroutines <= base.goroutines+8 && f.files <= base.files+2 && f.heap <= base.heap+(4<<20)
}

// TestNothingGrows connects and locks many times, and wants a machine to hold no
// more after that than before; and nothing after Run has ended. It is not
// parallel: what it counts belongs to the whole process.
func TestNothingGrows(t *testing.T) {
	before := goleak.IgnoreCurrent()
	empty := measure(t)
	f := newFleet()
	a, b := newMachine(t, freeSettings(t), hooks{conn: f.conn}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	cut := func(times int) {
		for range times {
			_, all := f.count()
			f.cut()
			until(t, "there is another connection", func() bool { _, now := f.count(); return now > all })
			w.connected()
		}
	}
	w.round("before")
	cut(20) // so that what is made once is made
	base := measure(t)
	reconnects := few(300)
	cut(reconnects)
	w.round("after")
	settled(t, base, fmt.Sprint(reconnects, " reconnects"))

	locks := few(40)
	for range locks {
		a.Lock()
		a.unlock()
	}
	w.connected()
	settled(t, base, fmt.Sprint(locks, " locks"))
	w.undisturbed()

	a.end()
	b.end()
	if err := goleak.Find(before); err != nil {
		t.Errorf("after Run has ended: %v", err)
	}
	settled(t, empty, "the end of Run")
}

// settled waits until what ends a little later has ended.
func settled(t *testing.T, base footprint, after string) {
	t.Helper()
	var now footprint
	deadline := time.Now().Add(20 * time.Second)
	for now = measure(t); !now.within(base) && time.Now().Before(deadline); now = measure(t) {
		pass(100 * time.Millisecond)
	}
	if t.Logf("after %s: %v; before: %v", after, now, base); !now.within(base) {
		t.Errorf("after %s it holds more than before", after)
	}
}
