package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// damages are the ways in which a file is damaged. They return false if there is
// nothing to damage in that way.
func damages() map[string]func(b []byte) ([]byte, bool) {
	all := map[string]func([]byte) ([]byte, bool){
		"emptied":  func(b []byte) ([]byte, bool) { return nil, len(b) > 0 },
		"extended": func(b []byte) ([]byte, bool) { return append(b, bytes.Repeat([]byte{0xa5}, 100)...), true },
		"noise": func(b []byte) ([]byte, bool) {
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
			return b, len(b) > 0
		},
	}
	for _, n := range []int{1, 8, 19, 20, 21, 100, 4096} {
		all[fmt.Sprintf("cut to %d", n)] = func(b []byte) ([]byte, bool) { return b[:min(n, len(b))], len(b) > n }
		all[fmt.Sprintf("cut by %d", n)] = func(b []byte) ([]byte, bool) { return b[:max(len(b)-n, 0)], len(b) > n }
	}
	for i := range 3 {
		all[fmt.Sprintf("cut anywhere %d", i)] = func(b []byte) ([]byte, bool) {
			return b[:rand.IntN(len(b)+1)], len(b) > 0
		}
		all[fmt.Sprintf("page zeroed %d", i)] = func(b []byte) ([]byte, bool) {
			used := len(bytes.TrimRight(b, "\x00"))
			at := rand.IntN(used/4096+1) * 4096
			if i == 0 {
				at = 0
			}
			if used == 0 || at >= used {
				return nil, false
			}
			clear(b[at:min(at+4096, len(b))])
			return b, true
		}
	}
	for i := range 10 {
		all[fmt.Sprintf("bit flipped %d", i)] = func(b []byte) ([]byte, bool) {
			used := len(bytes.TrimRight(b, "\x00"))
			if used == 0 {
				return nil, false
			}
			at := rand.IntN(used)
			switch { // lengths lie at the ends
			case i < 3:
				at = rand.IntN(min(used, 64))
			case i < 6:
				at = used - 1 - rand.IntN(min(used, 64))
			}
			b[at] ^= 1 << rand.IntN(8)
			return b, true
		}
	}
	return all
}

// damagedStores makes a closed and a killed store, and returns their folders and
// how many records each holds.
func damagedStores(t *testing.T) map[string]uint64 {
	t.Helper()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	const n = 20
	s := mustOpen(t, cfg)
	for seq := range uint64(n) {
		mustCommit(t, s, put(seq, numbered(seq, 80)))
	}
	mustClose(t, s)
	base := tempDir(t)
	closed, killed := filepath.Join(base, "closed"), filepath.Join(base, "killed")
	copyFolder(t, cfg.Dir, closed)
	s = mustOpen(t, cfg)
	for seq := uint64(n); seq < n+10; seq++ {
		mustCommit(t, s, put(seq, numbered(seq, 80)))
	}
	copyFolder(t, cfg.Dir, killed)
	mustClose(t, s)
	for name, b := range contents(t, killed) { // so are the zeros at the end of logs
		if filepath.Ext(name) == ".mem" && len(b) > 0 {
			if err := os.Truncate(filepath.Join(killed, name), int64(len(bytes.TrimRight(b, "\x00"))+4096)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, dir := range []string{closed, killed} {
		if err := os.Remove(reservePath(dir)); err != nil { // large, and of no interest here
			t.Fatal(err)
		}
	}
	return map[string]uint64{closed: n, killed: n + 10}
}

// TestDamage damages every file in turn, in many ways. The process that opens
// the store must live, and say that the store is damaged, or rolled back, or
// have every record.
func TestDamage(t *testing.T) {
	t.Parallel()
	tally := make(map[string]int)
	for from, n := range damagedStores(t) {
		tables := 0
		for name, whole := range contents(t, from) {
			if filepath.Ext(name) == ".sst" {
				if tables++; tables > 2 {
					continue // one is like the other
				}
			}
			idle := slices.Contains([]string{"DISCARD", "KEYREGISTRY", "lock"}, filepath.Base(name)) || filepath.Ext(name) == ".vlog"
			var dirs, what []string
			before := make(map[string]string)
			base := tempDir(t)
			for how, damage := range damages() {
				b, ok := damage(bytes.Clone(whole))
				if !ok || rand.IntN(10) >= few(2) || idle && rand.IntN(5) > 0 {
					continue
				}
				dir := filepath.Join(base, fmt.Sprint(len(dirs)))
				linkFolder(t, from, dir)
				path := filepath.Join(dir, name)
				if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600)); err != nil {
					t.Fatal(err)
				}
				dirs, what = append(dirs, dir), append(what, how)
				before[dir] = fingerprint(t, dir)
			}
			if len(dirs) == 0 {
				continue
			}
			out, err := runChild(t, "outcome", dirs...)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if err != nil || len(lines) != len(dirs) {
				t.Fatalf("%s %s: the process ended with %v after %d of %d: %s",
					name, what[min(len(lines), len(what)-1)], err, len(lines), len(dirs), out)
			}
			for i, line := range lines {
				_, got, _ := strings.Cut(line, " ")
				kind := filepath.Ext(name)
				if kind == "" || strings.HasPrefix(name, "counter") {
					kind = name
				}
				switch {
				case strings.HasSuffix(got, ErrDamaged.Error()):
					tally[kind+": damaged"]++
					if before[dirs[i]] != fingerprint(t, dirs[i]) {
						t.Errorf("%s %s: called damaged, and changed", name, what[i])
					}
				case got == "rolled back":
					tally[kind+": rolled back"]++
				case got == fmt.Sprintf("records %d", n):
					tally[kind+": nothing missing"]++
				default:
					t.Errorf("%s %s: %s", name, what[i], got)
				}
			}
			if err := os.RemoveAll(base); err != nil {
				t.Fatal(err)
			}
		}
	}
	var lines []string
	for kind, n := range tally {
		lines = append(lines, fmt.Sprintf("%-34s %4d", kind, n))
	}
	slices.Sort(lines)
	t.Logf("outcomes:\n%s", strings.Join(lines, "\n"))
}

// linkFolder copies a folder: tables, which are never written, by link.
func linkFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(recordsDir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range contents(t, from) {
		var err error
		if strings.HasSuffix(name, ".sst") {
			err = os.Link(filepath.Join(from, name), filepath.Join(to, name))
		} else {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFilesMissing takes every file away in turn.
func TestFilesMissing(t *testing.T) {
	t.Parallel()
	for from, n := range damagedStores(t) {
		base := tempDir(t)
		var dirs, names []string
		for name := range contents(t, from) {
			dir := filepath.Join(base, fmt.Sprint(len(dirs)))
			copyFolder(t, from, dir)
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			dirs, names = append(dirs, dir), append(names, name)
		}
		out, err := runChild(t, "outcome", dirs...)
		if err != nil {
			t.Fatalf("the process ended with %v: %s", err, out)
		}
		for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
			_, got, _ := strings.Cut(line, " ")
			t.Logf("%s: %s", names[i], got)
			if !strings.HasSuffix(got, ErrDamaged.Error()) && got != "rolled back" && got != fmt.Sprintf("records %d", n) {
				t.Errorf("without %s: %s", names[i], got)
			}
		}
	}
}
