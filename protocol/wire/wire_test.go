package wire_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

func exampleControl() wire.Control {
	c := wire.Control{Time: 1795000000, Flags: wire.FlagCell | wire.FlagResume, Sent: 41, Owed: 3, Received: 17}
	c.Set(19)
	c.Set(217)
	return c
}

func exampleFrame() wire.Frame {
	return wire.Frame{
		Kind: wire.FrameText, Number: 5, Channel: 1, ID: wire.MessageID{1, 2, 3, 4, 5, 6, 7, 8},
		Part: 0, Parts: 1, Minute: 29916666, Content: []byte("We would drop the inspection."),
	}
}

func exampleBox(t *testing.T) (secret.Key, *wire.Box, *wire.Cell) {
	t.Helper()
	keys := wire.DeriveLinkKeys(secret.New(&[32]byte{9}), wire.Hello{1}, wire.Hello{2})
	if keys.FromDialler.Equal(keys.FromListener) {
		t.Fatal("both directions have one key")
	}
	var cell wire.Cell
	prototest.Reader(3).Read(cell[:])
	return keys.FromDialler, wire.SealBox(keys.FromDialler, &[32]byte{7}, exampleControl(), &cell), &cell
}

func TestVectors(t *testing.T) {
	key, box, _ := exampleBox(t)
	prototest.Replay(t, "testdata/wire.json", []prototest.Vector{
		{"name": "control", "control": prototest.Hex(exampleControl().Append(nil))},
		{"name": "frame", "frame": prototest.Hex(exampleFrame().Append(nil))},
		{"name": "frame: burn", "frame": prototest.Hex(wire.Frame{
			Kind: wire.FrameBurn, Number: 6, ID: wire.MessageID{8, 7, 6, 5, 4, 3, 2, 1}, Parts: 1, Minute: 29916667,
		}.Append(nil))},
		{"name": "frame: mandate, asks for the key for an authority a7 00..", "frame": prototest.Hex(wire.Frame{
			Kind: wire.FrameMandate, Number: 7, Channel: 1, ID: wire.MessageID{8, 7, 6, 5, 4, 3, 2, 2}, Parts: 1, Minute: 29916668,
			Content: append([]byte{1, 0xa7}, make([]byte, 31)...),
		}.Append(nil))},
		{"name": "frame: membership, of network a7 00.., epoch 498,000, membership b8 00..", "frame": prototest.Hex(wire.Frame{
			Kind: wire.FrameMembership, Number: 8, ID: wire.MessageID{8, 7, 6, 5, 4, 3, 2, 3}, Parts: 1, Minute: 29916669,
			Content: slices.Concat([]byte{0xa7, 0, 0, 0, 0, 0, 0, 0}, []byte{0, 7, 0x99, 0x50}, []byte{0xb8}, make([]byte, 31)),
		}.Append(nil))},
		{"name": "frame: missing, 17 to 19", "frame": prototest.Hex(wire.Frame{
			Kind: wire.FrameMissing, Number: 9, ID: wire.MessageID{8, 7, 6, 5, 4, 3, 2, 4}, Parts: 1, Minute: 29916670,
			Content: wire.Missing{From: 17, To: 19}.Append(nil),
		}.Append(nil))},
		{
			"name": "box: root 09 00.., hellos 01 00.. and 02 00.., random 07 00.., cell ChaCha8 seed 03",
			"key":  prototest.Hex(key.Bytes()), "box": prototest.Hex(box[:]),
		},
	})
}

