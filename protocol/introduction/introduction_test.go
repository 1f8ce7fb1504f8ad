package introduction_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

const (
	now    = 29_500_000
	expiry = now + 3*24*60
)

const ofInviter, ofAccepter = "a colleague of mine upstream", "a colleague of mine on the other bank"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func invitation(t testing.TB, random io.Reader) identity.Invitation {
	t.Helper()
	place, err := identity.PlaceOf("192.0.2.7:4127")
	check(t, err)
	inv, err := identity.NewInvitation(random, place, time.Unix(expiry*60, 0), false)
	check(t, err)
	return inv
}

// world is an introducer and the two, who were asked.
type world struct {
	t                 testing.TB
	random            *rand.ChaCha8
	i                 *introduction.Introduction
	inviter, accepter *introduction.Party
}

func newWorld(t testing.TB, seed byte) *world {
	t.Helper()
	w := &world{t: t, random: prototest.Reader(seed)}
	var err error
	w.i, err = introduction.New(ofInviter, ofAccepter, expiry, now, w.random)
	check(t, err)
	w.inviter, err = introduction.NewParty(w.i.Ask(identity.Inviter), now)
	check(t, err)
	w.accepter, err = introduction.NewParty(w.i.Ask(identity.Accepter), now)
	check(t, err)
	return w
}

// restart stores all three and loads them again.
func (w *world) restart() {
	w.t.Helper()
	var err error
	w.i, err = introduction.Parse(w.i.Append(nil))
	check(w.t, err)
	w.inviter, err = introduction.ParseParty(w.inviter.Append(nil))
	check(w.t, err)
	w.accepter, err = introduction.ParseParty(w.accepter.Append(nil))
	check(w.t, err)
}

func (w *world) consent(p *introduction.Party) []byte {
	w.t.Helper()
	m, err := p.Consent(w.random, now)
	check(w.t, err)
	pass, err := w.i.Receive(p.Role(), m, now)
	check(w.t, err)
	return pass
}

// reply lets the inviter answer the share.
func (w *world) reply(share []byte, inv identity.Invitation) []byte {
	w.t.Helper()
	m, err := w.inviter.Invite(share, inv, w.random, now)
	check(w.t, err)
	pass, err := w.i.Receive(identity.Inviter, m, now)
	check(w.t, err)
	if len(m) > wire.ContentSize {
		w.t.Fatalf("a message of %d bytes does not go into a frame", len(m))
	}
	return pass
}

// TestBothConsent goes the whole way, with a restart before each step, whoever
// says yes first.
func TestBothConsent(t *testing.T) {
	for _, inviterFirst := range []bool{true, false} {
		w := newWorld(t, 1)
		first, second := w.inviter, w.accepter
		if !inviterFirst {
			first, second = second, first
		}
		if first.Text() == second.Text() || w.inviter.Text() != ofAccepter || w.accepter.Text() != ofInviter {
			t.Errorf("they read %q and %q", w.inviter.Text(), w.accepter.Text())
		}
		if w.i.ID(identity.Inviter) == w.i.ID(identity.Accepter) {
			t.Error("one ID for both")
		}
		if pass := w.consent(first); pass != nil {
			t.Fatal("something passes after one consent")
		}
		if _, _, known := w.i.Answers(now); known {
			t.Error("one answer is told before the other came")
		}
		w.restart()
		second = w.accepter
		if !inviterFirst {
			second = w.inviter
		}
		share := w.consent(second)
		if share == nil {
			t.Fatal("nothing passes after both consented")
		}
		w.restart()
		inv := invitation(t, w.random)
		reply := w.reply(share, inv)
		w.restart()
		got, err := w.accepter.Open(reply, now)
		if err != nil || got != inv {
			t.Fatalf("the invitation is %v, %v", got == inv, err)
		}
		w.restart()
		if !w.i.Done() || w.accepter.Stage() != introduction.Done || w.inviter.Stage() != introduction.Done {
			t.Error("not done")
		}
		a, b, known := w.i.Answers(now)
		if a != introduction.AnswerYes || b != introduction.AnswerYes || !known || w.inviter.Failed(expiry) || w.accepter.Failed(expiry) {
			t.Errorf("%v, %v, %v", a, b, known)
		}
		raw := inv.Append(nil)
		if bytes.Contains(w.i.Append(nil), raw[2:18]) || bytes.Contains(reply, raw[2:18]) {
			t.Error("the introducer has the invitation")
		}
	}
}

