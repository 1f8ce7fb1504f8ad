package forge_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
	"github.com/backchannel/backchannel/protocol/sounding"
	"github.com/backchannel/backchannel/protocol/wire"
)

func draw(t testing.TB, random *rand.ChaCha8) secret.Key {
	t.Helper()
	k, err := secret.Read(random)
	check(t, err)
	return k
}

// simulations are all there are: of each tool, by each of those who could make it.
func simulations() []simulation {
	list := []simulation{
		{name: "mandate by its listener", side: identity.Inviter, real: realMandate(false), forged: forgedMandate(false)},
		{name: "mandate and ring by the envoy", side: identity.Accepter, real: realMandate(true), forged: forgedMandate(true)},
		{name: "pre-signatures by the initiator", side: identity.Inviter, real: realSigning(communique.Initiator, false), forged: forgedSigning(communique.Initiator, false)},
		{name: "pre-signatures by the responder", side: identity.Accepter, real: realSigning(communique.Responder, false), forged: forgedSigning(communique.Responder, false)},
		{name: "the way to a published text", side: identity.Inviter, real: realSigning(communique.Initiator, true), forged: forgedSigning(communique.Initiator, true)},
		{name: "sounding by who called", side: identity.Inviter, real: realSounding(false), forged: forgedSounding(false)},
		{name: "sounding by who was called", side: identity.Accepter, real: realSounding(true), forged: forgedSounding(true)},
		{name: "charter by who opens", side: identity.Inviter, real: realCharter(true), forged: forgedCharter(true)},
		{name: "charter by who accepts", side: identity.Inviter, real: realCharter(false), forged: forgedCharter(false)},
	}
	for _, x := range []struct {
		name string
		of   forge.Introduction
	}{
		{"introduction by the introducer", forge.Introduction{Introducer: true, Role: identity.Inviter}},
		{"introduction by the inviter", forge.Introduction{Role: identity.Inviter}},
		{"introduction by the accepter", forge.Introduction{Role: identity.Accepter}},
	} {
		list = append(list, simulation{name: x.name, side: identity.Inviter, real: realIntroduction(x.of), forged: forgedIntroduction(x.of)})
	}
	for _, x := range []struct {
		name string
		of   forge.Offers
	}{
		{"sealed offers by the mediator", forge.Offers{Mediator: true, Role: shuttle.First}},
		{"sealed offers by the first", forge.Offers{Role: shuttle.First}},
		{"sealed offers by the second", forge.Offers{Role: shuttle.Second}},
	} {
		list = append(list, simulation{name: x.name, side: identity.Inviter, real: realOffers(x.of), forged: forgedOffers(x.of)})
	}
	return list
}

// A mission is authority, envoy and listener; nobody holds more than one of them.
type mission struct {
	authority, envoy, listener *mandate.Private
	request                    mandate.Request
	terms                      mandate.Terms
}

func newMission(t testing.TB, random *rand.ChaCha8) mission {
	m := mission{authority: mandate.NewPrivate(draw(t, random)), envoy: mandate.NewPrivate(draw(t, random))}
	m.listener = mandate.NewPrivate(mandate.ListenerSeed(draw(t, random), m.authority.Public()))
	m.request = mandate.Request{
		Authority: m.authority.Public(), Envoy: m.envoy.Public(), Listener: m.listener.Public(),
		EnvoyCard: [32]byte(draw(t, random).Bytes()), ListenerCard: [32]byte(draw(t, random).Bytes()),
	}
	scopes := []string{"river gauges, and nothing else", "harbour dues, and nothing more"}
	m.terms = mandate.Terms{
		Scope: scopes[random.Uint64()%2], NotAfter: time.Unix(int64(start+60+uint32(random.Uint64()%9999))*60, 0), Dossier: "gauges",
	}
	return m
}

