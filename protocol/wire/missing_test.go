package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/wire"
)

func TestMissing(t *testing.T) {
	raw := wire.Missing{From: 17, To: 1<<32 - 2}.Append(nil)
	for _, bad := range [][]byte{
		{0, 0, 0, 0, 0, 0, 0, 1}, // there is no number 0
		{0, 0, 0, 2, 0, 0, 0, 1}, // backwards
		append(bytes.Clone(raw), 0),
	} {
		if _, err := wire.ParseMissing(bad); !errors.Is(err, wire.ErrFormat) {
			t.Errorf("%x: %v", bad, err)
		}
	}
	for n := range raw {
		if _, err := wire.ParseMissing(raw[:n]); !errors.Is(err, wire.ErrFormat) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	if m, err := wire.ParseMissing(raw); err != nil || m != (wire.Missing{From: 17, To: 1<<32 - 2}) {
		t.Errorf("%+v, %v", m, err)
	}
}

func FuzzParseMissing(f *testing.F) {
	f.Add(wire.Missing{From: 1, To: 1}.Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := wire.ParseMissing(raw); err == nil && !bytes.Equal(m.Append(nil), raw) {
			t.Error("two encodings of one value")
		}
	})
}
