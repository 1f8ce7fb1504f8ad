package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A figuresHandler answers Prometheus. It asks the relay once in a slot at most: who
// asks more often sees the same figures, and no traffic in between.
type figuresHandler struct {
	server *server

	mu    sync.Mutex
	until time.Time // guarded by mu
	text  string    // guarded by mu
}

// ServeHTTP implements [http.Handler].
func (h *figuresHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.text == "" || !now.Before(h.until) {
		ans, err := h.server.status(r.Context())
		if err != nil {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		h.text, h.until = figures(ans), now.Add(h.server.loaded.file.Network.Constants.Slot)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprint(w, h.text)
}

// figures are those of status, for everybody together: no label names a peer.
func figures(s statusAnswer) string {
	var b strings.Builder
	one := func(name, kind, help string, value any) {
		fmt.Fprintf(&b, "# HELP backchannel_relay_%s %s\n# TYPE backchannel_relay_%[1]s %[3]s\nbackchannel_relay_%[1]s %[4]v\n", name, help, kind, value)
	}
	flag := func(v bool) int {
		if v {
			return 1
		}
		return 0
	}
	one("in_use", "gauge", "Whether the relay is in the view of the epoch.", flag(s.State == stateInUse))
	one("muted", "gauge", "Whether the disk does not take what has to be written in each epoch.", flag(s.Muted))
	one("members", "gauge", "Relays in the view of the epoch.", s.Members)
	one("neighbours", "gauge", "Relays that there should be a link with.", s.Neighbours)
	one("linked", "gauge", "Relays that there is a link with.", s.Linked)
	one("clients", "gauge", "Principals that are linked, rounded.", s.Clients)
	one("held_packets", "gauge", "Packets in the pool, rounded.", s.Held)
	one("loops_returned_total", "counter", "Own loops that came back, rounded.", s.Loops.Returned)
	one("loops_lost_total", "counter", "Own loops that did not, rounded.", s.Loops.Lost)
	one("loops_alarm", "gauge", "Whether half of the last loops were lost.", flag(s.Loops.Alarm))
	if s.Boxes != nil {
		one("boxes", "gauge", "Boxes kept, rounded.", s.Boxes.Kept)
		one("boxes_full_percent", "gauge", "How much is taken of what today may hold by now.", s.Boxes.Full)
		one("boxes_taken", "gauge", "Whether boxes are taken: the disk has room and has not failed.", flag(!s.Boxes.NoSpace && !s.Boxes.Broken))
		one("boxes_damaged_days", "gauge", "Days whose boxes could not be read.", s.Boxes.Damaged)
	}
	b.WriteString("# HELP backchannel_relay_packets_total Packets by what became of them, rounded.\n# TYPE backchannel_relay_packets_total counter\n")
	for _, reason := range slices.Sorted(maps.Keys(s.Packets)) {
		fmt.Fprintf(&b, "backchannel_relay_packets_total{reason=%q} %d\n", reason, s.Packets[reason])
	}
	return b.String()
}