// TestRefusalAndSilenceAreOne lets one consent, and the other refuse, be silent, or
// never be asked: what the one gets and sees is the same, to the last minute.
func TestRefusalAndSilenceAreOne(t *testing.T) {
	for _, side := range []identity.Side{identity.Inviter, identity.Accepter} {
		var seen [][]byte
		for _, other := range []string{"refuses before", "refuses after", "is silent", "is not asked", "consents after the end"} {
			w := newWorld(t, 1)
			one, two := w.inviter, w.accepter
			if side == identity.Accepter {
				one, two = two, one
			}
			refuse := func() {
				m, err := two.Refuse()
				check(t, err)
				pass, err := w.i.Receive(two.Role(), m, now)
				if pass != nil || err != nil {
					t.Fatalf("a refusal passes something: %v", err)
				}
			}
			if other == "refuses before" {
				refuse()
			}
			if pass := w.consent(one); pass != nil {
				t.Fatal("something passes after one consent")
			}
			switch other {
			case "refuses after":
				refuse()
			case "consents after the end":
				if _, err := two.Consent(w.random, expiry); !errors.Is(err, introduction.ErrExpired) {
					t.Errorf("consent after the end: %v", err)
				}
			}
			view := one.Append(nil)
			for _, at := range []uint32{now, expiry - 1, expiry, expiry + 9} {
				if one.Failed(at) {
					view = append(view, byte(at-now))
				}
			}
			seen = append(seen, view)
		}
		for i, view := range seen {
			if !bytes.Equal(view, seen[0]) {
				t.Errorf("the %v can tell case %d from case 0", side, i)
			}
		}
	}
}

func TestAnswersAreKnownTogether(t *testing.T) {
	w := newWorld(t, 1)
	m, err := w.accepter.Refuse()
	check(t, err)
	_, err = w.i.Receive(identity.Accepter, m, now)
	check(t, err)
	if a, b, known := w.i.Answers(expiry - 1); known || a != 0 || b != 0 {
		t.Error("a refusal is told before the other answered")
	}
	if a, b, known := w.i.Answers(expiry); !known || a != introduction.AnswerNone || b != introduction.AnswerNo {
		t.Errorf("at the end: %v, %v, %v", a, b, known)
	}
	w.consent(w.inviter)
	if a, b, known := w.i.Answers(now); !known || a != introduction.AnswerYes || b != introduction.AnswerNo {
		t.Errorf("after both: %v, %v, %v", a, b, known)
	}
	w.restart()
}

