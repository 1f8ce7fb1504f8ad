package drop_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/prototest"
)

func exampleMove() drop.Move {
	return drop.Move{Watches: drop.NameBranch(key(9)), Writes: drop.NameBranch(key(8)), From: firstDay}
}

func TestBranchVectors(t *testing.T) {
	hex := prototest.Hex
	c, name := drop.NewBranch(key(9), firstDay)
	k, ok := c.Key(firstDay + 1)
	if !ok {
		t.Fatal("no key")
	}
	moved := exampleControl()
	moved.Flags |= drop.FlagMoved
	prototest.Replay(t, "testdata/branch.json", []prototest.Vector{
		{"name": "branch", "root": hex(key(9).Bytes()), "branch": hex(name[:]), "19946": hex(k.Bytes())},
		{"name": "move", "frame": hex(exampleMove().Append(nil)), "watches alone": hex(drop.Move{Watches: name}.Append(nil))},
		{"name": "control, moved", "control": hex(moved.Append(nil))},
	})
}

// TestBranchIsThatOfThePage derives it again, from the formulas.
func TestBranchIsThatOfThePage(t *testing.T) {
	out := label.Derive(label.DropBranch, key(9).Bytes(), nil, 40)
	c, name := drop.NewBranch(key(9), firstDay)
	day := label.DeriveKey(label.DropChain, key(out[0]), binary.BigEndian.AppendUint32(nil, firstDay))
	if got, _ := c.Key(firstDay); !bytes.Equal(name[:], out[32:]) || got.Equal(day) {
		t.Error("another name")
	}
	first, _ := drop.NewChain(key(9), firstDay).Key(firstDay)
	if got, _ := c.Key(firstDay); got.Equal(first) {
		t.Error("it is the chain that begins with the same root")
	}
	if drop.NameBranch(key(9)) != name || drop.NameBranch(key(8)) == name {
		t.Error("a name is not that of its root")
	}
}

func TestMoveIsStrict(t *testing.T) {
	for _, m := range []drop.Move{{}, exampleMove(), {Watches: drop.BranchName{1}}, {Writes: drop.BranchName{1}, From: 1}} {
		b := m.Append(nil)
		if got, err := drop.ParseMove(b); err != nil || got != m {
			t.Fatalf("%+v, %v", got, err)
		}
		for n := range b {
			if _, err := drop.ParseMove(b[:n]); err == nil {
				t.Errorf("cut to %d: accepted", n)
			}
		}
		if _, err := drop.ParseMove(append(b, 0)); err == nil {
			t.Error("one byte more: accepted")
		}
		for i := range b {
			b[i] ^= 1 << (i % 8)
			if got, err := drop.ParseMove(b); err == nil && (got == m || !bytes.Equal(got.Append(nil), b)) {
				t.Errorf("byte %d flipped: read as the same, or as something else", i)
			}
			b[i] ^= 1 << (i % 8)
		}
	}
	for _, m := range []drop.Move{{From: 1}, {Writes: drop.BranchName{1}}} {
		if _, err := drop.ParseMove(m.Append(nil)); err == nil {
			t.Errorf("%+v: accepted", m)
		}
	}
}

func FuzzParseMove(f *testing.F) {
	f.Add(exampleMove().Append(nil))
	f.Add(drop.Move{}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := drop.ParseMove(b); err == nil && !bytes.Equal(m.Append(nil), b) {
			t.Errorf("%x is read, and is not what is made", b)
		}
	})
}

// TestReaderLooksWhereTheWriterIs: a writer moves on from day to day, and says so after a
// while or never. A reader looks, for each day, on the chain that was written on, and once it
// knows of all moves, on no other.
func TestReaderLooksWhereTheWriterIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "chains")
		writer, reader := make(drop.Branches, n), make(drop.Branches, n)
		day := drop.Day(100)
		all := true
		for i := 1; i < n; i++ {
			if !rapid.Bool().Draw(t, "moves") {
				continue
			}
			day += drop.Day(rapid.IntRange(0, 5).Draw(t, "days"))
			writer[i].Writes = day
			if rapid.Bool().Draw(t, "told") {
				reader[i].Told = day
			} else {
				all = false
			}
		}
		for d := drop.Day(90); d < 130; d++ {
			at := writer.Writing(d)
			may := reader.Reading(d)
			if !slices.Contains(may, at) || !slices.IsSorted(may) || may[len(may)-1] >= n {
				t.Fatalf("day %d: written on %d, read on %d; %+v, %+v", d, at, may, writer, reader)
			}
			if all && writer[n-1].Writes != 0 && len(may) != 1 && d >= writer[n-1].Writes {
				t.Fatalf("day %d: it is known, and looked for on %d", d, may)
			}
		}
	})
	if may := drop.Branches(nil).Reading(7); !slices.Equal(may, []int{0}) || drop.Branches(nil).Writing(7) != 0 {
		t.Error("no chains: not the first")
	}
	// What a peer says may make no sense. A day that is far off hides its own chain alone.
	if may := (drop.Branches{{}, {Told: 9}, {Told: 5}}).Reading(7); !slices.Equal(may, []int{2}) {
		t.Errorf("%d", may)
	}
	if may := (drop.Branches{{}, {Told: 900000}, {}, {Told: 8}}).Reading(7); !slices.Equal(may, []int{0, 2}) {
		t.Errorf("%d", may)
	}
}
