package node_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
)

// A between is a mediator and the two between whom he carries. They know him as peer.
type between struct {
	t                       *testing.T
	mediator, first, second *machine
}

func newBetween(t *testing.T) *between {
	t.Helper()
	w := &between{t, newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})}
	for name, m := range map[string]*machine{"Larch": w.first, "Heron": w.second} {
		text, _, err := w.mediator.Invite(t.Context(), name, 48*time.Hour, false, false)
		if err != nil {
			t.Fatal(err)
		}
		m.accept(text)
		until(t, name+" has met the mediator", func() bool { return ready(m.view()) })
	}
	return w
}

func (w *between) open() {
	w.t.Helper()
	if err := w.mediator.OpenShuttle(w.t.Context(), "Larch", "Heron", "days of transit", time.Now().Add(3*time.Hour)); err != nil {
		w.t.Fatal(err)
	}
}

// shuttle is the latest exchange of a machine with a contact.
func (w *between) shuttle(m *machine, name string) channel.ShuttleView {
	w.t.Helper()
	list, err := m.Shuttles(w.t.Context(), name)
	if err != nil || len(list) != 1 {
		w.t.Fatal(len(list), err)
	}
	if n := len(list[0].List); n > 0 {
		return list[0].List[n-1]
	}
	return channel.ShuttleView{}
}

func (w *between) becomes(m *machine, name string, state channel.ShuttleState) {
	w.t.Helper()
	until(w.t, state.String(), func() bool { return w.shuttle(m, name).State == state })
}

func (w *between) offer(m *machine, text string) {
	w.t.Helper()
	if _, err := m.SealOffer(w.t.Context(), peer, 0, text); err != nil {
		w.t.Fatal(err)
	}
}

// TestSealedOffers has two seal offers for a mediator. All three start again between
// the steps; the mediator learns neither offer, and opens both or none.
func TestSealedOffers(t *testing.T) {
	t.Parallel()
	w := newBetween(t)
	ctx := t.Context()
	if _, err := w.first.SealOffer(ctx, peer, 0, "x"); !errors.Is(err, channel.ErrNoCall) {
		t.Errorf("an offer that nobody asked for: %v", err)
	}
	w.open()
	w.becomes(w.first, peer, channel.OfferAsked)
	w.becomes(w.second, peer, channel.OfferAsked)

	w.offer(w.second, "seven days") // the second may seal before the first
	w.mediator.restart()
	w.second.restart()
	w.offer(w.first, "five days")
	w.first.restart()
	w.becomes(w.mediator, "Heron", channel.ShuttleReady)
	w.becomes(w.mediator, "Larch", channel.ShuttleReady)
	for _, m := range []*machine{w.first, w.second} {
		w.becomes(m, peer, channel.OffersSealed)
		if s := w.shuttle(m, peer); s.Theirs != "" {
			t.Errorf("read before it was released: %q", s.Theirs)
		}
		if _, err := m.SealOffer(ctx, peer, 0, "x"); !errors.Is(err, channel.ErrOfferSealed) {
			t.Errorf("a second offer: %v", err)
		}
	}
	w.silent("days")

	if err := w.mediator.ReleaseOffers(ctx, "Heron", 0); err != nil {
		t.Fatal(err)
	}
	w.mediator.restart()
	w.becomes(w.first, peer, channel.OffersOpen)
	w.becomes(w.second, peer, channel.OffersOpen)
	a, b := w.shuttle(w.first, peer), w.shuttle(w.second, peer)
	if a.Own != "five days" || a.Theirs != "seven days" || b.Own != a.Theirs || b.Theirs != a.Own {
		t.Errorf("%+v and %+v", a, b)
	}
	if a.OwnWords.Words() != b.TheirWords.Words() || b.OwnWords.Words() != a.TheirWords.Words() {
		t.Error("the words do not fit")
	}
	if err := w.mediator.ReleaseOffers(ctx, "Larch", 0); !errors.Is(err, channel.ErrReleased) {
		t.Errorf("released twice: %v", err)
	}
	w.silent("seven", "five")
}

