package channel_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// paused reports whether both sides stand paused after a recovery.
func (w *world) paused() bool { return w.a.c.View().Paused && w.b.c.View().Paused }

// consent lets both go on.
func (w *world) consent() {
	w.t.Helper()
	for _, s := range []*side{w.a, w.b} {
		out, err := s.c.Consent(w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		s.do(out)
	}
	w.settle()
}

func (w *world) reconnect(d time.Duration) {
	w.connect()
	w.settle()
	w.pass(d, time.Second)
}

// TestTwoRecoveriesInOneDay puts a machine back twice: the second recovery must
// not be taken for an ordinary handshake under the pair of the first.
func TestTwoRecoveriesInOneDay(t *testing.T) {
	for _, second := range []string{"same", "other"} {
		w := newWorld(t, 60)
		w.meet()
		oldA, oldB := w.a.store.Copy(), w.b.store.Copy()
		w.b.send("after the copy")
		w.a.send("after the copy")
		w.settle()
		w.pass(2*time.Second, time.Second)
		w.a.putBack(oldA.Copy())
		w.reconnect(20 * time.Second)
		if !w.paused() {
			t.Fatal("no recovery")
		}
		w.consent()
		if second == "same" {
			w.a.putBack(oldA)
		} else {
			w.b.putBack(oldB)
		}
		w.reconnect(3 * time.Minute)
		if !w.paused() || !w.a.c.View().Connected {
			t.Errorf("%s machine: no second recovery: %+v", second, w.a.c.View())
		}
	}
}

// TestRecoveriesAtTheUsualPace is two recoveries, the second before the first is
// confirmed, with the waits that a person's machine has: what follows a silent
// connection must come before that connection ends for its silence.
func TestRecoveriesAtTheUsualPace(t *testing.T) {
	for seed := range byte(4) {
		w := newWorldAt(t, 70+seed, channel.Config{})
		w.meet()
		oldA, oldB := w.a.store.Copy(), w.b.store.Copy()
		w.a.send("after the copy")
		w.b.send("after the copy")
		w.settle()
		w.pass(2*time.Second, time.Second)
		w.a.putBack(oldA)
		w.connect()
		for range 2 + int(seed)*2 { // cut off somewhere in the first recovery
			w.step()
		}
		w.b.putBack(oldB)
		for range 5 {
			w.reconnect(3 * time.Minute)
		}
		if !w.paused() || !w.a.c.View().Connected {
			t.Errorf("cut off after %d boxes: %+v", 2+2*seed, w.a.c.View())
		}
	}
}

// TestOldImageDoesNotComeBackSilently is the thief of an image from before an
// ordinary handshake: he comes back only through a recovery, which both see.
func TestOldImageDoesNotComeBackSilently(t *testing.T) {
	for _, which := range []int{0, 1} {
		w := newWorld(t, 62)
		w.meet()
		w.compare()
		s := []*side{w.a, w.b}[which]
		old := s.store.Copy()
		w.now = w.now.Add(31 * 24 * time.Hour)
		w.reconnect(time.Minute) // an ordinary new session
		if w.a.c.PairSecrets() != 1 || w.b.c.PairSecrets() != 1 {
			t.Error("an old pair secret is kept after the new session is confirmed")
		}
		s.putBack(old)
		w.reconnect(3 * time.Minute)
		if !w.paused() {
			t.Errorf("%s: an old image came back without a recovery", s.name)
		}
	}
}

// TestThiefOfABackupIsSeen knocks as for an ordinary handshake, under the pair of
// the day of a recovery that took place.
func TestThiefOfABackupIsSeen(t *testing.T) {
	w := newWorld(t, 64)
	w.meet()
	old := w.a.store.Copy()
	w.a.send("x")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.a.putBack(old)
	w.reconnect(20 * time.Second)
	recovered := w.now
	w.consent()
	w.compare()
	w.now = w.now.Add(10 * 24 * time.Hour)
	w.reconnect(2 * time.Second)
	before, _ := w.b.c.Words()
	w.a.do(w.a.c.Knock(w.now, recovered))
	w.settle()
	if after, err := w.b.c.Words(); err != nil || after != before || w.b.c.View().Mark != channel.WordsCompared {
		t.Error("a pair of a past recovery opened a session")
	}
}

// TestInvitationEndsBeforeM3Arrives cuts off the accepter just before m3.
func TestInvitationEndsBeforeM3Arrives(t *testing.T) {
	w := newWorld(t, 66)
	w.connect()
	for w.a.c.View().Stage != channel.Met {
		w.step()
	}
	w.cut() // m3 is lost
	w.now = w.now.Add(72 * time.Hour)
	for _, s := range []*side{w.a, w.b} {
		s.do(s.c.Tick(w.now))
	}
	if len(w.b.c.Links(w.now)) == 0 || !slices.ContainsFunc(w.a.c.Links(w.now), func(l channel.LinkSecrets) bool { return l.Invitation }) {
		t.Fatal("the two have no way to one another any more")
	}
	w.reconnect(10 * time.Second)
	w.a.send("hello")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.checkAll()
}

// TestAccepterPutBackWithinFirstContact goes back to before its m2.
func TestAccepterPutBackWithinFirstContact(t *testing.T) {
	w := newWorld(t, 68)
	old := w.b.store.Copy()
	w.connect()
	for w.a.c.View().Stage != channel.Met {
		w.step()
	}
	w.b.putBack(old)
	w.reconnect(2 * time.Minute)
	w.a.send("hello")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.checkAll()
}

// TestAccepterPutBackToBeforeItMet holds nothing to recover from: the inviter's
// person is told.
func TestAccepterPutBackToBeforeItMet(t *testing.T) {
	w := newWorld(t, 70)
	old := w.b.store.Copy()
	w.meet()
	w.b.putBack(old)
	w.reconnect(10 * time.Second)
	w.reconnect(10 * time.Second)
	if got := w.a.texts(channel.Notice); !slices.Equal(got, []string{channel.NoteCameBack}) {
		t.Errorf("notices: %q", got)
	}
}

// TestStalledConnectionIsNoRecovery holds all boxes back for 80 seconds.
func TestStalledConnectionIsNoRecovery(t *testing.T) {
	w := newWorld(t, 72)
	w.meet()
	w.compare()
	w.connect()
	for range 8 {
		w.now = w.now.Add(10 * time.Second)
		for _, s := range []*side{w.a, w.b} {
			s.do(s.c.Tick(w.now))
		}
	}
	w.settle()
	w.pass(time.Minute, time.Second)
	if w.a.c.View().Paused || w.b.c.View().Paused || w.a.c.View().Mark != channel.WordsCompared {
		t.Error("a stall led to a recovery")
	}
	w.a.send("on we go")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.checkAll()
}

// TestSilentGuestsDoNotDisturb holds connections with a copied invitation open.
func TestSilentGuestsDoNotDisturb(t *testing.T) {
	w := newWorld(t, 74)
	for id := channel.LinkID(1000); id < 1010; id++ {
		if out := w.a.c.LinkUp(w.now, id, true, false, wire.Hello{1}, wire.Hello{byte(id)}); len(out.Boxes) != 0 {
			t.Fatal("a guest got a byte")
		}
	}
	w.meet()
}

func TestConsentSurvivesANewSession(t *testing.T) {
	w := newWorld(t, 76)
	w.meet()
	old := w.a.store.Copy()
	w.a.send("x")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.a.putBack(old)
	w.reconnect(20 * time.Second)
	w.cut()
	out, err := w.a.c.Consent(w.now) // said while there is no connection
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.now = w.now.Add(31 * 24 * time.Hour) // and the session is replaced
	w.reconnect(time.Minute)
	if out, err = w.b.c.Consent(w.now); err != nil {
		t.Fatal(err)
	}
	w.b.do(out)
	w.settle()
	if w.a.c.View().Paused || w.b.c.View().Paused {
		t.Error("paused for ever")
	}
}

// TestWordsDrawnAtTheSameTime draws new words on both sides, twice on one, with
// everything under way: both must come to the same words.
func TestWordsDrawnAtTheSameTime(t *testing.T) {
	for pattern := range 16 {
		w := newWorld(t, 78)
		w.meet()
		for i := range 4 {
			s := w.a
			if pattern>>i&1 == 1 {
				s = w.b
			}
			out, err := s.c.RenewWords(w.now)
			if err != nil {
				t.Fatal(err)
			}
			s.do(out)
			if i == 1 {
				w.step()
			}
		}
		w.settle()
		w.pass(2*time.Second, time.Second)
		w.compare()
	}
}

// TestWordsAreNotDrawnWithoutEnd is a peer that commits again and again, with and
// without a reveal that fits, in many sessions.
func TestWordsAreNotDrawnWithoutEnd(t *testing.T) {
	w := newWorld(t, 80)
	w.meet()
	drawn := map[identity.Spoken]bool{}
	for range 200 {
		out, err := w.b.c.RenewWords(w.now)
		if err != nil {
			break
		}
		w.b.do(out)
		w.settle()
		if sp, err := w.a.c.Words(); err == nil {
			drawn[sp] = true
		}
	}
	commit := bytes.Repeat([]byte{7}, 32)
	for i := range uint32(200) {
		w.b.c.ForgetWords()
		w.b.do(w.b.c.SendFrame(w.now, wire.Frame{
			Kind: wire.FrameCommit, Number: w.b.c.Sent() + 1, Parts: 1, Content: append(commit, make([]byte, 32)...),
			ID: wire.MessageID{byte(i)},
		}))
		w.settle()
		w.pass(2*time.Second, 2*time.Second)
	}
	if _, controls := w.a.c.Stored(); controls > 8 {
		t.Errorf("%d control frames wait", controls)
	}
	if !slices.Contains(w.a.texts(channel.Notice), channel.NoteManyDraws) {
		t.Error("the person was not told")
	}
	if len(drawn) > 40 {
		t.Errorf("%d draws in a day", len(drawn))
	}
}

// TestHostileFrames are frames that only a changed program sends.
func TestHostileFrames(t *testing.T) {
	w := newWorld(t, 82)
	w.meet()
	send := func(f wire.Frame) {
		f.Number = w.b.c.Sent() + 1
		f.ID = wire.MessageID{byte(f.Number), byte(f.Number >> 8), 9}
		w.b.do(w.b.c.SendFrame(w.now, f))
		w.settle()
	}
	for range 300 { // parts whose message never becomes whole
		send(wire.Frame{Kind: wire.FrameText, Channel: channel.Open, Part: 0, Parts: 2, Content: []byte("x")})
	}
	if n, _ := w.a.c.Stored(); n > 40 {
		t.Errorf("%d frames are kept", n)
	}
	send(wire.Frame{Kind: wire.FrameText, Channel: channel.Open, Part: 35, Parts: 36, Content: []byte("x")})
	send(wire.Frame{Kind: wire.FrameText, Channel: 77, Parts: 1, Content: []byte("another channel")})
	send(wire.Frame{Kind: wire.FrameText, Channel: channel.Open, Parts: 1})
	send(wire.Frame{Kind: 99, Parts: 1, Content: []byte("a later version")})
	for part := range uint16(wire.MaxParts) { // text that would grow when it is repaired
		f := wire.Frame{Kind: wire.FrameText, Channel: channel.Open, Part: part, Parts: wire.MaxParts, Content: bytes.Repeat([]byte{'a', 0xff}, wire.ContentSize/2)}
		f.Number = w.b.c.Sent() + 1
		f.ID = wire.MessageID{1}
		w.b.do(w.b.c.SendFrame(w.now, f))
		w.settle()
	}
	got := w.a.texts(channel.In)
	if len(got) != 1 || !strings.HasPrefix(got[0], "a?a?") || len(got[0]) > wire.MaxParts*wire.ContentSize {
		t.Errorf("%d texts came of it", len(got))
	}
}

// TestHostileCounters are control blocks that cannot be true.
func TestHostileCounters(t *testing.T) {
	w := newWorld(t, 84)
	w.meet()
	began := time.Now()
	w.b.do(w.b.c.SendControl(w.now, wire.Control{Sent: 1<<32 - 1, Received: 1}))
	w.settle()
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("one box kept the owner busy for %v", d)
	}
	w = newWorld(t, 86)
	w.meet()
	w.a.send("x")
	w.b.do(w.b.c.SendControl(w.now, wire.Control{Received: 1 << 31}))
	w.settle()
	w.pass(20*time.Second, time.Second)
	for _, m := range w.a.c.Transcript(0) {
		if m.Direction == channel.Out && m.State == channel.Delivered {
			t.Error("delivered by a counter that cannot be")
		}
	}
}

