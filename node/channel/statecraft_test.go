package channel_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

// The hours of the whole craft, from its beginning.
const (
	craftSounding = 120
	craftSigning  = 300
	craftOffers   = 390
	craftDeadline = 400
)

// What is agreed, said and offered in it.
const (
	craftText  = "Both sides read the gauges together, at noon.\n"
	craftOther = "Both sides read the gauges.\n"
)

var (
	craftSaid   = [2]string{"Noon suits us.", "Noon, then. " + strings.Repeat("And so on. ", 300)}
	craftOffer  = [2]string{"five days of transit", "seven days of transit"}
	craftScope  = [2]string{"the upper gauges", "the lower gauges"}
	craftTopics = [2][]string{{"gauges", "Embassy reopening"}, {"dams", "GAUGES "}}
)

// craftEnd is how it ends for each of the two, whichever way it went.
const craftEnd = `the other one: met, words compared by voice, introduced true
finch: met, not verified, introduced false
sounding: both named it, [{gauges 40}]
mandate held: shown, delivered
mandate shown: valid, compared true
sealed offers: both are open, own true, theirs true, words true
channel: burned
notice: ` + channel.NoteSoundingOver + `
notice of finch: ` + channel.NoteIntroductionAsked + `
notice of finch: ` + channel.NoteIntroductionMet + `
notice of finch: ` + channel.NoteShuttleCalled + `
notice of finch: ` + channel.NoteShuttleOpened + `
`

// A craft is the whole of it: two parties, and finch between them.
type craft struct {
	*post
	finch   *machine
	two     [2]*machine // larch and heron
	grants  [2]*mandate.Grant
	files   [2][]byte
	mediate bool // finch has called for offers
}

// A chapter is a part of it: when it begins, who is on, what each does in a minute in which
// he is on, and what is to come about.
type chapter struct {
	name string
	hour float64
	on   []*machine
	act  func(*machine)
	done func() bool
}

// play lets a chapter come about. Who is alone stays until drops have all that he said,
// and half an hour more, for what nobody is told of.
func (w *craft) play(c chapter) {
	w.t.Helper()
	if at := start.Add(time.Duration(c.hour * float64(time.Hour))); w.now.Before(at) {
		w.now = at
	}
	on := c.on
	if w.direct {
		on = w.machines
	}
	act := func(m *machine) {
		if slices.Contains(c.on, m) {
			c.act(m)
		}
	}
	stays := 30
	for turn := range 2000 {
		if turn == 200 {
			on = w.machines // what was lost here is sent again by who looks in
		}
		w.minute(on, turn, act)
		w.checkStates()
		if !c.done() || !w.direct && len(c.on) == 1 && !c.on[0].toldOfAll() {
			continue
		}
		if stays--; w.direct || len(c.on) > 1 || stays <= 0 {
			return
		}
	}
	w.t.Fatalf("%s: it does not come about", c.name)
}

// toldOfAll reports whether drops have said of all that a person sent that they have it.
func (m *machine) toldOfAll() bool {
	for _, k := range m.talks {
		if k.c.Unsaid() {
			return false
		}
	}
	return true
}

// checkStates wants no line that is said to be there and is not.
func (w *craft) checkStates() {
	w.t.Helper()
	for _, m := range w.machines {
		for _, k := range m.talks {
			for _, n := range []uint32{channel.Open, 2} {
				lines, _ := k.c.TranscriptIn(w.now, n, 0)
				for _, line := range lines {
					if line.Direction == channel.Out && line.State == channel.Delivered && line.Craft == channel.NoCraft && !k.peer().heard(n, line.Text) {
						w.t.Fatalf("%s: %q is shown as delivered and is not there", m.name, line.Text)
					}
				}
			}
		}
	}
}

func (k *talk) heard(n uint32, text string) bool {
	lines, err := k.c.TranscriptIn(k.m.w.now, n, 0)
	return err != nil || slices.ContainsFunc(lines, func(m channel.Message) bool { return m.Direction == channel.In && m.Text == text })
}