// TestOrderGames gives every message at every wrong moment to everybody.
func TestOrderGames(t *testing.T) {
	w := newWorld(t, 1)
	asks := [][]byte{w.i.Ask(identity.Inviter), w.i.Ask(identity.Accepter)}
	yes, err := w.inviter.Consent(w.random, now)
	check(t, err)
	share, err := w.accepter.Consent(w.random, now)
	check(t, err)
	refused := func(what string, from identity.Side, m []byte) {
		t.Helper()
		before := w.i.Append(nil)
		if pass, err := w.i.Receive(from, m, now); err == nil || pass != nil || !bytes.Equal(before, w.i.Append(nil)) {
			t.Errorf("%s: passed %v, %v", what, pass != nil, err)
		}
	}
	reply := append(bytes.Clone(yes[:18]), make([]byte, introduction.PassSize-18)...)
	reply[1] = 5
	refused("a question", identity.Inviter, asks[0])
	refused("the accepter's yes as the inviter's", identity.Inviter, share)
	refused("a share under the inviter's name", identity.Inviter, append(bytes.Clone(share[:2]), append(bytes.Clone(yes[2:18]), share[18:]...)...))
	refused("a yes without a share", identity.Accepter, append(bytes.Clone(yes[:2]), share[2:18]...))
	refused("a reply before both consented", identity.Inviter, reply)
	refused("a share of zeros", identity.Accepter, append(bytes.Clone(share[:18]), make([]byte, len(share)-18)...))
	if _, err := w.i.Receive(identity.Inviter, yes, expiry); !errors.Is(err, introduction.ErrExpired) {
		t.Errorf("at the end: %v", err)
	}
	_, err = w.i.Receive(identity.Inviter, yes, now)
	check(t, err)
	refused("a second yes", identity.Inviter, yes)
	passed, err := w.i.Receive(identity.Accepter, share, now)
	check(t, err)
	refused("a second share", identity.Accepter, share)
	refused("a yes in place of the reply", identity.Inviter, yes)
	refused("a reply of the accepter", identity.Accepter, append(append([]byte{1, 5}, share[2:18]...), reply[18:]...))
	if _, err := w.inviter.Invite(share, invitation(t, w.random), w.random, now); !errors.Is(err, introduction.ErrOrder) {
		t.Errorf("a share under the accepter's name: %v", err)
	}
	if _, err := w.inviter.Invite(passed, invitation(t, w.random), w.random, expiry); !errors.Is(err, introduction.ErrExpired) {
		t.Errorf("a share at the end: %v", err)
	}
	out := w.reply(passed, invitation(t, w.random))
	if _, err := w.inviter.Invite(passed, invitation(t, w.random), w.random, now); !errors.Is(err, introduction.ErrOrder) {
		t.Errorf("a second invitation: %v", err)
	}
	refused("a second reply", identity.Inviter, reply)
	_, err = w.accepter.Open(out, now)
	check(t, err)
	if _, err := w.accepter.Open(out, now); !errors.Is(err, introduction.ErrOrder) {
		t.Errorf("opened twice: %v", err)
	}
	for _, p := range []*introduction.Party{w.inviter, w.accepter} {
		if _, err := p.Refuse(); !errors.Is(err, introduction.ErrOrder) {
			t.Errorf("refused after the end: %v", err)
		}
	}
	for what, text := range map[string]string{"none": "", "long": strings.Repeat("x", 129), "two lines": "a\nb", "turned": "a\u202eb"} {
		if _, err := introduction.New(text, ofAccepter, expiry, now, w.random); !errors.Is(err, introduction.ErrText) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := introduction.New(ofInviter, text, expiry, now, w.random); !errors.Is(err, introduction.ErrText) {
			t.Errorf("%s of the accepter: %v", what, err)
		}
	}
	for _, end := range []uint32{now, 0, now + introduction.MaxLife + 1} {
		if _, err := introduction.New(ofInviter, ofAccepter, end, now, w.random); !errors.Is(err, introduction.ErrExpiry) {
			t.Errorf("an end at %d: %v", end, err)
		}
	}
}

