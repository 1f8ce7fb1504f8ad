package forge_test

import (
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// TestFormsThatNoMachineTakes says what neither a machine nor a check takes.
func TestFormsThatNoMachineTakes(t *testing.T) {
	random := prototest.Reader(1)
	m := newMission(t, random)
	shown, err := forge.Show(forge.Showing{Request: m.request, Listener: m.listener, Terms: m.terms, Minute: start}, random)
	check(t, err)
	keys, text, expiry := drawSigning(t, random)
	signed, _, err := forge.Sign(identity.Accepter, forge.Signing{
		Role: communique.Initiator, Key: keys[0], Peer: keys[1].Public(), Text: text, Expiry: expiry, Minute: start,
	}, random)
	check(t, err)
	sounded, _, err := forge.Sound(drawSounding(random, true), random)
	check(t, err)
	withdrawal, err := mandate.Withdraw(m.listener, must(mandate.Parse([]byte(shown[2].Text[1:]))))
	check(t, err)
	over := forge.Line{Kind: wire.FrameMandate, Minute: start, Text: "\x04" + string(withdrawal)}
	leave := forge.Line{Kind: wire.FrameCommunique, Minute: start, Text: "\x0412345678"}
	good := map[string]forge.Line{
		"question": shown[0], "key": shown[1], "mandate": shown[2], "withdrawal": over,
		"agreement": signed[0], "draft": signed[2], "step": signed[3], "the last step": signed[len(signed)-1], "leave": leave,
		"call": sounded[0], "shares": sounded[1], "round": sounded[3],
	}
	for what, l := range good {
		if err := forge.CheckLines(identity.Inviter, []forge.Line{l}); err != nil {
			t.Errorf("a %s: %v", what, err)
		}
		if s := l.Summary(); s == "" || s == "<malformed>" {
			t.Errorf("a %s is shown as %q", what, s)
		}
		for how, change := range map[string]func(*forge.Line){
			"cut":               func(l *forge.Line) { l.Text = l.Text[:len(l.Text)-1] },
			"longer":            func(l *forge.Line) { l.Text += "\x00" },
			"empty":             func(l *forge.Line) { l.Text = l.Text[:0] },
			"nothing but a 1":   func(l *forge.Line) { l.Text = "\x01x" },
			"nothing but a 3":   func(l *forge.Line) { l.Text = "\x03" },
			"of a ninth kind":   func(l *forge.Line) { l.Text = "\x09" + l.Text[1:] },
			"of no kind":        func(l *forge.Line) { l.Text = "\x00" + l.Text[1:] },
			"in a channel":      func(l *forge.Line) { l.Channel = 2 },
			"under another one": func(l *forge.Line) { l.Kind = wire.FrameMandate + wire.FrameCommunique - l.Kind },
		} {
			if how == "under another one" && l.Kind == wire.FrameSounding {
				continue
			}
			bad := l
			change(&bad)
			if err := forge.CheckLines(identity.Inviter, []forge.Line{bad}); !errors.Is(err, forge.ErrPact) {
				t.Errorf("a %s, %s: %v, want ErrPact", what, how, err)
			}
			if s := bad.Summary(); bad.Channel == 0 && s != "<malformed>" {
				t.Errorf("a %s, %s, is shown as %q", what, how, s)
			}
		}
	}
	zero := func(l forge.Line, at int) forge.Line {
		l.Text = l.Text[:at] + string(make([]byte, 32)) + l.Text[at+32:]
		return l
	}
	for what, bad := range map[string]forge.Line{
		"nobody asked for": zero(shown[0], 1), "the key of nobody": zero(shown[1], 1), "no key": zero(shown[1], 33), "a mandate of nobody": zero(shown[2], 1),
	} {
		if err := forge.CheckLines(identity.Inviter, []forge.Line{bad}); !errors.Is(err, forge.ErrPact) {
			t.Errorf("%s: %v, want ErrPact", what, err)
		}
	}
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// TestNothingIsForgedOfNothing leaves out what a forger needs.
func TestNothingIsForgedOfNothing(t *testing.T) {
	random := prototest.Reader(1)
	m := newMission(t, random)
	if _, err := forge.Show(forge.Showing{Terms: m.terms}, random); !errors.Is(err, mandate.ErrFormat) {
		t.Errorf("a mandate of nobody: %v", err)
	}
	keys, text, expiry := drawSigning(t, random)
	of := forge.Signing{Role: communique.Initiator, Key: keys[0], Peer: keys[0].Public(), Text: text, Expiry: expiry}
	if _, _, err := forge.Sign(identity.Inviter, of, random); !errors.Is(err, communique.ErrKey) {
		t.Errorf("signed with oneself: %v", err)
	}
	of.File = []byte("x")
	if _, _, err := forge.Sign(identity.Inviter, of, random); err == nil {
		t.Error("signed what was not published")
	}
	if _, _, err := forge.Sound(forge.Sounding{Own: []string{""}}, random); err == nil {
		t.Error("sounded about nothing")
	}
	if _, _, err := forge.Offer(forge.Offers{Role: 1, Subject: "x", First: "three"}, random); err == nil {
		t.Error("one offer is enough")
	}
}
