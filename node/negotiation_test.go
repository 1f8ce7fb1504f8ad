package node_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/secret"
)

// The hours of a negotiation, from its beginning.
const (
	soundingHour = 120
	signingHour  = 380
	deadlineHour = 400
	mandateHour  = 700
)

const (
	communiqueText = "Both sides read the gauges together, at noon.\n"
	otherDraft     = "Both sides read the gauges.\n"
)

// negotiationEnd is how it ends for each of the two, every time. What was said about the
// communiqué went with its channel.
const negotiationEnd = `peer met words compared by voice introduced true
finch met not verified introduced false
sounding both named it [{gauges 40}]
mandate held shown delivered
mandate valid compared
channel burned
notice ` + channel.NoteSoundingOver + `
`

// A negotiation is one of two parties and an intermediary, finch, who are processes that
// may die at any moment. The two know each other as peer.
type negotiation struct {
	*talk // of the two
	t     *testing.T
	began time.Time

	finch, larch, heron *process
	envoys              [2]*envoy
	texts               [2]string // that each says in the channel
	file                [2]string // what each publishes

	kills int
}

// An envoy is one of the two, with the authority for which he speaks.
type envoy struct {
	p         *process
	listener  *process
	authority *mandate.Private
	scope     string
	grant     string // in hexadecimal, once it is made
}

// A stage is a part of a negotiation: when it is, who is there, and what is to come about. What is
// to be done is done as long as it has not come about, because whoever was killed may
// have done it or not.
type stage struct {
	name string
	hour float64
	on   []*process
	done func() bool
}

// performNegotiation is performCraft for channels, and for what else needs a time.
func performNegotiation(ctx context.Context, n *node.Node, c command, a *answer) (handled bool, err error) {
	at := time.Unix(int64(c.Seq)*60, 0)
	switch c.Do {
	case "talks/sound":
		_, err = n.Sound(ctx, peer, at, strings.Split(c.Text, "\n"))
	case "talks/open":
		_, err = n.OpenChannel(ctx, peer, charter.Terms{
			Name: "river gauges", Purpose: c.Text, Kind: charter.Publishable, Route: charter.RouteDirect, Receipts: charter.ReceiptsLate, Deadline: uint32(c.Seq),
		})
	case "talks/sign":
		var version uint32
		if _, err := fmt.Sscan(c.Text, &version); err != nil {
			return true, err
		}
		number := publishable(ctx, n)
		_, err = n.SignCommunique(ctx, peer, number, shownDraft(ctx, n, number, version), at, true)
	case "talks/compare":
		_, err = n.CompareAuthority(ctx, peer, c.Seq, [mandate.WordCount]string(strings.Fields(c.Text)))
	case "talks/channel", "talks/accept", "talks/say", "talks/lines":
		list, err := n.Channels(ctx, peer)
		if err != nil || len(list[0].List) == 0 {
			return true, err
		}
		return true, performChannel(ctx, n, c, list[0].List[0], a)
	default:
		return false, nil
	}
	return true, err
}

func performChannel(ctx context.Context, n *node.Node, c command, w channel.ChannelView, a *answer) (err error) {
	switch c.Do {
	case "talks/channel":
		switch a.Text = w.Phase.String(); {
		case w.Burned:
			a.Text = "burned"
		case w.Pending != nil:
			a.Text = "pending"
		}
	case "talks/accept":
		if w.Pending == nil {
			return errors.New("nothing is proposed")
		}
		_, err = n.AnswerChannel(ctx, peer, w.Number, w.Pending.Digest(), true)
	case "talks/say":
		_, err = n.SendIn(ctx, peer, w.Number, c.Text)
	case "talks/lines":
		a.Lines, err = n.ReadIn(ctx, peer, w.Number, 0)
	}
	return err
}

