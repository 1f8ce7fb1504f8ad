package node_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/communique"
)

// performCommunique is performCraft for communiqués, and for burning what is in the
// way of more.
func performCommunique(ctx context.Context, n *node.Node, c command, a *answer) (handled bool, err error) {
	version, number := uint32(c.Seq), publishable(ctx, n)
	switch c.Do {
	case "communique/draft":
		_, err = n.DraftCommunique(ctx, peer, number, c.Text)
	case "communique/sign":
		_, err = n.SignCommunique(ctx, peer, number, shownDraft(ctx, n, number, version), time.Now().Add(time.Hour), true)
	case "communique/publish":
		var file []byte
		file, err = n.CommuniqueFile(ctx, peer, number, version)
		a.Text = hex.EncodeToString(file)
	case "communique/list":
		var w channel.CommuniqueView
		_, w, err = n.Communique(ctx, peer, number)
		a.Communique = &w
	case "burn":
		_, err = n.Burn(ctx, peer)
	default:
		return false, nil
	}
	return true, err
}

// shownDraft is a draft as a screen shows it.
func shownDraft(ctx context.Context, n *node.Node, number, version uint32) channel.ShownDraft {
	shown := channel.ShownDraft{Version: version}
	_, w, _ := n.Communique(ctx, peer, number) // a draft that is not there is found out in signing
	for _, d := range w.Drafts {
		if d.Version == version {
			shown.Digest = d.Digest
		}
	}
	return shown
}

// publishable is the first channel in which something may be published, or else the
// conversation without a charter.
func publishable(ctx context.Context, n *node.Node) uint32 {
	all, err := n.Channels(ctx, peer)
	if err != nil {
		return channel.Open
	}
	for _, w := range all[0].List {
		if !w.Burned && w.Agreed != nil && w.Agreed.Kind == charter.Publishable {
			return w.Number
		}
	}
	return channel.Open
}

// once gives a party a command that it may have carried out although it was killed.
func (w *talk) once(p party, c command) {
	w.t.Helper()
	if p, ok := p.(*process); ok {
		if a, _ := p.call(c); a.Err != "" {
			w.t.Fatalf("%s: %s", c.Do, a.Err)
		}
		return
	}
	w.do(p, c)
}

// slowly is until for what asks a process each time: it leaves the machine some rest.
func slowly(t testing.TB, what string, ok func() bool) {
	t.Helper()
	until(t, what, func() bool {
		done := ok()
		if !done {
			pass(40 * time.Millisecond)
		}
		return done
	})
}

// draft is the version under which a party has a text, or 0.
func (w *talk) draft(p party, text string) uint32 {
	w.t.Helper()
	for _, d := range w.do(p, command{Do: "communique/list"}).Communique.Drafts {
		if d.Text == text {
			return d.Version
		}
	}
	return 0
}

func (w *talk) signing(p party, version uint32) channel.SigningState {
	w.t.Helper()
	for _, s := range w.do(p, command{Do: "communique/list"}).Communique.Signings {
		if s.Version == version {
			return s.State
		}
	}
	return 0
}

// publish has two parties draft a text and sign it, whoever is killed meanwhile, and
// wants both to end with the same file.
func (w *talk) publish(first, second party, name string) {
	w.t.Helper()
	text, other := name+" of the first\n", name+" of the second\n"
	for p, t := range map[party]string{first: text, second: other} {
		for w.draft(p, t) == 0 {
			w.once(p, command{Do: "communique/draft", Text: t})
		}
	}
	slowly(w.t, "both have both drafts", func() bool {
		one, two := w.draft(first, other), w.draft(second, text) // both: looking is what starts a process that died
		return one != 0 && two != 0
	})
	version := w.draft(first, text)
	if version != w.draft(second, text) {
		w.t.Fatal("one draft has two versions")
	}
	sign := command{Do: "communique/sign", Seq: uint64(version)}
	slowly(w.t, "both have signed", func() bool {
		one, two := w.signing(first, version), w.signing(second, version)
		if one == 0 || one == channel.SigningYours {
			w.once(first, sign)
		}
		if two == channel.SigningProposed || two == channel.SigningYours {
			w.once(second, sign)
		}
		return one == channel.SigningDone && two == channel.SigningDone
	})
	var files [2][]byte
	for i, p := range []party{first, second} {
		var err error
		if files[i], err = hex.DecodeString(w.do(p, command{Do: "communique/publish", Seq: uint64(version)}).Text); err != nil {
			w.t.Fatal(err)
		}
	}
	if c, err := communique.Verify(files[0]); err != nil || c.Text != text || !bytes.Equal(files[0], files[1]) {
		w.t.Fatalf("what is published is not the same, or not good: %v", err)
	}
}

// TestKilledOverCommuniques kills who proposes, and who answers, at each point of
// the way of a communiqué: each life ends one point later than the one before.
func TestKilledOverCommuniques(t *testing.T) {
	t.Parallel()
	for _, role := range oneOf("initiator", "responder") {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p, m := newProcess(t, freeSettings(t)), newMachine(t, freeSettings(t), hooks{})
			w := newTalk(t, p, m)
			w.meet()
			kills, rounds := 0, 0
			p.died = func(bomb) { kills++ }
			for _, point := range points {
				every := 2 * stride() // a round has many points
				at := 1 + mathrand.IntN(every) - every
				p.next = func() bomb {
					at += every
					return bomb{Kind: point.Kind, When: point.When, At: at}
				}
				p.end()
				for before := -1; kills != before; rounds++ {
					before = kills
					var first, second party = p, m
					if role == "responder" {
						first, second = m, p
					}
					if rounds%10 == 9 { // what was signed is kept till it is burned
						w.do(first, command{Do: "burn"})
						w.do(second, command{Do: "burn"})
					}
					w.publish(first, second, fmt.Sprint(point, " ", kills))
				}
			}
			if kills < 2 {
				t.Errorf("%d kills", kills)
			}
			t.Logf("%d kills, %d communiqués", kills, rounds)
		})
	}
}