// TestNextDoesNotSpin follows Next through every kind of waiting and counts.
func TestNextDoesNotSpin(t *testing.T) {
	w := newWorld(t, 88)
	follow := func(what string, d time.Duration) {
		for _, s := range []*side{w.a, w.b} {
			ticks, end := 0, w.now.Add(d)
			for now := w.now; now.Before(end); ticks++ {
				s.do(s.c.Tick(now))
				next := s.c.Next(now)
				if !next.After(now) {
					next = now.Add(10 * time.Millisecond)
				}
				now = next
				if ticks > 300 {
					t.Fatalf("%s, %s: more than 300 ticks in %v", what, s.name, d)
				}
			}
		}
	}
	drop := func(*wire.Box) []*wire.Box { return nil }
	follow("before anything", time.Minute)
	w.a.c.LinkUp(w.now, 1000, true, false, wire.Hello{1}, wire.Hello{2})
	follow("a guest", time.Minute)
	w.mangle = drop
	w.connect()
	follow("no answer", 80*time.Second)
	w.mangle = nil
	w.meet()
	follow("at rest", time.Minute)
	w.mangle = drop
	w.a.send("x")
	follow("unacknowledged", 80*time.Second)
	w.cut()
	w.connect()
	follow("unacknowledged and no resume", 80*time.Second)
}

