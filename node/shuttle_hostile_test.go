package node_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

// A crooked store is that of a mediator who changes what his own machine holds. It reads
// along, too.
type crooked struct {
	node.Store
	crook *crook
}

type crook struct {
	sync.Mutex
	change func(*store.Write) // may be nil
	seek   []string           // what must never be written
	found  []string
}

func (s *crooked) Stage(writes ...store.Write) (uint64, error) {
	s.crook.Lock()
	defer s.crook.Unlock()
	writes = slices.Clone(writes)
	for i := range writes {
		writes[i].Value = bytes.Clone(writes[i].Value)
		for _, text := range s.crook.seek {
			if bytes.Contains(writes[i].Value, []byte(text)) {
				s.crook.found = append(s.crook.found, text)
			}
		}
		if s.crook.change != nil {
			s.crook.change(&writes[i])
		}
	}
	return s.Store.Stage(writes...)
}

func (c *crook) set(change func(*store.Write)) {
	c.Lock()
	defer c.Unlock()
	c.change = change
}

// openings are those in a record of the mediator's, in place; nil: it holds not both.
func openings(w *store.Write) (first, second []byte) {
	if w.Key.Kind != channel.KindShuttle || len(w.Value) < shuttle.RoundSize+1 {
		return nil, nil
	}
	round := w.Value[len(w.Value)-1-shuttle.RoundSize:]
	r, err := shuttle.ParseRound(round[:shuttle.RoundSize])
	if err != nil || !r.Ready() {
		return nil, nil
	}
	half := (shuttle.RoundSize - 167) / 2
	return round[167:][:half], round[167+half:][:half]
}

// both has both of the two seal, and waits until the mediator could release.
func (w *between) both(one, other string) {
	w.t.Helper()
	before := map[*machine]uint64{w.first: w.shuttle(w.first, peer).Number, w.second: w.shuttle(w.second, peer).Number}
	w.open()
	for m, offer := range map[*machine]string{w.first: one, w.second: other} {
		until(w.t, "an offer is asked for", func() bool { return w.shuttle(m, peer).Number != before[m] })
		w.offer(m, offer)
	}
	w.becomes(w.mediator, "Larch", channel.ShuttleReady)
	w.mediator.restart() // from here on it has what its store says
}

// release opens what the mediator holds, and waits until both have it.
func (w *between) release() {
	w.t.Helper()
	if err := w.mediator.ReleaseOffers(w.t.Context(), "Larch", 0); err != nil {
		w.t.Fatal(err)
	}
	w.mediator.flush("Larch")
	w.mediator.flush("Heron")
}

// reads wants one of the two to have read an offer; empty: none.
func (w *between) reads(m *machine, what, theirs string) {
	w.t.Helper()
	s := w.shuttle(m, peer)
	if s.Theirs != theirs || (s.State == channel.OffersOpen) != (theirs != "") {
		w.t.Errorf("%s: %s, and reads %q", what, s.State, s.Theirs)
	}
}

// TestHostileMediator has a mediator read along, hand openings to the wrong side, change
// one, change a commitment, call again while somebody types, and withhold.
func TestHostileMediator(t *testing.T) {
	t.Parallel()
	w := newBetween(t)
	offers := []string{"five quiet days", "seven quiet days"}
	c := &crook{seek: offers}
	w.mediator.hooks.store = func(in node.Store) node.Store { return &crooked{in, c} }
	w.mediator.restart()

	c.set(func(x *store.Write) {
		if first, second := openings(x); first != nil {
			was := bytes.Clone(first)
			copy(first, second)
			copy(second, was)
		}
	})
	w.both(offers[0], offers[1])
	w.release()
	w.reads(w.first, "its own opening came back", "")
	w.reads(w.second, "its own opening came back", "")

	c.set(func(x *store.Write) {
		if _, second := openings(x); second != nil {
			second[len(second)/2] ^= 1
		}
	})
	w.both(offers[0], offers[1])
	w.release()
	w.reads(w.first, "an opening was changed", "")
	w.reads(w.second, "the other one was not", offers[0]) // he can be unfair, and no more

	changed := false
	c.set(func(x *store.Write) {
		if x.Key.Kind != channel.KindMessage || x.Delete {
			return
		}
		m, err := channel.ParseMessage(x.Key.Seq, x.Value)
		if err == nil && m.Craft == channel.ShuttleCraft && m.Direction == channel.Out && strings.HasPrefix(m.Text, "\x01\x03") {
			changed = true
			x.Value[len(x.Value)-2] ^= 1 // the end of the first's commitment
		}
	})
	w.open()
	w.becomes(w.first, peer, channel.OfferAsked)
	w.becomes(w.second, peer, channel.OfferAsked) // its last exchange is open, and this one new
	w.second.end()
	until(t, "the mediator knows that the second is off", func() bool { return !w.mediator.of("Heron").Connected })
	w.offer(w.first, offers[0])
	w.becomes(w.mediator, "Larch", channel.ShuttleHalf)
	w.mediator.restart()
	w.second.start()
	w.second.unlock()
	w.offer(w.second, offers[1])
	w.becomes(w.mediator, "Larch", channel.ShuttleReady)
	w.release()
	w.reads(w.first, "its commitment was changed", "")
	w.reads(w.second, "the other's commitment was changed", "")
	if !changed {
		t.Error("no commitment was changed: this showed nothing")
	}

	c.set(nil)
	for _, m := range []*machine{w.first, w.second} {
		if s := w.shuttle(m, peer); s.State != channel.OffersSealed {
			t.Fatalf("%+v", s)
		}
	}
	w.open()
	until(t, "an offer is asked for", func() bool { return w.shuttle(w.first, peer).State == channel.OfferAsked })
	asked := w.shuttle(w.first, peer).Number
	w.open() // while a person types
	for _, m := range []*machine{w.first, w.second} {
		until(t, "another offer is asked for", func() bool { return w.shuttle(m, peer).Number == asked+1 })
	}
	if s, err := w.first.SealOffer(t.Context(), peer, asked, offers[0]); err != nil || s.Number != asked || w.shuttle(w.first, peer).State != channel.OfferAsked {
		t.Errorf("an offer is sealed in another exchange than its person read of: %+v, %v", s, err)
	}

	w.both(offers[0], offers[1]) // and is never released
	for _, m := range []*machine{w.first, w.second} {
		w.reads(m, "it is withheld", "")
		m.hooks.now = func() time.Time { return time.Now().Add(4 * time.Hour) }
		m.restart()
		w.becomes(m, peer, channel.ShuttleExpired)
		w.reads(m, "it was withheld", "")
	}
	if len(c.found) > 0 {
		t.Errorf("the mediator's machine has written %q", c.found)
	}
}

