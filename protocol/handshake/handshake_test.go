package handshake_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/c2sp/wycheproof"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

func key(b byte) secret.Key {
	k, _ := secret.Read(prototest.Reader(b))
	return k
}

// pair returns the configs of two people who know each other.
func pair(t testing.TB, mode handshake.Mode) (a, b handshake.Config) {
	t.Helper()
	a = handshake.Config{Mode: mode, Static: key(1), LocalCard: [32]byte{1}, PeerCard: [32]byte{2}, Pair: key(3)}
	b = handshake.Config{Mode: mode, Static: key(2), LocalCard: [32]byte{2}, PeerCard: [32]byte{1}, Pair: key(3)}
	var err error
	if a.PeerStatic, err = handshake.PublicKey(b.Static.Bytes()); err != nil {
		t.Fatal(err)
	}
	if b.PeerStatic, err = handshake.PublicKey(a.Static.Bytes()); err != nil {
		t.Fatal(err)
	}
	return a, b
}

type run struct {
	m1, m2, m3 *handshake.Message
	a, b       *handshake.Session
}

// shake runs a whole handshake; both runs are rebuilt from their coins before
// each step, as after a restart.
func shake(t testing.TB, a, b handshake.Config, coinsA, coinsB secret.Key) run {
	t.Helper()
	var r run
	_, m1, err := handshake.Initiate(a, coinsA)
	check(t, err)
	_, m2, err := handshake.Respond(b, coinsB, m1)
	check(t, err)
	ia, again, err := handshake.Initiate(a, coinsA)
	check(t, err)
	if *again != *m1 {
		t.Fatal("the same coins made another m1")
	}
	m3, sa, err := ia.Finish(m2)
	check(t, err)
	rb, again, err := handshake.Respond(b, coinsB, m1)
	check(t, err)
	if *again != *m2 {
		t.Fatal("the same coins made another m2")
	}
	sb, err := rb.Finish(m3)
	check(t, err)
	r.m1, r.m2, r.m3, r.a, r.b = m1, m2, m3, sa, sb
	return r
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(a, b *handshake.Session) bool {
	return a.Binding == b.Binding && a.Root.Equal(b.Root) && a.HeaderI.Equal(b.HeaderI) && a.HeaderR.Equal(b.HeaderR) &&
		a.Box.Equal(b.Box) && a.NextPair.Equal(b.NextPair) && a.Dial.Equal(b.Dial) && a.Recovery.Equal(b.Recovery) &&
		a.Prekeys == b.Prekeys
}

func TestBothSidesAgree(t *testing.T) {
	for _, mode := range []handshake.Mode{handshake.Mutual, handshake.Strict} {
		a, b := pair(t, mode)
		r := shake(t, a, b, key(10), key(11))
		if !same(r.a, r.b) {
			t.Fatalf("%v: the sessions differ", mode)
		}
		keys := []secret.Key{r.a.Root, r.a.HeaderI, r.a.HeaderR, r.a.Box, r.a.NextPair, r.a.Dial, r.a.Recovery, a.Pair}
		for i := range keys {
			for j := range i {
				if keys[i].Equal(keys[j]) {
					t.Errorf("%v: keys %d and %d are one", mode, i, j)
				}
			}
		}
		// A second handshake with the rolled secret shares nothing with the first.
		a.Pair, b.Pair = r.a.NextPair, r.b.NextPair
		if next := shake(t, a, b, key(10), key(11)); next.a.Root.Equal(r.a.Root) || *next.m1 == *r.m1 {
			t.Errorf("%v: the rolled secret changed nothing", mode)
		}
	}
}

func TestVectors(t *testing.T) {
	var made []prototest.Vector
	for _, mode := range []handshake.Mode{handshake.Mutual, handshake.Strict} {
		a, b := pair(t, mode)
		r := shake(t, a, b, key(10), key(11))
		made = append(made, prototest.Vector{
			"name": mode.String() + ": static keys ChaCha8 seed 01 and 02, pair 03, coins 0a and 0b, cards 01.. and 02..",
			"m1":   prototest.Hex(r.m1[:]), "m2": prototest.Hex(r.m2[:]), "m3": prototest.Hex(r.m3[:]),
			"binding": prototest.Hex(r.a.Binding[:]), "root": prototest.Hex(r.a.Root.Bytes()),
			"header-initiator": prototest.Hex(r.a.HeaderI.Bytes()), "header-responder": prototest.Hex(r.a.HeaderR.Bytes()),
			"box": prototest.Hex(r.a.Box.Bytes()), "drops": prototest.Hex(r.a.Drops.Bytes()), "next-pair": prototest.Hex(r.a.NextPair.Bytes()),
			"dial": prototest.Hex(r.a.Dial.Bytes()), "recovery": prototest.Hex(r.a.Recovery.Bytes()),
		})
	}
	day := handshake.RecoveryPair(key(3), 20000)
	later, ok := handshake.RecoverySecret(key(3), 666, 668)
	if _, back := handshake.RecoverySecret(key(3), 666, 665); !ok || back {
		t.Error("a recovery secret leads back, or not ahead")
	}
	knock := handshake.KnockTag(key(3), identity.Inviter, 480000)
	answer := handshake.AnswerTag(key(3), 2, new(handshake.Message))
	card := handshake.CardTag(key(3))
	parted := handshake.PartedTag(key(3), key(4), identity.Inviter, 480000)
	made = append(made, prototest.Vector{
		"name": "tags under key ChaCha8 seed 03", "knock": prototest.Hex(knock[:]), "answer": prototest.Hex(answer[:]),
		"card": prototest.Hex(card[:]), "parted": prototest.Hex(parted[:]), "recovery-pair": prototest.Hex(day.Bytes()), "recovery-secret": prototest.Hex(later.Bytes()),
	})
	prototest.Replay(t, "testdata/handshake.json", made)
}

func TestEveryBitOfEveryMessageCounts(t *testing.T) {
	a, b := pair(t, handshake.Mutual)
	r := shake(t, a, b, key(10), key(11))
	prototest.Flip(t, r.m1[:], func(m []byte) bool {
		_, _, err := handshake.Respond(b, key(11), (*handshake.Message)(m))
		return err == nil
	})
	refused := 0
	prototest.Flip(t, r.m2[:], func(m []byte) bool {
		ia, _, err := handshake.Initiate(a, key(10))
		check(t, err)
		_, _, err = ia.Finish((*handshake.Message)(m))
		if errors.Is(err, handshake.ErrHandshake) {
			refused++
		}
		return err == nil
	})
	if refused != handshake.MessageSize {
		t.Errorf("%d of %d refusals had the one error", refused, handshake.MessageSize)
	}
	for _, part := range [][]byte{r.m3[:200], r.m3[handshake.MessageSize-16:]} { // a run of its own for each bit
		whole := *r.m3
		prototest.Flip(t, part, func(m []byte) bool {
			rb, _, err := handshake.Respond(b, key(11), r.m1)
			check(t, err)
			copy(part, m)
			_, err = rb.Finish(r.m3)
			*r.m3 = whole
			return err == nil
		})
	}
	for bit := range 8 * 32 { // every bit of the ephemeral keys, which X25519 does not all read
		m1, m2 := *r.m1, *r.m2
		m1[bit/8] ^= 1 << (bit % 8)
		m2[bit/8] ^= 1 << (bit % 8)
		ia, _, _ := handshake.Initiate(a, key(10))
		_, _, err1 := handshake.Respond(b, key(11), &m1)
		_, _, err2 := ia.Finish(&m2)
		if !errors.Is(err1, handshake.ErrHandshake) || !errors.Is(err2, handshake.ErrHandshake) {
			t.Fatalf("bit %d of an ephemeral key changed: %v, %v", bit, err1, err2)
		}
	}
	if again := shake(t, a, b, key(10), key(11)); !same(again.a, r.a) || !same(again.b, r.b) {
		t.Error("after all that the two come to another session")
	}
}

func TestAnyDifferenceRefuses(t *testing.T) {
	for _, mode := range []handshake.Mode{handshake.Mutual, handshake.Strict} {
		a, b := pair(t, mode)
		_, m1, err := handshake.Initiate(a, key(10))
		check(t, err)
		differ := map[string]func(*handshake.Config){
			"pair secret":                func(c *handshake.Config) { c.Pair = key(9) },
			"own static":                 func(c *handshake.Config) { c.Static = key(9) },
			"peer's static":              func(c *handshake.Config) { c.PeerStatic, _ = handshake.PublicKey(key(9).Bytes()) },
			"own card":                   func(c *handshake.Config) { c.LocalCard[5]++ },
			"peer's card":                func(c *handshake.Config) { c.PeerCard[5]++ },
			"cards swapped":              func(c *handshake.Config) { c.LocalCard, c.PeerCard = c.PeerCard, c.LocalCard },
			"mode":                       func(c *handshake.Config) { c.Mode = 3 - c.Mode },
			"mode not known":             func(c *handshake.Config) { c.Mode = 0 },
			"peer is myself":             func(c *handshake.Config) { c.PeerStatic, _ = handshake.PublicKey(c.Static.Bytes()) },
			"peer's static of low order": func(c *handshake.Config) { c.PeerStatic = [32]byte{1} },
		}
		for what, change := range differ {
			other := b
			change(&other)
			if _, _, err := handshake.Respond(other, key(11), m1); !errors.Is(err, handshake.ErrHandshake) {
				t.Errorf("%v, %s differs: %v", mode, what, err)
			}
		}
	}
}

func TestMessagesOutOfOrder(t *testing.T) {
	a, b := pair(t, handshake.Mutual)
	r := shake(t, a, b, key(10), key(11))
	messages := map[string]*handshake.Message{"m1": r.m1, "m2": r.m2, "m3": r.m3}
	for name, m := range messages {
		if _, _, err := handshake.Respond(b, key(11), m); (err == nil) != (name == "m1") {
			t.Errorf("%s as m1: %v", name, err)
		}
		ia, _, _ := handshake.Initiate(a, key(10))
		if _, _, err := ia.Finish(m); (err == nil) != (name == "m2") {
			t.Errorf("%s as m2: %v", name, err)
		}
		if _, _, err := ia.Finish(r.m2); err == nil {
			t.Error("a spent initiator finished")
		}
		rb, _, _ := handshake.Respond(b, key(11), r.m1)
		if _, err := rb.Finish(m); (err == nil) != (name == "m3") {
			t.Errorf("%s as m3: %v", name, err)
		}
		if _, err := rb.Finish(r.m3); err == nil {
			t.Error("a spent responder finished")
		}
	}
	// A message of another run with the same keys does not fit.
	other := shake(t, a, b, key(20), key(21))
	ia, _, _ := handshake.Initiate(a, key(10))
	if _, _, err := ia.Finish(other.m2); err == nil {
		t.Error("m2 of another run accepted")
	}
	rb, _, _ := handshake.Respond(b, key(11), r.m1)
	if _, err := rb.Finish(other.m3); err == nil {
		t.Error("m3 of another run accepted")
	}
}

// TestThiefOfOneSideCannotPoseAsTheOther is key compromise impersonation: with
// b's static key and the pair secret an attacker starts as a towards b and does
// not come to a session. In strict mode he does, as the mode says.
func TestThiefOfOneSideCannotPoseAsTheOther(t *testing.T) {
	for _, mode := range []handshake.Mode{handshake.Mutual, handshake.Strict} {
		a, b := pair(t, mode)
		thief := a
		thief.Static = key(66) // not a's
		thief.StaticPublic = b.PeerStatic
		thief.Exchange = func(private, public []byte) ([]byte, error) {
			if bytes.Equal(private, thief.Static.Bytes()) && bytes.Equal(public, a.PeerStatic[:]) {
				return handshake.Exchange(b.Static.Bytes(), b.PeerStatic[:]) // ss, from b's stolen key
			}
			return handshake.Exchange(private, public) // se: wrong, he has not a's key
		}
		it, m1, err := handshake.Initiate(thief, key(10))
		check(t, err)
		rb, m2, err := handshake.Respond(b, key(11), m1)
		check(t, err)
		m3, _, err := it.Finish(m2)
		posed := err == nil
		if posed {
			_, err = rb.Finish(m3)
			posed = err == nil
		}
		if posed != (mode == handshake.Strict) {
			t.Errorf("%v: thief posed as the other: %v", mode, posed)
		}
	}
}

func TestFlight(t *testing.T) {
	card := identity.Card{Static: [32]byte{4}}
	for _, f := range []*handshake.Flight{{Tag: handshake.Tag{1}, Message: handshake.Message{2}, Card: &card}, {Tag: handshake.Tag{3}}} {
		got, err := handshake.ParseFlight(f.Cell())
		if err != nil || got.Tag != f.Tag || got.Message != f.Message || (got.Card == nil) != (f.Card == nil) || got.Card != nil && *got.Card != *f.Card {
			t.Errorf("ParseFlight = %+v, %v", got, err)
		}
	}
	c := (&handshake.Flight{}).Cell()
	c[wire.CellSize-1] = 1
	if _, err := handshake.ParseFlight(c); err == nil {
		t.Error("a tail that is no card: accepted")
	}
}

// TestPartedTags: who has the day's pair secret knows such a tag, of whatever session; whether it
// is of one's own session tells who is in it alone. Every bit of it counts.
func TestPartedTags(t *testing.T) {
	of := func(day, session byte, from identity.Side, hour uint32) handshake.Tag {
		return handshake.PartedTag(key(day), key(session), from, hour)
	}
	own := of(1, 2, identity.Inviter, 480000)
	for name, c := range map[string]struct {
		tag          handshake.Tag
		parted, same bool
	}{
		"one's own":       {own, true, true},
		"another session": {of(1, 3, identity.Inviter, 480000), true, false},
		"another day":     {of(3, 2, identity.Inviter, 480000), false, false},
		"another hour":    {of(1, 2, identity.Inviter, 480001), false, false},
		"another side":    {of(1, 2, identity.Accepter, 480000), false, false},
		"a knock":         {handshake.KnockTag(key(1), identity.Inviter, 480000), false, false},
	} {
		if parted, same := c.tag.Parted(own); parted != c.parted || same != c.same {
			t.Errorf("%s: %v, %v", name, parted, same)
		}
	}
	for i := range 8 * handshake.TagSize {
		flipped := own
		flipped[i/8] ^= 1 << (i % 8)
		if parted, same := flipped.Parted(own); same || parted != (i >= 4*handshake.TagSize) {
			t.Errorf("bit %d: %v, %v", i, parted, same)
		}
	}
}

func TestTagsDiffer(t *testing.T) {
	seen := map[handshake.Tag]bool{}
	for _, pair := range []secret.Key{key(1), key(2)} {
		seen[handshake.CardTag(pair)] = true
		for _, side := range []identity.Side{identity.Inviter, identity.Accepter} {
			for hour := range uint32(49) {
				seen[handshake.KnockTag(pair, side, hour)] = true
				seen[handshake.PartedTag(pair, key(3), side, hour)] = true
			}
		}
		for step := byte(2); step <= 3; step++ {
			for m := range byte(3) {
				seen[handshake.AnswerTag(pair, step, &handshake.Message{m})] = true
			}
		}
	}
	if want := 2 * (1 + 2*2*49 + 2*3); len(seen) != want {
		t.Errorf("%d distinct tags, want %d", len(seen), want)
	}
	at := time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)
	if handshake.Hour(at.Add(time.Second)) != handshake.Hour(at)+1 || handshake.Day(at.Add(time.Second)) != handshake.Day(at)+1 {
		t.Error("hours or days do not turn")
	}
}

