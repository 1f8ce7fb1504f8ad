package introduction_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// with is b with bytes of its own at a place.
func with(b []byte, at int, bytesAt ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], bytesAt)
	return b
}

// text is the encoding of a text, well-formed or not.
func text(s string) []byte { return append([]byte{byte(len(s))}, s...) }

var badTexts = []string{"", " a", "a ", "a\nb", "a\u202eb", "a\x00b", "\xff\xfe", "a\u2028b", string(make([]byte, 120))}

// TestQuestionsThatNobodyTakes refuses questions that are malformed, or to be answered
// until a time that is over or too far away: what is asked is kept until then.
func TestQuestionsThatNobodyTakes(t *testing.T) {
	w := newWorld(t, 1)
	ask := w.i.Ask(identity.Inviter)
	for _, c := range []struct {
		end  uint32
		want error
	}{
		{0, introduction.ErrExpired},
		{now, introduction.ErrExpired},
		{now + 1, nil},
		{now + introduction.MaxLife + 24*60, nil},
		{now + introduction.MaxLife + 24*60 + 1, introduction.ErrExpiry},
		{1<<32 - 1, introduction.ErrExpiry},
	} {
		if _, err := introduction.NewParty(with(ask, 19, binary.BigEndian.AppendUint32(nil, c.end)...), now); !errors.Is(err, c.want) {
			t.Errorf("until %d: %v, want %v", c.end, err, c.want)
		}
	}
	bad := [][]byte{nil, {1}, ask[:18], ask[:len(ask)-1], append(bytes.Clone(ask), 0), with(ask, 0, 2), with(ask, 1, 0), with(ask, 1, 9), with(ask, 18, 0), with(ask, 18, 3)}
	bad = append(bad, with(ask, 23, 129), with(ask, len(ask)-1, 1))
	for _, s := range badTexts {
		bad = append(bad, with(with(ask, 23, make([]byte, 129)...), 23, text(s)...))
	}
	for i, m := range bad {
		if _, err := introduction.NewParty(m, now); !errors.Is(err, introduction.ErrFormat) {
			t.Errorf("question %d: %v", i, err)
		}
		if pass, err := w.i.Receive(identity.Inviter, m, now); pass != nil || err == nil {
			t.Errorf("received %d: %v", i, err)
		}
	}
	if _, err := w.i.Receive(identity.Inviter, bad[0], now); !errors.Is(err, introduction.ErrFormat) {
		t.Errorf("nothing was received: %v", err)
	}
	yes, err := w.inviter.Consent(w.random, now)
	check(t, err)
	if _, err := introduction.NewParty(yes, now); !errors.Is(err, introduction.ErrOrder) {
		t.Errorf("an answer as a question: %v", err)
	}
}

// TestStatesThatCannotBe refuses what is stored in no state that there is.
func TestStatesThatCannotBe(t *testing.T) {
	w := newWorld(t, 1)
	fresh, asked := w.i.Append(nil), w.inviter.Append(nil)
	w.consent(w.accepter)
	waits, coins := w.i.Append(nil), w.accepter.Append(nil)
	both := with(fresh, 38, 2, 2)
	introducers := [][]byte{
		nil, fresh[:len(fresh)-1], append(bytes.Clone(fresh), 0), with(fresh, 0, 2), with(fresh, 1, 0), with(fresh, 1, 2), with(fresh, 1, 3),
		with(fresh, 38, 3, 0), with(fresh, 38, 0, 3), both, with(both, 1, 4), with(both, 1, 0), with(fresh, 38, 0, 2), with(waits, 38, 0, 1), with(waits, 38, 2, 2),
		with(fresh, len(fresh)-1, 1), with(with(both, 1, 2), len(fresh)-1, 1), with(fresh, 40, 129), with(fresh, 169, 129), with(fresh, 168, 1),
	}
	parties := [][]byte{
		nil, asked[:len(asked)-1], append(bytes.Clone(asked), 0), with(asked, 0, 2), with(asked, 1, 0), with(asked, 1, 3), with(asked, 2, 0), with(asked, 2, 5),
		with(asked, 23, 129), with(asked, 151, 1), with(asked, 152, 1), with(coins, 2, 1), with(coins, 1, 1), with(coins, 152, make([]byte, 32)...),
	}
	for _, s := range badTexts {
		for _, at := range []int{40, 169} {
			introducers = append(introducers, with(with(fresh, at, make([]byte, 129)...), at, text(s)...))
		}
		parties = append(parties, with(with(asked, 23, make([]byte, 129)...), 23, text(s)...))
	}
	for i, b := range introducers {
		if _, err := introduction.Parse(b); !errors.Is(err, introduction.ErrFormat) {
			t.Errorf("introducer %d: %v", i, err)
		}
	}
	for i, b := range parties {
		if _, err := introduction.ParseParty(b); !errors.Is(err, introduction.ErrFormat) {
			t.Errorf("party %d: %v", i, err)
		}
	}
	for _, b := range [][]byte{fresh, waits, with(both, 1, 2), with(both, 1, 3), with(fresh, 38, 1, 2)} {
		if _, err := introduction.Parse(b); err != nil {
			t.Error(err)
		}
	}
}