// try carries out what a person does; that it cannot be done yet is no failure.
func (k *talk) try(out *channel.Output, err error, not ...error) {
	k.m.w.t.Helper()
	switch {
	case err == nil:
		k.do(out)
	case !slices.ContainsFunc(not, func(e error) bool { return errors.Is(err, e) }):
		k.m.w.t.Fatalf("%s: %v", k.m.name, err)
	}
}

// chapters are the whole craft.
func (w *craft) chapters() []chapter {
	finch, larch, heron := w.finch, w.two[0], w.two[1]
	both, all := []*machine{larch, heron}, []*machine{finch, larch, heron}
	only := func(m *machine) []*machine { return []*machine{m} }
	nothing := func(*machine) {}
	return []chapter{
		{"finch meets both", 0, all, nothing, func() bool { return w.met(larch, finch) && w.met(heron, finch) }},
		{"finch offers to introduce them", 4, only(finch), w.introduces, func() bool { return len(finch.to("larch").c.Pairs()) == 1 }},
		{"larch says yes", 20, only(larch), w.saysYes, func() bool { return w.said(larch) }},
		{"heron says yes", 40, only(heron), w.saysYes, func() bool { return w.said(heron) }},
		{"they meet, finch is out of it, and they compare words", 60, all, w.compares, w.introduced},

		{"larch calls a sounding", 65, only(larch), w.sounds, func() bool { return w.sounding(larch).State == channel.SoundingOpen }},
		{"heron names topics", 90, only(heron), w.sounds, func() bool { return len(w.sounding(heron).Topics) == 2 }},
		{"the machines sound", craftSounding - 5, both, nothing, func() bool {
			return w.sounding(larch).Answered == 21 && w.sounding(heron).Answered == 21 && w.hour() > craftSounding
		}},

		{"larch proposes a channel", 150, only(larch), w.opens, func() bool { return w.channel(larch) != "" }},
		{"heron accepts, speaks, and asks for a mandate", 170, only(heron), w.talks, func() bool { return w.spoken(heron) }},
		{"larch speaks, and asks for a mandate", 190, only(larch), w.talks, func() bool { return w.spoken(larch) }},
		{"heron holds one and shows it", 200, only(heron), w.mandated, func() bool { return w.shows(heron) }},
		{"larch holds one and shows it, and compares", 210, only(larch), w.mandated, func() bool { return w.shows(larch) && w.compared(larch) }},
		{"heron compares, and drafts", 220, only(heron), func(m *machine) { w.mandated(m); w.drafts(m, craftText) }, func() bool {
			return w.compared(heron) && w.version(heron, craftText) != 0
		}},
		{"larch drafts", 230, only(larch), func(m *machine) { w.drafts(m, craftOther) }, func() bool { return w.version(larch, craftOther) != 0 }},
		{"both sign heron's draft, and publish it", 250, both, w.signs, func() bool { return w.files[0] != nil && w.files[1] != nil }},

		{"finch calls for sealed offers", 320, only(finch), w.calls, func() bool { return w.mediate }},
		{"heron seals one", 330, only(heron), w.seals, func() bool { return w.offer(heron).State >= channel.OfferSealed }},
		{"larch seals one", 340, only(larch), w.seals, func() bool { return w.offer(larch).State >= channel.OfferSealed }},
		{"all go on until both can be opened", 360, all, nothing, func() bool { return w.round().State == channel.ShuttleReady }},
		{"finch opens them", 370, only(finch), w.releases, func() bool { return w.round().State == channel.ShuttleGone }},
		{"both read them", 380, both, nothing, func() bool {
			return w.offer(larch).State == channel.OffersOpen && w.offer(heron).State == channel.OffersOpen
		}},

		{"the deadline comes to larch", craftDeadline + 1, only(larch), nothing, func() bool { return w.channel(larch) == "burned" }},
		{"two days later to heron", craftDeadline + 49, only(heron), nothing, func() bool { return w.channel(heron) == "burned" }},
		{"and nothing comes back", craftDeadline + 60, all, nothing, func() bool { return w.hour() > craftDeadline+61 && w.quiet() }},
	}
}

