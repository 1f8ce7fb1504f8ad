package charter_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/identity"
)

// Places in a stored charter.
const (
	flagsAt   = 2
	numberAt  = 3
	openAt    = 5
	untilAt   = 9
	answerAt  = 13
	digestAt  = 14
	answersAt = 46
	agreedAt  = 78
	ownAt     = agreedAt + charter.DraftSize
	pendingAt = ownAt + charter.DraftSize
)

// amended is an open channel for which one side has proposed other terms.
func amended(t *testing.T) (a, b *charter.Charter, m []byte) {
	t.Helper()
	a, b = opened(t, terms())
	next := terms()
	next.Deadline += day
	m, err := a.Amend(next, now)
	check(t, err)
	receive(t, b, m, charter.EventProposed)
	return a, b, m
}

// TestStatesThatCannotBe changes one thing in a state at a time.
func TestStatesThatCannotBe(t *testing.T) {
	own, pending := begin(t, terms())
	open, _ := opened(t, terms())
	waits, asked, _ := amended(t)
	declined, _ := begin(t, terms())
	receive(t, declined, charter.Refusal(charter.Proposed(declined.Standing()[0])), charter.EventDeclined)
	set := func(at int, v ...byte) func([]byte) { return func(b []byte) { copy(b[at:], v) } }
	for what, x := range map[string]struct {
		of     *charter.Charter
		change func([]byte)
	}{
		"another version":         {open, set(0, 2)},
		"no side":                 {open, set(1, 0)},
		"a third side":            {open, set(1, 3)},
		"an unknown flag":         {open, set(flagsAt, 64)},
		"arrived, and stands":     {own, set(flagsAt, 16)},
		"capped, and not later":   {open, set(flagsAt, 32)},
		"capped, and no text":     {own, set(flagsAt, 32)},
		"a channel that is none":  {declined, set(openAt, 0, 0, 0, 1)},
		"no drafts":               {declined, set(numberAt, 0, 0)},
		"two drafts":              {pending, func(b []byte) { copy(b[ownAt:], b[pendingAt:]) }},
		"withdrawn, and no draft": {open, set(flagsAt, 8)},
		"an answer, and no draft": {open, set(answersAt, 1)},
		"declined, though agreed": {open, set(flagsAt, 1)},
		"declined, and it waits":  {own, set(flagsAt, 1)},
		"declined, and asked":     {pending, set(flagsAt, 1)},
		"closed, and asked":       {asked, set(flagsAt, 2)},
		"closed there, and asked": {asked, set(flagsAt, 4)},
		"an answer to nothing":    {own, set(answerAt, 2)},
		"nothing to something":    {own, set(digestAt, 1)},
		"another answer":          {own, set(answerAt, 4, 1)},
		"of another channel":      {open, set(agreedAt+1, 0, 0, 0, 4)},
		"agreed on too late":      {open, set(agreedAt+5, 0, 2)},
		"made publishable":        {waits, set(ownAt+40, 2)},
		"another number":          {waits, set(ownAt+5, 0, 3)},
		"after the last deadline": {own, set(untilAt, 0, 0, 0, 1)},
		"agreed beyond the last":  {open, set(untilAt, 0, 0, 0, 1)},
		"a draft that is none":    {own, set(ownAt, 2)},
		"half a draft":            {own, func(b []byte) { clear(b[ownAt+1 : ownAt+charter.DraftSize]) }},
	} {
		b := x.of.Append(nil)
		if _, err := charter.ParseState(b); err != nil {
			t.Fatalf("%s: the state itself: %v", what, err)
		}
		x.change(b)
		if _, err := charter.ParseState(b); !errors.Is(err, charter.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", what, err)
		}
	}
}

// TestDraftsThatCannotBe changes one thing in a draft at a time.
func TestDraftsThatCannotBe(t *testing.T) {
	a, _ := begin(t, terms())
	draft := charter.Proposed(a.Standing()[0]).Append(nil)
	set := func(at int, v ...byte) func([]byte) { return func(b []byte) { copy(b[at:], v) } }
	for what, change := range map[string]func([]byte){
		"another version":        set(0, 2),
		"a channel that is none": set(1, 0, 0, 0, 1),
		"no number":              set(5, 0, 0),
		"extended, and new":      set(7, 1),
		"no kind":                set(40, 0),
		"a long name":            set(49, 200),
		"a longer name":          set(49, 65),
		"a long purpose":         set(50, 1, 200),
		"more than its name":     set(115, 1),
		"more than its purpose":  set(371, 1),
		"no deadline":            set(45, 0, 0, 0, 0),
	} {
		b := bytes.Clone(draft)
		change(b)
		if _, err := charter.ParseDraft(b); !errors.Is(err, charter.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", what, err)
		}
	}
	never := terms()
	never.Deadline = 0
	if _, err := charter.Propose(identity.Inviter, channel, never, now); !errors.Is(err, charter.ErrTerms) {
		t.Errorf("without a deadline: %v", err)
	}
}