// TestTheIntroducerDoesNotRead has him keep every byte that he passed on, and in
// the end steal one of the accepter's two keys: he needs both.
func TestTheIntroducerDoesNotRead(t *testing.T) {
	w := newWorld(t, 1)
	w.consent(w.inviter)
	share := w.consent(w.accepter)
	x, seed := introduction.Private(w.accepter)
	inv := invitation(t, w.random)
	reply := w.reply(share, inv)
	if got, err := introduction.OpenWith(reply, x, seed); err != nil || got != inv {
		t.Fatalf("both keys do not open it: %v", err)
	}
	wrong := bytes.Repeat([]byte{7}, 32)
	if _, err := introduction.OpenWith(reply, wrong, seed); err == nil {
		t.Error("the ML-KEM key alone opens it")
	}
	other := *seed
	other[0] ^= 1
	if _, err := introduction.OpenWith(reply, x, &other); err == nil {
		t.Error("the X25519 key alone opens it")
	}
	prototest.Flip(t, reply, func(b []byte) bool {
		p, err := introduction.ParseParty(w.accepter.Append(nil))
		check(t, err)
		_, err = p.Open(b, now)
		return err == nil
	})
	for _, low := range [][]byte{make([]byte, 32), append([]byte{1}, make([]byte, 31)...)} {
		p := newWorld(t, 1)
		p.consent(p.inviter)
		bad := bytes.Clone(share)
		copy(bad[18:], low)
		if _, err := p.inviter.Invite(bad, inv, p.random, now); !errors.Is(err, introduction.ErrRefused) {
			t.Errorf("a share of low order: %v", err)
		}
	}
	bad := bytes.Clone(share)
	copy(bad[50:], bytes.Repeat([]byte{0xff}, 12))
	p := newWorld(t, 1)
	p.consent(p.inviter)
	if _, err := p.inviter.Invite(bad, inv, p.random, now); !errors.Is(err, introduction.ErrRefused) {
		t.Errorf("an ML-KEM key that is none: %v", err)
	}
}

// words runs the first session of a contact, and returns what each side believes
// that the inviter reads aloud.
func words(t testing.TB, inviterInv, accepterInv identity.Invitation, random io.Reader) (inviter, accepter identity.Spoken, met bool) {
	t.Helper()
	draw := func() secret.Key {
		k, err := secret.Read(random)
		check(t, err)
		return k
	}
	si, sa := draw(), draw()
	pi, err := handshake.PublicKey(si.Bytes())
	check(t, err)
	pa, err := handshake.PublicKey(sa.Bytes())
	check(t, err)
	ci, ca := identity.Card{Static: pi}.Fingerprint(), identity.Card{Static: pa}.Fingerprint()
	run, m1, err := handshake.Initiate(handshake.Config{
		Mode: handshake.Mutual, Static: sa, PeerStatic: pi, LocalCard: ca, PeerCard: ci, Pair: accepterInv.Pair(pi, pa),
	}, draw())
	check(t, err)
	answer, m2, err := handshake.Respond(handshake.Config{
		Mode: handshake.Mutual, Static: si, PeerStatic: pa, LocalCard: ci, PeerCard: ca, Pair: inviterInv.Pair(pi, pa),
	}, draw(), m1)
	if err != nil {
		return identity.Spoken{}, identity.Spoken{}, false
	}
	m3, first, err := run.Finish(m2)
	check(t, err)
	second, err := answer.Finish(m3)
	check(t, err)
	ni, na := [32]byte(draw().Bytes()), [32]byte(draw().Bytes())
	return identity.SpokenBy(identity.Inviter, second.Binding, ni, na), identity.SpokenBy(identity.Inviter, first.Binding, ni, na), true
}

