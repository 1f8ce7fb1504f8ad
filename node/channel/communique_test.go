package channel_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/wire"
)

// draft sends a version of a text.
func (s *side) draft(text string) uint32 {
	s.w.t.Helper()
	d, out, err := s.c.Draft(s.now(), channel.Open, text)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
	s.w.pass(2*time.Second, time.Second)
	return d.Version
}

// sign goes on with a signing, and answers with how it stands when nothing moves.
func (s *side) sign(version uint32) channel.SigningState {
	s.w.t.Helper()
	_, out, err := s.c.Sign(s.now(), channel.Open, version, s.digest(version), s.now().Add(time.Hour), true)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
	s.w.pass(2*time.Second, time.Second)
	return s.signing(version)
}

// digest is that of the text that is shown for a version.
func (s *side) digest(version uint32) [32]byte {
	d, _ := s.c.DraftText(channel.Open, version) // zeros for one that is not there
	return d.Digest
}

func (s *side) signing(version uint32) channel.SigningState {
	v, err := s.c.Communique(s.now(), channel.Open)
	if err != nil {
		s.w.t.Fatal(err)
	}
	for _, x := range slices.Backward(v.Signings) {
		if x.Version == version {
			return x.State
		}
	}
	return 0
}

func (w *world) wantSigning(what string, version uint32, a, b channel.SigningState) {
	w.t.Helper()
	if gotA, gotB := w.a.signing(version), w.b.signing(version); gotA != a || gotB != b {
		w.t.Fatalf("%s: %q and %q, want %q and %q", what, gotA, gotB, a, b)
	}
}

// agreed is a world in which both have sent a draft; the first is version 1.
func agreed(t *testing.T, seed byte) *world {
	t.Helper()
	w := newWorld(t, seed)
	w.meet()
	if v := w.a.draft("one"); v != 1 {
		t.Fatalf("the inviter's first version is %d", v)
	}
	if v := w.b.draft("two"); v != 2 {
		t.Fatalf("the accepter's first version is %d", v)
	}
	return w
}

