package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
)

// know lets two machines meet, each under a name of its own at the other.
func know(t *testing.T, a *machine, calledB string, b *machine, calledA string) {
	t.Helper()
	text, _, err := a.Invite(t.Context(), calledB, 48*time.Hour, false, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Accept(t.Context(), calledA, text); err != nil {
		t.Fatal(err)
	}
	until(t, "the two met", func() bool { return ready(a.of(calledB)) && ready(b.of(calledA)) })
}

// of is a contact, or the zero view if there is none of the name.
func (m *machine) of(name string) channel.View {
	v, _ := m.Contact(m.t.Context(), name)
	return v
}

func (m *machine) introductions() []node.ContactIntroduction {
	m.t.Helper()
	list, err := m.Introductions(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return list
}

func (m *machine) introduce(first, second string) {
	m.t.Helper()
	if _, err := m.Introduce(m.t.Context(), first, second, "one upstream", "one on the other bank", 72*time.Hour); err != nil {
		m.t.Fatal(err)
	}
}

// answer waits for an offer and answers it.
func (m *machine) answer(by string, yes bool, as string) {
	m.t.Helper()
	until(m.t, "there is an offer", func() bool {
		_, err := m.OfferedIntroduction(m.t.Context(), by, 0)
		return err == nil
	})
	if _, err := m.AnswerIntroduction(m.t.Context(), by, 0, yes, as); err != nil {
		m.t.Fatal(err)
	}
}

// states are those of all introductions of a machine, in order.
func (m *machine) states() (states []channel.IntroductionState) {
	for _, x := range m.introductions() {
		states = append(states, x.State)
	}
	return states
}

// shifted is a clock that a test puts forward.
type shifted struct{ by atomic.Int64 }

func (s *shifted) now() time.Time { return time.Now().Add(time.Duration(s.by.Load())) }

// three are an introducer and two whom he knows.
func three(t *testing.T, clock *shifted) (finch, larch, heron *machine) {
	t.Helper()
	h := hooks{now: clock.now, rest: 30 * 24 * time.Hour}
	finch, larch, heron = newMachine(t, freeSettings(t), h), newMachine(t, freeSettings(t), h), newMachine(t, node.Settings{}, h)
	know(t, finch, "Larch", larch, "Finch")
	know(t, finch, "Heron", heron, "Finch")
	return finch, larch, heron
}

// TestIntroduction brings two together who are never on at the same time as the third
// until they have met, over days and restarts. The one who listens makes the invitation.
func TestIntroduction(t *testing.T) {
	t.Parallel()
	clock := &shifted{}
	finch, larch, heron := three(t, clock)
	heron.end()
	finch.introduce("Heron", "Larch")
	larch.answer("Finch", true, "Upstream")
	larch.flush("Finch")
	larch.end()
	finch.restart()
	clock.by.Add(int64(40 * time.Hour))
	heron.start()
	heron.unlock()
	if got := finch.states(); slices.ContainsFunc(got, func(s channel.IntroductionState) bool { return s != channel.IntroductionOut }) {
		t.Errorf("what the introducer sees of one answer: %v", got)
	}
	heron.answer("Finch", true, "The other bank")
	finch.restart()
	larch.start()
	larch.unlock()
	until(t, "the two met", func() bool { return ready(larch.of("Upstream")) && ready(heron.of("The other bank")) })
	until(t, "the introducer is out of it", func() bool {
		return !slices.ContainsFunc(finch.states(), func(s channel.IntroductionState) bool { return s != channel.IntroductionDone })
	})
	finch.end()
	for m, name := range map[*machine]string{larch: "Upstream", heron: "The other bank"} {
		if v := m.of(name); !v.Introduced || v.IntroducedBy != "Finch" || v.Mark != channel.NotVerified {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if _, err := larch.Send(t.Context(), "Upstream", "without Finch"); err != nil {
		t.Fatal(err)
	}
	until(t, "a text arrives", func() bool {
		return slices.Contains(texts(heron.lines2("The other bank"), channel.In), "without Finch")
	})
	if !larch.hears("Upstream", heron, "The other bank") || !heron.hears("The other bank", larch, "Upstream") {
		t.Error("the words of two who were introduced differ")
	}
	if err := larch.Cancel(t.Context(), "Upstream"); err == nil {
		t.Error("a contact that was met is cancelled")
	}
	if _, err := larch.RemoveContact(t.Context(), "Finch"); err != nil {
		t.Fatal(err)
	}
	if v := larch.of("Upstream"); !v.Introduced || v.IntroducedBy != "" {
		t.Errorf("after the introducer was removed: %+v", v)
	}
}

// flush returns when all that was said to a contact has arrived there.
func (m *machine) flush(name string) {
	m.t.Helper()
	if _, err := m.Send(m.t.Context(), name, "is all there?"); err != nil {
		m.t.Fatal(err)
	}
	until(m.t, "all has arrived", func() bool { return delivered(m.lines2(name)) })
}

// lines2 is lines of a contact of another name.
func (m *machine) lines2(name string) []channel.Message {
	m.t.Helper()
	list, err := m.Read(m.t.Context(), name, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	return list
}

// hears compares what another machine's person reads aloud.
func (m *machine) hears(name string, other *machine, theirName string) bool {
	m.t.Helper()
	sp, err := other.Words(m.t.Context(), theirName)
	if err != nil {
		m.t.Fatal(err)
	}
	v, err := m.Compare(m.t.Context(), name, channel.Heard{Digits: sp.Digits()})
	if err != nil {
		m.t.Fatal(err)
	}
	return v.Match
}

// TestRefusalLooksLikeSilence holds all that one of two sees and keeps against both: the
// other says no, and the other does nothing. Then it burns and removes contacts in
// mid-introduction: nothing of it is left with the introducer, and to the other it looks
// like silence once more.
func TestRefusalLooksLikeSilence(t *testing.T) {
	t.Parallel()
	clock := &shifted{}
	finch, larch, heron := three(t, clock)
	silence := larch.accepts(finch, heron, clock, func() {})
	refusal := larch.accepts(finch, heron, clock, func() {
		heron.answer("Finch", false, "")
		until(t, "the introducer knows", func() bool { return slices.Contains(finch.states(), channel.IntroductionForNought) })
	})
	burned := larch.accepts(finch, heron, clock, func() {
		var told []string
		for _, x := range finch.introductions() {
			told = append(told, fmt.Sprint(x.Contact.Name, " ", x.Own))
		}
		if want := "[Heron none Heron no Heron none Larch yes Larch yes Larch none]"; fmt.Sprint(told) != want {
			t.Errorf("the introducer is told %v, want %s", told, want)
		}
		if _, err := finch.Burn(t.Context(), "Heron"); err != nil {
			t.Fatal(err)
		}
		if got := finch.introductions(); len(got) != 0 {
			t.Errorf("after one conversation was burned: %v", finch.states())
		}
	})
	if refusal != silence || burned != silence || !strings.Contains(silence, channel.NoteIntroductionFailed) {
		t.Errorf("a silence:\n%s\na refusal:\n%s\nburned:\n%s", silence, refusal, burned)
	}
	finch.introduce("Larch", "Heron")
	if _, err := finch.RemoveContact(t.Context(), "Larch"); err != nil {
		t.Fatal(err)
	}
	if got := finch.introductions(); len(got) != 0 {
		t.Errorf("after one contact was removed: %v", finch.states())
	}
}

// accepts has larch accept an introduction of which nothing comes, and returns what he
// sees of it, before and after its end.
func (m *machine) accepts(finch, heron *machine, clock *shifted, other func()) string {
	t := m.t
	finch.introduce("Larch", "Heron")
	m.answer("Finch", true, "Upstream")
	until(t, "the question came", func() bool { return slices.Contains(heron.states(), channel.IntroductionOffered) })
	other()
	m.flush("Finch")
	var b strings.Builder
	look := func() {
		for _, x := range m.introductions() {
			fmt.Fprintln(&b, x.State, x.Text, x.Contact.Waiting, x.Trouble)
		}
		for _, l := range m.lines2("Finch") {
			fmt.Fprintln(&b, l.Direction, l.Text)
		}
		fmt.Fprintln(&b, len(m.status().Contacts))
	}
	look()
	clock.by.Add(int64(73 * time.Hour))
	until(t, "it is over", func() bool { return len(m.introductions())+len(heron.introductions()) == 0 })
	until(t, "the introducer sees it", func() bool { return !slices.Contains(finch.states(), channel.IntroductionOut) })
	look()
	if _, err := m.Burn(t.Context(), "Finch"); err != nil { // the next one begins anew
		t.Fatal(err)
	}
	return b.String()
}

// TestIntroducerInTheMiddle has an introducer who stays: he introduces each of the two
// to a machine of his own, and hands their texts on. Their words find him.
func TestIntroducerInTheMiddle(t *testing.T) {
	t.Parallel()
	finch, larch, heron := three(t, &shifted{})
	middle := newMachine(t, freeSettings(t), hooks{})
	know(t, finch, "Middle", middle, "Finch")
	finch.introduce("Larch", "Middle")
	middle.answer("Finch", true, "Larch")
	larch.answer("Finch", true, "Upstream")
	finch.introduce("Middle", "Heron")
	middle.answer("Finch", true, "Heron")
	heron.answer("Finch", true, "The other bank")
	until(t, "both have met somebody", func() bool {
		return ready(larch.of("Upstream")) && ready(heron.of("The other bank")) && ready(middle.of("Larch")) && ready(middle.of("Heron"))
	})
	if _, err := larch.Send(t.Context(), "Upstream", "to the other bank"); err != nil {
		t.Fatal(err)
	}
	until(t, "the middle reads it", func() bool { return len(texts(middle.lines2("Larch"), channel.In)) == 1 })
	if _, err := middle.Send(t.Context(), "Heron", texts(middle.lines2("Larch"), channel.In)[0]); err != nil {
		t.Fatal(err)
	}
	until(t, "it goes on", func() bool { return len(texts(heron.lines2("The other bank"), channel.In)) == 1 })
	if larch.hears("Upstream", heron, "The other bank") || heron.hears("The other bank", larch, "Upstream") {
		t.Error("the words of two agree though somebody sits between them")
	}
	if !larch.hears("Upstream", middle, "Larch") {
		t.Error("the words of larch and the middle differ: this showed nothing")
	}
}

// performIntroduction is performCraft for introductions, in which there are several
// contacts.
func performIntroduction(ctx context.Context, n *node.Node, c command, a *answer) (handled bool, err error) {
	switch c.Do {
	case "know/invite":
		a.Text, _, err = n.Invite(ctx, c.Name, 48*time.Hour, false, false)
	case "know/accept":
		_, err = n.Accept(ctx, c.Name, c.Text)
	case "contacts":
		a.Contacts, err = n.Contacts(ctx)
	case "introduce":
		_, err = n.Introduce(ctx, "larch", "heron", "one upstream", "one on the other bank", 72*time.Hour)
	case "introductions":
		list, failed := n.Introductions(ctx)
		for _, x := range list {
			x.Trouble = nil // an error does not travel
			a.Introductions = append(a.Introductions, x.IntroductionView)
		}
		err = failed
	case "yes":
		_, err = n.AnswerIntroduction(ctx, "finch", 0, true, c.Name)
	default:
		return false, nil
	}
	return true, err
}

func (p *process) met() (names []string) {
	for _, v := range p.must(command{Do: "contacts"}).Contacts {
		if ready(v) {
			names = append(names, v.Name)
		}
	}
	return names
}

// TestKilledOverIntroductions kills all three by turns, at random points of the way.
func TestKilledOverIntroductions(t *testing.T) {
	t.Parallel()
	finch, larch, heron := newProcess(t, freeSettings(t)), newProcess(t, freeSettings(t)), newProcess(t, freeSettings(t))
	all := []*process{finch, larch, heron}
	for name, p := range map[string]*process{"Larch": larch, "Heron": heron} {
		p.must(command{Do: "know/accept", Name: "Finch", Text: finch.must(command{Do: "know/invite", Name: name}).Text})
		slowly(t, "the two met", func() bool { return slices.Contains(finch.met(), name) && len(p.met()) == 1 })
	}
	kills := 0
	for _, p := range all {
		left := max(2, few(16))
		p.died = func(bomb) { kills++ }
		p.next = func() bomb {
			if left--; left < 0 {
				return bomb{}
			}
			point := points[rand.IntN(len(points))]
			return bomb{Kind: point.Kind, When: point.When, At: 1 + rand.IntN(8)}
		}
		p.end() // its next life has a bomb
	}
	for len(finch.must(command{Do: "introductions"}).Introductions) == 0 {
		if a, _ := finch.call(command{Do: "introduce"}); a.Err != "" {
			t.Fatal(a.Err)
		}
	}
	yes := func(p *process) bool { // killed, it may have been stored or not
		list := p.must(command{Do: "introductions"}).Introductions
		if len(list) == 1 && list[0].State == channel.IntroductionOffered {
			p.call(command{Do: "yes", Name: "Somebody"})
			return false
		}
		return len(list) == 1
	}
	slowly(t, "the two met", func() bool {
		finch.met() // it lives
		one, other := yes(larch), yes(heron)
		return one && other && slices.Contains(larch.met(), "Somebody") && slices.Contains(heron.met(), "Somebody")
	})
	slowly(t, "the introducer is out of it", func() bool {
		heron.met() // it lives
		list := finch.must(command{Do: "introductions"}).Introductions
		return len(list) == 2 && list[0].State == channel.IntroductionDone && list[1].State == channel.IntroductionDone
	})
	for _, p := range []*process{larch, heron} {
		if got := p.met(); len(got) != 2 {
			t.Errorf("the contacts are %v", got)
		}
	}
	if kills < 3 {
		t.Errorf("%d kills", kills)
	}
	t.Logf("%d kills", kills)
}