func (w *craft) hour() float64 { return w.now.Sub(start).Hours() }

func (w *craft) number(m *machine) int { return slices.Index(w.two[:], m) }

func (w *craft) other(m *machine) *machine { return w.two[1-w.number(m)] }

// peer is a party's conversation with the other one; nil before they met.
func (w *craft) peer(m *machine) *talk { return m.to(w.other(m).name) }

func (w *craft) met(m, with *machine) bool {
	for _, k := range []*talk{m.to(with.name), with.to(m.name)} {
		if k == nil || k.c.View().Stage != channel.Met || !k.c.View().WordsReady {
			return false
		}
	}
	return true
}

func (w *craft) introduces(m *machine) {
	one, two := m.to("larch"), m.to("heron")
	if len(one.c.Pairs()) > 0 {
		return
	}
	now := uint32(w.now.Unix() / 60)
	x, err := introduction.New("one on the other bank", "one upstream", now+10*24*60, now, m.random)
	if err != nil {
		w.t.Fatal(err)
	}
	tag := [16]byte{byte(w.rng.Uint32())}
	_, outOne, err := one.c.Introduce(w.now, identity.Inviter, two.id, tag, x)
	_, outTwo, err2 := two.c.Introduce(w.now, identity.Accepter, one.id, tag, x)
	if err = errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	m.both(one, outOne, two, outTwo)
}

func (w *craft) saysYes(m *machine) {
	k := m.to("finch")
	_, out, err := k.c.AnswerIntroduction(w.now, 0, true, w.other(m).name)
	k.try(out, err, channel.ErrNoIntroduction)
}

func (w *craft) said(m *machine) bool {
	list := m.to("finch").c.Introductions(w.now)
	return len(list) == 1 && list[0].State == channel.IntroductionAccepted
}

func (w *craft) compares(m *machine) {
	if m == w.finch || w.peer(m) == nil || w.peer(w.other(m)) == nil {
		return
	}
	k := w.peer(m)
	spoken, err := k.peer().c.Words() // over the telephone
	if err != nil || k.c.View().Mark == channel.WordsCompared {
		return
	}
	verdict, out, err := k.c.Compare(w.now, channel.Heard{Words: spoken.Words()})
	if errors.Is(err, channel.ErrNoWords) {
		return
	}
	if err == nil && !verdict.Match {
		w.t.Fatalf("%s hears other words", m.name)
	}
	k.try(out, err)
}

func (w *craft) introduced() bool {
	for _, m := range w.two {
		if w.peer(m) == nil || w.peer(m).c.View().Mark != channel.WordsCompared {
			return false
		}
		list := w.finch.to(m.name).c.Introductions(w.now)
		if len(list) != 1 || list[0].State != channel.IntroductionDone {
			return false
		}
	}
	return true
}

func (w *craft) sounding(m *machine) (v channel.SoundingView) {
	if list, _ := w.peer(m).c.Soundings(w.now); len(list) > 0 {
		v = list[len(list)-1]
	}
	return v
}

func (w *craft) sounds(m *machine) {
	k, v := w.peer(m), w.sounding(m)
	if len(v.Topics) > 0 || w.number(m) == 1 && v.State == 0 { // the call has not come
		return
	}
	_, out, err := k.c.Sound(w.now, start.Add(craftSounding*time.Hour), craftTopics[w.number(m)])
	k.try(out, err)
}

func (w *craft) channel(m *machine) string {
	v, err := w.peer(m).c.Channel(w.now, 2)
	switch {
	case err != nil:
		return ""
	case v.Burned:
		return "burned"
	}
	return v.Phase.String()
}

