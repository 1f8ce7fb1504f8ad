package control

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/introduction"
)

// everyWord calls each with all words that an answer can hold.
func everyWord(each func(what, word string)) {
	for i := range 256 {
		b := byte(i)
		for _, s := range []fmt.Stringer{
			channel.Stage(b), channel.Mark(b), channel.State(b), channel.Direction(b), node.Condition(b),
			journal.Event(b), journal.State(b), journal.Reason(b), journal.Took(b), journal.CountOf(i * i * i), backup.Kind(b), channel.Craft(b), channel.MandateState(b),
			channel.SigningState(b), channel.SoundingState(b), channel.ShuttleState(b), communique.Role(b), communique.Power(b),
			node.MailStage(b), channel.Policy(b), channel.IntroductionState(b), introduction.Answer(b),
			charter.Kind(b), charter.Route(b), charter.Receipts(b), charter.Phase(b), charter.Trust(b),
		} {
			each(fmt.Sprintf("%T", s), s.String())
		}
		for _, d := range []channel.Direction{channel.In, channel.Out} {
			each("FileState", channel.FileState(b).Words(d))
		}
	}
	for _, m := range []channel.Message{
		{File: true, Direction: channel.Out, FileState: channel.FileOffered, State: channel.Waiting},
		{File: true, Direction: channel.Out, FileState: channel.FileOffered, State: channel.OnItsWay},
	} {
		each("FileWords", m.FileWords())
	}
	for _, err := range []error{channel.ErrPartLost, channel.ErrPlace, node.ErrUnreadable} {
		each("trouble", err.Error())
	}
	for _, w := range []string{NotCompared, KeyCompared} {
		each("authority_key", w)
	}
	for _, word := range []string{"guard", "drop", "you", "them", "neither"} {
		each("route", word)
	}
	for _, word := range []string{"burned", "withheld"} {
		each("channel", word)
	}
	now := time.Unix(1, 0)
	for _, v := range []channel.View{
		{UsedTwice: true}, {Stage: channel.Met}, {HasPeer: true}, {Expiry: now}, {Stage: channel.Invited}, {Stage: channel.Accepting},
	} {
		each("invitation", string(invitationState(v, now)))
	}
}

// nothing are the words for values that do not exist.
var nothing = regexp.MustCompile(`^(no (route|stage|kind|mark|state|direction|condition|event|reason|time|role|choice|phase)|unknown|\d+|)$`)

// TestWords writes every word as a script reads it, and reads back what a screen
// shows. Two words are never written alike, and docs/json.md has them all.
func TestWords(t *testing.T) {
	form := regexp.MustCompile(`^"[a-z0-9]+(_[a-z0-9]+)*"$`)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]Word{}
	everyWord(func(what, word string) {
		if word == "" {
			return // left out
		}
		raw, err := json.Marshal(Word(word))
		if err != nil || !form.Match(raw) {
			t.Errorf("%s: %q is written as %s, %v", what, word, raw, err)
		}
		var back Word
		if err := json.Unmarshal(raw, &back); err != nil || back != Word(word) {
			t.Errorf("%s: %q comes back as %q, %v: it has to stand in spelled", what, word, back, err)
		}
		if other, ok := shown[string(raw)]; ok && other != Word(word) {
			t.Errorf("%s: %q and %q are both %s", what, word, other, raw)
		}
		if shown[string(raw)] = Word(word); !nothing.MatchString(word) && !strings.Contains(string(page), "`"+Word(word).code()+"`") {
			t.Errorf("%s: docs/json.md does not have %s", what, Word(word).code())
		}
	})
	if len(shown) < 80 {
		t.Errorf("only %d words were found", len(shown))
	}
	for code := range spelled {
		if _, ok := shown[`"`+code+`"`]; !ok {
			t.Errorf("%s is spelled, but nothing says it", code)
		}
	}
}
