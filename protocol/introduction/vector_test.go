package introduction_test

import (
	"bytes"
	"testing"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
	"github.com/backchannel/backchannel/protocol/prototest"
)

func TestVectors(t *testing.T) {
	w := newWorld(t, 1)
	made := []prototest.Vector{
		{"name": "ask the inviter", "message": prototest.Hex(w.i.Ask(identity.Inviter))},
		{"name": "ask the accepter", "message": prototest.Hex(w.i.Ask(identity.Accepter))},
	}
	no, err := newWorld(t, 1).accepter.Refuse()
	check(t, err)
	yes, err := w.inviter.Consent(w.random, now)
	check(t, err)
	share, err := w.accepter.Consent(w.random, now)
	check(t, err)
	pass, err := w.i.Receive(identity.Accepter, share, now)
	check(t, err)
	if pass != nil {
		t.Fatal("it passes")
	}
	states := [][]byte{w.i.Append(nil), w.accepter.Append(nil), w.inviter.Append(nil)}
	pass, err = w.i.Receive(identity.Inviter, yes, now)
	check(t, err)
	inv := invitation(t, w.random)
	reply := w.reply(pass, inv)
	prototest.Replay(t, "testdata/introduction.json", append(made,
		prototest.Vector{"name": "no", "message": prototest.Hex(no)},
		prototest.Vector{"name": "yes", "message": prototest.Hex(yes)},
		prototest.Vector{
			"name": "share", "message": prototest.Hex(share),
			"coins": prototest.Hex(introduction.Coins(w.accepter).Bytes()),
		},
		prototest.Vector{"name": "share, passed on", "message": prototest.Hex(pass)},
		prototest.Vector{"name": "reply, passed on", "message": prototest.Hex(reply), "invitation": inv.Text()},
		prototest.Vector{"name": "introducer, before the inviter's yes", "state": prototest.Hex(states[0])},
		prototest.Vector{"name": "accepter, waiting", "state": prototest.Hex(states[1])},
		prototest.Vector{"name": "inviter, waiting", "state": prototest.Hex(states[2])},
	))
}

// TestEveryByteCounts cuts and flips what is read.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t, 1)
	ask := w.i.Ask(identity.Inviter)
	prototest.CutAndFlip(t, ask, func(b []byte) bool {
		p, err := introduction.NewParty(b, now)
		return err == nil && bytes.Equal(p.Append(nil), w.inviter.Append(nil))
	})
	yes, err := w.inviter.Consent(w.random, now)
	check(t, err)
	fresh := w.i.Append(nil)
	prototest.CutAndFlip(t, yes, func(b []byte) bool {
		i, err := introduction.Parse(fresh)
		check(t, err)
		_, err = i.Receive(identity.Inviter, b, now)
		a, _, _ := i.Answers(expiry)
		return err == nil && a == introduction.AnswerYes
	})
	w.consent(w.accepter)
	raw := w.i.Append(nil)
	prototest.CutAndFlip(t, raw, func(b []byte) bool {
		i, err := introduction.Parse(b)
		return err == nil && bytes.Equal(i.Append(nil), raw)
	})
	state := w.accepter.Append(nil)
	prototest.CutAndFlip(t, state, func(b []byte) bool {
		p, err := introduction.ParseParty(b)
		return err == nil && bytes.Equal(p.Append(nil), state)
	})
}

func FuzzParse(f *testing.F) {
	w := newWorld(f, 1)
	f.Add(w.i.Ask(identity.Inviter))
	w.consent(w.accepter)
	f.Add(w.i.Append(nil))
	f.Add(w.accepter.Append(nil))
	f.Add(w.consent(w.inviter))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := introduction.Parse(b); err == nil && !bytes.Equal(i.Append(nil), b) {
			t.Error("an introduction with two encodings")
		}
		if p, err := introduction.ParseParty(b); err == nil && !bytes.Equal(p.Append(nil), b) {
			t.Error("a party with two encodings")
		}
		_, _ = introduction.NewParty(b, now)
		w := newWorld(t, 1)
		for _, from := range []identity.Side{identity.Inviter, identity.Accepter} {
			_, _ = w.i.Receive(from, b, now)
			w.restart()
		}
		w = newWorld(t, 1)
		w.consent(w.accepter)
		_, _ = w.accepter.Open(b, now)
		w.consent(w.inviter)
		_, _ = w.inviter.Invite(b, invitation(t, w.random), w.random, now)
		w.restart()
	})
}

// BenchmarkIntroduction is all the computing of all three.
func BenchmarkIntroduction(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, 1)
		w.consent(w.inviter)
		share := w.consent(w.accepter)
		if _, err := w.accepter.Open(w.reply(share, invitation(b, w.random)), now); err != nil {
			b.Fatal(err)
		}
	}
}
