package communique

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

func published(t testing.TB) []byte {
	t.Helper()
	a, b := pair(t, testText, 90)
	runTo(t, a, b, messageRelease)
	return file(t, b)
}

func TestFileCutAndFlip(t *testing.T) {
	prototest.CutAndFlip(t, published(t), func(b []byte) bool {
		_, err := Verify(b)
		return err == nil
	})
}

func TestStateCutAndFlip(t *testing.T) {
	for n := uint8(1); n <= messageRelease; n++ {
		a, b := pair(t, testText, 91)
		runTo(t, a, b, n)
		stored := a.Append(nil)
		for cut := range stored {
			if _, err := ParseState(stored[:cut]); !errors.Is(err, ErrState) {
				t.Fatalf("after %d: cut to %d: %v", n, cut, err)
			}
		}
		if _, err := ParseState(append(bytes.Clone(stored), 0)); !errors.Is(err, ErrState) {
			t.Fatalf("after %d: one byte too many: %v", n, err)
		}
		if n == messageRelease && !testing.Short() {
			// What is drawn freely cannot be checked: only the own contribution is
			// bound by nothing but the signed text, and by then that binds it.
			prototest.Flip(t, stored, func(b []byte) bool {
				_, err := ParseState(b)
				return err == nil
			})
		}
	}
}

// TestStatesThatAreRefused puts into each state, after each number of messages,
// what is not there yet, and takes out what is.
func TestStatesThatAreRefused(t *testing.T) {
	fields := map[string][2]int{
		"coins": {39, 32}, "commitment": {103, 32}, "key": {135, 32}, "contribution": {167, 32}, "adaptor point": {199, 32},
		"adaptor secret": {231, 32}, "own pre-signature": {263, 64}, "other pre-signature": {327, 64},
	}
	refused := func(what string, n uint8, b []byte) {
		t.Helper()
		if _, err := ParseState(b); !errors.Is(err, ErrState) {
			t.Errorf("after %d messages: %s: %v", n, what, err)
		}
	}
	for n := range messageRelease + 1 {
		a, b := pair(t, testText, 97)
		runTo(t, a, b, n)
		for _, x := range []*Exchange{a, b} {
			stored := x.Append(nil)
			for name, f := range fields {
				changed := bytes.Clone(stored)
				field := changed[f[0]:][:f[1]]
				if bytes.Count(field, []byte{0}) == len(field) {
					field[3] = 1
				} else {
					clear(field)
				}
				refused(name, n, changed)
			}
			set := func(at int, v byte) []byte {
				changed := bytes.Clone(stored)
				changed[at] = v
				return changed
			}
			refused("version", n, set(0, 2))
			refused("no role", n, set(1, 0))
			refused("a third role", n, set(1, 3))
			refused("eight messages", n, set(2, 8))
			refused("length of the text", n, set(stateFixed-1, stored[stateFixed-1]+1))
			refused("a text that cannot be", n, set(stateFixed, 0))
			if x.peerOpened() {
				refused("other role", n, set(1, byte(x.role.other())))
				refused("expiry", n, set(6, stored[6]+1))
				own := bytes.Clone(stored)
				copy(own[135:], x.key.public[:])
				refused("the own key as the other's", n, own)
				// Keys that cannot be, under a commitment that fits them.
				for _, bad := range []PublicKey{x.key.public, badPoints(t)[0]} {
					y := *x
					y.peer = bad
					y.peerCommitment = y.commitment(y.role.other(), y.peer, y.peerContribution)
					refused("a key that cannot be", n, y.Append(nil))
				}
			}
			if !x.secret.IsZero() {
				refused("another adaptor secret", n, set(231, stored[231]+1))
			}
			if x.Done() || x.pre != (preSignature{}) {
				refused("seed", n, set(7, stored[7]+1))
			}
		}
	}
}

