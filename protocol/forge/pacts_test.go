package forge_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/shuttle"
	"github.com/backchannel/backchannel/protocol/wire"
)

const start = hour*60 + 3

// pacts is a script with a charter, a text under it, an introduction and a text
// that was carried.
func pacts(t *testing.T, side identity.Side, opener, introducer bool) (forge.Params, []forge.Line) {
	t.Helper()
	random := prototest.Reader(1)
	p, err := forge.Invent(random, "Alder desk", "Larch", start)
	if err != nil {
		t.Fatal(err)
	}
	p.Side = side
	channel := uint32(2)
	if (side == identity.Inviter) != opener {
		channel = 3
	}
	lines, err := forge.Agree(p, opener, channel, charter.Terms{
		Name: "river gauges", Purpose: "agree a first joint reading", Kind: charter.Publishable,
		Route: charter.RouteRelays, Receipts: charter.ReceiptsLate, Deadline: start + 7*24*60,
	}, start, start+1)
	if err != nil {
		t.Fatal(err)
	}
	lines = append(lines,
		forge.Line{FromPeer: true, Minute: start + 2, Text: "We would drop the inspection.", Channel: channel},
		forge.Line{Minute: start + 3, Text: "Outside of it."})
	inv, err := identity.NewInvitation(random, identity.Place{}, time.Unix((start+9999)*60, 0), false)
	if err != nil {
		t.Fatal(err)
	}
	made, err := forge.Introduce(forge.Introduction{
		Introducer: introducer, Role: side, OfInviter: "a colleague upstream",
		OfAccepter: "a colleague on the other bank", Minute: start + 4, Invitation: inv,
	}, random)
	if err != nil {
		t.Fatal(err)
	}
	text, err := shuttle.TextMessage("They might live with five days.")
	if err != nil {
		t.Fatal(err)
	}
	lines = append(lines, made...)
	return p, append(lines, forge.Line{FromPeer: true, Minute: start + 5, Text: string(text), Kind: wire.FrameShuttle})
}

func TestForgedPactsPass(t *testing.T) {
	for _, side := range []identity.Side{identity.Inviter, identity.Accepter} {
		for _, mine := range []bool{true, false} {
			p, lines := pacts(t, side, mine, mine)
			tr, err := forge.Forge(p, lines, prototest.Reader(2))
			if err != nil {
				t.Fatal(err)
			}
			raw := tr.Append(nil)
			if tr, err = forge.Parse(raw); err != nil {
				t.Fatal(err)
			}
			got, err := tr.Check()
			if err != nil || !slices.Equal(got, lines) {
				t.Errorf("%v, own %v: %d of %d lines, %v", side, mine, len(got), len(lines), err)
			}
		}
	}
}

func TestSummaries(t *testing.T) {
	_, lines := pacts(t, identity.Inviter, true, true)
	want := []string{
		"<charter: proposes river gauges: agree a first joint reading, publishable, until 22 Jan 2027 08:03 UTC>",
		"<charter: accepts>", "We would drop the inspection.", "Outside of it.",
	}
	for i, w := range want {
		if got := lines[i].Summary(); got != w {
			t.Errorf("line %d is %q, want %q", i, got, w)
		}
	}
	if got := lines[4].Summary(); got != "<introduction>" {
		t.Errorf("a question is %q", got)
	}
	if got := lines[len(lines)-1].Summary(); got != "<carried> They might live with five days." {
		t.Errorf("a carried text is %q", got)
	}
	if got := (forge.Line{Kind: wire.FrameShuttle, Text: "\x01\x02"}).Summary(); got != "<sealed offers>" {
		t.Errorf("a sealed offer is %q", got)
	}
}

// TestPactsThatCannotBe changes one thing in the script at a time.
func TestPactsThatCannotBe(t *testing.T) {
	for _, mine := range []bool{true, false} {
		for what, change := range map[string]func([]forge.Line) []forge.Line{
			"no proposal":        func(l []forge.Line) []forge.Line { return l[1:] },
			"no acceptance":      func(l []forge.Line) []forge.Line { return slices.Delete(l, 1, 2) },
			"another digest":     func(l []forge.Line) []forge.Line { l[1].Text = l[1].Text[:33] + "x"; return l },
			"accepts its own":    func(l []forge.Line) []forge.Line { l[1].FromPeer = !l[1].FromPeer; return l },
			"the other's number": func(l []forge.Line) []forge.Line { l[0].FromPeer = !l[0].FromPeer; return l },
			"another channel":    func(l []forge.Line) []forge.Line { l[2].Channel = 9; return l },
			"another frame":      func(l []forge.Line) []forge.Line { l[0].Channel = 9; return l },
			"after the deadline": func(l []forge.Line) []forge.Line { l[2].Minute = start + 7*24*60; return l },
			"half a question":    func(l []forge.Line) []forge.Line { l[4].Text = l[4].Text[:99]; return l },
			"a question there":   func(l []forge.Line) []forge.Line { l[4].Channel = 2; return l },
			"nothing carried":    func(l []forge.Line) []forge.Line { l[len(l)-1].Text = "\x01\x01"; return l },
			"carried there":      func(l []forge.Line) []forge.Line { l[len(l)-1].Channel = 2; return l },
			"a first number 2": func(l []forge.Line) []forge.Line {
				d := charter.Proposed([]byte(l[0].Text))
				d.Number = 2
				l[0].Text = l[0].Text[:34] + string(d.Append(nil))
				return l
			},
		} {
			p, lines := pacts(t, identity.Inviter, mine, mine)
			tr, err := forge.Forge(p, change(lines), prototest.Reader(2))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tr.Check(); !errors.Is(err, forge.ErrPact) {
				t.Errorf("%s (own %v): %v, want ErrPact", what, mine, err)
			}
		}
	}
	p, lines := pacts(t, identity.Inviter, true, true)
	lines[0].Kind = wire.FrameBurn
	if _, err := forge.Forge(p, lines, prototest.Reader(2)); !errors.Is(err, forge.ErrScript) {
		t.Errorf("another kind of line: %v", err)
	}
}