func (w *craft) opens(m *machine) {
	if w.channel(m) != "" {
		return
	}
	terms := charter.Terms{
		Name: "river gauges", Purpose: "agree how they are read", Kind: charter.Publishable, Route: charter.RouteRelays,
		Receipts: charter.ReceiptsLate, Deadline: uint32(start.Add(craftDeadline*time.Hour).Unix() / 60),
	}
	if w.direct {
		terms.Route = charter.RouteDirect
	}
	if w.sounding(m).State != channel.SoundingBoth {
		w.t.Fatalf("%s: the sounding is %q", m.name, w.sounding(m).State)
	}
	_, out, err := w.peer(m).c.OpenChannel(w.now, terms)
	w.peer(m).try(out, err)
}

// talks accepts the charter, says a text in the channel, and asks the listener's machine
// for what a mandate needs.
func (w *craft) talks(m *machine) {
	k, i := w.peer(m), w.number(m)
	if v, err := k.c.Channel(w.now, 2); err == nil && v.Pending != nil {
		_, out, err := k.c.AcceptChannel(w.now, 2, v.Pending.Digest())
		k.try(out, err)
	}
	if !w.spoken(m) && w.channel(m) == charter.Open.String() {
		_, out, err := k.c.SendIn(w.now, 2, craftSaid[i])
		k.try(out, err)
	}
	w.mandated(m)
}

func (w *craft) spoken(m *machine) bool { return w.lines(m, channel.Out) == 1 }

// lines counts the texts of a direction in the channel.
func (w *craft) lines(m *machine, d channel.Direction) (n int) {
	list, _ := w.peer(m).c.TranscriptIn(w.now, 2, 0)
	for _, line := range list {
		if line.Craft == channel.NoCraft && line.Direction == d {
			n++
		}
	}
	return n
}

func (w *craft) authority(i int) *mandate.Private { return ministry(byte(40 + i)) }

// mandated goes on with the mandates of a party: his own, and that which he was shown.
func (w *craft) mandated(m *machine) {
	k, i := w.peer(m), w.number(m)
	if w.grants[i] == nil {
		file, out, err := k.c.RequestMandate(w.now, w.authority(i).Public())
		if k.try(out, err); file != nil && !m.dead {
			w.grants[i] = w.grant(i, file)
		}
	}
	if w.grants[i] != nil && !slices.ContainsFunc(k.c.Mandates(w.now), func(v channel.MandateView) bool { return v.Held && v.Scope != "" }) {
		_, out, err := k.c.ImportMandate(w.now, *w.grants[i])
		k.try(out, err)
	}
	for _, v := range k.c.Mandates(w.now) {
		switch {
		case v.Held && v.State == channel.MandateHeld:
			_, out, err := k.c.ShowMandate(w.now, v.Number)
			k.try(out, err)
		case !v.Held && v.Compared.IsZero():
			_, out, err := k.c.CompareAuthority(w.now, v.Number, w.authority(1-i).Public().Words())
			k.try(out, err)
		}
	}
}

// grant is what an authority makes of an envoy's request.
func (w *craft) grant(i int, file []byte) *mandate.Grant {
	r, err := mandate.OpenRequest(w.authority(i), file)
	if err != nil {
		w.t.Fatal(err)
	}
	until := start.Add(2 * craftDeadline * time.Hour)
	g, err := mandate.Issue(w.authority(i), r, mandate.Terms{Scope: craftScope[i], NotAfter: until, Dossier: "river"}, prototest.Reader(byte(i)))
	if err != nil {
		w.t.Fatal(err)
	}
	return &g
}

func (w *craft) shows(m *machine) bool {
	return slices.ContainsFunc(w.peer(m).c.Mandates(w.now), func(v channel.MandateView) bool { return v.Held && v.State == channel.MandateOut })
}

