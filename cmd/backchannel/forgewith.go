package main

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

// A forgery is what forge --with makes up besides texts.
type forgery struct {
	params forge.Params
	minute uint32 // of all of it
	text   string // what was answered
}

// forgeries are the tools that can be made up, each with its question.
var forgeries = map[string]struct {
	question string
	lines    func(f forgery) ([]forge.Line, error)
}{
	"charter":      {"What is the channel for? ", forgery.charter},
	"mandate":      {"What may the first one speak about? ", forgery.mandate},
	"communique":   {"Which text do both pre-sign? ", forgery.communique},
	"sounding":     {"Which topic have both named? ", forgery.sounding},
	"introduction": {"What is said of the one who is introduced? ", forgery.introduction},
	"offers":       {"What does the first one offer, sealed? ", forgery.offers},
}

const forgeryNames = "charter, mandate, communique, sounding, introduction or offers"

// forgeWith asks for what the tools say, and makes their lines.
func (a *app) forgeWith(p forge.Params, names []string, minute uint32) ([]forge.Line, error) {
	var lines []forge.Line
	for _, name := range names {
		tool := forgeries[name]
		text, err := a.in.ask(tool.question)
		if err != nil {
			return nil, err
		}
		made, err := tool.lines(forgery{p, minute, strings.TrimSpace(text)})
		if err != nil {
			return nil, usage("the answer for --with "+name+" is empty, too long or not plain text", "backchannel forge --out t.bct --with charter,mandate")
		}
		lines = append(lines, made...)
	}
	return lines, nil
}

// checkForgeries refuses what cannot be made up.
func checkForgeries(names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if _, ok := forgeries[name]; !ok || seen[name] {
			return usage("--with takes "+forgeryNames+", each once", "backchannel forge --out t.bct --with charter,mandate")
		}
		seen[name] = true
	}
	return nil
}

func (f forgery) charter() ([]forge.Line, error) {
	return forge.Agree(f.params, true, 2, charter.Terms{
		Name: "made up", Purpose: f.text, Kind: charter.Secret,
		Route: charter.RouteRelays, Receipts: charter.ReceiptsLate, Deadline: f.minute + 7*24*60,
	}, f.minute, f.minute)
}

func (f forgery) mandate() ([]forge.Line, error) {
	var keys [2]*mandate.Private
	for i := range keys {
		seed, err := secret.Read(rand.Reader)
		if err != nil {
			return nil, err
		}
		keys[i] = mandate.NewPrivate(seed)
	}
	return forge.Show(forge.Showing{
		Request: mandate.Request{
			Authority: keys[0].Public(), Envoy: keys[1].Public(),
			EnvoyCard: f.params.OwnCard.Fingerprint(), ListenerCard: f.params.PeerCard.Fingerprint(),
		},
		Terms: mandate.Terms{Scope: f.text, NotAfter: time.Unix(int64(f.minute)*60, 0).Add(30 * 24 * time.Hour)}, Minute: f.minute,
	}, rand.Reader)
}

func (f forgery) communique() ([]forge.Line, error) {
	var keys [2]communique.Key
	for i := range keys {
		var err error
		if keys[i], err = communique.NewKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	lines, _, err := forge.Sign(f.params.Side, forge.Signing{
		Role: communique.Initiator, Key: keys[0], Peer: keys[1].Public(),
		Text: communique.TidyText(f.text), Expiry: f.minute + 24*60, Minute: f.minute,
	}, rand.Reader)
	return lines, err
}

func (f forgery) sounding() ([]forge.Line, error) {
	lines, _, err := forge.Sound(forge.Sounding{Own: []string{f.text}, Peer: []string{f.text}, At: f.minute, Window: 120}, rand.Reader)
	return lines, err
}

func (f forgery) introduction() ([]forge.Line, error) {
	invitation, err := identity.NewInvitation(rand.Reader, identity.Place{}, time.Unix(int64(f.minute)*60, 0).Add(7*24*time.Hour), false)
	if err != nil {
		return nil, err
	}
	return forge.Introduce(forge.Introduction{
		Role: identity.Inviter, OfInviter: f.text, OfAccepter: f.text, Minute: f.minute, Invitation: invitation,
	}, rand.Reader)
}

func (f forgery) offers() ([]forge.Line, error) {
	lines, _, err := forge.Offer(forge.Offers{
		Role: shuttle.First, Subject: "made up", First: f.text, Second: f.text, Minute: f.minute,
	}, rand.Reader)
	return lines, err
}
