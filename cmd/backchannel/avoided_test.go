package main

import (
	"testing"

	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
)

// TestAllowWhatHasLeft: who is avoided can be allowed when the network file names them no
// longer, and a relay when its time in the file is over.
func TestAllowWhatHasLeft(t *testing.T) {
	place, err := identity.PlaceOf("192.0.2.7:4129")
	if err != nil {
		t.Fatal(err)
	}
	ended := []*directory.Voucher{{Relay: directory.Identity{1}, Operator: "south", Revoked: true, Place: place}}
	now := relayed.Avoided{Operators: []string{"north"}}
	if a, ok := allowing(ended, now, "north"); !ok || len(with(now, a, false).Operators) != 0 {
		t.Errorf("an operator that left the file: %v, %v", a, ok)
	}
	if a, ok := allowing(ended, now, "192.0.2.7:4129"); !ok || len(a.Relays) != 1 {
		t.Errorf("a relay that is not in use: %v, %v", a, ok)
	}
	if _, ok := allowing(ended, now, "west"); ok {
		t.Error("an operator that never was")
	}
}