// TestStuckRandomness gives one side a source that repeats the same bytes.
func TestStuckRandomness(t *testing.T) {
	w := newWorld(t, 90)
	w.meet()
	w.a.cfg.Random = stuck{}
	w.a.restart()
	w.connect()
	nonces := map[[24]byte]bool{}
	boxes := 0
	w.mangle = func(b *wire.Box) []*wire.Box {
		nonces[[24]byte(b[:24])] = true
		boxes++
		return []*wire.Box{b}
	}
	w.settle()
	for range 20 {
		w.a.send("the same text")
		w.b.send("the same text")
		w.settle()
		w.pass(2*time.Second, time.Second)
	}
	if len(nonces) != boxes || boxes < 40 {
		t.Errorf("%d nonces for %d boxes", len(nonces), boxes)
	}
	w.checkAll()
}

type stuck struct{}

func (stuck) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 0x55
	}
	return len(b), nil
}

// TestSessionsAreNotBegunWithoutEnd is a peer that answers every handshake and
// says nothing in the session: each would draw new words.
func TestSessionsAreNotBegunWithoutEnd(t *testing.T) {
	w := newWorld(t, 92)
	w.meet()
	w.mangle = func(box *wire.Box) []*wire.Box {
		keys := wire.DeriveLinkKeys(w.b.c.Links(w.now)[0].Link.Box, w.hellos[1], w.hellos[0])
		for _, key := range []secret.Key{keys.FromDialler, keys.FromListener} {
			if c, _, err := wire.OpenBox(key, box); err == nil && c.Flags == wire.FlagFlight {
				return []*wire.Box{box}
			}
		}
		return nil
	}
	for range 60 {
		w.connect()
		w.settle()
		w.pass(80*time.Second, 5*time.Second)
	}
	if n := w.a.c.Epoch(); n < 20 || n > 70 { // 32 of each side's, and the first
		t.Errorf("%d sessions in 80 minutes", n)
	}
	w.mangle = nil
	w.connect()
	w.settle()
	w.now = w.now.Add(24 * time.Hour)
	w.connect()
	w.settle()
	w.pass(2*time.Minute, 5*time.Second)
	if w.paused() { // no pair secret was shared any more: a recovery, which both see
		w.consent()
	}
	w.a.send("all is well again")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.checkAll()
}

// TestSleepOfEightHours wakes a machine: nothing that was due meanwhile bursts
// out, and talking goes on.
func TestSleepOfEightHours(t *testing.T) {
	w := newWorld(t, 94)
	w.meet()
	w.a.send("before")
	w.settle()
	w.now = w.now.Add(8 * time.Hour)
	for _, s := range []*side{w.a, w.b} {
		if out := s.c.Tick(w.now); len(out.Boxes) > 1 {
			t.Errorf("%s: %d boxes at once after a sleep", s.name, len(out.Boxes))
		} else {
			s.do(out)
		}
	}
	w.connect()
	w.settle()
	w.b.send("after")
	w.settle()
	w.pass(2*time.Second, time.Second)
	w.checkAll()
}