// try gives a command that may have been carried out although there is no answer.
func (p *process) try(c command) {
	p.t.Helper()
	if a, _ := p.call(c); a.Err != "" {
		p.t.Fatalf("%s: %s", c.Do, a.Err)
	}
}

// shoot is SIGKILL from outside.
func (p *process) shoot() {
	p.t.Helper()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
	p.kills++
}

// minute is a moment of the negotiation, in minutes since 1970.
func (w *negotiation) minute(hour float64) uint64 {
	return uint64(w.began.Add(time.Duration(hour*60)*time.Minute).Unix() / 60)
}

// play lets a stage come about. Those who are on are killed as often as is planned, at
// random points, and at its end if a point was not reached. Nobody else runs.
func (w *negotiation) play(s stage, deaths map[*process]int) {
	w.t.Helper()
	for _, p := range []*process{w.finch, w.larch, w.heron} {
		if p.cmd != nil {
			p.end()
		}
		p.ahead = time.Until(w.began.Add(time.Duration(s.hour*60) * time.Minute))
	}
	for _, p := range s.on {
		p.next = func() bomb {
			if deaths[p] == 0 {
				return bomb{}
			}
			point := points[mathrand.IntN(len(points))]
			return bomb{Kind: point.Kind, When: point.When, At: 1 + mathrand.IntN(8)}
		}
		p.died = func(bomb) { deaths[p]-- }
		p.kills = 0
	}
	slowly(w.t, s.name, func() bool {
		for _, p := range s.on {
			p.must(command{Do: "contacts"}) // it lives
		}
		return s.done()
	})
	for _, p := range s.on {
		for ; deaths[p] > 0; deaths[p]-- {
			for p.cmd == nil && !p.start() {
			}
			p.shoot()
		}
		w.kills += p.kills
	}
}

// stages is the whole negotiation. Hours pass between them, in which nobody is there.
func (w *negotiation) stages() []stage {
	finch, larch, heron := w.finch, w.larch, w.heron
	both, all := []*process{larch, heron}, []*process{finch, larch, heron}
	return []stage{
		{"finch offers to introduce them", 0, []*process{finch}, w.offered},
		{"larch says yes", 20, []*process{finch, larch}, func() bool { return w.answers(larch) }},
		{"heron says yes", 40, []*process{finch, heron}, func() bool { return w.answers(heron) }},
		{"they meet, finch is out of it, and they compare words", 60, all, func() bool {
			return w.introduced() && w.hears(larch, heron) && w.hears(heron, larch)
		}},

		{"larch calls a sounding", 62, []*process{larch}, func() bool { return w.names(larch, "gauges\nEmbassy reopening") }},
		{"heron names topics", 90, both, func() bool { return w.names(heron, "dams\nGAUGES ") }},
		{"the machines sound", soundingHour - 1.0/12, both, func() bool {
			return w.sounding(larch).Answered == 21 && w.sounding(heron).Answered == 21
		}},

		{"larch knows that both named it, and proposes a channel", 150, []*process{larch}, func() bool { return w.matched(larch) && w.proposes() }},
		{"heron knows it, too, and accepts; they talk, and ask for mandates", 175, both, func() bool {
			return w.matched(heron) && w.agree() && w.converse() && w.envoys[0].asks(w) && w.envoys[1].asks(w)
		}},
		{"larch has his mandate", 205, []*process{larch}, func() bool { return w.envoys[0].holds(w) }},
		{"heron has his", 215, []*process{heron}, func() bool { return w.envoys[1].holds(w) }},
		{"each shows his, and compares the words of the other's authority", 220, both, func() bool {
			return w.envoys[0].shows(w) && w.envoys[1].shows(w) && w.envoys[0].compared(w) && w.envoys[1].compared(w)
		}},

		{"larch drafts", 230, []*process{larch}, func() bool { return w.drafts(larch, otherDraft) }},
		{"heron drafts", 250, []*process{heron}, func() bool { return w.drafts(heron, communiqueText) }},
		{"both sign heron's draft, and publish it", 270, both, func() bool {
			return w.draft(larch, communiqueText) != 0 && w.draft(heron, otherDraft) != 0 && w.sign() && w.publishes()
		}},

		{"the deadline comes to larch", deadlineHour + 1, []*process{larch}, func() bool { return w.channel(larch) == "burned" }},
		{"days later to heron, and nothing comes back", deadlineHour + 50, all, func() bool {
			return w.connectedTo(larch, peer) && w.connectedTo(heron, peer) && w.channel(heron) == "burned" && w.channel(larch) == "burned"
		}},
	}
}