func (w *craft) compared(m *machine) bool {
	return slices.ContainsFunc(w.peer(m).c.Mandates(w.now), func(v channel.MandateView) bool {
		return !v.Held && v.State == channel.MandateValid && !v.Compared.IsZero()
	})
}

// version is the number of the draft with a text, or 0.
func (w *craft) version(m *machine, text string) uint32 {
	v, _ := w.peer(m).c.Communique(w.now, 2)
	for _, d := range v.Drafts {
		if d.Text == text {
			return d.Version
		}
	}
	return 0
}

func (w *craft) drafts(m *machine, text string) {
	if w.version(m, text) == 0 {
		_, out, err := w.peer(m).c.Draft(w.now, 2, text)
		w.peer(m).try(out, err)
	}
}

// signs has a party do what is his to do of a signing, which larch proposes.
func (w *craft) signs(m *machine) {
	k, i := w.peer(m), w.number(m)
	version := w.version(m, craftText)
	v, _ := k.c.Communique(w.now, 2)
	if version == 0 || len(v.Signings) == 0 && i == 1 {
		return
	}
	if len(v.Signings) > 0 {
		switch v.Signings[0].State {
		case channel.SigningDone:
			file, err := k.c.CommuniqueFile(w.now, 2, version)
			if err != nil {
				w.t.Fatal(err)
			}
			w.files[i] = file
			return
		case channel.SigningProposed, channel.SigningYours:
		default:
			return
		}
	}
	d, err := k.c.DraftText(2, version)
	if err != nil {
		w.t.Fatal(err)
	}
	_, out, err := k.c.Sign(w.now, 2, version, d.Digest, start.Add(craftSigning*time.Hour), true)
	k.try(out, err)
}

func (w *craft) calls(m *machine) {
	first, second := m.to("larch"), m.to("heron")
	if list, _ := first.c.Shuttle(w.now, nil); len(list) > 0 {
		w.mediate = true
		return
	}
	r, err := channel.NewShuttle(w.now, start.Add(craftOffers*time.Hour), "days of transit", m.random)
	if err != nil {
		w.t.Fatal(err)
	}
	one, err := first.c.OpenShuttle(w.now, r, shuttle.First, second.id)
	two, err2 := second.c.OpenShuttle(w.now, r, shuttle.Second, first.id)
	if err = errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	m.both(first, one, second, two)
}

func (w *craft) offer(m *machine) (v channel.ShuttleView) {
	if list, _ := m.to("finch").c.Shuttle(w.now, nil); len(list) > 0 {
		v = list[0]
	}
	return v
}

func (w *craft) round() (v channel.ShuttleView) {
	if list, _ := w.finch.to("larch").c.Shuttle(w.now, nil); len(list) > 0 {
		v = list[0]
	}
	return v
}

func (w *craft) seals(m *machine) {
	if m != w.finch && w.offer(m).State == channel.OfferAsked {
		_, out, err := m.to("finch").c.Offer(w.now, 0, craftOffer[w.number(m)])
		m.to("finch").try(out, err)
	}
}

