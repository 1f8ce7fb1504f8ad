package charter_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// steps is a short negotiation: its messages, its first draft, and both states
// before the last answer.
func steps(t testing.TB) (messages [][]byte, draft *charter.Draft, states [2][]byte) {
	t.Helper()
	a, b := begin(t, terms())
	messages = append(messages, a.Standing()[0])
	draft = b.Pending()
	m, err := b.Accept(draft.Digest(), now)
	check(t, err)
	_, err = a.Receive(m, now)
	check(t, err)
	messages = append(messages, m)
	next := terms()
	next.Deadline += day
	m, err = b.Amend(next, now)
	check(t, err)
	_, err = a.Receive(m, now)
	check(t, err)
	messages = append(messages, m)
	w, err := b.Withdraw()
	check(t, err)
	messages = append(messages, w)
	states = [2][]byte{a.Append(nil), b.Append(nil)}
	d, err := a.Decline(a.Pending().Digest())
	check(t, err)
	return append(messages, d, charter.CloseMessage()), draft, states
}

func TestVectors(t *testing.T) {
	messages, draft, states := steps(t)
	digest := draft.Digest()
	made := []prototest.Vector{{
		"name": "draft: channel 2, number 1", "text": prototest.Hex(draft.Append(nil)), "digest": prototest.Hex(digest[:]),
	}}
	for i, verb := range []string{"proposes", "accepts", "proposes", "withdraws", "declines", "closes"} {
		if got := charter.Verb(messages[i]); got != verb {
			t.Errorf("message %d %q, want %q", i, got, verb)
		}
	}
	for i, name := range []string{"propose", "accept", "propose an extension", "withdraw", "decline", "close"} {
		made = append(made, prototest.Vector{"name": name, "message": prototest.Hex(messages[i])})
	}
	for i, name := range []string{"state of the opener, with a draft to answer", "state of the other side, which withdrew it"} {
		made = append(made, prototest.Vector{"name": name, "state": prototest.Hex(states[i])})
	}
	prototest.Replay(t, "testdata/charter.json", made)
}

// TestEveryByteCounts cuts and flips a draft, each message and a state: nothing is
// read as what it was.
func TestEveryByteCounts(t *testing.T) {
	messages, draft, states := steps(t)
	raw := draft.Append(nil)
	prototest.CutAndFlip(t, raw, func(b []byte) bool {
		d, err := charter.ParseDraft(b)
		return err == nil && d.Digest() == draft.Digest()
	})
	prototest.CutAndFlip(t, messages[0], func(b []byte) bool {
		c, err := charter.Receive(identity.Accepter, b, now)
		return err == nil && c.Pending().Digest() == draft.Digest()
	})
	a, _ := begin(t, terms())
	prototest.CutAndFlip(t, messages[1], func(b []byte) bool {
		r, err := reload(t, a).Receive(b, now)
		return err == nil && r.Event == charter.EventAgreed
	})
	for _, s := range states {
		prototest.CutAndFlip(t, s, func(b []byte) bool {
			c, err := charter.ParseState(b)
			return err == nil && bytes.Equal(c.Append(nil), s)
		})
	}
}

// TestMessagesThatAreNone goes through lengths, kinds and digests.
func TestMessagesThatAreNone(t *testing.T) {
	digest, none := bytes.Repeat([]byte{7}, 32), make([]byte, 32)
	_, b := begin(t, terms())
	for kind := range byte(8) {
		for _, m := range [][]byte{
			nil,
			{1},
			{1, kind},
			append([]byte{1, kind}, digest[:31]...), append(append([]byte{1, kind}, digest...), 0),
			append(append([]byte{1, kind}, none...), 0), append([]byte{2, kind}, digest...),
		} {
			if _, err := b.Receive(m, now); !errors.Is(err, charter.ErrFormat) {
				t.Errorf("%x: %v, want ErrFormat", m, err)
			}
		}
		_, withDigest := b.Receive(append([]byte{1, kind}, digest...), now)
		_, without := reload(t, b).Receive(append([]byte{1, kind}, none...), now)
		if answer := kind >= 2 && kind <= 4; errors.Is(withDigest, charter.ErrFormat) == answer {
			t.Errorf("kind %d with a digest: %v", kind, withDigest)
		}
		if end := kind == 5; errors.Is(without, charter.ErrFormat) == end {
			t.Errorf("kind %d without: %v", kind, without)
		}
	}
}

func FuzzParse(f *testing.F) {
	messages, draft, states := steps(f)
	f.Add(draft.Append(nil))
	for _, s := range states {
		f.Add(s)
	}
	f.Add(messages[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := charter.ParseDraft(b); err == nil && !bytes.Equal(d.Append(nil), b) {
			t.Error("a draft with two encodings")
		}
		if c, err := charter.ParseState(b); err == nil {
			if !bytes.Equal(c.Append(nil), b) {
				t.Error("a state with two encodings")
			}
			for _, m := range c.Standing() {
				if _, err := c.Receive(m, now); err == charter.ErrFormat {
					t.Error("a side says what it does not read")
				}
			}
		}
	})
}

// FuzzReceive lets a hostile side say anything, to a charter in any state: what
// comes of it is a state that can be stored.
func FuzzReceive(f *testing.F) {
	messages, _, states := steps(f)
	for _, m := range messages {
		for _, s := range states {
			f.Add(s, m)
		}
	}
	f.Fuzz(func(t *testing.T, state, m []byte) {
		c, err := charter.ParseState(state)
		if err != nil {
			return
		}
		before := c.Agreed()
		r, err := c.Receive(m, now)
		after := reload(t, c)
		if err != nil && !bytes.Equal(after.Append(nil), state) {
			t.Error("an error changed the charter")
		}
		if before != nil && before.Kind == charter.Secret && after.Agreed().Kind != charter.Secret {
			t.Error("a secret channel became publishable")
		}
		if r.Reply != nil && len(r.Reply) != charter.AnswerSize {
			t.Error("a reply of another size")
		}
	})
}