// realMandate has the authority issue what the envoy shows. The envoy keeps his ring,
// the listener what he read.
func realMandate(byEnvoy bool) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		m := newMission(t, random)
		file, err := m.request.Seal(m.envoy)
		check(t, err)
		r, err := mandate.OpenRequest(m.authority, file)
		check(t, err)
		g, err := mandate.Issue(m.authority, r, m.terms, random)
		check(t, err)
		line := func(envoys bool, content ...[]byte) forge.Line {
			return forge.Line{FromPeer: envoys != byEnvoy, Minute: start, Text: string(bytes.Join(content, nil)), Kind: wire.FrameMandate}
		}
		return m.judge(t, []forge.Line{
			line(true, []byte{1}, r.Authority[:]),
			line(false, []byte{2}, r.Authority[:], r.Listener[:]),
			line(true, []byte{3}, g.Mandate.Append(nil)),
		}, g, byEnvoy)
	}
}

// forgedMandate has the listener make it, or the envoy for a listener whom he makes
// up. The authority's private key is drawn with the rest, and not used.
func forgedMandate(byEnvoy bool) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		m := newMission(t, random)
		of := forge.Showing{ByPeer: !byEnvoy, Request: m.request, Listener: m.listener, Terms: m.terms, Minute: start}
		if byEnvoy {
			of.Listener = nil
		}
		lines, err := forge.Show(of, random)
		check(t, err)
		got, err := mandate.Parse([]byte(lines[2].Text[1:]))
		check(t, err)
		g := mandate.Grant{Mandate: got}
		if byEnvoy {
			m.request.Listener = got.Listener
			g, err = mandate.ForgeGrant(m.envoy, m.request, got, random)
			check(t, err)
		}
		return m.judge(t, lines, g, byEnvoy)
	}
}

// judge has the one who discloses check it, and keep what he has of it.
func (m mission) judge(t testing.TB, lines []forge.Line, g mandate.Grant, byEnvoy bool) shown {
	now := time.Unix(start*60, 0)
	if byEnvoy {
		return shown{lines, g.Append(nil), g.Check(m.envoy, m.request, now) == nil}
	}
	dossier, err := g.Mandate.Verify(m.listener, m.request.EnvoyCard, m.request.ListenerCard, now)
	return shown{lines, dossier[:], err == nil}
}

const agreedText, otherText = "Both sides read the gauges together.\n", "Both sides read the gauges each day.\n"

func drawSigning(t testing.TB, random *rand.ChaCha8) (keys [2]communique.Key, text string, expiry uint32) {
	for i := range keys {
		keys[i] = communique.KeyFromSeed(draw(t, random))
	}
	return keys, []string{agreedText, otherText}[random.Uint64()%2], start + 1 + uint32(random.Uint64()%9999)
}

// exchanged lets two machines exchange so many messages.
func exchanged(t testing.TB, keys [2]communique.Key, text string, expiry uint32, messages int, random *rand.ChaCha8) (a, b *communique.Exchange) {
	t.Helper()
	a, err := communique.Begin(communique.Initiator, keys[0], text, expiry, random)
	check(t, err)
	b, err = communique.Begin(communique.Responder, keys[1], text, expiry, random)
	check(t, err)
	for from, to := a, b; messages > 0; from, to = to, from {
		m, err := from.Send(start)
		check(t, err)
		check(t, to.Receive(m, start))
		messages--
	}
	return a, b
}

func realSigning(role communique.Role, whole bool) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		keys, text, expiry := drawSigning(t, random)
		messages := 5 // until the discloser could sign for the peer
		if role == communique.Responder {
			messages = 6
		}
		if whole {
			messages = 7
		}
		a, b := exchanged(t, keys, text, expiry, messages, random)
		own := a
		if role == communique.Responder {
			own = b
		}
		var lines []forge.Line
		say := func(by communique.Role, content ...byte) {
			lines = append(lines, forge.Line{FromPeer: by != role, Minute: start, Text: string(content), Kind: wire.FrameCommunique})
		}
		say(communique.Initiator, 1)
		say(communique.Responder, 1)
		say(communique.Initiator, append([]byte{2, 0, 1}, text...)...)
		sent := own.Messages()
		for i, m := range sent {
			say(communique.Initiator+communique.Role(i%2), append(append([]byte{3}, sent[0][2:10]...), m...)...)
		}
		return judgeSigning(lines, own, whole)
	}
}