func (w *craft) releases(m *machine) {
	first, second := m.to("larch"), m.to("heron")
	u, ok := first.c.Carried(0)
	if !ok || w.round().State != channel.ShuttleReady {
		return
	}
	pass, out, err := first.c.Release(w.now, u.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	m.both(first, out, second, second.c.Pass(w.now, pass))
}

// quiet reports whether everything has arrived everywhere.
func (w *craft) quiet() bool {
	for _, m := range w.machines {
		for _, k := range m.talks {
			if k.c.View().Waiting > 0 {
				return false
			}
		}
	}
	return true
}

// end is how it stands with one of the two.
func (w *craft) end(m *machine) string {
	var b strings.Builder
	k, f := w.peer(m), m.to("finch")
	for _, k := range []*talk{k, f} {
		v := k.c.View()
		fmt.Fprintf(&b, "%s: %s, %s, introduced %t\n", map[bool]string{true: "finch", false: "the other one"}[k == f], v.Stage, v.Mark, v.Introduced)
	}
	s := w.sounding(m)
	fmt.Fprintf(&b, "sounding: %s, %v\n", s.State, s.Common)
	for _, v := range k.c.Mandates(w.now) {
		switch {
		case v.Held && v.Scope == craftScope[w.number(m)]:
			fmt.Fprintf(&b, "mandate held: %s, %s\n", v.State, v.Delivery)
		case !v.Held && v.Scope == craftScope[1-w.number(m)]:
			fmt.Fprintf(&b, "mandate shown: %s, compared %t\n", v.State, !v.Compared.IsZero())
		}
	}
	o := w.offer(m)
	fmt.Fprintf(&b, "sealed offers: %s, own %t, theirs %t, words %t\n", o.State,
		o.Own == craftOffer[w.number(m)], o.Theirs == craftOffer[1-w.number(m)], o.OwnWords != nil && o.TheirWords != nil)
	fmt.Fprintln(&b, "channel:", w.channel(m))
	b.WriteString(notices("notice: ", k) + notices("notice of finch: ", f))
	return b.String()
}

// notices are the program's lines in a conversation, and what did not arrive.
func notices(what string, k *talk) string {
	var b strings.Builder
	for _, line := range k.c.Transcript(0) {
		switch {
		case line.Direction == channel.Notice && line.Text != channel.NoteSoundingCalled: // at one of the two
			b.WriteString(what + line.Text + "\n")
		case line.Direction == channel.Out && line.State != channel.Delivered:
			fmt.Fprintf(&b, "%sline %d of %s is %s\n", what, line.Seq, line.Craft, line.State)
		}
	}
	return b.String()
}

// check wants the end that there is to be, the communiqué as it was agreed on, and nothing
// of the channel on any disk.
func (w *craft) check() {
	w.t.Helper()
	for _, m := range w.two {
		if got := w.end(m); got != craftEnd {
			w.t.Errorf("%s ends with\n%swant\n%s", m.name, got, craftEnd)
		}
		for _, text := range []string{craftSaid[0], craftSaid[1][:40], strings.TrimSpace(craftText), "agree how they are read"} {
			if m.has(text) {
				w.t.Errorf("%s: %q is on the disk after the deadline", m.name, text)
			}
		}
	}
	if got := w.round().State; got != channel.ShuttleGone || w.finch.has(craftOffer[0]) || w.finch.has(craftOffer[1]) {
		w.t.Errorf("finch ends with offers that are %q, or can read them", got)
	}
	c, err := communique.Verify(w.files[0])
	if err != nil || c.Text != craftText || !bytes.Equal(w.files[0], w.files[1]) {
		w.t.Errorf("what is published is %q, %v", c.Text, err)
	}
}

func newCraft(t *testing.T, seed byte, direct bool) *craft {
	t.Helper()
	p := newPost(t, seed, direct, "finch", "larch", "heron")
	w := &craft{post: p, finch: p.machines[0], two: [2]*machine{p.machines[1], p.machines[2]}}
	for _, m := range w.two {
		p.befriend(w.finch, m)
	}
	return w
}

// TestStatecraftOverBoxes plays all the tools over nearly three weeks: over boxes at drops
// alone, of machines that are never on together, where boxes are lost, come in any order,
// and machines die before a commit and are loaded from their disk; and over connections.
// Both end in one state.
func TestStatecraftOverBoxes(t *testing.T) {
	t.Parallel()
	for seed := range byte(4) {
		w := newCraft(t, 5*seed, seed == 0)
		for _, c := range w.chapters() {
			w.play(c)
		}
		w.check()
		t.Logf("directly %t: %d boxes, %d lost, %d deaths, %d starts", w.direct, w.boxes, w.lost, w.deaths, w.restarts)
	}
}
