package shuttle_test

import (
	"bytes"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

func TestVectors(t *testing.T) {
	text, err := shuttle.TextMessage("They might live with five days.")
	check(t, err)
	made := []prototest.Vector{{"name": "text", "message": prototest.Hex(text)}}
	for _, shared := range []secret.Key{none, secret.New(&[32]byte{9})} {
		name := "nothing shared"
		if !shared.IsZero() {
			name = "09 00.. shared"
		}
		w := newWorld(t, 1, shared)
		calls := [2][]byte{w.round.Call(shuttle.First), w.round.Call(shuttle.Second)}
		w.seal(shuttle.First, "three days")
		coins := shuttle.Coins(w.first).Bytes()
		sealed := w.first.Append(nil)
		out, err := w.second.Seal("five days", w.random, now)
		check(t, err)
		coinsSecond := prototest.Hex(shuttle.Coins(w.second).Bytes())
		committed := w.second.Append(nil)
		w.carry(shuttle.Second, out)
		round := w.round.Append(nil)
		made = append(made, prototest.Vector{
			"name": name, "call-first": prototest.Hex(calls[0]), "call-second": prototest.Hex(calls[1]),
			"coins-first": prototest.Hex(coins), "coins-second": coinsSecond,
			"messages": prototest.Hex(w.seen), "state-first-sealed": prototest.Hex(sealed),
			"state-second-committed": prototest.Hex(committed), "state-mediator": prototest.Hex(round),
		})
		w.release()
		own, other, err := w.first.Words()
		check(t, err)
		made[len(made)-1]["digits-first"], made[len(made)-1]["digits-second"] = own.Digits(), other.Digits()
		made[len(made)-1]["state-first-opened"] = prototest.Hex(w.first.Append(nil))
	}
	prototest.Replay(t, "testdata/shuttle.json", made)
}

// TestEveryByteCounts cuts and flips what is read.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t, 1, none)
	prototest.CutAndFlip(t, w.round.Call(shuttle.First), func(b []byte) bool {
		p, err := shuttle.NewParty(b, none, now)
		return err == nil && bytes.Equal(p.Append(nil), w.first.Append(nil))
	})
	party := func(p *shuttle.Party) {
		t.Helper()
		raw := p.Append(nil)
		prototest.CutAndFlip(t, raw, func(b []byte) bool {
			q, err := shuttle.ParseParty(b)
			return err == nil && bytes.Equal(q.Append(nil), raw)
		})
	}
	party(w.first)
	w.seal(shuttle.First, "three days")
	party(w.first)
	party(w.second)
	w.seal(shuttle.Second, "five days")
	party(w.first)
	party(w.second)
	raw := w.round.Append(nil)
	prototest.CutAndFlip(t, raw, func(b []byte) bool {
		r, err := shuttle.ParseRound(b)
		return err == nil && bytes.Equal(r.Append(nil), raw)
	})
	w.release()
	party(w.second)
}

func FuzzParse(f *testing.F) {
	w := newWorld(f, 1, none)
	f.Add(w.round.Call(shuttle.First))
	w.seal(shuttle.First, "three")
	w.seal(shuttle.Second, "five")
	f.Add(w.round.Append(nil))
	f.Add(w.first.Append(nil))
	f.Add(w.second.Append(nil))
	f.Add(w.seen[:shuttle.FirstSize])
	f.Add(append([]byte{0, 0, 0, 7, 1, 1, 1}, "text"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := shuttle.ParseParty(b); err == nil {
			if !bytes.Equal(p.Append(nil), b) {
				t.Error("a party with two encodings")
			}
			_, _ = p.Seal("x", prototest.Reader(1), now)
			if _, err := shuttle.ParseParty(p.Append(nil)); err != nil {
				t.Error("a party that cannot be stored")
			}
		}
		if r, err := shuttle.ParseRound(b); err == nil && !bytes.Equal(r.Append(nil), b) {
			t.Error("a round with two encodings")
		}
		if h, err := shuttle.ParseHeld(b); err == nil && !bytes.Equal(h.Append(nil), b) {
			t.Error("a held text with two encodings")
		}
		w := newWorld(t, 1, none)
		_, _ = w.round.Receive(shuttle.First, b, now)
		_, _ = w.second.Receive(b, now)
		w.restart()
		w = newWorld(t, 2, none)
		w.seal(shuttle.First, "three")
		_, _ = w.first.Receive(b, now)
		_, _ = w.round.Receive(shuttle.Second, b, now)
		w.restart()
	})
}

// BenchmarkSealedOffers is all the computing of all three.
func BenchmarkSealedOffers(b *testing.B) {
	for b.Loop() {
		w := newWorld(b, 1, none)
		w.steady = true
		w.seal(shuttle.First, "three days")
		w.seal(shuttle.Second, "five days")
		w.release()
	}
}