func TestControl(t *testing.T) {
	want := exampleControl()
	enc := want.Append(nil)
	got, err := wire.ParseControl(enc)
	if err != nil || got != want {
		t.Fatalf("ParseControl = %+v, %v; want %+v", got, err, want)
	}
	for n := range uint32(300) {
		if has := want.Has(n); has != (n >= 1 && n <= 17 || n == 19 || n == 217) {
			t.Errorf("Has(%d) = %v", n, has)
		}
	}
	if want.Lowest() != 39 {
		t.Errorf("Lowest = %d, want 39", want.Lowest())
	}
	bad := map[string]func([]byte){
		"unknown flag":           func(b []byte) { b[4] |= 0x80 },
		"flight with counters":   func(b []byte) { b[4] = wire.FlagFlight },
		"owes more than it sent": func(b []byte) { b[9] = 0xff },
		"bitmap says received":   func(b []byte) { b[15] |= 1 },
		"reserved byte set":      func(b []byte) { b[63] = 1 },
	}
	for name, spoil := range bad {
		b := bytes.Clone(enc)
		spoil(b)
		if _, err := wire.ParseControl(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBoxOpensOnlyUnderItsKeyAndWhole(t *testing.T) {
	key, box, cell := exampleBox(t)
	c, opened, err := wire.OpenBox(key, box)
	if err != nil || c != exampleControl() || *opened != *cell {
		t.Fatalf("OpenBox = %+v, %v", c, err)
	}
	if _, _, err := wire.OpenBox(secret.New(&[32]byte{8}), box); err == nil {
		t.Error("opened under another key")
	}
	prototest.Flip(t, box[:], func(b []byte) bool {
		_, _, err := wire.OpenBox(key, (*wire.Box)(b))
		return err == nil
	})
}

// TestRepeatingRandomness seals different boxes with the same random bytes.
func TestRepeatingRandomness(t *testing.T) {
	key := secret.New(&[32]byte{1})
	seen := map[[24]byte]bool{}
	ids := map[wire.MessageID]bool{}
	for n := range uint32(100) {
		box := wire.SealBox(key, new([32]byte), wire.Control{Sent: n}, new(wire.Cell))
		seen[[24]byte(box[:24])] = true
		ids[wire.NewMessageID(new([32]byte), uint64(n), []byte("yes"))] = true
	}
	if len(seen) != 100 || len(ids) != 100 {
		t.Errorf("%d nonces and %d message IDs for 100 boxes and messages", len(seen), len(ids))
	}
}

func TestFrame(t *testing.T) {
	enc := exampleFrame().Append(nil)
	if len(enc) != wire.FrameSize {
		t.Fatalf("a frame has %d bytes", len(enc))
	}
	for n := range enc {
		if _, err := wire.ParseFrame(enc[:n]); err == nil {
			t.Fatalf("cut to %d bytes: accepted", n)
		}
	}
	bad := map[string]func([]byte){
		"kind 0":            func(b []byte) { b[0] = 0 },
		"flags":             func(b []byte) { b[1] = 1 },
		"number 0":          func(b []byte) { clear(b[2:6]) },
		"no parts":          func(b []byte) { b[21] = 0 },
		"part beyond parts": func(b []byte) { b[19] = 1 },
		"too many parts":    func(b []byte) { b[20] = 1 },
		"length too large":  func(b []byte) { b[26], b[27] = 0xff, 0xff },
		"padding set":       func(b []byte) { b[len(b)-1] = 1 },
		"length too small":  func(b []byte) { b[27]-- },
	}
	for name, spoil := range bad {
		b := bytes.Clone(enc)
		spoil(b)
		if _, err := wire.ParseFrame(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSplit(t *testing.T) {
	for n, want := range map[int]int{0: 1, 1: 1, 1700: 1, 1701: 2, 3400: 2, wire.MaxText: wire.MaxParts} {
		text := bytes.Repeat([]byte("x"), n)
		parts := wire.Split(text)
		if len(parts) != want || !bytes.Equal(bytes.Join(parts, nil), text) {
			t.Errorf("%d bytes make %d parts, want %d", n, len(parts), want)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(exampleFrame().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if fr, err := wire.ParseFrame(b); err == nil && !bytes.Equal(fr.Append(nil), b) {
			t.Error("a frame has two encodings")
		}
	})
}

func FuzzParseControl(f *testing.F) {
	f.Add(exampleControl().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := wire.ParseControl(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Error("a control block has two encodings")
		}
	})
}
