package label_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

func TestLabelsAreDistinctAndNoneIsAPrefix(t *testing.T) {
	shape := regexp.MustCompile(`^backchannel/v1/[a-z]+/[a-z0-9-]+$`)
	all := label.All()
	for i, a := range all {
		if !shape.MatchString(string(a)) {
			t.Errorf("%q has not the shape backchannel/v1/protocol/purpose", a)
		}
		for j, b := range all {
			if i != j && strings.HasPrefix(string(b), string(a)) {
				t.Errorf("%q is a prefix of %q", a, b)
			}
		}
	}
}

// TestAllListsEveryConstant reads the source, so that a new label cannot be left
// out of the proof above.
func TestAllListsEveryConstant(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "label.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if ok && spec.Type != nil {
			if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Label" {
				n += len(spec.Names)
			}
		}
		return true
	})
	if got := len(label.All()); n == 0 || got != n {
		t.Errorf("All lists %d labels, the source declares %d", got, n)
	}
}

func TestDeriveSeparatesEveryInput(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	base := label.Derive(label.WireLink, key, nil, 32, []byte("ab"), []byte("c"))
	others := map[string][]byte{
		"label":   label.Derive(label.WireContact, key, nil, 32, []byte("ab"), []byte("c")),
		"framing": label.Derive(label.WireLink, key, nil, 32, []byte("a"), []byte("bc")),
		"joined":  label.Derive(label.WireLink, key, nil, 32, []byte("abc")),
		"salt":    label.Derive(label.WireLink, key, []byte("s"), 32, []byte("ab"), []byte("c")),
		"key":     label.Derive(label.WireLink, key[:31], nil, 32, []byte("ab"), []byte("c")),
	}
	for what, other := range others {
		if bytes.Equal(base, other) {
			t.Errorf("another %s derives the same key", what)
		}
	}
	k := label.DeriveKey(label.WireLink, secret.FromBytes(key), []byte("ab"), []byte("c"))
	if !bytes.Equal(k.Bytes(), base) {
		t.Error("DeriveKey and Derive without salt differ")
	}
}

func TestHashAndMACSeparateLabels(t *testing.T) {
	if label.Hash(label.WordsA, []byte("x")) == label.Hash(label.WordsB, []byte("x")) {
		t.Error("Hash ignores the label")
	}
	if label.MAC(label.WordsA, []byte("k"), []byte("x")) == label.MAC(label.WordsA, []byte("q"), []byte("x")) {
		t.Error("MAC ignores the key")
	}
}