func TestMessagesCutAndFlip(t *testing.T) {
	for n := messageCommitA; n <= messageRelease; n++ {
		a, b := pair(t, testText, 92)
		runTo(t, a, b, n-1)
		from, to := a, b
		if b.Turn() {
			from, to = b, a
		}
		stored := to.Append(nil)
		m, err := from.Send(testNow)
		if err != nil {
			t.Fatal(err)
		}
		accept := func(b []byte) bool {
			x, err := ParseState(stored)
			if err != nil {
				t.Fatal(err)
			}
			return x.Receive(b, testNow) == nil
		}
		if n > messageCommitB {
			prototest.CutAndFlip(t, m, accept)
			continue
		}
		// A commitment is random to who takes it; the rest of the message is not.
		prototest.Flip(t, m[34:], func(tail []byte) bool {
			return accept(append(bytes.Clone(m[:34]), tail...))
		})
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	good := string(published(t))
	lines := strings.SplitAfter(good, "\n")
	swap := func(i, j int) string {
		l := append([]string(nil), lines...)
		l[i], l[j] = l[j], l[i]
		return strings.Join(l, "")
	}
	last := len(lines) - 2
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"empty":              {"", ErrFormat},
		"one signature":      {strings.Join(lines[:last], ""), ErrFormat},
		"one of them twice":  {strings.Join(lines[:last], "") + lines[last-1], ErrSignature},
		"signatures turned":  {swap(last-1, last), ErrSignature},
		"keys turned":        {swap(1, 2), ErrKey},
		"one key twice":      {strings.Replace(good, lines[2], lines[1], 1), ErrKey},
		"line endings":       {strings.ReplaceAll(good, "\n", "\r\n"), ErrLineEndings},
		"upper case":         {strings.ToUpper(good[:100]) + good[100:], ErrFormat},
		"upper-case hex":     {strings.Replace(good, lines[3], "random "+strings.ToUpper(lines[3][7:]), 1), ErrFormat},
		"other version":      {strings.Replace(good, "version 1", "version 2", 1), ErrFormat},
		"no last line feed":  {good[:len(good)-1], ErrFormat},
		"one line feed more": {good + "\n", ErrFormat},
		"a hidden character": {string(strangerSigns(t, newKey(t, 1), newKey(t, 2), "a\u202eb\n")), ErrTextForm},
		"a mark in front":    {"\ufeff" + good, ErrFormat},
		"too long":           {string(strangerSigns(t, newKey(t, 1), newKey(t, 2), strings.Repeat("x", MaxText)+"\n")), ErrFormat},
	} {
		if _, err := Verify([]byte(c.file)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestTexts(t *testing.T) {
	for _, good := range []string{"a\n", "a\n\nb\n", "نمی\u200cخواهم\n", "क्\u200dष\n", " indented\n", "signature\n", strings.Repeat("x", MaxText-1) + "\n"} {
		if err := CheckText(good); err != nil {
			t.Errorf("%.20q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"a", "\n", "\na\n", "a\n\n", "a \n", "a\tb\n", "a\r\n", "a\x00\n", "\xff\n", "a\u202eb\n", "a\u200bb\n", "a\u2066b\n",
		"\ufeffa\n", "a\u00adb\n", "a\u2028b\n", "a\U000e0041\n", "a\ue000\n", "a\ufffd\n", "a\nsignature 00\n", "a\u0085b\n",
	} {
		if err := CheckText(bad); !errors.Is(err, ErrTextForm) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", MaxText) + "\n"} {
		if err := CheckText(bad); !errors.Is(err, ErrTextLength) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if got := TidyText("\r\n\n a\tb  \r\nc\rd\n\n"); got != " a b\nc\nd\n" || CheckText(got) != nil {
		t.Errorf("TidyText = %q", got)
	}
}

// TestTheProgramInThePage takes the program out of the specification and runs it:
// it knows nothing but crypto/ed25519.
func TestTheProgramInThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/communique.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```go\n(package main.+?)```").FindSubmatch(page)
	if found == nil {
		t.Fatal("the page holds no program")
	}
	body := regexp.MustCompile(`(?s)func main\(\) \{\n(.+)\n\}`).FindSubmatch(found[1])
	if len(body) != 2 || bytes.Count(body[1], []byte("\n"))+1 > 10 {
		t.Error("the program has more than ten lines")
	}
	if bytes.Contains(found[1], []byte("backchannel")) {
		t.Error("the program uses ours")
	}
	if testing.Short() {
		t.Skip("it is compiled and run only without -short")
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	program := filepath.Join(dir, "verify")
	if out, err := exec.Command("go", "build", "-o", program, write("main.go", found[1])).CombinedOutput(); err != nil {
		t.Fatalf("the program does not compile: %v\n%s", err, out)
	}
	good := published(t)
	out, err := exec.Command(program, write("good.txt", good)).Output()
	if err != nil || string(out) != "true\n" {
		t.Errorf("a good file: %q, %v", out, err)
	}
	for _, at := range []int{3, 40, 110, 180, headSize + 5, len(good) - 20, len(good) - 200} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		if out, _ := exec.Command(program, write("bad.txt", bad)).Output(); string(out) == "true\n" {
			t.Errorf("byte %d changed: the program says true", at)
		}
	}
}

func TestVectors(t *testing.T) {
	a, b := pair(t, testText, 93)
	v := prototest.Vector{
		"name":           "exchange",
		"initiator seed": prototest.Hex(a.key.seed.Bytes()), "responder seed": prototest.Hex(b.key.seed.Bytes()),
		"initiator coins": prototest.Hex(a.coins.Bytes()), "responder coins": prototest.Hex(b.coins.Bytes()),
		"initiator words": a.key.public.String(), "responder words": b.key.public.String(),
		"text": testText, "expiry": "29500000",
	}
	for !a.Done() {
		m := step(t, a, b)
		v["message "+string('0'+rune(m[1]))] = prototest.Hex(m)
	}
	v["adaptor secret"] = prototest.Hex(a.secret.Bytes())
	v["file"] = string(file(t, a))
	v["initiator state"] = prototest.Hex(a.Append(nil))
	v["responder state"] = prototest.Hex(b.Append(nil))
	prototest.Replay(t, "testdata/communique.json", []prototest.Vector{v})

	kept := prototest.Load(t, "testdata/communique.json")[0]
	if _, err := Verify([]byte(kept["file"])); err != nil {
		t.Errorf("the kept file: %v", err)
	}
	page, err := os.ReadFile("../../docs/spec/communique.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"file", "adaptor secret"} {
		if !bytes.Contains(page, []byte(kept[field])) {
			t.Errorf("the example in the page is not the vector's: %s", field)
		}
	}
	for _, side := range []string{"initiator", "responder"} {
		if !bytes.Contains(page, []byte(strings.ReplaceAll(kept[side+" words"], "-", " "))) {
			t.Errorf("the example in the page has other words of the %s", side)
		}
	}
	seed := KeyFromSeed(secret.FromBytes(prototest.Unhex(t, kept["initiator seed"])))
	if seed.Public().String() != kept["initiator words"] {
		t.Error("the kept seed has other words")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(published(f))
	f.Add([]byte(firstLine))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Verify(b)
		if err == nil && !bytes.Equal(c.append(nil), b) {
			t.Error("a file that we would write differently")
		}
	})
}

func FuzzReceive(f *testing.F) {
	for n := range messageRelease {
		a, b := pair(f, testText, 94)
		runTo(f, a, b, n)
		f.Add(n, step(f, a, b))
	}
	f.Fuzz(func(t *testing.T, n uint8, m []byte) {
		a, b := pair(t, testText, 94)
		runTo(t, a, b, n%messageRelease)
		to := b
		if b.Turn() {
			to = a
		}
		before := to.Append(nil)
		if err := to.Receive(m, testNow); err != nil && !bytes.Equal(before, to.Append(nil)) {
			t.Error("a refused message changed the exchange")
		}
		reload(t, to)
	})
}

func FuzzState(f *testing.F) {
	for n := range messageRelease + 1 {
		a, b := pair(f, testText, 95)
		runTo(f, a, b, n)
		f.Add(a.Append(nil))
		f.Add(b.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseState(b)
		if err != nil {
			return
		}
		if !bytes.Equal(x.Append(nil), b) {
			t.Error("a state that we would write differently")
		}
		x.Last()
		if _, err := x.File(); x.Done() && err != nil {
			t.Errorf("a finished state without a file: %v", err)
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	for b.Loop() {
		x, y := pair(b, testText, 96)
		runTo(b, x, y, messageRelease)
		file(b, y)
	}
}

func BenchmarkVerify(b *testing.B) {
	f := published(b)
	for b.Loop() {
		if _, err := Verify(f); err != nil {
			b.Fatal(err)
		}
	}
}
