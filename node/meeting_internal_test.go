package node

import (
	"maps"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// TestMeetingTimes asks for the times of a meeting one after the other: each once, the
// newest first, then each tenth, then the others.
func TestMeetingTimes(t *testing.T) {
	m := newMeeting(100)
	var got []uint32
	for {
		at, ok := m.next(askedCards, 130, nil)
		if !ok {
			break
		}
		m.asked[askedCards][at] = true
		got = append(got, at)
	}
	want := []uint32{130, 129, 128, 127, 120, 110, 100, 126}
	if len(got) != 31 {
		t.Fatalf("%d times were asked for: %v", len(got), got)
	}
	for i, at := range want {
		if got[i] != at {
			t.Fatalf("asked for %v, which does not begin with %v", got, want)
		}
	}
	if _, ok := m.next(askedAnswers, 99, nil); ok {
		t.Error("a time before the first is asked for")
	}
}

// TestMeetingRecord writes and reads what is kept of a meeting, and cuts it.
func TestMeetingRecord(t *testing.T) {
	m := newMeeting(100)
	m.put = 130
	m.asked[askedCards][107], m.asked[askedAnswers][100], m.asked[askedAnswers][130] = true, true, true
	b := m.append(nil)
	got, err := parseMeeting(b)
	if err != nil || got.begun != 100 || got.put != 130 || !maps.Equal(got.asked[0], m.asked[0]) || !maps.Equal(got.asked[1], m.asked[1]) {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range b {
		if _, err := parseMeeting(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken", n, len(b))
		}
	}
	m.forget(120)
	if len(m.asked[0]) != 0 || len(m.asked[1]) != 1 || m.begun != 120 {
		t.Errorf("after forgetting: %+v", m)
	}
}

// TestFirstGuard has the relay that answered first as the one guard.
func TestFirstGuard(t *testing.T) {
	id := onion.ID{1, 2, 3}
	r := firstGuard(id, time.Unix(0, 0))
	if g := pinnedIn(r); len(r) != 2*guardRecord || len(g) != 1 || g[0] != id {
		t.Errorf("%x: %v", r, g)
	}
	if id != (onion.ID{1, 2, 3}) {
		t.Error("the ID was changed")
	}
}
