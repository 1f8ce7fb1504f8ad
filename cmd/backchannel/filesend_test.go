package main

import (
	"testing"

	"github.com/backchannel/backchannel/node/control"
)

// TestExpectedTimeOfAFile is what is said before a file is sent, on each way, and of one
// that is under way over relays.
func TestExpectedTimeOfAFile(t *testing.T) {
	relays := control.RouteAnswer{Route: "both", Agreed: true, Expected: 165, FileHour: 240_000}
	for _, c := range []struct {
		name  string
		to    control.Contact
		size  uint64
		route control.RouteAnswer
		want  string
	}{
		{"relays", control.Contact{}, 1_200_000, relays, "Over relays it takes about 5 hours once they save it, if both machines stay on: 240.0 kB an hour."},
		{"relays, small", control.Contact{}, 4000, relays, "Over relays it takes about 4 minutes once they save it, if both machines stay on: 240.0 kB an hour."},
		{"relays, large", control.Contact{}, 30_000_000, relays, "Over relays it takes about 5 days once they save it, if both machines stay on: 240.0 kB an hour."},
		{"not agreed", control.Contact{}, 1, control.RouteAnswer{Route: "relayed"}, "It leaves by itself over relays, when keys are agreed there."},
		{"direct alone", control.Contact{}, 1, control.RouteAnswer{Route: "direct", Agreed: true, FileHour: 1}, "It leaves by itself when the two machines are connected."},
		{"connected", control.Contact{Connected: true}, 1, control.RouteAnswer{Route: "both", Agreed: true, Direct: true, FileHour: 1}, "On a slow line it takes a few seconds."},
	} {
		if got := expected(c.to, c.size, c.route); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	f := control.File{State: "on its way", Size: 1_200_000, Done: 400_000, Boxed: 40_000, Expected: 3 * 3600}
	if got := fileState(f); got != "on its way, 30 % of 1.2 MB, 40.0 kB more in their mailbox; over relays about 3 hours to go, if both machines are on" {
		t.Error(got)
	}
	f.State = "offered, not taken yet"
	if got := fileState(f); got != "offered, not taken yet; about 3 hours over relays" {
		t.Error(got)
	}
	f.Direction = "out"
	if got := fileState(f); got != "offered, not taken yet; about 3 hours over relays once they save it" {
		t.Error(got)
	}
}
