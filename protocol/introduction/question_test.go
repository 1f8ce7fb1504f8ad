package introduction_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
)

// TestQuestionsThatNobodyTakes asks for an answer until a time that is over, or too far
// away: what is asked is kept until then.
func TestQuestionsThatNobodyTakes(t *testing.T) {
	w := newWorld(t, 1)
	for _, c := range []struct {
		end  uint32
		want error
	}{
		{0, introduction.ErrExpired}, {now, introduction.ErrExpired}, {now + 1, nil},
		{now + introduction.MaxLife + 24*60, nil}, {now + introduction.MaxLife + 24*60 + 1, introduction.ErrExpiry}, {1<<32 - 1, introduction.ErrExpiry},
	} {
		ask := bytes.Clone(w.i.Ask(identity.Inviter))
		binary.BigEndian.PutUint32(ask[19:], c.end)
		if _, err := introduction.NewParty(ask, now); !errors.Is(err, c.want) {
			t.Errorf("until %d: %v, want %v", c.end, err, c.want)
		}
	}
	yes, err := w.inviter.Consent(w.random, now)
	check(t, err)
	if _, err := introduction.NewParty(yes, now); !errors.Is(err, introduction.ErrOrder) {
		t.Errorf("an answer as a question: %v", err)
	}
}