func (w *negotiation) offered() bool {
	if len(w.finch.must(command{Do: "introductions"}).Introductions) == 0 {
		w.finch.try(command{Do: "introduce"})
		return false
	}
	return true
}

// answers has one of the two say yes, and waits until that has gone out.
func (w *negotiation) answers(p *process) bool {
	list := p.must(command{Do: "introductions"}).Introductions
	if len(list) == 1 && list[0].State == channel.IntroductionOffered {
		p.try(command{Do: "yes", Name: peer})
		return false
	}
	return len(list) == 1 && w.quiet(p)
}

// quiet reports whether nothing waits to be sent.
func (w *negotiation) quiet(p *process) bool {
	return !slices.ContainsFunc(p.must(command{Do: "contacts"}).Contacts, func(v channel.View) bool { return v.Waiting > 0 })
}

func (w *negotiation) introduced() bool {
	list := w.finch.must(command{Do: "introductions"}).Introductions
	over := len(list) == 2 && list[0].State == channel.IntroductionDone && list[1].State == channel.IntroductionDone
	return over && w.connectedTo(w.larch, peer) && w.connectedTo(w.heron, peer)
}

func (w *negotiation) connectedTo(p *process, name string) bool {
	return slices.Contains(p.met(), name)
}

// hears has somebody type the words that the other one reads.
func (w *negotiation) hears(p, other *process) bool {
	if p.view().Mark == channel.WordsCompared {
		return true
	}
	if digits := other.digits(); digits != "" {
		p.call(command{Do: "compare", Text: digits})
	}
	return false
}

func (w *negotiation) names(p *process, topics string) bool {
	s := w.sounding(p)
	if p == w.heron && s.State == 0 {
		return false // the call has not come
	}
	if len(s.Topics) == 0 {
		p.try(command{Do: "talks/sound", Text: topics, Seq: w.minute(soundingHour)})
		return false
	}
	return true
}

func (w *negotiation) matched(p *process) bool {
	return w.sounding(p).State == channel.SoundingBoth
}

func (w *negotiation) channel(p *process) string { return p.must(command{Do: "talks/channel"}).Text }

func (w *negotiation) proposes() bool {
	if w.channel(w.larch) == "" {
		w.larch.try(command{Do: "talks/open", Text: "agree how they are read", Seq: w.minute(deadlineHour)})
		return false
	}
	return true
}

func (w *negotiation) agree() bool {
	if w.channel(w.heron) == "pending" {
		w.heron.try(command{Do: "talks/accept"})
	}
	return w.channel(w.larch) == "open" && w.channel(w.heron) == "open"
}

// converse has each say a text in the channel, which the other reads once.
func (w *negotiation) converse() bool {
	var said, heard [2][]string
	for i, p := range []*process{w.larch, w.heron} {
		lines := p.must(command{Do: "talks/lines"}).Lines
		said[i] = w.spoken(lines, channel.Out)
		heard[1-i] = w.spoken(lines, channel.In)
		if len(said[i]) == 0 {
			p.try(command{Do: "talks/say", Text: w.texts[i]})
		}
	}
	for i := range said {
		if len(said[i]) > 1 || len(heard[i]) > 1 {
			w.t.Fatalf("%q was said, and %q is there", said, heard)
		}
	}
	return len(heard[0]) == 1 && len(heard[1]) == 1 && heard[0][0] == w.texts[0] && heard[1][0] == w.texts[1]
}

