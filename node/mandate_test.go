package node_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/secret"
)

// performCraft is perform for the tools of statecraft. Files are in hexadecimal.
func performCraft(ctx context.Context, n *node.Node, c command) (a answer, err error) {
	if handled, err := performCommunique(ctx, n, c, &a); handled {
		return a, err
	}
	if handled, err := performIntroduction(ctx, n, c, &a); handled {
		return a, err
	}
	if handled, err := performCharter(ctx, n, c, &a); handled {
		return a, err
	}
	if handled, err := performSounding(ctx, n, c, &a); handled {
		return a, err
	}
	if handled, err := performShuttle(ctx, n, c, &a); handled {
		return a, err
	}
	if handled, err := performNegotiation(ctx, n, c, &a); handled {
		return a, err
	}
	file, err := hex.DecodeString(c.Text)
	if err != nil {
		return a, err
	}
	switch c.Do {
	case "mandate/request":
		key, err := mandate.ParseKeyFile(file)
		if err != nil {
			return a, err
		}
		file, err = n.RequestMandate(ctx, peer, key)
		a.Text = hex.EncodeToString(file)
		return a, err
	case "mandate/import":
		g, err := mandate.ParseGrant(file)
		if err != nil {
			return a, err
		}
		_, _, err = n.ImportMandate(ctx, g)
		return a, err
	case "mandate/show":
		_, err = n.ShowMandate(ctx, peer, c.Seq)
	case "mandate/withdraw":
		_, _, err = n.WithdrawMandate(ctx, file)
	case "mandate/list":
		list, err := n.Mandates(ctx, peer)
		if err == nil {
			a.Mandates = list[0].List
		}
		return a, err
	default:
		err = errors.New("no such command")
	}
	return a, err
}

// do gives a party a command that may be carried out twice.
func (w *talk) do(p party, c command) answer {
	w.t.Helper()
	if p, ok := p.(*process); ok {
		return p.must(c)
	}
	a, err := performCraft(w.t.Context(), p.(*machine).Node, c)
	if err != nil {
		w.t.Fatalf("%s: %v", c.Do, err)
	}
	return a
}

// mandates are those that a party holds, or was shown, for a scope.
func (w *talk) mandates(p party, held bool, scope string) (list []channel.MandateView) {
	w.t.Helper()
	for _, m := range w.do(p, command{Do: "mandate/list"}).Mandates {
		if m.Held == held && m.Scope == scope {
			list = append(list, m)
		}
	}
	return list
}

// speakFor has an envoy ask for a mandate, import, show and withdraw it, whoever is
// killed meanwhile, and wants both sides to end in the one state there is.
func (w *talk) speakFor(envoy, listener party, authority *mandate.Private, scope string) {
	w.t.Helper()
	key := command{Do: "mandate/request", Text: hex.EncodeToString(authority.Public().KeyFile())}
	var request []byte
	slowly(w.t, "a request can be written", func() bool {
		request, _ = hex.DecodeString(w.do(envoy, key).Text)
		w.do(listener, command{Do: "mandate/list"}) // it lives
		return len(request) > 0
	})
	r, err := mandate.OpenRequest(authority, request)
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := mandate.Issue(authority, r, mandate.Terms{Scope: scope, NotAfter: time.Now().Add(time.Hour), Dossier: "river"}, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(envoy, command{Do: "mandate/import", Text: hex.EncodeToString(g.Append(nil))})
	held := w.mandates(envoy, true, scope)
	if len(held) != 1 {
		w.t.Fatalf("%d mandates are held", len(held))
	}
	slowly(w.t, "the mandate is shown", func() bool {
		if held = w.mandates(envoy, true, scope); held[0].State == channel.MandateHeld {
			if p, ok := envoy.(*process); ok {
				p.call(command{Do: "mandate/show", Seq: held[0].Number}) // killed, it may have been stored or not
			} else {
				w.do(envoy, command{Do: "mandate/show", Seq: held[0].Number})
			}
		}
		shown := w.mandates(listener, false, scope)
		return held[0].Delivery == channel.Delivered && len(shown) == 1 && shown[0].State == channel.MandateValid
	})
	file, err := mandate.Withdraw(authority, g.Mandate)
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(envoy, command{Do: "mandate/withdraw", Text: hex.EncodeToString(file)})
	slowly(w.t, "the withdrawal is there", func() bool {
		w.do(envoy, command{Do: "mandate/list"}) // it lives
		shown := w.mandates(listener, false, scope)
		if len(shown) != 1 {
			w.t.Fatalf("%d mandates were shown", len(shown))
		}
		return shown[0].State == channel.MandateWithdrawn
	})
	if held = w.mandates(envoy, true, scope); len(held) != 1 || held[0].State != channel.MandateWithdrawn {
		w.t.Fatalf("the envoy ends with %+v", held)
	}
}

// TestKilledOverMandates kills the envoy, and the listener, at each point of the way
// of a mandate: each life ends one point later than the one before.
func TestKilledOverMandates(t *testing.T) {
	t.Parallel()
	for _, role := range oneOf("envoy", "listener") {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p, m := newProcess(t, freeSettings(t)), newMachine(t, freeSettings(t), hooks{})
			w := newTalk(t, p, m)
			w.meet()
			kills := 0
			p.died = func(bomb) { kills++ }
			for i := 0; i < len(points) || kills < 3 && i < 4*len(points); i++ { // again, if few were met
				point := points[i%len(points)]
				at := 1 + mathrand.IntN(stride()) - stride()
				p.next = func() bomb {
					at += stride()
					return bomb{Kind: point.Kind, When: point.When, At: at}
				}
				p.end()
				for before := -1; kills != before; {
					before = kills
					var envoy, listener party = p, m
					if role == "listener" {
						envoy, listener = m, p
					}
					authority := mandate.NewPrivate(secret.New(&[32]byte{7, byte(kills % 6)})) // a new one begins with a question
					w.speakFor(envoy, listener, authority, fmt.Sprint(point, " ", kills))
				}
			}
			w.undisturbed()
			if kills < 3 {
				t.Errorf("%d kills", kills)
			}
			t.Logf("%d kills", kills)
		})
	}
}
