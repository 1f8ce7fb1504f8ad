package sounding_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gtank/ristretto255"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/sounding"
)

func TestNormalize(t *testing.T) {
	for topic, want := range map[string]string{
		"Embassy Reopening":             "embassy reopening",
		"  embassy\t\n reopening\u00a0": "embassy reopening",
		"STRASSE":                       "strasse",
		"Straße":                        "strasse",
		"cafe\u0301":                    "café",
		"ﬁsh":                           "fish",
		"ＦＩＳＨ":                          "fish",
		"Ὀδυσσεύς":                      "ὀδυσσεύσ",
		"ОБМЕН пленными":                "обмен пленными",
		"em\u200bbassy\u202e":           "embassy",
		"a\u0000b":                      "ab",
	} {
		got, err := sounding.Normalize(topic)
		if err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", topic, got, err, want)
		}
		if again, err := sounding.Normalize(got); err != nil || again != got {
			t.Errorf("%q is not stable: %q, %v", got, again, err)
		}
	}
	for _, topic := range []string{"", " ", "\u200b", "\xff", strings.Repeat("x", 129), strings.Repeat(" ", 600) + "x"} {
		if got, err := sounding.Normalize(topic); !errors.Is(err, sounding.ErrTopic) {
			t.Errorf("%.20q is %q, %v; want ErrTopic", topic, got, err)
		}
	}
	for _, topics := range [][]string{{"a", "A "}, strings.Fields("a b c d e f g h i"), {"a", ""}} {
		if _, err := sounding.New(id, sounding.First, topics, prototest.Reader(1)); !errors.Is(err, sounding.ErrTopic) {
			t.Errorf("%q: %v, want ErrTopic", topics, err)
		}
	}
}

func TestVectors(t *testing.T) {
	a := start(t, sounding.First, prototest.Reader(1), "Embassy reopening", "gauges")
	b := start(t, sounding.Second, prototest.Reader(2), "dams", "embassy  REOPENING")
	state := a.Append(nil)
	sent := play(t, &a, &b, all)
	prototest.Replay(t, "testdata/sounding.json", []prototest.Vector{
		{"name": "id: binding 01 00.., number 7", "id": prototest.Hex(id[:])},
		{
			"name": "shares", "first": prototest.Hex(sent[0]), "second": prototest.Hex(sent[1]),
			"state": prototest.Hex(state),
		},
		{
			"name": "rounds, one after the other", "rounds": prototest.Hex(slices.Concat(sent[2:]...)),
			"state": prototest.Hex(a.Append(nil)),
		},
	})
}

func FuzzReceive(f *testing.F) {
	a := start(f, sounding.First, prototest.Reader(1), "x")
	b := start(f, sounding.Second, prototest.Reader(2), "x")
	sent := play(f, &a, &b, 4)
	f.Add(sent[0], a.Append(nil))
	f.Add(sent[3], b.Append(nil))
	f.Fuzz(func(t *testing.T, m, state []byte) {
		s, err := sounding.Load(state)
		if err != nil {
			return
		}
		_ = s.Receive(m)
		_ = s.Outgoing()
		s.Close()
		_, _ = s.Result()
		if len(s.Append(nil)) != sounding.StateSize {
			t.Error("a state of another size")
		}
	})
}

func FuzzNormalize(f *testing.F) {
	f.Add("Straße  ﬁsh")
	f.Fuzz(func(t *testing.T, topic string) {
		n, err := sounding.Normalize(topic)
		if err != nil {
			return
		}
		if again, err := sounding.Normalize(n); err != nil || again != n {
			t.Errorf("%q becomes %q, then %q, %v", topic, n, again, err)
		}
	})
}

// BenchmarkSounding is all the computing of both sides, beside the scalar multiplications
// in it: each side has its shares and all pairs.
func BenchmarkSounding(b *testing.B) {
	point := ristretto255.NewGeneratorElement()
	x, err := ristretto255.NewScalar().SetUniformBytes(bytes.Repeat([]byte{7}, 64))
	if err != nil {
		b.Fatal(err)
	}
	prototest.Beside(b, func() {
		sides := [2]*sounding.Sounding{
			start(b, sounding.First, prototest.Reader(1), "dams", "gauges"),
			start(b, sounding.Second, prototest.Reader(2), "gauges"),
		}
		for i := range all {
			m := sides[i%2].Outgoing()
			if err := sides[1-i%2].Receive(m); err != nil {
				b.Fatal(err)
			}
		}
		for _, s := range sides {
			s.Close()
			if common, err := s.Result(); err != nil || len(common) != 1 {
				b.Fatal(common, err)
			}
		}
	}, func() {
		for range 2 * (sounding.Entries + sounding.Entries*sounding.Entries) {
			point.ScalarMult(x, point)
		}
	})
}
