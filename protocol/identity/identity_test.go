package identity_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
)

const onion = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:4127"

var places = []string{
	"192.0.2.7:4127", "[2001:db8::7]:65535", onion, "node.example.org:1",
	strings.Repeat("a", 29) + ".org:4127",
}

func place(t *testing.T, address string) identity.Place {
	t.Helper()
	p, err := identity.PlaceOf(address)
	if err != nil {
		t.Fatalf("PlaceOf(%q): %v", address, err)
	}
	return p
}

func invitation(t *testing.T, address string) identity.Invitation {
	t.Helper()
	var p identity.Place
	if address != "" {
		p = place(t, address)
	}
	inv, err := identity.NewInvitation(prototest.Reader(1), p, time.Unix(1795000031, 0), false)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestVectors(t *testing.T) {
	var made []prototest.Vector
	for _, address := range append([]string{""}, places...) {
		inv := invitation(t, address)
		link := inv.Link()
		card := identity.Card{Strict: true, Static: [32]byte{1, 2}, Network: identity.NetworkID{9}, Place: inv.Place}
		fp := card.Fingerprint()
		made = append(made, prototest.Vector{
			"name": "place " + address, "place": prototest.Hex(inv.Place.Append(nil)),
			"invitation": inv.Text(), "pair": prototest.Hex(inv.Pair([32]byte{1}, [32]byte{2}).Bytes()),
			"network": prototest.Hex(link.Network.Bytes()), "host-inviter": prototest.Hex(link.HostInviter.Bytes()),
			"host-accepter": prototest.Hex(link.HostAccepter.Bytes()), "box": prototest.Hex(link.Box.Bytes()),
			"card": prototest.Hex(card.Append(nil)), "fingerprint": prototest.Hex(fp[:]),
		})
	}
	prototest.Replay(t, "testdata/identity.json", made)
}

func TestWordVectors(t *testing.T) {
	binding, a, b := [32]byte{1}, [32]byte{2}, [32]byte{3}
	commit := identity.Commitment(identity.Inviter, a, binding)
	inviter, accepter := identity.SpokenBy(identity.Inviter, binding, a, b), identity.SpokenBy(identity.Accepter, binding, a, b)
	prototest.Replay(t, "testdata/words.json", []prototest.Vector{{
		"name": "binding 01.., inviter nonce 02.., accepter nonce 03..", "commitment": prototest.Hex(commit[:]),
		"inviter": fmt.Sprint(inviter.Words()), "inviter-digits": inviter.Digits(),
		"accepter": fmt.Sprint(accepter.Words()), "accepter-digits": accepter.Digits(),
	}})
}

func TestPlaces(t *testing.T) {
	for _, address := range places {
		p := place(t, address)
		if p.Address() != address {
			t.Errorf("%q became %q", address, p.Address())
		}
		enc := p.Append(nil)
		if len(enc) > identity.MaxPlace {
			t.Errorf("%q takes %d bytes", address, len(enc))
		}
		got, rest, err := identity.ParsePlace(append(enc, 1, 2))
		if err != nil || got != p || !bytes.Equal(rest, []byte{1, 2}) {
			t.Errorf("ParsePlace(%q) = %v, %v", address, got, err)
		}
	}
	for _, bad := range []string{
		"", "host", "host:0", "host:65536", "host:x", ":4127", "a..b:1", "-a.org:1", "a b:1", "1.2.3:4",
		"0.0.0.0:1", "[::]:1", "224.0.0.1:1", "fe80::1%eth0:1", strings.Repeat("a", 34) + ":1",
		"abc.onion:1", strings.Replace(onion, "pg6m", "qg6m", 1), "e\x1b[2J.org:1",
	} {
		if p, err := identity.PlaceOf(bad); err == nil {
			t.Errorf("PlaceOf(%q) = %v", bad, p)
		}
	}
}

func TestPlaceHasOneEncoding(t *testing.T) {
	name := func(s string) []byte { return append(append([]byte{4, byte(len(s))}, s...), 0, 80) }
	if _, _, err := identity.ParsePlace(name("abc")); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"[abc", "abc]", "[abc]", "ABC", "192.0.2.7", "[::1]", "abc.onion", ""} {
		if p, _, err := identity.ParsePlace(name(s)); err == nil {
			t.Errorf("the name %q is parsed as %q", s, p.Address())
		}
	}
	mapped := append([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7}, 0, 80)
	if _, _, err := identity.ParsePlace(mapped); err == nil {
		t.Error("an IPv4 address in IPv6 form is parsed")
	}
}

