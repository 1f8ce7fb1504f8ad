package directory

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

// TestNothingTwiceAndNothingOutOfOrder: a founder who signs twice is one founder, and
// what can be put in two orders has one.
func TestNothingTwiceAndNothingOutOfOrder(t *testing.T) {
	w := newWorld(t, Constants{})
	v, err := w.n.ParseVoucher(w.voucher(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	s := v.signed
	for name, bad := range map[string]signatures{"twice": {s[0], s[0]}, "out of order": {s[1], s[0]}} {
		v.signed = bad
		if _, err := w.n.ParseVoucher(v.Append(nil, w.n)); err != ErrFormat {
			t.Errorf("signatures %s: %v", name, err)
		}
		w.want(NewSet(w.n), Item{VoucherItem, v.Append(nil, w.n)}, today, Invalid)
	}

	f := w.file(2, 0, 1)
	for name, bad := range map[string][]*Voucher{
		"twice": {f.vouchers[0], f.vouchers[0]}, "out of order": {f.vouchers[1], f.vouchers[0]},
	} {
		g := File{Network: f.Network, consents: f.consents, vouchers: bad}
		if _, err := ParseFile(g.Append(nil)); err != ErrFormat {
			t.Errorf("vouchers %s: %v", name, err)
		}
	}

	p, err := w.n.ParseProof(w.proof(0, today, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.n.ParseProof((&Proof{a: p.b, b: p.a}).Append(nil)); err != ErrFormat {
		t.Errorf("proof out of order: %v", err)
	}
}

func TestOneText(t *testing.T) {
	f := newWorld(t, Constants{}).file(1, 0, 1)
	text := f.Text()
	begin, end, _ := strings.Cut(text, "\n")
	_, last, _ := strings.Cut(end, "-----END")
	long := begin + "\n" + base64.StdEncoding.EncodeToString(f.Append(nil)) + "\n-----END" + last
	for name, bad := range map[string]string{
		"lines of another length": long,
		"a header":                begin + "\nA: b\n\n" + end,
		"something before":        "x\n" + text,
		"something behind":        text + "x",
		"two":                     text + text,
		"another type":            strings.ReplaceAll(text, "NETWORK", "CARD"),
		"oversize":                text + strings.Repeat("\n", 2*MaxFile),
	} {
		if _, err := ParseFileText([]byte(bad)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if g, err := ParseFileText([]byte(text)); err != nil || !bytes.Equal(g.Append(nil), f.Append(nil)) {
		t.Errorf("the text itself: %v", err)
	}
	if got := slices.Sorted(slices.Values(f.Consents())); len(got) != 2 {
		t.Errorf("signed by %v", got)
	}
}