// silent wants the mediator to hold nothing with these words, but for the subject.
func (w *between) silent(words ...string) {
	w.t.Helper()
	list, err := w.mediator.Shuttles(w.t.Context(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range list {
		for n := range list[i].List {
			list[i].List[n].Subject = ""
		}
	}
	all := fmt.Sprintf("%+v", list)
	for _, name := range []string{"Larch", "Heron"} {
		lines, err := w.mediator.Read(w.t.Context(), name, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range lines {
			if channel.CraftText(m) != "shuttle: asks for a sealed offer" { // it names the subject
				all += m.Text
			}
		}
	}
	for _, word := range words {
		if strings.Contains(all, word) {
			w.t.Errorf("the mediator holds %q", word)
		}
	}
}

// TestOneOfferIsNotOpened has only one seal, and an exchange that ends.
func TestOneOfferIsNotOpened(t *testing.T) {
	t.Parallel()
	w := newBetween(t)
	ctx := t.Context()
	w.open()
	w.becomes(w.first, peer, channel.OfferAsked)
	w.offer(w.first, "five days")
	w.becomes(w.mediator, "Heron", channel.ShuttleHalf)
	if err := w.mediator.ReleaseOffers(ctx, "Larch", 0); !errors.Is(err, channel.ErrNotReady) {
		t.Errorf("released with one offer: %v", err)
	}
	for name, m := range map[string]*machine{"Larch": w.mediator, peer: w.first} {
		m.hooks.now = func() time.Time { return time.Now().Add(4 * time.Hour) }
		m.restart()
		w.becomes(m, name, channel.ShuttleExpired)
	}
	if err := w.mediator.ReleaseOffers(ctx, "Larch", 0); !errors.Is(err, channel.ErrShuttleOver) {
		t.Errorf("released after its end: %v", err)
	}
}

// TestCarriedTexts carries a text on without its sender, when the mediator says so.
func TestCarriedTexts(t *testing.T) {
	t.Parallel()
	w := newBetween(t)
	ctx := t.Context()
	text := "They might live with five days." + strings.Repeat(" And so on.", 300)
	for _, s := range []string{text, "another"} {
		if _, err := w.first.CarryText(ctx, peer, s); err != nil {
			t.Fatal(err)
		}
	}
	held := func(m *machine, name string) []channel.HeldText {
		list, err := m.Shuttles(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		return list[0].Texts
	}
	until(t, "the mediator holds both", func() bool { return len(held(w.mediator, "Larch")) == 2 })
	w.mediator.restart()
	got := held(w.mediator, "Larch")[0]
	if got.Text != text || len(held(w.second, peer)) != 0 {
		t.Error("it is not held as it was given")
	}
	if err := w.mediator.ReleaseText(ctx, "Larch", 99, "Heron"); !errors.Is(err, channel.ErrNotHeld) {
		t.Errorf("a text that is not there: %v", err)
	}
	if err := w.mediator.ReleaseText(ctx, "Larch", got.Number, "Larch"); !errors.Is(err, channel.ErrShuttleSelf) {
		t.Errorf("back to its sender: %v", err)
	}
	if err := w.mediator.ReleaseText(ctx, "Larch", got.Number, "Heron"); err != nil {
		t.Fatal(err)
	}
	until(t, "it has arrived", func() bool { return len(held(w.second, peer)) == 1 })
	if there := held(w.second, peer)[0].Text; there != text {
		t.Error("it is not what was given")
	}
	left := held(w.mediator, "Larch")
	if slices.ContainsFunc(left, func(h channel.HeldText) bool { return h.Text == text }) || len(left) != 1 {
		t.Error("the mediator keeps what went on")
	}
}

// TestReadyIsReleased opens another exchange with the same two before the one that is
// ready is released: it is this one that opens.
func TestReadyIsReleased(t *testing.T) {
	t.Parallel()
	w := newBetween(t)
	w.open()
	w.becomes(w.first, peer, channel.OfferAsked)
	w.becomes(w.second, peer, channel.OfferAsked)
	w.offer(w.first, "five days")
	w.offer(w.second, "seven days")
	w.becomes(w.mediator, "Larch", channel.ShuttleReady)
	w.open()
	for _, m := range []*machine{w.first, w.second} {
		w.becomes(m, peer, channel.OfferAsked)
	}
	if err := w.mediator.ReleaseOffers(t.Context(), "Heron", 0); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*machine{w.first, w.second} {
		until(t, "the first exchange is open", func() bool {
			list, err := m.Shuttles(t.Context(), peer)
			return err == nil && len(list[0].List) == 2 && list[0].List[0].State == channel.OffersOpen
		})
	}
	if err := w.mediator.ReleaseOffers(t.Context(), "Heron", 0); !errors.Is(err, channel.ErrNotReady) {
		t.Errorf("the second exchange: %v", err)
	}
}
