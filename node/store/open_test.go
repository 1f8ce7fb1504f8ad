package store

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/label"
)

func TestCreateRefusesWhatIsThere(t *testing.T) {
	cfg := testConfig(t)
	if Exists(cfg.Dir) {
		t.Error("a store exists before it is made")
	}
	mustCreate(t, cfg)
	if !Exists(cfg.Dir) {
		t.Error("a store does not exist after it is made")
	}
	if err := Create(cfg, testPass); !errors.Is(err, ErrExists) {
		t.Errorf("creating twice: got error %v, want ErrExists", err)
	}
	info, err := os.Stat(cfg.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v", info.Mode())
	}
	other := Config{Dir: tempDir(t), Cost: Cheap}
	mustCreate(t, other) // an empty folder may be used
	file := filepath.Join(tempDir(t), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(Config{Dir: file, Cost: Cheap}, testPass); !errors.Is(err, ErrExists) {
		t.Errorf("creating over a file: got error %v, want ErrExists", err)
	}
}

func TestCreateClearsAnUnfinishedStage(t *testing.T) {
	cfg := testConfig(t)
	if err := os.MkdirAll(filepath.Join(cfg.Dir+".new", "records"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, cfg)
	if _, err := os.Stat(cfg.Dir + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Error("the stage is still there")
	}
}

func TestCreateLeavesNothingWhenItFails(t *testing.T) {
	cfg := testConfig(t)
	cfg.Random = io.LimitReader(strings.NewReader(strings.Repeat("x", 70)), 70)
	if err := Create(cfg, testPass); err == nil {
		t.Fatal("creating without randomness succeeds")
	}
	for _, dir := range []string{cfg.Dir, stageDir(cfg.Dir)} {
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left over", filepath.Base(dir))
		}
	}
}

func TestOpenWhatIsNotThere(t *testing.T) {
	cfg := testConfig(t)
	if _, err := Open(cfg, testPass); !errors.Is(err, ErrMissing) {
		t.Errorf("got error %v, want ErrMissing", err)
	}
	cfg.Dir = tempDir(t)
	if _, err := Open(cfg, testPass); !errors.Is(err, ErrMissing) {
		t.Errorf("an empty folder: got error %v, want ErrMissing", err)
	}
}

func TestPassphraseRule(t *testing.T) {
	long := strings.Repeat("é", MaxPassphrase/2)
	for _, test := range []struct {
		name     string
		made     string
		makeErr  error
		opens    []string
		refuses  []string
		standard bool
	}{
		{name: "empty", made: "", makeErr: ErrEmpty},
		{name: "plain", made: "pass", opens: []string{"pass"}, refuses: []string{"", "Pass", "pass ", "pass\x00", "pas"}},
		{name: "NUL", made: "a\x00b", opens: []string{"a\x00b"}, refuses: []string{"a", "a\x00", "ab"}},
		{name: "composed", made: "caf\u00e9 \u212b", opens: []string{"cafe\u0301 A\u030a"}, refuses: []string{"cafe A"}},
		{name: "not UTF-8", made: "\xff\xfe", opens: []string{"\xff\xfe"}, refuses: []string{"\xfe\xff"}},
		{name: "longest", made: long, opens: []string{strings.Repeat("e\u0301", MaxPassphrase/2)}, refuses: []string{long + "e"}},
		{name: "too long", made: long + "e", makeErr: ErrLong},
		{name: "1 MB", made: strings.Repeat("x", 1<<20), makeErr: ErrLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig(t)
			if err := Create(cfg, []byte(test.made)); !errors.Is(err, test.makeErr) {
				t.Fatalf("creating: got error %v, want %v", err, test.makeErr)
			}
			if test.makeErr != nil {
				if Exists(cfg.Dir) {
					t.Error("a refused passphrase made a store")
				}
				return
			}
			for _, p := range test.opens {
				s, err := Open(cfg, []byte(p))
				if err != nil {
					t.Fatalf("an equal passphrase: %v", err)
				}
				if !s.Opens([]byte(test.made)) {
					t.Error("an equal passphrase is not known")
				}
				mustClose(t, s)
			}
			for _, p := range append(test.refuses, strings.Repeat("x", 1<<20)) {
				if _, err := Open(cfg, []byte(p)); !errors.Is(err, ErrPassphrase) {
					t.Errorf("another passphrase: got error %v, want ErrPassphrase", err)
				}
			}
		})
	}
}

func TestStandardCost(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Cost = Standard
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	mustCommit(t, s, put(0, []byte("v")))
	mustClose(t, s)
	cfg.Cost = Cheap
	if _, err := Open(cfg, testPass); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a cheap open of a standard store: got error %v, want ErrPassphrase", err)
	}
}

