package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

type holder struct {
	Exported secret.Key
	hidden   secret.Key
	list     []secret.Key
}

// pattern is distinctive in every base that fmt knows.
var pattern = [secret.Size]byte(bytes.Repeat([]byte{0xde, 0xad}, secret.Size/2))

func TestKeyIsNeverPrinted(t *testing.T) {
	k := secret.New(&pattern)
	h := &holder{Exported: k, hidden: k, list: []secret.Key{k}}
	// Two bytes and more of it in every base and spacing that fmt knows: one byte
	// alone may stand in the address of a pointer.
	leaks := []string{
		hex.EncodeToString(pattern[:4]), "DEADDEAD", "de ad de", "DE AD DE",
		"222 173 222", "222, 173", "+222 +173", "0xde, 0xad", "0xde 0xad", "0XDE 0XAD", `\xde\xad`,
		"336 255 336", "0336 0255", "0o336 0o255", "+336 +255",
		"11011110 10101101", "0b11011110 0b10101101", "+11011110 +10101101", "Þ", string(pattern[:2]),
	}
	for _, verb := range []string{"%v", "%+d", "%x", "%X", "% x", "%#x", "%o", "%b", "%+b", "%s", "%q", "%#v"} {
		bare := fmt.Sprintf(verb, pattern)
		if !slices.ContainsFunc(leaks, func(l string) bool { return strings.Contains(bare, l) }) {
			t.Errorf("%s of the bare bytes is not noticed: %.60q", verb, bare)
		}
	}
	shown := 0
	check := func(how, s string) {
		t.Helper()
		shown++
		for _, l := range leaks {
			if strings.Contains(s, l) {
				t.Errorf("%s shows %q in %q", how, l, s)
			}
		}
	}
	for _, flag := range []string{"", "+", "#", " ", "-", "0"} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			f := "%" + flag + string(verb)
			check(f+" key", fmt.Sprintf(f, k))
			check(f+" pointer to key", fmt.Sprintf(f, &k))
			check(f+" struct", fmt.Sprintf(f, *h))
			check(f+" pointer to struct", fmt.Sprintf(f, h))
			check(f+" slice", fmt.Sprintf(f, []holder{*h}))
		}
	}
	var buf bytes.Buffer
	slog.New(slog.NewTextHandler(&buf, nil)).Info("x", "k", k, "h", h)
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("x", "k", k, "h", h)
	check("slog", buf.String())
	if shown != 601 {
		t.Errorf("checked %d forms, want 601", shown)
	}
}

func TestKeyRefusesToBeMarshalled(t *testing.T) {
	k := secret.New(&pattern)
	if b, err := json.Marshal(&holder{Exported: k}); !errors.Is(err, secret.ErrMarshal) {
		t.Errorf("json.Marshal = %q, %v; want ErrMarshal", b, err)
	}
	if err := gob.NewEncoder(new(bytes.Buffer)).Encode(&holder{Exported: k}); err == nil {
		t.Error("gob encoded a key")
	}
}

func TestWipeReachesCopiesButNotClones(t *testing.T) {
	a := secret.New(&pattern)
	b, c := a, a.Clone()
	a.Wipe()
	if !b.Equal(secret.New(new([secret.Size]byte))) {
		t.Error("a copy outlived Wipe")
	}
	if !c.Equal(secret.New(&pattern)) {
		t.Error("Wipe reached a clone")
	}
}

func TestEmptyKey(t *testing.T) {
	var k secret.Key
	if !k.IsZero() || k.Equal(k) || !k.Clone().IsZero() {
		t.Error("an empty key must be zero, equal to nothing, and clone to empty")
	}
	k.Wipe()
	defer func() {
		if recover() == nil {
			t.Error("using an empty key did not panic")
		}
	}()
	k.Bytes()
}

func TestReadWantsAllBytes(t *testing.T) {
	if _, err := secret.Read(bytes.NewReader(pattern[:31])); err == nil {
		t.Error("31 bytes of randomness made a key")
	}
	k, err := secret.Read(bytes.NewReader(pattern[:]))
	if err != nil || !k.Equal(secret.New(&pattern)) {
		t.Errorf("Read = %v, %v", k, err)
	}
}
