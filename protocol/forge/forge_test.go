package forge_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/ratchet"
)

const hour = 500_000

var script = []forge.Line{
	{FromPeer: false, Minute: hour*60 + 3, Text: "We would drop the inspection."},
	{FromPeer: true, Minute: hour*60 + 5, Text: "Then we have a deal."},
	{FromPeer: true, Minute: hour*60 + 5, Text: strings.Repeat("Seven days. ", 400)},
	{FromPeer: false, Minute: hour*60 + 70, Text: "Agreed: the 18th."},
}

func make1(t testing.TB, mode handshake.Mode, role handshake.Role, side identity.Side) *forge.Transcript {
	t.Helper()
	random := prototest.Reader(1)
	p, err := forge.Invent(random, "Alder desk", "Larch", hour*60+3)
	if err != nil {
		t.Fatal(err)
	}
	p.Mode, p.Role, p.Side = mode, role, side
	p.OwnCard.Strict, p.PeerCard.Strict = mode == handshake.Strict, mode == handshake.Strict
	tr, err := forge.Forge(p, script, random)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestVector(t *testing.T) {
	raw := make1(t, handshake.Mutual, handshake.Initiator, identity.Inviter).Append(nil)
	prototest.Replay(t, "testdata/transcript.json", []prototest.Vector{
		{"name": "four lines, random ChaCha8 seed 01", "transcript": prototest.Hex(raw)},
	})
}

func TestForgedTranscriptsPass(t *testing.T) {
	for _, mode := range []handshake.Mode{handshake.Mutual, handshake.Strict} {
		for _, role := range []handshake.Role{handshake.Initiator, handshake.Responder} {
			for _, side := range []identity.Side{identity.Inviter, identity.Accepter} {
				raw := make1(t, mode, role, side).Append(nil)
				tr, err := forge.Parse(raw)
				if err != nil || !bytes.Equal(tr.Append(nil), raw) {
					t.Fatalf("%v %v: parsing: %v", mode, role, err)
				}
				lines, err := tr.Check()
				if err != nil || !slices.Equal(lines, script) {
					t.Errorf("%v %v %v: %d lines, %v", mode, role, side, len(lines), err)
				}
			}
		}
	}
}

// TestCheckCanFail alters one thing at a time.
func TestCheckCanFail(t *testing.T) {
	flip := func(b []byte) { b[len(b)/2] ^= 1 }
	for what, alter := range map[string]func(*forge.Transcript){
		"m1":              func(tr *forge.Transcript) { flip(tr.Messages[0][:]) },
		"m2":              func(tr *forge.Transcript) { flip(tr.Messages[1][:]) },
		"m3":              func(tr *forge.Transcript) { flip(tr.Messages[2][:]) },
		"own cell":        func(tr *forge.Transcript) { flip(tr.Entries[0].Cell[:]) },
		"own nonce":       func(tr *forge.Transcript) { tr.Entries[0].Cell[0]++ },
		"own nonce's end": func(tr *forge.Transcript) { tr.Entries[0].Cell[23]++ },
		"peer's cell":     func(tr *forge.Transcript) { flip(tr.Entries[1].Cell[:]) },
		"own body":        func(tr *forge.Transcript) { flip(tr.Entries[4].Body[:]) },
		"peer's body":     func(tr *forge.Transcript) { flip(tr.Entries[5].Body[:]) },
		"own coins":       func(tr *forge.Transcript) { flip(tr.Entries[4].Coins[:]) },
		"peer's coins":    func(tr *forge.Transcript) { flip(tr.Entries[5].Coins[:]) },
		"order":           func(tr *forge.Transcript) { tr.Entries[4], tr.Entries[5] = tr.Entries[5], tr.Entries[4] },
		"one missing":     func(tr *forge.Transcript) { tr.Entries = slices.Delete(tr.Entries, 4, 5) },
		"mode":            func(tr *forge.Transcript) { tr.Mode = handshake.Strict },
		"hour":            func(tr *forge.Transcript) { tr.Hour += 24 * 40 },
		"role":            func(tr *forge.Transcript) { tr.Role = handshake.Responder },
		"card":            func(tr *forge.Transcript) { tr.PeerCard.Static[3]++ },
		"static key":      func(tr *forge.Transcript) { tr.Static = tr.Coins },
		"handshake coins": func(tr *forge.Transcript) { tr.Coins = tr.Pair },
		"pair secret":     func(tr *forge.Transcript) { tr.Pair = tr.Coins },
	} {
		tr := make1(t, handshake.Mutual, handshake.Initiator, identity.Inviter)
		alter(tr)
		if _, err := tr.Check(); err == nil {
			t.Errorf("%s altered: accepted", what)
		}
	}
}

// TestNoncesOfAForgery makes up one session twice, with the same draws and other words. All pass
// the check, and nonces have the form that a machine gives them, in the cells of either side:
// their beginning, of which the receiver of a real one keeps some, fits the other words as well,
// and their end does not.
func TestNoncesOfAForgery(t *testing.T) {
	const nonceSize = 24
	forged := func(words func(string) string) (cells []forge.Entry) {
		lines := slices.Clone(script)
		for i := range lines {
			lines[i].Text = words(lines[i].Text)
		}
		random := prototest.Reader(7)
		p, err := forge.Invent(random, "Alder desk", "Larch", hour*60+3)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := forge.Forge(p, lines, random)
		if err != nil {
			t.Fatal(err)
		}
		if said, err := tr.Check(); err != nil || !slices.Equal(said, lines) {
			t.Fatalf("%d lines, %v", len(said), err)
		}
		return tr.Entries
	}
	one, two := forged(func(s string) string { return s }), forged(strings.ToUpper)
	if len(one) != len(two) {
		t.Fatalf("%d and %d cells", len(one), len(two))
	}
	other := map[bool]int{}
	for i := range one {
		a, b := one[i].Cell[:nonceSize], two[i].Cell[:nonceSize]
		if !bytes.Equal(a[:ratchet.NonceStart], b[:ratchet.NonceStart]) {
			t.Errorf("cell %d: with other words the nonce begins with %x, not with %x", i, b, a)
		}
		if same := one[i].Body == two[i].Body; same != bytes.Equal(a[ratchet.NonceStart:], b[ratchet.NonceStart:]) {
			t.Errorf("cell %d: nonces %x and %x, of the same words: %v", i, a, b, same)
		} else if !same {
			other[one[i].FromPeer]++
		}
	}
	if other[false] < 2 || other[true] < 2 {
		t.Errorf("cells with other words by the one who forges: %d; by the other: %d", other[false], other[true])
	}
}

// TestLinesThatCross lets both write at once, either first.
func TestLinesThatCross(t *testing.T) {
	for _, first := range []bool{false, true} {
		p, err := forge.Invent(prototest.Reader(1), "a", "b", hour*60)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := forge.Forge(p, []forge.Line{
			{FromPeer: first, Minute: hour * 60, Text: "one"},
			{FromPeer: !first, Minute: hour * 60, Text: "two", Crossed: true},
			{FromPeer: first, Minute: hour * 60, Text: "three", Crossed: true},
			{FromPeer: first, Minute: hour * 60, Text: "four"},
		}, prototest.Reader(2))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := tr.Check()
		if err != nil || len(lines) != 4 {
			t.Errorf("%d lines, %v", len(lines), err)
		}
		// The discloser's own words stand where it wrote them, the peer's where
		// they arrived.
		if own := slices.IndexFunc(lines, func(l forge.Line) bool { return !l.FromPeer }); own != 0 {
			t.Errorf("the first own line stands at %d", own)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	raw := make1(t, handshake.Mutual, handshake.Initiator, identity.Inviter).Append(nil)
	for _, n := range []int{0, 3, 7, 12, 100, 600, 1200, 5000, 12000, len(raw) - 1} {
		if _, err := forge.Parse(raw[:n]); !errors.Is(err, forge.ErrStructure) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	if _, err := forge.Parse(append(bytes.Clone(raw), 0)); err == nil {
		t.Error("one byte more: accepted")
	}
}

func TestScriptsThatCannotBe(t *testing.T) {
	p, _ := forge.Invent(prototest.Reader(1), "a", "b", hour*60)
	for what, lines := range map[string][]forge.Line{
		"long before": {{Minute: hour*60 - 16*24*60, Text: "x"}},
		"long after":  {{Minute: hour*60 + 33*24*60, Text: "x"}},
		"empty":       {{Minute: hour * 60}},
		"too long":    {{Minute: hour * 60, Text: strings.Repeat("x", 1<<17)}},
	} {
		if _, err := forge.Forge(p, lines, prototest.Reader(2)); !errors.Is(err, forge.ErrScript) {
			t.Errorf("%s: %v", what, err)
		}
	}
	p.OwnName = strings.Repeat("x", 65)
	if _, err := forge.Forge(p, nil, prototest.Reader(2)); !errors.Is(err, forge.ErrScript) {
		t.Errorf("long name: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(make1(f, handshake.Mutual, handshake.Initiator, identity.Inviter).Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if tr, err := forge.Parse(raw); err == nil {
			if !bytes.Equal(tr.Append(nil), raw) {
				t.Error("a transcript has two encodings")
			}
			_, _ = tr.Check()
		}
	})
}
