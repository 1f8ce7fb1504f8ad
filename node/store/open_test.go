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
	"github.com/backchannel/backchannel/protocol/vault"
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
	other := Config{Dir: t.TempDir(), Cost: Cheap}
	mustCreate(t, other) // an empty folder may be used
	file := filepath.Join(t.TempDir(), "f")
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
	for n := range int64(96) { // salt, coins of the slots, coins of the counter
		cfg.Random = io.LimitReader(zeros{}, n)
		if n%31 != 0 {
			continue
		}
		if err := Create(cfg, testPass); err == nil {
			t.Fatal("creating without randomness succeeds")
		}
		if list, _ := os.ReadDir(filepath.Dir(cfg.Dir)); len(list) != 0 {
			t.Errorf("%d files are left over", len(list))
		}
	}
}

func TestOpenWhatIsNotThere(t *testing.T) {
	cfg := testConfig(t)
	if _, err := Open(cfg, testPass); !errors.Is(err, ErrMissing) {
		t.Errorf("got error %v, want ErrMissing", err)
	}
	cfg.Dir = t.TempDir()
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
					t.Error("an equal passphrase does not open it")
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

func TestPassphrasesOfACreation(t *testing.T) {
	cfg := testConfig(t)
	four := [][]byte{testPass, otherPass, thirdPass, []byte("fourth")}
	for _, test := range []struct {
		passes [][]byte
		want   error
	}{
		{nil, ErrSlots},
		{four, ErrSlots},
		{[][]byte{testPass, nil}, ErrEmpty},
		{[][]byte{[]byte("caf\u00e9"), []byte("cafe\u0301")}, ErrSame},
	} {
		if err := Create(cfg, test.passes...); !errors.Is(err, test.want) {
			t.Errorf("%d passphrases: got error %v, want %v", len(test.passes), err, test.want)
		}
	}
	for _, n := range []uint32{1, 8, 1023, 1 << 20} {
		cfg.Slots = n
		if err := Create(cfg, testPass); !errors.Is(err, ErrSlots) {
			t.Errorf("%d slots: got error %v, want ErrSlots", n, err)
		}
	}
	cfg.Slots, cfg.Cost = testSlots, Standard
	if err := Create(cfg, testPass); !errors.Is(err, ErrSlots) {
		t.Errorf("a small store at the standard cost: got error %v, want ErrSlots", err)
	}
}

func TestStandardCost(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Cost, cfg.Slots = Standard, 0
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	if s.slots != vault.MinSlots {
		t.Errorf("%d slots", s.slots)
	}
	mustCommit(t, s, put(0, []byte("v")))
	mustClose(t, s)
	cfg.Cost = Cheap
	if _, err := Open(cfg, testPass); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a cheap open of a standard store: got error %v, want ErrPassphrase", err)
	}
}

// TestHeaderIsTold cuts the header at every length and flips every bit.
func TestHeaderIsTold(t *testing.T) {
	cfg := testConfig(t)
	mustCreate(t, cfg)
	if err := os.Remove(reservePath(cfg.Dir)); err != nil { // large, and of no interest here
		t.Fatal(err)
	}
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
	for version, want := range map[byte]error{formatVersion - 1: ErrOlder, formatVersion + 1: ErrNewer, 0: ErrDamaged} {
		other := append([]byte{version}, "whatever comes"...)
		sum := label.Hash(label.StoreCheck, other)
		check(append(other, sum[:]...), want)
		n, err := FormatOf(cfg.Dir)
		if want == ErrOlder && (err != nil || n != formatVersion-1) || want != ErrOlder && !errors.Is(err, want) {
			t.Errorf("format %d: FormatOf gives %d, %v", version, n, err)
		}
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
	s := mustLook(t, cfg, testPass)
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
	never := true
	cfg.faults = &faults{badger: func(int) error {
		if never {
			return errors.New("never")
		}
		return nil
	}}
	s := mustLook(t, cfg, testPass)
	if err := s.Online(); !errors.Is(err, ErrDamaged) {
		t.Errorf("got error %v, want ErrDamaged", err)
	}
	never = false
	if err := s.Online(); err != nil {
		t.Errorf("going online again: %v", err)
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
	for range 6 {
		mustCommit(t, s, Write{Key: k, Value: bytes.Repeat(canary, 600)})
	}
	look("open")
	mustCommit(t, s, Write{Key: k, Delete: true})
	mustClose(t, s)
	look("closed")
}

// TestChangedBehindItsBack changes slots between Open and Online.
func TestChangedBehindItsBack(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	old := cfg.Dir + ".copy"
	copyFolder(t, cfg.Dir, old)
	s := mustOpen(t, cfg)
	mustCommit(t, s, put(0, numbered(0, 80)))
	mustClose(t, s)
	s = mustLook(t, cfg, testPass)
	copyFolder(t, recordsDir(old), recordsDir(cfg.Dir))
	before := fingerprint(t, cfg.Dir)
	if err := s.Online(); !errors.Is(err, ErrDamaged) {
		t.Errorf("got error %v, want ErrDamaged", err)
	}
	if fingerprint(t, cfg.Dir) != before {
		t.Error("it was written to")
	}
	if n, err := count(s, 80); n != 1 || err != nil {
		t.Errorf("it cannot be read any more: %d records, error %v", n, err)
	}
}

// TestLevelFull fills a level: it says so, changes nothing, and deleting makes room.
func TestLevelFull(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustOpen(t, cfg)
	n := uint64(0)
	for ; ; n++ {
		if _, err := s.Stage(put(n, numbered(n, 4000))); errors.Is(err, ErrLevelFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if n%10 == 9 { // what waits takes the room of two
			mustTick(t, s)
		}
	}
	mustCommit(t, s)
	if u := s.Usage(); u.Limit-u.Pages > 1 || n < 50 {
		t.Errorf("full with %d records, %d pages of %d", n, u.Pages, u.Limit)
	}
	if got, err := count(s, 4000); got != n || err != nil {
		t.Errorf("%d records, want %d, error %v", got, n, err)
	}
	mustCommit(t, s, Write{Key: key(n - 1), Delete: true})
	mustCommit(t, s, put(n-1, numbered(n-1, 4000)))
}