func TestWycheproofX25519(t *testing.T) {
	raw, err := fs.ReadFile(wycheproof.TestVectors, "x25519_test.json")
	check(t, err)
	var file struct {
		TestGroups []struct {
			Tests []struct {
				TcID                    int
				Public, Private, Shared string
				Result                  string
				Flags                   []string
			}
		}
	}
	check(t, json.Unmarshal(raw, &file))
	ran, low := 0, 0
	for _, g := range file.TestGroups {
		for _, c := range g.Tests {
			ran++
			want := prototest.Unhex(t, c.Shared)
			got, err := handshake.Exchange(prototest.Unhex(t, c.Private), prototest.Unhex(t, c.Public))
			if bytes.Equal(want, make([]byte, 32)) {
				low++
				if !errors.Is(err, handshake.ErrHandshake) {
					t.Errorf("case %d: a point of low order gave %v", c.TcID, err)
				}
			} else if err != nil || !bytes.Equal(got, want) {
				t.Errorf("case %d: %v", c.TcID, err)
			}
		}
	}
	if ran < 500 || low < 30 {
		t.Errorf("ran %d cases, %d of low order", ran, low)
	}
}

func FuzzRespond(f *testing.F) {
	a, b := pair(f, handshake.Mutual)
	_, m1, _ := handshake.Initiate(a, key(10))
	f.Add(m1[:])
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m handshake.Message
		copy(m[:], raw)
		if _, _, err := handshake.Respond(b, key(11), &m); err == nil && m != *m1 {
			t.Error("an invented m1 was answered")
		}
		ia, _, _ := handshake.Initiate(a, key(10))
		if _, _, err := ia.Finish(&m); err == nil {
			t.Error("an invented m2 was accepted")
		}
	})
}

func FuzzParseFlight(f *testing.F) {
	f.Add((&handshake.Flight{Card: &identity.Card{}}).Cell()[:])
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c wire.Cell
		copy(c[:], raw)
		if fl, err := handshake.ParseFlight(&c); err == nil && *fl.Cell() != c {
			t.Error("a flight has two encodings")
		}
	})
}

func BenchmarkHandshakeBothSides(b *testing.B) {
	x, y := pair(b, handshake.Mutual)
	b.ReportAllocs()
	for b.Loop() {
		ia, m1, _ := handshake.Initiate(x, key(10))
		rb, m2, _ := handshake.Respond(y, key(11), m1)
		m3, _, _ := ia.Finish(m2)
		if _, err := rb.Finish(m3); err != nil {
			b.Fatal(err)
		}
	}
}