func forgedSigning(role communique.Role, whole bool) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		keys, text, expiry := drawSigning(t, random)
		own, peer := keys[0], keys[1].Public()
		if role == communique.Responder {
			own, peer = keys[1], keys[0].Public()
		}
		side := identity.Inviter
		if role == communique.Responder {
			side = identity.Accepter
		}
		of := forge.Signing{Role: role, Key: own, Peer: peer, Text: text, Expiry: expiry, Minute: start}
		if whole { // what everybody has
			a, _ := exchanged(t, keys, text, expiry+7, 7, random)
			file, err := a.File()
			check(t, err)
			of.File = file
		}
		lines, x, err := forge.Sign(side, of, random)
		check(t, err)
		return judgeSigning(lines, x, whole)
	}
}

// judgeSigning loads the discloser's store, which checks all that can be checked.
func judgeSigning(lines []forge.Line, x *communique.Exchange, whole bool) shown {
	kept := x.Append(nil)
	y, err := communique.ParseState(kept)
	good := err == nil
	if whole && good {
		file, err := y.File()
		good = err == nil
		if good {
			_, err = communique.Verify(file)
			good = err == nil
		}
	}
	return shown{lines, kept, good}
}

func drawSounding(random *rand.ChaCha8, byPeer bool) forge.Sounding {
	topics := [][]string{nil, {"x"}, {"x", "y"}, {"z"}}
	return forge.Sounding{
		ByPeer: byPeer, Own: topics[random.Uint64()%4], Peer: topics[random.Uint64()%4],
		At: start + 300 + uint32(random.Uint64()%999), Window: 120,
	}
}

// realSounding has two machines that draw for themselves.
func realSounding(byPeer bool) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		of := drawSounding(random, byPeer)
		id := sounding.NewID([32]byte(draw(t, random).Bytes()), uint64(of.At))
		role := sounding.First
		if byPeer {
			role = sounding.Second
		}
		own, err := sounding.New(id, role, of.Own, rand.NewChaCha8([32]byte(draw(t, random).Bytes())))
		check(t, err)
		peer, err := sounding.New(id, sounding.First+sounding.Second-role, of.Peer, rand.NewChaCha8([32]byte(draw(t, random).Bytes())))
		check(t, err)
		from, to := own, peer
		if byPeer {
			from, to = peer, own
		}
		at := []byte{byte(of.At >> 24), byte(of.At >> 16), byte(of.At >> 8), byte(of.At)}
		lines := []forge.Line{{FromPeer: byPeer, Minute: of.At - 120, Text: "\x01" + string(at) + "\x00\x00\x00\x78", Kind: wire.FrameSounding}}
		for i := uint32(0); ; i++ {
			m := from.Outgoing()
			if m == nil {
				break
			}
			check(t, to.Receive(m))
			lines = append(lines, forge.Line{FromPeer: from != own, Minute: of.At - 120 + 120*i/44, Text: "\x02" + string(at) + string(m), Kind: wire.FrameSounding})
			from, to = to, from
		}
		own.Close()
		_, err = own.Result()
		return shown{lines, own.Append(nil), err == nil && own.Done()}
	}
}

func forgedSounding(byPeer bool) func(testing.TB, *rand.ChaCha8) shown {
	return func(t testing.TB, random *rand.ChaCha8) shown {
		lines, own, err := forge.Sound(drawSounding(random, byPeer), random)
		check(t, err)
		own.Close()
		_, err = own.Result()
		return shown{lines, own.Append(nil), err == nil && own.Done()}
	}
}