// TestRandomnessThatFails has the source of randomness give nothing, or zeros.
func TestRandomnessThatFails(t *testing.T) {
	if _, err := introduction.New(ofInviter, ofAccepter, expiry, now, bytes.NewReader(make([]byte, 31))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an introduction without randomness: %v", err)
	}
	w := newWorld(t, 1)
	if _, err := w.accepter.Consent(bytes.NewReader(nil), now); err == nil {
		t.Error("a consent without randomness")
	}
	if _, err := w.accepter.Consent(bytes.NewReader(make([]byte, 32)), now); !errors.Is(err, introduction.ErrRandom) {
		t.Errorf("a consent from zeros: %v", err)
	}
	w.consent(w.accepter)
	passed := w.consent(w.inviter)
	if _, err := w.inviter.Invite(passed, invitation(t, prototest.Reader(9)), bytes.NewReader(nil), now); err == nil || w.inviter.Stage() != introduction.Waiting {
		t.Errorf("an invitation without randomness: %v, %v", err, w.inviter.Stage())
	}
}

// TestPartiesWaitForTheirOwn gives both the messages of the other, before and after the
// end, and answers when it is too late.
func TestPartiesWaitForTheirOwn(t *testing.T) {
	w := newWorld(t, 1)
	for _, p := range []*introduction.Party{w.inviter, w.accepter} {
		if _, err := p.Consent(w.random, expiry); !errors.Is(err, introduction.ErrExpired) || p.Stage() != introduction.Asked {
			t.Errorf("a yes at the end: %v", err)
		}
		for _, m := range [][]byte{nil, w.i.Ask(p.Role())[:17]} {
			if _, err := p.Invite(m, invitation(t, w.random), w.random, now); !errors.Is(err, introduction.ErrFormat) {
				t.Errorf("a share that is none: %v", err)
			}
			if _, err := p.Open(m, now); !errors.Is(err, introduction.ErrFormat) {
				t.Errorf("a reply that is none: %v", err)
			}
		}
	}
}

// TestSealedWithoutAnInvitation seals what is none, as an introducer in the middle can,
// and has shares that give no secret.
func TestSealedWithoutAnInvitation(t *testing.T) {
	w := newWorld(t, 1)
	share, err := w.accepter.Consent(w.random, now)
	check(t, err)
	raw := invitation(t, w.random).Append(nil)
	good := append(append([]byte{byte(len(raw))}, raw...), make([]byte, 79-len(raw))...)
	for i, plain := range [][]byte{
		with(good, 0, 80), with(good, 0, 255), with(good, 0, 0), with(good, 79, 1), with(good, 0, byte(len(raw)-1)), with(good, 3, good[3]^1),
	} {
		reply, err := introduction.SealPlain(share, plain)
		check(t, err)
		if _, err := w.accepter.Open(reply, now); !errors.Is(err, introduction.ErrFormat) || w.accepter.Stage() != introduction.Waiting {
			t.Errorf("sealed %d: %v", i, err)
		}
	}
	passed := func(m []byte) []byte {
		return append(bytes.Clone(w.i.Ask(identity.Inviter)[:1]), append([]byte{4}, append(bytes.Clone(w.i.Ask(identity.Inviter)[2:18]), m[18:]...)...)...)
	}
	w.consent(w.inviter)
	for what, m := range map[string][]byte{
		"a point that gives zero": with(share, 18, make([]byte, 32)...), "a KEM key that is not canonical": with(share, 50, bytes.Repeat([]byte{0xff}, 32)...),
	} {
		if _, err := w.inviter.Invite(passed(m), invitation(t, w.random), w.random, now); !errors.Is(err, introduction.ErrRefused) || w.inviter.Stage() != introduction.Waiting {
			t.Errorf("%s: %v", what, err)
		}
	}
	reply, err := introduction.SealPlain(share, good)
	check(t, err)
	if _, err := w.accepter.Open(with(reply, 40, reply[40]^1), now); !errors.Is(err, introduction.ErrRefused) {
		t.Errorf("an altered reply: %v", err)
	}
	if w.accepter.Failed(expiry-1) || !w.accepter.Failed(expiry) {
		t.Error("that nothing came of it is told at another moment than the end")
	}
	if _, err := w.accepter.Open(reply, now); err != nil || w.accepter.Failed(expiry) {
		t.Errorf("opened: %v, and failed", err)
	}
}

// TestAnsweredOnce has both answer twice, and take what the other waits for.
func TestAnsweredOnce(t *testing.T) {
	w := newWorld(t, 1)
	w.consent(w.accepter)
	passed := w.consent(w.inviter)
	for _, p := range []*introduction.Party{w.inviter, w.accepter} {
		before := p.Append(nil)
		if _, err := p.Consent(w.random, now); !errors.Is(err, introduction.ErrOrder) || !bytes.Equal(p.Append(nil), before) {
			t.Errorf("a second yes of the %v: %v", p.Role(), err)
		}
	}
	reply, err := introduction.SealPlain(passed, make([]byte, 80)) // under the inviter's ID
	check(t, err)
	if _, err := w.inviter.Open(reply, now); !errors.Is(err, introduction.ErrOrder) {
		t.Errorf("the inviter opens a reply: %v", err)
	}
	own := append(append(bytes.Clone(passed[:2]), w.i.Ask(identity.Accepter)[2:18]...), passed[18:]...)
	if _, err := w.accepter.Invite(own, invitation(t, w.random), w.random, now); !errors.Is(err, introduction.ErrOrder) {
		t.Errorf("the accepter invites: %v", err)
	}
}