// performShuttle is performCraft for what a mediator carries.
func performShuttle(ctx context.Context, n *node.Node, c command, a *answer) (handled bool, err error) {
	switch c.Do {
	case "shuttle/open":
		err = n.OpenShuttle(ctx, "Larch", "Heron", "days of transit", time.Now().Add(3*time.Hour))
	case "shuttle/carry":
		_, err = n.CarryText(ctx, c.Name, c.Text)
	case "shuttle/pass":
		err = n.ReleaseText(ctx, "Larch", c.Seq, "Heron")
	case "shuttle/offer":
		_, err = n.SealOffer(ctx, c.Name, 0, c.Text)
	case "shuttle/release":
		err = n.ReleaseOffers(ctx, "Larch", 0)
	case "shuttle/show":
		list, err := n.Shuttles(ctx, c.Name)
		if err != nil {
			return true, err
		}
		for _, s := range list[0].List {
			a.Shuttles = append(a.Shuttles, fmt.Sprint(s.State, "; ", s.Own, "; ", s.Theirs))
		}
		for _, text := range list[0].Texts {
			a.Lines = append(a.Lines, channel.Message{Seq: text.Number, Text: text.Text})
		}
	default:
		return false, nil
	}
	return true, err
}

// shuttle is how the only exchange with a contact stands, and what texts came.
func (p *process) shuttle(name string) (state string, texts []channel.Message) {
	p.t.Helper()
	a := p.must(command{Do: "shuttle/show", Name: name})
	if len(a.Shuttles) > 1 {
		p.t.Fatalf("there are %d exchanges: %q", len(a.Shuttles), a.Shuttles)
	}
	return strings.Join(a.Shuttles, ""), a.Lines
}

// TestKilledOverShuttle kills a mediator and the two by turns, at random points, while
// he carries a text and sealed offers. What is begun twice would be seen.
func TestKilledOverShuttle(t *testing.T) {
	t.Parallel()
	mediator, first, second := newProcess(t, freeSettings(t)), newProcess(t, node.Settings{}), newProcess(t, node.Settings{})
	for name, p := range map[string]*process{"Larch": first, "Heron": second} {
		p.must(command{Do: "know/accept", Name: "Finch", Text: mediator.must(command{Do: "know/invite", Name: name}).Text})
		slowly(t, "the two met", func() bool { return slices.Contains(mediator.met(), name) && len(p.met()) == 1 })
	}
	kills := 0
	for _, p := range []*process{mediator, first, second} {
		left := max(2, few(12))
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
	_, handed := first.call(command{Do: "shuttle/carry", Name: "Finch", Text: "Five, perhaps."})
	for {
		if state, _ := mediator.shuttle("Larch"); state != "" {
			break
		}
		mediator.try(command{Do: "shuttle/open"})
	}
	slowly(t, "both are open", func() bool {
		atMediator, held := mediator.shuttle("Larch")
		one, _ := first.shuttle("Finch")
		two, carried := second.shuttle("Finch")
		for p, state := range map[*process]string{first: one, second: two} {
			if strings.HasPrefix(state, channel.OfferAsked.String()) {
				p.try(command{Do: "shuttle/offer", Name: "Finch", Text: map[*process]string{first: "five", second: "seven"}[p]})
			}
		}
		if len(held) > 0 {
			mediator.try(command{Do: "shuttle/pass", Seq: held[0].Seq})
		}
		if strings.HasPrefix(atMediator, channel.ShuttleReady.String()) {
			mediator.try(command{Do: "shuttle/release"})
		}
		if len(carried) > 1 || len(carried) == 1 && carried[0].Text != "Five, perhaps." {
			t.Fatalf("what was carried is %v", carried)
		}
		return one == "both are open; five; seven" && two == "both are open; seven; five" && (!handed || len(carried) == 1)
	})
	if kills < 3 {
		t.Errorf("%d kills", kills)
	}
	t.Logf("%d kills", kills)
}