// spoken are the texts of a direction, without what is said about the charter.
func (w *negotiation) spoken(lines []channel.Message, d channel.Direction) []string {
	return texts(slices.DeleteFunc(lines, func(m channel.Message) bool { return m.Craft != channel.NoCraft }), d)
}

// asks writes a request, as soon as the listener's machine has given its key, and takes
// it to the authority.
func (e *envoy) asks(w *negotiation) bool {
	if e.grant != "" {
		return true
	}
	request, err := hex.DecodeString(e.p.must(command{Do: "mandate/request", Text: hex.EncodeToString(e.authority.Public().KeyFile())}).Text)
	if err != nil || len(request) == 0 {
		return false
	}
	r, err := mandate.OpenRequest(e.authority, request)
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := mandate.Issue(e.authority, r, mandate.Terms{Scope: e.scope, NotAfter: time.Unix(int64(w.minute(mandateHour))*60, 0), Dossier: "river"}, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	e.grant = hex.EncodeToString(g.Append(nil))
	return true
}

func (e *envoy) holds(w *negotiation) bool {
	if len(w.mandates(e.p, true, e.scope)) == 0 {
		e.p.try(command{Do: "mandate/import", Text: e.grant})
		return false
	}
	return true
}

func (e *envoy) shows(w *negotiation) bool {
	held := w.mandates(e.p, true, e.scope)
	if len(held) != 1 {
		w.t.Fatalf("%d mandates are held", len(held))
	}
	if held[0].State == channel.MandateHeld {
		e.p.try(command{Do: "mandate/show", Seq: held[0].Number})
		return false
	}
	shown := w.mandates(e.listener, false, e.scope)
	return len(shown) == 1 && shown[0].State == channel.MandateValid && held[0].Delivery == channel.Delivered
}

func (e *envoy) compared(w *negotiation) bool {
	shown := w.mandates(e.listener, false, e.scope)
	if len(shown) == 1 && shown[0].Compared.IsZero() {
		words := e.authority.Public().Words()
		e.listener.try(command{Do: "talks/compare", Text: strings.Join(words[:], " "), Seq: shown[0].Number})
		return false
	}
	return len(shown) == 1
}

func (w *negotiation) drafts(p *process, text string) bool {
	if w.draft(p, text) == 0 {
		p.try(command{Do: "communique/draft", Text: text})
		return false
	}
	return true
}

func (w *negotiation) sign() bool {
	version := w.draft(w.larch, communiqueText)
	sign := command{Do: "talks/sign", Text: fmt.Sprint(version), Seq: w.minute(signingHour)}
	one, two := w.signing(w.larch, version), w.signing(w.heron, version)
	if one == 0 || one == channel.SigningYours {
		w.larch.try(sign)
	}
	if two == channel.SigningProposed || two == channel.SigningYours {
		w.heron.try(sign)
	}
	return one == channel.SigningDone && two == channel.SigningDone
}

func (w *negotiation) publishes() bool {
	for i, p := range []*process{w.larch, w.heron} {
		w.file[i] = p.must(command{Do: "communique/publish"}).Text
	}
	return true
}

// published checks what both published as docs/spec/communique.md shows anybody to.
func (w *negotiation) published() {
	w.t.Helper()
	file, err := hex.DecodeString(w.file[0])
	if err != nil || w.file[0] != w.file[1] || len(file) < 278 {
		w.t.Fatalf("the two publish different files: %v", err)
	}
	text := file[:len(file)-278]
	if c, err := communique.Verify(file); err != nil || c.Text != communiqueText || string(file[32:96]) == string(file[101:165]) {
		w.t.Errorf("what is published is not what was agreed on: %v", err)
	}
	for i := range 2 {
		key, _ := hex.DecodeString(string(file[32+69*i:][:64]))
		sig, _ := hex.DecodeString(string(file[len(text)+139*i+10:][:128]))
		if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, text, sig) {
			w.t.Errorf("signature %d is not good", i+1)
		}
	}
}