// TestCommuniqueStepByStep restarts both sides between all steps, and looks who could
// walk away with what.
func TestCommuniqueStepByStep(t *testing.T) {
	w := agreed(t, 40)
	again := func() {
		w.a.restart()
		w.b.restart()
		w.connect()
		w.settle()
	}
	w.a.sign(1)
	again()
	w.wantSigning("proposed", 1, channel.SigningAsked, channel.SigningProposed)
	w.b.sign(1)
	again()
	w.wantSigning("taken up", 1, channel.SigningYours, channel.SigningTheirs)
	w.a.sign(1)
	again()
	w.wantSigning("signed by one", 1, channel.SigningTheirs, channel.SigningYours)
	for _, s := range []*side{w.a, w.b} {
		if _, err := s.c.CommuniqueFile(s.now(), channel.Open, 1); !errors.Is(err, channel.ErrNotSigned) {
			t.Errorf("published early: %v", err)
		}
	}
	w.b.sign(1)
	again()
	w.wantSigning("signed by both", 1, channel.SigningDone, channel.SigningDone)
	a, err := w.a.c.CommuniqueFile(w.a.now(), channel.Open, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.b.c.CommuniqueFile(w.b.now(), channel.Open, 1)
	if c, bad := communique.Verify(a); err != nil || bad != nil || c.Text != "one\n" || !bytes.Equal(a, b) {
		t.Errorf("the files differ, or are not good: %v, %v", err, bad)
	}
}

// TestNothingIsSignedUnasked has one side do everything that it can without the other
// person: no answer leaves that was not asked of him.
func TestNothingIsSignedUnasked(t *testing.T) {
	w := newWorld(t, 41)
	w.meet()
	w.a.draft("one")
	if _, _, err := w.a.c.Sign(w.now, channel.Open, 1, w.a.digest(1), w.now.Add(time.Hour), true); !errors.Is(err, channel.ErrNotPublishable) {
		t.Errorf("signing where the other has said nothing: %v", err)
	}
	w.b.draft("two")
	w.a.sign(1)
	w.pass(10*time.Minute, 30*time.Second)
	if sent := slices.DeleteFunc(w.b.c.Transcript(0), func(m channel.Message) bool { return m.Direction != channel.Out }); len(sent) != 1 {
		t.Errorf("%d lines left unasked", len(sent)-1)
	}
	w.b.sign(1)
	_, out, err := w.a.c.Sign(w.now, channel.Open, 1, w.a.digest(1), time.Time{}, false)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.wantSigning("not agreed", 1, channel.SigningYours, channel.SigningTheirs)
}

// TestBothPropose has both propose at once, the same version or two.
func TestBothPropose(t *testing.T) {
	for _, version := range []uint32{1, 2} {
		w := agreed(t, 42)
		w.cut()
		w.a.sign(1)
		w.b.sign(version)
		w.connect()
		w.settle()
		w.wantSigning("crossed", 1, channel.SigningAsked, channel.SigningProposed)
		w.b.sign(1)
		w.a.sign(1)
		if got := w.b.sign(1); got != channel.SigningDone {
			t.Errorf("crossed with version %d, it ends %q", version, got)
		}
	}
}

// TestSigningExpires lets a signing expire at each step: nothing of it is sent
// afterwards, and who has signed waits.
func TestSigningExpires(t *testing.T) {
	for steps := range 4 {
		w := agreed(t, 43)
		for i := range steps {
			[]*side{w.a, w.b, w.a}[i].sign(1)
		}
		w.cut()
		[]*side{w.a, w.b, w.a, w.b}[steps].sign(1) // it cannot leave any more
		w.now = w.now.Add(2 * time.Hour)
		w.a.restart()
		w.b.restart()
		w.connect()
		w.settle()
		w.pass(time.Minute, 10*time.Second)
		if a, b := w.a.signing(1), w.b.signing(1); a != 0 || b != 0 {
			t.Errorf("after %d steps: %q and %q", steps, a, b)
		}
		if got := w.a.sign(1); got != channel.SigningAsked {
			t.Errorf("after %d steps a new proposal is %q", steps, got)
		}
	}
}

// TestSignatureThatMayHaveLeft expires when who answered has signed, and knows only
// that it may have arrived. He waits; what was lost is not sent again.
func TestSignatureThatMayHaveLeft(t *testing.T) {
	w := agreed(t, 45)
	w.a.sign(1)
	w.b.sign(1)
	w.a.sign(1)
	w.mangle = func(*wire.Box) []*wire.Box { return nil }
	if got := w.b.sign(1); got != channel.SigningRelease {
		t.Fatalf("signed, and it is %q", got)
	}
	w.mangle = nil
	w.now = w.now.Add(2 * time.Hour)
	w.connect()
	w.settle()
	w.pass(3*time.Minute, 10*time.Second)
	w.wantSigning("at the end", 1, 0, channel.SigningOpenEnd)
	if got := w.b.sign(1); got != channel.SigningAsked {
		t.Errorf("a new proposal is %q", got)
	}
	w.wantSigning("proposed anew", 1, channel.SigningProposed, channel.SigningAsked)
}

// TestSigningSurvivesRecovery puts a side back in the middle of a signing.
func TestSigningSurvivesRecovery(t *testing.T) {
	for _, initiator := range []bool{true, false} {
		w := agreed(t, 44)
		back := w.b
		if initiator {
			back = w.a
		}
		w.a.sign(1)
		w.b.sign(1)
		old := back.store.Copy()
		w.a.sign(1)
		w.b.sign(1)
		w.wantSigning("both signed", 1, channel.SigningDone, channel.SigningDone)
		back.putBack(old)
		w.connect()
		w.settle()
		w.pass(3*time.Minute, 5*time.Second)
		for _, s := range []*side{w.a, w.b} {
			if out, err := s.c.Consent(s.now()); err == nil {
				s.do(out)
			}
		}
		w.pass(3*time.Minute, 5*time.Second)
		if back.signing(1) == channel.SigningYours {
			back.sign(1)
		}
		w.wantSigning("put back", 1, channel.SigningDone, channel.SigningDone)
	}
}

// TestHostileCommuniques has a contact send what an honest machine would not.
func TestHostileCommuniques(t *testing.T) {
	w := agreed(t, 46)
	w.a.sign(1)
	before := len(w.b.c.Transcript(0))
	for _, content := range [][]byte{
		{0},
		{1, 1},
		{2},
		{2, 0, 3},
		{2, 0, 4, 'x', '\n'},                // a version of the other side's
		{2, 0, 3, 'x'},                      // no text that can be signed
		{2, 0, 3, 'x', 0xe2, 0x80, 0xae, 1}, // one that turns around
		{3},
		{4},
		{9, 9},
		make([]byte, wire.ContentSize),
		append([]byte{2, 0, 3}, bytes.Repeat([]byte("x\n"), channel.MaxDraft)...),
	} {
		w.a.do(w.a.c.Say(w.a.now(), channel.CommuniqueCraft, content))
		w.pass(2*time.Second, time.Second)
	}
	if n := len(w.b.c.Transcript(0)); n != before {
		t.Errorf("%d lines came of what is malformed", n-before)
	}
	// Steps out of order, and of an exchange that is none.
	for number := range byte(9) {
		step := append([]byte{3, 1, 2, 3, 4, 5, 6, 7, 8, 1, number}, make([]byte, 68)...)
		w.a.do(w.a.c.Say(w.a.now(), channel.CommuniqueCraft, step))
		w.pass(2*time.Second, time.Second)
	}
	w.wantSigning("unharmed", 1, channel.SigningAsked, channel.SigningProposed)
	if v, err := w.b.c.Communique(w.b.now(), channel.Open); err != nil || len(v.Drafts) != 2 || len(v.Signings) != 1 {
		t.Errorf("%d drafts, %d signings", len(v.Drafts), len(v.Signings))
	}
}

// TestSigningOverRandomRestarts restarts both sides at random between the boxes of a
// signing. Both end with both signatures, whatever was cut.
func TestSigningOverRandomRestarts(t *testing.T) {
	for seed := range byte(20) {
		w := agreed(t, 50+2*seed)
		over := func() bool {
			return w.a.signing(1) == channel.SigningDone && w.b.signing(1) == channel.SigningDone
		}
		for range 2000 {
			if over() {
				break
			}
			switch w.rng.IntN(12) {
			case 0:
				w.a.restart()
			case 1:
				w.b.restart()
			case 2:
				w.cut()
			case 3, 4:
				w.connect()
			case 5:
				if state := w.a.signing(1); state == 0 || state == channel.SigningYours {
					w.a.press(1)
				}
			case 6:
				if state := w.b.signing(1); state == channel.SigningProposed || state == channel.SigningYours {
					w.b.press(1)
				}
			case 7:
				w.pass(time.Second, time.Second)
			default:
				w.step()
			}
		}
		if !over() {
			t.Errorf("seed %d: it ends %q and %q", seed, w.a.signing(1), w.b.signing(1))
		}
	}
}

// press is sign for a person who looks later at what came of it.
func (s *side) press(version uint32) {
	s.w.t.Helper()
	_, out, err := s.c.Sign(s.now(), channel.Open, version, s.digest(version), s.now().Add(24*time.Hour), true)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
}

// forceDraft has a side send a draft of any version.
func (s *side) forceDraft(version uint16, text string) {
	s.do(s.c.Say(s.now(), channel.CommuniqueCraft, append([]byte{2, byte(version >> 8), byte(version)}, text...)))
	s.w.pass(2*time.Second, time.Second)
}

// TestTextIsSignedAsShown has a peer give one version two texts while its person reads:
// what is signed is the text that was shown.
func TestTextIsSignedAsShown(t *testing.T) {
	w := agreed(t, 47)
	w.b.forceDraft(4, "second\n")
	shown := w.a.digest(4)
	for _, text := range []string{"third\n", "second\n"} {
		w.b.forceDraft(4, text) // once more
		w.b.forceDraft(2, text) // and back
	}
	v, err := w.a.c.Communique(w.a.now(), channel.Open)
	if err != nil || len(v.Drafts) != 3 || w.a.digest(4) != shown {
		t.Fatalf("a version has another text: %+v, %v", v.Drafts, err)
	}
	if notes := slices.DeleteFunc(w.a.c.Transcript(0), func(m channel.Message) bool { return m.Text != channel.NoteDraftNumber }); len(notes) != 4 {
		t.Errorf("%d lines say that a draft was not kept, of 4", len(notes))
	}
	for _, agreed := range []bool{false, true} {
		if _, _, err := w.a.c.Sign(w.a.now(), channel.Open, 4, w.a.digest(2), w.now.Add(time.Hour), agreed); !errors.Is(err, channel.ErrOtherText) {
			t.Errorf("signing another text than was shown: %v", err)
		}
	}
	if got := w.a.sign(4); got != channel.SigningAsked {
		t.Errorf("the text that was shown: %q", got)
	}
}

// TestDraftsCross has both write drafts while they are apart: all of them arrive, each
// with a version of its own. A version that is far on is refused, and blocks nobody.
func TestDraftsCross(t *testing.T) {
	w := agreed(t, 48)
	w.cut()
	for _, s := range []*side{w.a, w.b, w.a, w.a, w.b, w.b, w.b} {
		s.draft("another")
	}
	w.connect()
	w.settle()
	w.pass(time.Minute, 5*time.Second)
	for _, s := range []*side{w.a, w.b} {
		v, err := s.c.Communique(s.now(), channel.Open)
		var versions []uint32
		for _, d := range v.Drafts {
			versions = append(versions, d.Version)
		}
		slices.Sort(versions)
		if want := []uint32{1, 2, 3, 4, 5, 6, 7, 8, 10}; err != nil || !slices.Equal(versions, want) {
			t.Errorf("%s has the versions %d, %v", s.name, versions, err)
		}
	}
	w.b.forceDraft(65532, "far\n")
	if v := w.a.draft("on"); v != 11 {
		t.Errorf("after a version of 65532 comes %d", v)
	}
}