// TestDraftsThatDoNotBelong has the other side's machine send drafts and answers to
// something else than where things stand: nothing is asked, answered or changed.
func TestDraftsThatDoNotBelong(t *testing.T) {
	open := func() *charter.Charter { _, b := opened(t, terms()); return b }
	_, _, m := amended(t)
	alter := func(change func(d *charter.Draft)) []byte {
		d := charter.Proposed(m)
		change(d)
		return append(bytes.Clone(m[:34]), d.Append(nil)...)
	}
	closed := open()
	receive(t, closed, charter.CloseMessage(), charter.EventClosed)
	waits, _, _ := amended(t)
	proposer, declined := begin(t, terms())
	next := charter.Proposed(proposer.Standing()[0])
	next.Number++
	afterNo := append(bytes.Clone(proposer.Standing()[0][:34]), next.Append(nil)...)
	_, err := declined.Decline(declined.Pending().Digest())
	check(t, err)
	digest := bytes.Repeat([]byte{7}, 32)
	mine := terms()
	mine.Files = 9
	waiting := func() *charter.Charter { // the accepter's own draft waits
		c := open()
		_, err := c.Amend(mine, now)
		check(t, err)
		return c
	}
	_, answering, _ := amended(t)
	_, err = answering.Amend(mine, now)
	check(t, err)
	_, asked, _ := amended(t)
	for what, x := range map[string]struct {
		to *charter.Charter
		m  []byte
	}{
		"of another channel":    {open(), alter(func(d *charter.Draft) { d.Channel = 4 })},
		"instead of another":    {open(), alter(func(d *charter.Draft) { d.Before[3] ^= 1 })},
		"of a later number":     {open(), alter(func(d *charter.Draft) { d.Number++ })},
		"to what nobody asked":  {open(), append(append([]byte{1, 1}, digest...), m[34:]...)},
		"after they closed":     {closed, m},
		"after our no":          {declined, afterNo},
		"no to nothing":         {open(), append([]byte{1, 3}, digest...)},
		"no to something else":  {waits, append([]byte{1, 3}, digest...)},
		"yes to nothing":        {open(), append([]byte{1, 2}, digest...)},
		"yes to something else": {waits, append([]byte{1, 2}, digest...)},
		"nothing taken back":    {open(), append([]byte{1, 4}, digest...)},
		"another taken back":    {asked, append([]byte{1, 4}, digest...)},
		"across, as an answer":  {waiting(), append(append([]byte{1, 1}, digest...), m[34:]...)},
		"across, later":         {waiting(), alter(func(d *charter.Draft) { d.Number++ })},
		"across an answer":      {answering, alter(func(d *charter.Draft) { d.Number++ })},
	} {
		before := x.to.Append(nil)
		if r, err := x.to.Receive(x.m, now); !errors.Is(err, charter.ErrStale) || r.Reply != nil {
			t.Errorf("%s: %v, %v, want ErrStale", what, r.Event, err)
		}
		if !bytes.Equal(before, x.to.Append(nil)) {
			t.Errorf("%s: an error changed the charter", what)
		}
	}
	for far, want := range map[uint32]charter.Event{0: charter.EventProposed, 1: charter.EventRefused} {
		receive(t, open(), alter(func(d *charter.Draft) { d.Deadline = minute + charter.MaxLife + day + far }), want)
	}
	a, _ := begin(t, terms())
	first := a.Standing()[0]
	if _, err := charter.Receive(identity.Accepter, first[:60], now); !errors.Is(err, charter.ErrFormat) {
		t.Errorf("half a first draft: %v", err)
	}
	binary.BigEndian.PutUint16(first[34+5:], 2)
	if _, err := charter.Receive(identity.Accepter, first, now); !errors.Is(err, charter.ErrStale) {
		t.Errorf("a first draft with the number 2: %v", err)
	}
}

// TestSentIsWhatASideCanHaveSent replays a side's own messages, for a transcript.
func TestSentIsWhatASideCanHaveSent(t *testing.T) {
	a, b, m := amended(t)
	check(t, a.Sent(m, now)) // it stands by it
	accepted := append([]byte{1, 2}, digestOf(b)...)
	again := reload(t, b)
	check(t, again.Sent(accepted, now))
	if again.Agreed().Terms != charter.Proposed(m).Terms {
		t.Error("what was sent was not done")
	}
	if charter.Verb(nil) != "" || charter.Verb(m[:60]) != "" || charter.Verb(accepted) != "accepts" {
		t.Errorf("verbs %q and %q", charter.Verb(nil), charter.Verb(accepted))
	}
	other := charter.Proposed(m)
	other.Number += 3
	other.Deadline += day
	for what, x := range map[string]struct {
		m    []byte
		want error
	}{
		"nothing":              {nil, charter.ErrFormat},
		"half a draft":         {m[:60], charter.ErrFormat},
		"yes to another":       {append([]byte{1, 2}, bytes.Repeat([]byte{7}, 32)...), charter.ErrNothing},
		"a later number":       {append(append([]byte{1, 1}, digestOf(b)...), other.Append(nil)...), charter.ErrStale},
		"a draft of no answer": {append(append([]byte{1, 1}, make([]byte, 32)...), other.Append(nil)...), charter.ErrStale},
	} {
		if err := reload(t, b).Sent(x.m, now); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", what, err, x.want)
		}
	}
}

func digestOf(c *charter.Charter) []byte { d := c.Pending().Digest(); return d[:] }
