package directory

import (
	"bytes"
	"testing"
)

// TestStatement: a statement says which network, which epoch and which relays, in one
// encoding; of another size it is none.
func TestStatement(t *testing.T) {
	w := newWorld(t, Constants{})
	v := w.set(14).View(today)
	s := v.Statement()
	if s.Network != w.n.ID() || s.Epoch != today || s.Membership != v.Hash() {
		t.Errorf("%+v", s)
	}
	b := s.Append(nil)
	for n := range 2 * len(b) {
		got, err := ParseStatement(append(bytes.Clone(b), make([]byte, len(b))...)[:n])
		if whole := n == StatementSize; whole != (err == nil) || whole && got != s {
			t.Errorf("%d bytes: %+v, %v", n, got, err)
		}
	}
	for i := range b {
		other := bytes.Clone(b)
		other[i] ^= 1
		if got, err := ParseStatement(other); err != nil || got == s || !bytes.Equal(got.Append(nil), other) {
			t.Errorf("byte %d: %+v, %v", i, got, err)
		}
	}
	s.Epoch = 0
	if _, err := ParseStatement(s.Append(nil)); err != ErrFormat {
		t.Errorf("of the first epoch: %v", err)
	}
	for what, other := range map[string]*View{"a relay less": w.set(13).View(today), "the next epoch": w.set(14).View(today + 1)} {
		if other.Statement() == v.Statement() {
			t.Errorf("%s: the same statement", what)
		}
	}
}