func TestInvitationText(t *testing.T) {
	for _, address := range append([]string{""}, places...) {
		inv := invitation(t, address)
		text := inv.Text()
		if len(text) > identity.MaxInvitation || identity.MaxInvitation > 160 {
			t.Errorf("an invitation has %d characters", len(text))
		}
		for _, written := range []string{text, strings.ToLower(text), " " + text[:20] + "\r\n  " + text[20:] + "\n"} {
			got, err := identity.ParseInvitation(written)
			if err != nil || got != inv {
				t.Errorf("ParseInvitation(%q) = %v", written, err)
			}
		}
	}
}

// TestEveryTypingErrorIsCaught changes each character to each other one, and
// cuts the line at every length.
func TestEveryTypingErrorIsCaught(t *testing.T) {
	text := invitation(t, places[0]).Text()
	for i := range text {
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789:" {
			if rune(text[i]) == c {
				continue
			}
			_, err := identity.ParseInvitation(text[:i] + string(c) + text[i+1:])
			if err == nil {
				t.Fatalf("character %d as %q: accepted", i, c)
			}
			if i >= 20 && !errors.Is(err, identity.ErrMistyped) && !errors.Is(err, identity.ErrTruncated) {
				t.Fatalf("character %d as %q: %v", i, c, err)
			}
		}
	}
	for n := range text {
		_, err := identity.ParseInvitation(text[:n])
		want := identity.ErrTruncated
		if n < 4 {
			want = identity.ErrNotInvitation
		}
		if !errors.Is(err, want) {
			t.Errorf("cut to %d of %d characters: %v, want %v", n, len(text), err, want)
		}
	}
	swapped := []byte(text)
	swapped[30], swapped[31] = swapped[31], swapped[30]
	if swapped[30] != swapped[31] {
		if _, err := identity.ParseInvitation(string(swapped)); !errors.Is(err, identity.ErrMistyped) {
			t.Errorf("two characters swapped: %v", err)
		}
	}
}

func TestInvitationIsNotPrinted(t *testing.T) {
	inv := invitation(t, places[0])
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(f, inv); got != "[invitation]" {
			t.Errorf("%s prints %q", f, got)
		}
	}
}

func TestEveryPartOfAnInvitationLeadsElsewhere(t *testing.T) {
	base := invitation(t, places[0])
	strict, later, moved := base, base, base
	strict.Strict = true
	later.Expiry = later.Expiry.Add(time.Minute)
	moved.Place = place(t, places[1])
	for _, other := range []identity.Invitation{strict, later, moved} {
		if other.Link().Network.Equal(base.Link().Network) || other.Pair([32]byte{}, [32]byte{}).Equal(base.Pair([32]byte{}, [32]byte{})) {
			t.Error("an altered invitation derives the same keys")
		}
	}
}

func TestCard(t *testing.T) {
	card := identity.Card{Static: [32]byte{7}, Place: place(t, onion)}
	enc := card.Append(nil)
	got, err := identity.ParseCard(enc)
	if err != nil || got != card {
		t.Fatalf("ParseCard = %+v, %v", got, err)
	}
	for n := range enc {
		if _, err := identity.ParseCard(enc[:n]); err == nil {
			t.Fatalf("cut to %d: accepted", n)
		}
	}
	for _, i := range []int{0, 1, 42, 500} {
		b := bytes.Clone(enc)
		b[i] |= 0x80
		if _, err := identity.ParseCard(b); err == nil {
			t.Errorf("byte %d spoiled: accepted", i)
		}
	}
	other := card
	other.Static[31] = 1
	if other.Fingerprint() == card.Fingerprint() {
		t.Error("two cards, one fingerprint")
	}
}

func TestWordListIsKnownByFourLetters(t *testing.T) {
	seen := map[string]bool{}
	for n := range uint16(2048) {
		w := identity.WordAt(n)
		stem := w[:min(4, len(w))]
		if seen[stem] {
			t.Errorf("%q shares its first four letters", w)
		}
		seen[stem] = true
		if got, ok := identity.FindWord(" " + strings.ToUpper(w)); !ok || got != w {
			t.Errorf("FindWord(%q) = %q, %v", w, got, ok)
		}
		if got, ok := identity.FindWord(stem); !ok || got != w && len(stem) == 4 {
			t.Errorf("FindWord(%q) = %q, %v", stem, got, ok)
		}
	}
	if len(seen) != 2048 {
		t.Errorf("%d words", len(seen))
	}
	for _, wrong := range []string{"", "zzzz", "aba", "abandom", "harbour"} {
		if w, ok := identity.FindWord(wrong); ok {
			t.Errorf("FindWord(%q) = %q", wrong, w)
		}
	}
	if got := identity.CompleteWord("vel"); len(got) != 1 || got[0] != "velvet" {
		t.Errorf("CompleteWord(vel) = %v", got)
	}
}

