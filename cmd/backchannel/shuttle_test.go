package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/node/control"
)

// TestExchangesAlikeAreTwo shows two exchanges of one subject and end, and each once,
// although it stands with both of the two.
func TestExchangesAlikeAreTwo(t *testing.T) {
	with := func(number uint32, name, other string) control.ContactShuttles {
		c := control.ContactShuttles{Contact: control.Contact{Number: number, Name: name}}
		for n := range 2 {
			c.Shuttles = append(c.Shuttles, control.Shuttle{
				Number: uint64(n + 1), Mediator: true, Between: other, Subject: "days", Until: "2026-11-30T12:00:00Z", State: "waits for both offers",
			})
		}
		return c
	}
	var out bytes.Buffer
	(&app{out: &out}).printShuttles(control.ShuttlesAnswer{Contacts: []control.ContactShuttles{with(1, "Larch", "Heron"), with(2, "Heron", "Larch")}})
	if n := strings.Count(out.String(), "about: days"); n != 2 {
		t.Errorf("%d exchanges are shown, of two:\n%s", n, out.String())
	}
}