// end is how it stands with one of the two.
func (w *negotiation) end(e *envoy, other *envoy) string {
	var b strings.Builder
	p := e.p
	for _, name := range []string{peer, "finch"} {
		for _, v := range p.must(command{Do: "contacts"}).Contacts {
			if strings.EqualFold(v.Name, name) {
				fmt.Fprintln(&b, name, v.Stage, v.Mark, "introduced", v.Introduced)
			}
		}
	}
	s := w.sounding(p)
	fmt.Fprintln(&b, "sounding", s.State, s.Common)
	for _, m := range w.mandates(p, true, e.scope) {
		fmt.Fprintln(&b, "mandate held", m.State, m.Delivery)
	}
	for _, m := range w.mandates(p, false, other.scope) {
		compared := "not compared"
		if !m.Compared.IsZero() {
			compared = "compared"
		}
		fmt.Fprintln(&b, "mandate", m.State, compared)
	}
	fmt.Fprintln(&b, "channel", w.channel(p))
	for _, text := range texts(p.lines(), channel.Notice) {
		if text != channel.NoteSoundingCalled { // at one of the two
			fmt.Fprintln(&b, "notice", text)
		}
	}
	return b.String()
}

// TestNegotiation plays a whole negotiation of two parties and an intermediary over
// nearly three weeks, in which hardly ever all are there, and kills all three at random
// points. It ends in one state.
func TestNegotiation(t *testing.T) {
	t.Parallel()
	runs, kills := 1, 3
	if *long {
		runs, kills = 3, 20
	}
	for range runs {
		w := newNegotiation(t)
		stages := w.stages()
		plan := make([]map[*process]int, len(stages))
		for i := range plan {
			plan[i] = map[*process]int{}
		}
		for range kills {
			i := mathrand.IntN(len(stages))
			plan[i][stages[i].on[mathrand.IntN(len(stages[i].on))]]++
		}
		for i, s := range stages {
			began, before := time.Now(), w.kills
			w.play(s, plan[i])
			t.Logf("%6.2f s: %s, with %d kills", time.Since(began).Seconds(), s.name, w.kills-before)
		}
		w.published()
		for i, e := range w.envoys {
			if got := w.end(e, w.envoys[1-i]); got != negotiationEnd {
				t.Errorf("the %s ends with\n%swant\n%s", []string{"first", "second"}[i], got, negotiationEnd)
			}
		}
		if w.kills != kills {
			t.Errorf("%d kills", w.kills)
		}
	}
}

// newNegotiation are three who know each other as far as finch knows both.
func newNegotiation(t *testing.T) *negotiation {
	t.Helper()
	finch, larch, heron := newProcess(t, freeSettings(t)), newProcess(t, freeSettings(t)), newProcess(t, node.Settings{})
	w := &negotiation{
		talk: newTalk(t, larch, heron), t: t, began: time.Now(), finch: finch, larch: larch, heron: heron,
		texts: [2]string{"Noon suits us.", "Noon, then. " + strings.Repeat("And so on. ", 300)},
	}
	for i, p := range []*process{larch, heron} {
		authority := mandate.NewPrivate(secret.New(&[32]byte{1, byte(i)}))
		w.envoys[i] = &envoy{p: p, listener: []*process{heron, larch}[i], authority: authority, scope: []string{"the upper gauges", "the lower gauges"}[i]}
	}
	for name, p := range map[string]*process{"Larch": larch, "Heron": heron} {
		p.must(command{Do: "know/accept", Name: "Finch", Text: finch.must(command{Do: "know/invite", Name: name}).Text})
		slowly(t, "finch knows "+name, func() bool { return slices.Contains(finch.met(), name) && len(p.met()) == 1 })
	}
	return w
}