func TestSpokenMatching(t *testing.T) {
	sp := identity.SpokenBy(identity.Inviter, [32]byte{1}, [32]byte{2}, [32]byte{3})
	w := sp.Words()
	if _, all := sp.MatchWords([3]string{strings.ToUpper(w[0]), w[1], w[2]}); !all {
		t.Error("its own words do not match")
	}
	if fit, all := sp.MatchWords([3]string{w[0], "zoo", w[2]}); all || !fit[0] || fit[1] || !fit[2] {
		t.Errorf("a wrong second word: %v, %v", fit, all)
	}
	if fit, all := sp.MatchWords([3]string{w[1], w[0], w[2]}); all || fit[0] || fit[1] || !fit[2] {
		t.Errorf("the first two words exchanged: %v, %v", fit, all)
	}
	if !sp.MatchDigits(sp.Digits()) || !sp.MatchDigits(strings.ReplaceAll(sp.Digits(), " ", "-")) || sp.MatchDigits("12345 67890") || sp.MatchDigits("") {
		t.Error("digits match wrongly")
	}
	if sp == identity.SpokenBy(identity.Accepter, [32]byte{1}, [32]byte{2}, [32]byte{3}) {
		t.Error("both sides read the same words")
	}
}

// TestManInTheMiddleGame plays the attack on a shortened comparison of 8 bits: an
// attacker stands between two sessions and wants both victims to read the same.
// If he may choose his nonce after seeing theirs, he finds a fit nearly always;
// committed first, he gets one draw in 256.
func TestManInTheMiddleGame(t *testing.T) {
	const games = 20_000
	rng := prototest.Reader(5)
	draw := func() (n [32]byte) { rng.Read(n[:]); return }
	index := func(sp identity.Spoken) byte { // 8 of the 33 bits
		for i := range uint16(2048) {
			if identity.WordAt(i) == sp.Words()[0] {
				return byte(i)
			}
		}
		panic("a word that is not in the list")
	}
	committed, grinding := 0, 0
	for range games {
		// Alice and the attacker share session 1, the attacker and Bob session 2.
		s1, s2, alice, bob := draw(), draw(), draw(), draw()
		fake1, fake2 := draw(), draw() // chosen and committed before alice's and bob's are seen
		c := identity.Commitment(identity.Accepter, fake1, s1)
		if !identity.CheckCommitment(c, identity.Accepter, fake1, s1) {
			t.Fatal("an honest opening is refused")
		}
		aliceReads := index(identity.SpokenBy(identity.Inviter, s1, alice, fake1))
		if aliceReads == index(identity.SpokenBy(identity.Inviter, s2, fake2, bob)) {
			committed++
		}
		if identity.CheckCommitment(c, identity.Accepter, draw(), s1) {
			t.Fatal("another nonce opens the commitment")
		}
	}
	for range 20 { // the control: no commitment, so he searches
		s1, s2, alice, bob, fake1 := draw(), draw(), draw(), draw(), draw()
		aliceReads := index(identity.SpokenBy(identity.Inviter, s1, alice, fake1))
		for range 4096 {
			if aliceReads == index(identity.SpokenBy(identity.Inviter, s2, draw(), bob)) {
				grinding++
				break
			}
		}
	}
	// Binomial(20000, 1/256): mean 78, standard deviation 8.8.
	if committed < 78-45 || committed > 78+45 {
		t.Errorf("with commitments the attacker won %d of %d, want about %d", committed, games, games/256)
	}
	if grinding != 20 {
		t.Errorf("without commitments he won %d of 20: the control does not bite", grinding)
	}
}

func TestCommitmentBindsSideAndSession(t *testing.T) {
	nonce, binding := [32]byte{1}, [32]byte{2}
	c := identity.Commitment(identity.Inviter, nonce, binding)
	if identity.CheckCommitment(c, identity.Accepter, nonce, binding) {
		t.Error("a commitment can be reflected")
	}
	if identity.CheckCommitment(c, identity.Inviter, nonce, [32]byte{3}) {
		t.Error("a commitment can be carried to another session")
	}
}

func FuzzParseInvitation(f *testing.F) {
	inv, _ := identity.NewInvitation(prototest.Reader(1), identity.Place{}, time.Unix(1795000031, 0), true)
	f.Add(inv.Text())
	f.Fuzz(func(t *testing.T, s string) {
		if inv, err := identity.ParseInvitation(s); err == nil {
			again, err := identity.ParseInvitation(inv.Text())
			if err != nil || again != inv {
				t.Error("what was parsed does not parse again")
			}
		}
	})
}

func FuzzParseCard(f *testing.F) {
	f.Add(identity.Card{Static: [32]byte{1}}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := identity.ParseCard(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Error("a card has two encodings")
		}
	})
}

func FuzzPlace(f *testing.F) {
	for _, p := range places {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := identity.PlaceOf(s)
		if err != nil {
			return
		}
		got, rest, err := identity.ParsePlace(p.Append(nil))
		if err != nil || got != p || len(rest) != 0 {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	})
}