func TestWrongPassphraseChangesNothing(t *testing.T) {
	cfg := testConfig(t)
	mustCreate(t, cfg)
	before := fingerprint(t, cfg.Dir)
	if _, err := Open(cfg, []byte("wrong")); !errors.Is(err, ErrPassphrase) {
		t.Fatalf("got error %v, want ErrPassphrase", err)
	}
	if before != fingerprint(t, cfg.Dir) {
		t.Error("a wrong passphrase changed a file")
	}
}

// TestHeaderIsTold cuts the header at every length and flips every bit.
func TestHeaderIsTold(t *testing.T) {
	cfg := testConfig(t)
	mustCreate(t, cfg)
	whole, err := os.ReadFile(headerPath(cfg.Dir))
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte, want error) {
		t.Helper()
		if err := os.WriteFile(headerPath(cfg.Dir), b, 0o600); err != nil {
			t.Fatal(err)
		}
		before := fingerprint(t, cfg.Dir)
		if _, err := Open(cfg, testPass); !errors.Is(err, want) {
			t.Fatalf("header of %d bytes: got error %v, want %v", len(b), err, want)
		}
		if before != fingerprint(t, cfg.Dir) {
			t.Fatal("a damaged header changed a file")
		}
	}
	for n := range whole {
		check(whole[:n], ErrDamaged)
	}
	for bit := range len(whole) * 8 {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := parseHeader(b); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d flipped: got error %v, want ErrDamaged", bit, err)
		}
	}
	check(append(bytes.Clone(whole), 0), ErrDamaged)
	newer := append([]byte{formatVersion + 1}, "whatever comes"...)
	sum := label.Hash(label.StoreCheck, newer)
	check(append(newer, sum[:]...), ErrNewer)
	older := append([]byte{1}, make([]byte, 64)...)
	sum = label.Hash(label.StoreCheck, older)
	check(append(older, sum[:]...), ErrOlder)
	if format, err := FormatOf(cfg.Dir); format != 1 || err != nil {
		t.Errorf("the format is %d, error %v", format, err)
	}
	if err := os.Remove(headerPath(cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, testPass); !errors.Is(err, ErrDamaged) {
		t.Errorf("no header: got error %v, want ErrDamaged", err)
	}
}

func TestInUse(t *testing.T) {
	cfg := testConfig(t)
	mustCreate(t, cfg)
	cmd := child(t, "hold", cfg.Dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	var inUse *InUseError
	if _, err := Open(cfg, testPass); !errors.As(err, &inUse) {
		t.Fatalf("got error %v, want an InUseError", err)
	}
	if inUse.PID != cmd.Process.Pid || inUse.Started.IsZero() ||
		!strings.Contains(inUse.Error(), strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("the error says %q, the other process is %d", inUse, cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil { // leaves its name in the file
		t.Fatal(err)
	}
	_ = cmd.Wait()
	_ = in.Close()
	s := mustOpen(t, cfg)
	if _, err := Open(cfg, testPass); !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Errorf("opening twice in one process: got error %v", err)
	}
	mustClose(t, s)
	if b, err := os.ReadFile(lockPath(cfg.Dir)); err != nil || len(bytes.TrimSpace(b)) != 0 {
		t.Error("a closed store still names a process")
	}
}

func TestOpenTriesTwice(t *testing.T) {
	cfg := testConfig(t)
	mustCreate(t, cfg)
	attempts := 0
	cfg.faults = &faults{badger: func(attempt int) error {
		attempts++
		if attempt == 0 {
			panic("first attempt")
		}
		return nil
	}}
	mustOpen(t, cfg)
	if attempts != 2 {
		t.Errorf("Badger was opened %d times", attempts)
	}
	cfg = testConfig(t)
	mustCreate(t, cfg)
	cfg.faults = &faults{badger: func(int) error { return errors.New("never") }}
	s := mustLook(t, cfg, testPass)
	if err := s.Online(); err == nil {
		t.Error("online without Badger")
	}
	s.cfg.faults = nil
	if err := s.Online(); err != nil {
		t.Errorf("a second attempt: %v", err)
	}
}

// TestNothingShows looks in every file, open and closed, for what was stored.
func TestNothingShows(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	canary := []byte("canary-value-7f3a")
	object := [16]byte([]byte("canary-object-16"))
	k := Key{Kind: 7, Object: object, Seq: 0x63616e6172797365}
	look := func(when string) {
		t.Helper()
		for name, b := range contents(t, cfg.Dir) {
			for what, secret := range map[string][]byte{
				"the value": canary, "the object": object[:], "the passphrase": testPass,
				"the sequence number": []byte("canaryse"), "the root of the folder": []byte(cfg.Dir),
			} {
				if bytes.Contains(b, secret) {
					t.Errorf("%s: %s shows in %s", when, what, name)
				}
			}
		}
	}
	for range 20 { // through memtables and tables
		mustCommit(t, s, Write{Key: k, Value: bytes.Repeat(canary, 300)})
	}
	look("open")
	mustCommit(t, s, Write{Key: k, Delete: true})
	mustClose(t, s)
	look("closed")
}