// TestWordsFindTheIntroducerInTheMiddle has him open both halves himself: he gets
// the inviter's invitation, and gives the accepter one of his own. Then there are
// two contacts, and nothing shows it but the words.
func TestWordsFindTheIntroducerInTheMiddle(t *testing.T) {
	const games = 40
	honest, found := 0, 0
	for n := range games {
		w := newWorld(t, byte(n))
		w.consent(w.inviter)
		share := w.consent(w.accepter)
		inv := invitation(t, w.random)
		got, err := w.accepter.Open(w.reply(share, inv), now)
		check(t, err)
		a, b, met := words(t, inv, got, w.random)
		if met && a == b {
			honest++
		}
		// The one in the middle plays the accepter to the inviter, and the inviter to
		// the accepter.
		w = newWorld(t, byte(n))
		fakeAccepter, err := introduction.NewParty(w.i.Ask(identity.Accepter), now)
		check(t, err)
		fakeInviter, err := introduction.NewParty(w.i.Ask(identity.Inviter), now)
		check(t, err)
		w.consent(w.inviter)
		toInviter := w.consent(fakeAccepter)
		_, err = fakeInviter.Consent(w.random, now)
		check(t, err)
		share, err = w.accepter.Consent(w.random, now)
		check(t, err)
		inv = invitation(t, w.random)
		stolen, err := fakeAccepter.Open(w.reply(toInviter, inv), now)
		if err != nil || stolen != inv {
			t.Fatalf("he does not get in the middle: %v", err)
		}
		id := w.i.ID(identity.Inviter)
		copy(share[2:18], id[:])
		own := invitation(t, w.random)
		bait, err := fakeInviter.Invite(share, own, w.random, now)
		check(t, err)
		id = w.i.ID(identity.Accepter)
		copy(bait[2:18], id[:])
		taken, err := w.accepter.Open(bait, now)
		if err != nil || taken != own {
			t.Fatalf("the accepter does not take his invitation: %v", err)
		}
		withInviter, _, met1 := words(t, inv, stolen, w.random)
		_, withAccepter, met2 := words(t, own, taken, w.random)
		if !met1 || !met2 {
			t.Fatal("the sessions in the middle do not stand")
		}
		if withInviter != withAccepter {
			found++
		}
	}
	if honest != games || found != games { // chance that he is not found: 2^-33 each
		t.Errorf("of %d: %d times the words of an honest introduction fit, %d times one in the middle is found", games, honest, found)
	}
}

// TestAnyOfThreeWritesAll: one hand makes what three would have made, with the code
// of all three; and what the introducer saw can be made of random keys, so that
// each byte has the same frequencies.
func TestAnyOfThreeWritesAll(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 100
	}
	var counts [2][2 * introduction.PassSize][16]float64
	for i := range 2 * n {
		w := newWorld(t, byte(i))
		w.random = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i % 2)})
		inv := invitation(t, w.random)
		if i%2 == 1 { // nobody's: an invitation that was never made
			inv = identity.Invitation{Expiry: time.Unix(0, 0)}
			inv.Secret[0] = byte(i)
		}
		w.consent(w.inviter)
		share := w.consent(w.accepter)
		for at, b := range append(share, w.reply(share, inv)...) {
			counts[i%2][at][b&15]++
		}
	}
	for at := range counts[0] {
		if at%introduction.PassSize < 18 {
			continue // the same ID by construction
		}
		chi := 0.0
		for c := range 16 {
			x, y := counts[0][at][c], counts[1][at][c]
			if x+y > 0 {
				chi += (x - y) * (x - y) / (x + y)
			}
		}
		if chi > 60 { // 15 degrees of freedom: 2 in 10 million by chance, of 2,400 places
			t.Errorf("byte %d tells a real introduction: chi-square %.1f", at, chi)
		}
	}
}

func TestRepeatedRandomnessIsHarmless(t *testing.T) {
	stuck := func() io.Reader { return bytes.NewReader(bytes.Repeat([]byte{1}, 64)) }
	w := newWorld(t, 1)
	w.consent(w.inviter)
	share := w.consent(w.accepter)
	var replies [2][]byte
	for n := range replies {
		p, err := introduction.ParseParty(w.inviter.Append(nil))
		check(t, err)
		inv := invitation(t, w.random)
		replies[n], err = p.Invite(share, inv, stuck(), now)
		check(t, err)
	}
	if bytes.Equal(replies[0][18:50], replies[1][18:50]) {
		t.Error("one key for two invitations")
	}
	if _, err := newWorld(t, 1).accepter.Consent(bytes.NewReader(make([]byte, 32)), now); !errors.Is(err, introduction.ErrRandom) {
		t.Errorf("nothing but zeros: %v", err)
	}
	if _, err := newWorld(t, 1).accepter.Consent(bytes.NewReader(nil), now); err == nil {
		t.Error("consent without randomness")
	}
}
