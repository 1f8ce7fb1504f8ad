package channel

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

var fuzzStart = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fuzzInvitation is an inviter's conversation, fresh.
func fuzzInvitation(t testing.TB) (*Conversation, identity.Invitation) {
	t.Helper()
	inv, err := identity.NewInvitation(prototest.Reader(1), identity.Place{}, fuzzStart.Add(time.Hour), false)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Random: prototest.Reader(2), Records: storetest.NewMemory()}
	v, _, err := New(cfg, ContactID{1}, Introduction{Number: 1, Name: "x", Side: identity.Inviter, Invitation: inv}, fuzzStart)
	if err != nil {
		t.Fatal(err)
	}
	return v, inv
}

func FuzzParseContact(f *testing.F) {
	v, _ := fuzzInvitation(f)
	f.Add(v.c.append(nil))
	v.c.attempt = attempt{reason: first, role: handshake.Initiator, pair: v.draw(), coins: v.draw()}
	v.c.m3 = new(handshake.Message)
	v.c.seen = []seenM1{{day: 7}}
	f.Add(v.c.append(nil))
	v.c.attempt.reason, v.c.attempt.m2, v.c.month = roll, new(handshake.Message), 691
	f.Add(v.c.append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := parseContact(raw); err == nil && !bytes.Equal(c.append(nil), raw) {
			t.Error("a contact has two encodings")
		}
	})
}

func key(b byte) secret.Key { return secret.New(&[32]byte{b}) }

func FuzzParseDrops(f *testing.F) {
	o := drops{policy: RelayRoute, sure: true, root: key(3)}
	o.Set = &DropSet{Network: identity.NetworkID{1}, Relays: [3]onion.ID{{1}, {2}, {3}}, Period: 2, First: 9}
	o.said = o.Set.Relays
	f.Add(o.append(nil))
	o.said[1], o.believed = onion.ID{4}, 7
	f.Add(o.append(nil))
	f.Add((&drops{}).append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if o, err := parseDrops(raw); err == nil && !bytes.Equal(o.append(nil), raw) {
			t.Error("what is agreed of drops has two encodings")
		}
	})
}

// TestDropsRecordsThatAreNone: the other side has three relays if this side has, else none.
func TestDropsRecordsThatAreNone(t *testing.T) {
	set := &DropSet{Network: identity.NetworkID{1}, Relays: [3]onion.ID{{1}, {2}, {3}}, Period: 2, First: 9}
	for _, c := range []struct {
		set  *DropSet
		said [3]onion.ID
		err  error
	}{
		{set, set.Relays, nil},
		{set, [3]onion.ID{{3}, {1}, {4}}, nil},
		{set, [3]onion.ID{{1}, {2}, {2}}, ErrRecord},
		{set, [3]onion.ID{{1}, {}, {3}}, ErrRecord},
		{set, [3]onion.ID{}, nil}, // the set was not said yet
		{nil, [3]onion.ID{}, nil},
		{nil, set.Relays, ErrRecord},
	} {
		o := drops{Drops: Drops{Set: c.set}, said: c.said}
		if _, err := parseDrops(o.append(nil)); !errors.Is(err, c.err) {
			t.Errorf("%v of %v: %v", c.said, c.set, err)
		}
	}
}

func FuzzParseSession(f *testing.F) {
	hs := &handshake.Session{Root: key(1), HeaderI: key(2), HeaderR: key(3), PrekeyDH: key(4), PrekeyKEM: key(5)}
	s := &session{
		epoch: 1, box: key(6), role: handshake.Responder, ratchet: ratchet.NewResponder(hs), sent: 3, acked: 1,
		controls: []controlFrame{{wire.FrameCommit, make([]byte, 64)}}, drops: key(7), chained: true, hour: 9,
	}
	f.Add(s.append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := parseSession(raw); err == nil && !bytes.Equal(s.append(nil), raw) {
			t.Error("a session has two encodings")
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	m := Message{Direction: In, Channel: Open, Text: "We would drop the inspection.", Minute: 1, Stored: 2}
	f.Add(m.append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := ParseMessage(1, raw); err == nil && !bytes.Equal(m.append(nil), raw) {
			t.Error("a message has two encodings")
		}
	})
}

// FuzzFlights hands cells of the fuzzer's to somebody who has invited: sealed
// rightly, so that they reach the handshake.
func FuzzFlights(f *testing.F) {
	_, inv := fuzzInvitation(f)
	card := identity.Card{Static: [32]byte{9}}
	f.Add((&handshake.Flight{Tag: handshake.CardTag(inv.Link().Box), Card: &card}).Cell()[:], []byte{0})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		v, _ := fuzzInvitation(t)
		v.LinkUp(fuzzStart, 1, true, false, wire.Hello{1}, wire.Hello{2})
		keys := wire.DeriveLinkKeys(inv.Link().Box, wire.Hello{2}, wire.Hello{1})
		for _, raw := range [][]byte{one, two, one} {
			var cell wire.Cell
			copy(cell[:], raw)
			v.Box(fuzzStart, 1, wire.SealBox(keys.FromDialler, &[32]byte{1}, wire.Control{Flags: wire.FlagFlight}, &cell))
		}
		if v.c.stage == Met {
			t.Error("a session came of invented flights")
		}
	})
}
