package store

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// There is no format older than the present one. These tests take the present one
// for the older: version 2 is the same but for its number, which goes into the
// keys, and for the values, which its upgrade turns over.
const nextVersion = formatVersion + 1

func nextFormats() *formats {
	return &formats{current: nextVersion, older: map[byte]reader{formatVersion: readVersion1}}
}

// readVersion1 is what the code of version 1 would be in a later program.
func readVersion1(cfg Config, l *lock, passphrase []byte) (source, error) {
	cfg.formats = nil
	h, err := readHeader(cfg)
	if err != nil {
		return source{}, err
	}
	s, err := openLocked(cfg, h, l, passphrase)
	if err != nil {
		return source{}, err
	}
	return source{records: turnedOver(s.all()), rolledBack: s.RolledBack(), close: func() error {
		s.keys.wipe()
		return errors.Join(s.counter.close(), s.shut())
	}}, nil
}

func turnedOver(records iter.Seq2[Record, error]) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r, err := range records {
			for i := range r.Value {
				r.Value[i] ^= 0xff
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// oldStore makes a store of version 1 with so many records, some of them large.
func oldStore(t *testing.T, n uint64) Config {
	t.Helper()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	for seq := range n {
		mustCommit(t, s, put(seq, oldValue(seq)))
	}
	mustClose(t, s)
	return cfg
}

func oldValue(seq uint64) []byte { return numbered(seq, 8+int(seq%4)*20000) }

// holds says which version a folder is, after opening it with a program of version
// 1 or 2; its records must be all there, and as that version has them.
func holds(t *testing.T, cfg Config, n uint64) {
	t.Helper()
	s := wantRollback(t, cfg, false)
	defer mustClose(t, s)
	var next uint64
	for r, err := range s.all() {
		if err != nil {
			t.Fatal(err)
		}
		want := oldValue(next)
		if s.header.version == nextVersion {
			for i := range want {
				want[i] ^= 0xff
			}
		}
		if r.Key != key(next) || !bytes.Equal(r.Value, want) {
			t.Fatalf("version %d: record %d is %v with %d bytes", s.header.version, next, r.Key, len(r.Value))
		}
		next++
	}
	if next != n {
		t.Fatalf("version %d: %d records, want %d", s.header.version, next, n)
	}
}

func noLeftovers(t *testing.T, cfg Config) {
	t.Helper()
	list, err := os.ReadDir(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "counter.0 counter.1 header lock records reserve" {
		t.Errorf("the folder holds %s", got)
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{0, 1, 40} {
		old := oldStore(t, n)
		next := old
		next.formats = nextFormats()
		if _, err := Open(next, []byte("wrong")); !errors.Is(err, ErrPassphrase) {
			t.Errorf("with a wrong passphrase: %v", err)
		}
		holds(t, old, n) // and version 1 can still be used
		holds(t, next, n)
		noLeftovers(t, next)
		holds(t, next, n)
		if _, err := Open(old, testPass); !errors.Is(err, ErrNewer) {
			t.Errorf("the old program opens it: %v", err)
		}
		if _, err := FormatOf(old.Dir); !errors.Is(err, ErrNewer) {
			t.Errorf("the old program takes it for its own: %v", err)
		}
		if err := Create(old, testPass); !errors.Is(err, ErrExists) {
			t.Errorf("the old program writes over it: %v", err)
		}
	}
}

// TestUpgradeKeepsRollback upgrades stores whose records were set back.
func TestUpgradeKeepsRollback(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{0, 3} {
		old := oldStore(t, n)
		before := old.Dir + ".before"
		copyFolder(t, recordsDir(old.Dir), before)
		s := mustOpen(t, old)
		mustCommit(t, s, put(n, oldValue(n)))
		mustClose(t, s)
		copyFolder(t, before, recordsDir(old.Dir))
		next := old
		next.formats = nextFormats()
		mustClose(t, wantRollback(t, next, true))
		s = wantRollback(t, next, true)
		if err := s.AcceptRollback(); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		holds(t, next, n)
	}
}

// TestUpgradeThatCannotBe leaves a store as it was when it cannot be read whole.
func TestUpgradeThatCannotBe(t *testing.T) {
	t.Parallel()
	old := oldStore(t, 3)
	broken := errors.New("the old code fails")
	for name, c := range map[string]struct {
		read reader
		want error
	}{
		"no code for it": {nil, ErrDamaged},
		"it fails on the way": {func(cfg Config, l *lock, p []byte) (source, error) {
			src, err := readVersion1(cfg, l, p)
			src.records = func(yield func(Record, error) bool) { yield(Record{}, broken) }
			return src, err
		}, broken},
		"a record that cannot be written": {func(cfg Config, l *lock, p []byte) (source, error) {
			src, err := readVersion1(cfg, l, p)
			src.records = func(yield func(Record, error) bool) { yield(Record{Key: key(0), Value: make([]byte, MaxValue+1)}, nil) }
			return src, err
		}, ErrTooLarge},
		"a record twice": {func(cfg Config, l *lock, p []byte) (source, error) {
			src, err := readVersion1(cfg, l, p)
			src.records = func(yield func(Record, error) bool) {
				for range 2 {
					if !yield(Record{Key: key(0)}, nil) {
						return
					}
				}
			}
			return src, err
		}, ErrDamaged},
	} {
		next := old
		next.formats = &formats{current: nextVersion, older: map[byte]reader{formatVersion: c.read}}
		if _, err := Open(next, testPass); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		noLeftovers(t, old)
		holds(t, old, 3)
	}
}

func init() { scripts["upgrade"] = childUpgrade }

// childUpgrade upgrades and kills itself at the hook with the number in args[1].
func childUpgrade(args []string) error {
	left, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	cfg := childConfig(args[0])
	cfg.formats = nextFormats()
	cfg.faults = &faults{at: func(step) {
		if left--; left < 0 {
			p, _ := os.FindProcess(os.Getpid())
			_ = p.Kill()
			select {}
		}
	}}
	s, err := Open(cfg, testPass)
	if err != nil {
		return err
	}
	fmt.Println("upgraded")
	return s.Close()
}

// TestKillWhileUpgrading kills a process at every step of an upgrade, and again at
// a later one: the folder is always the whole old store or the whole new one.
func TestKillWhileUpgrading(t *testing.T) {
	t.Parallel()
	made := oldStore(t, 8)
	cfg := testConfig(t)
	next := cfg
	next.formats = nextFormats()
	olds, news, stride := 0, 0, 6-few(5)
	for at := 0; ; at += stride {
		copyFolder(t, made.Dir, cfg.Dir)
		out, err := runChild(t, "upgrade", cfg.Dir, strconv.Itoa(at))
		if strings.Contains(out, "error") {
			t.Fatalf("hook %d: %q", at, out)
		}
		done := err == nil
		if at%3 == 1 && !done { // killed again while it goes on
			if out, _ := runChild(t, "upgrade", cfg.Dir, strconv.Itoa(at%7)); strings.Contains(out, "error") {
				t.Fatalf("hook %d, again: %q", at, out)
			}
		}
		if _, err := FormatOf(cfg.Dir); err == nil {
			olds++
			holds(t, cfg, 8)
			noLeftovers(t, cfg)
		} else if news++; !errors.Is(err, ErrNewer) {
			t.Fatalf("hook %d: %v", at, err)
		}
		holds(t, next, 8)
		noLeftovers(t, next)
		if done {
			break
		}
	}
	if olds < 20/stride || news < 8/stride {
		t.Errorf("met the old store %d times and the new one %d times", olds, news)
	}
	t.Logf("%d kills left the old store, %d the new one", olds, news-1)
}

// TestUpgradeOfALeftover opens with each program a folder in which another
// program's upgrade was thrown away half-way.
func TestUpgradeOfALeftover(t *testing.T) {
	t.Parallel()
	old := oldStore(t, 2)
	next := upgradeDir(old.Dir)
	if err := errors.Join(os.Mkdir(next, 0o700), os.Mkdir(filepath.Join(next, "records"), 0o700),
		os.WriteFile(headerPath(next), []byte("x"), 0o600), os.Mkdir(partDir(old.Dir), 0o700)); err != nil {
		t.Fatal(err)
	}
	holds(t, old, 2)
	noLeftovers(t, old)
}
