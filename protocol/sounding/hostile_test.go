package sounding_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/sounding"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTopicsThatAreNone(t *testing.T) {
	for what, topics := range map[string][]string{
		"nine":            strings.Fields("a b c d e f g h i"),
		"none":            {""},
		"unseen":          {"\u200b\x00"},
		"long":            {strings.Repeat("x", sounding.MaxTopic+1)},
		"typed for ever":  {"x" + strings.Repeat(" ", 4*sounding.MaxTopic)},
		"not UTF-8":       {"a\xff"},
		"twice":           {"gauges", "gauges"},
		"twice, two ways": {"gauges", "  GAUGES"},
	} {
		if _, err := sounding.New(id, sounding.First, topics, prototest.Reader(1)); !errors.Is(err, sounding.ErrTopic) {
			t.Errorf("%s: %v, want ErrTopic", what, err)
		}
	}
	for _, role := range []sounding.Role{0, 3} {
		if _, err := sounding.New(id, role, nil, prototest.Reader(1)); !errors.Is(err, sounding.ErrOrder) {
			t.Errorf("role %d: %v", role, err)
		}
	}
}

// TestAStoreThatWasChanged has scalars that are none: nothing comes of it.
func TestAStoreThatWasChanged(t *testing.T) {
	a := start(t, sounding.First, prototest.Reader(1), "x")
	b := start(t, sounding.Second, prototest.Reader(2), "x")
	check(t, b.Receive(a.Outgoing()))
	state := a.Append(nil)
	copy(state[340:], bytes.Repeat([]byte{0xff}, 32))
	changed, err := sounding.Load(state)
	check(t, err)
	if err := changed.Receive(b.Outgoing()); !errors.Is(err, sounding.ErrFormat) {
		t.Errorf("a scalar that is none: %v, want ErrFormat", err)
	}
	if !bytes.Equal(changed.Append(nil), state) {
		t.Error("an error changed the state")
	}
}

// TestOneShareIsOneGuess counts, over many soundings, how often a cheat who names one
// topic of two to the power of three hits: as often as the spec says and no more,
// also if he repeats his share in all eight places.
func TestOneShareIsOneGuess(t *testing.T) {
	games := 200
	if testing.Short() {
		games = 48
	}
	rng := prototest.Reader(11)
	topics := strings.Fields("a b c d e f g h")
	hits := 0
	for range games {
		honest := start(t, sounding.First, rng, topics[rng.Uint64()%8])
		cheat := start(t, sounding.Second, rng, topics[rng.Uint64()%8])
		check(t, cheat.Receive(honest.Outgoing()))
		shares := cheat.Outgoing()
		repeated := bytes.Clone(shares)
		for i := 1; i < sounding.Entries; i++ {
			copy(repeated[2+32*i:], repeated[2:34])
		}
		if err := honest.Receive(repeated); !errors.Is(err, sounding.ErrRefused) {
			t.Fatalf("one share eight times: %v", err)
		}
		check(t, honest.Receive(shares))
		for !cheat.Done() {
			check(t, cheat.Receive(honest.Outgoing()))
			check(t, honest.Receive(cheat.Outgoing()))
		}
		if len(result(t, cheat)) > 0 {
			hits++
		}
	}
	// An eighth of the games, 5 standard deviations around.
	mean, spread := float64(games)/8, 5*0.331*math.Sqrt(float64(games))
	if d := float64(hits) - mean; d > spread || d < -spread {
		t.Errorf("of %d guesses %d hit, by chance it is %.0f ± %.0f", games, hits, mean, spread)
	}
}
