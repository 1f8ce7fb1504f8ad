package drop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// dry is a source of randomness that can be turned off.
type dry struct{ off bool }

var errDry = errors.New("no randomness")

// Read implements [io.Reader].
func (d *dry) Read(b []byte) (int, error) {
	if d.off {
		return 0, errDry
	}
	return rand.Read(b)
}

func wantPut(t *testing.T, s *Store, n uint64, want drop.Status) {
	t.Helper()
	if got := put(s, n); got != want {
		t.Errorf("putting %d: %v, want %v", n, got, want)
	}
}

// TestNothingIsStoredUnderWhatWasNotDrawn: without randomness there is neither a day's key
// nor a record's nonce, and nothing is called stored.
func TestNothingIsStoredUnderWhatWasNotDrawn(t *testing.T) {
	c, from := newClock(), new(dry)
	cfg := testConfig(t, c)
	cfg.Random = from
	s := mustOpen(t, cfg)
	from.off = true
	wantPut(t, s, 1, drop.Failed)
	if len(s.days) > 0 || len(s.keys.keys) > 0 {
		t.Error("a day has begun without a key")
	}
	from.off = false
	mustPut(t, s, 1)
	from.off = true
	wantPut(t, s, 2, drop.Failed)
	from.off = false
	wantNone(t, s, 2)
	mustPut(t, s, 2)
	wantFound(t, s, 1, 2)
}

// TestRecords: a record opens whole, as it was sealed, under its own key.
func TestRecords(t *testing.T) {
	_, box := numbered(1)
	key := bytes.Repeat([]byte{7}, secret.Size)
	value, err := seal(key, box, rand.Reader)
	if err != nil || len(value) != valueSize {
		t.Fatal(err)
	}
	if got, err := open(key, value); err != nil || *got != *box {
		t.Errorf("as it was sealed: %v", err)
	}
	for n := range value {
		if _, err := open(key, value[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for i := 0; i < len(value); i += 1 + i/8 {
		value[i] ^= 1
		if _, err := open(key, value); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d altered: %v", i, err)
		}
		value[i] ^= 1
	}
	if _, err := open(key, append(value, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte more: %v", err)
	}
	key[0]++
	if _, err := open(key, value); !errors.Is(err, ErrDamaged) {
		t.Errorf("under another key: %v", err)
	}
}

// TestDamagedRecord: where a box was that cannot be read any more no other one is put, as it
// would be given in its place.
func TestDamagedRecord(t *testing.T) {
	c := newClock()
	s := mustOpen(t, testConfig(t, c))
	mustPut(t, s, 1, 2)
	name, _ := s.days[0].record(address(1))
	if err := s.days[0].db.Update(func(txn *badger.Txn) error { return txn.Set(name, make([]byte, valueSize)) }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, _ := s.Get(address(1)); got != drop.Failed {
			t.Errorf("what cannot be read: %v", got)
		}
		wantPut(t, s, 1, drop.Failed)
		wantFound(t, s, 2)
		c.forward(24 * time.Hour)
	}
}

// TestFoldersOfAnyName: a folder may be called as its owner likes.
func TestFoldersOfAnyName(t *testing.T) {
	names := []string{"[drop]", "[", "two words"}
	if runtime.GOOS != "windows" { // whose names may have none of these
		names = append(names, "a*b", "what?", `back\slash`)
	}
	for _, name := range names {
		cfg := testConfig(t, nil)
		cfg.Dir = filepath.Join(cfg.Dir, name)
		s := mustOpen(t, cfg)
		wantPut(t, s, 1, drop.Stored)
		wantFound(t, s, 1)
		mustClose(t, s)
	}
}

// TestTheLogThatIsWritten: what is synced is the log that boxes went to, also after the day
// has begun another one, and without it nothing is called stored.
func TestTheLogThatIsWritten(t *testing.T) {
	cfg := testConfig(t, nil)
	newest := func() string {
		logs, _ := filepath.Glob(filepath.Join(cfg.Dir, dayPrefix+"*", "*.vlog"))
		return slices.Max(logs)
	}
	var synced []string
	before := ""
	cfg.sync = func(f *os.File) error {
		if len(synced) == 0 || synced[len(synced)-1] != f.Name() {
			synced = append(synced, f.Name())
		}
		if f.Name() != before && f.Name() != newest() {
			return errors.New("another log is synced")
		}
		before = newest() // the next commit begins with it
		return f.Sync()
	}
	s := mustOpen(t, cfg)
	var wg sync.WaitGroup
	for n := range uint64(320) { // 1.4 MB; a log holds one
		wg.Go(func() { wantPut(t, s, n, drop.Stored) })
	}
	wg.Wait()
	mustPut(t, s, 1000)
	if len(synced) < 2 || synced[len(synced)-1] != newest() {
		t.Errorf("synced: %d logs", len(synced))
	}
	folder := dayDir(cfg.Dir, s.days[0].number)
	link := filepath.Join(folder, "999999.vlog")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Skip(err)
	}
	wantPut(t, s, 1001, drop.Failed)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, 1001)
	if err := os.Rename(folder, folder+"-away"); err != nil {
		t.Skip(err)
	}
	wantPut(t, s, 1002, drop.Failed)
	if err := os.Rename(folder+"-away", folder); err != nil {
		t.Fatal(err)
	}
	wantFound(t, s, 1, 1000, 1001)
	mustPut(t, s, 1002)
}

// TestDayThatCannotBegin: a day without records is none, and begins when it can.
func TestDayThatCannotBegin(t *testing.T) {
	c := newClock()
	cfg := testConfig(t, c)
	s := mustOpen(t, cfg)
	path := dayDir(cfg.Dir, cfg.withDefaults().dayAt(c.now()))
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantPut(t, s, 1, drop.Failed)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, 1)
	wantFound(t, s, 1)
}

// TestDamagedAgain: a day that is damaged a second time does not keep the others from being
// opened.
func TestDamagedAgain(t *testing.T) {
	c := newClock()
	cfg := testConfig(t, c)
	s := mustOpen(t, cfg)
	mustPut(t, s, 1)
	c.forward(24 * time.Hour)
	today := cfg.withDefaults().dayAt(c.now())
	for n := range uint64(3) {
		mustPut(t, s, 10+n)
		mustClose(t, s)
		if err := os.WriteFile(dayDir(cfg.Dir, today)+"/MANIFEST", []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, cfg)
		wantFound(t, s, 1)
		if l := s.Load(); l.Damaged != 1 || l.Boxes != 1 {
			t.Errorf("%+v", l)
		}
	}
	mustClose(t, s)
	if err := os.Remove(damagedDir(cfg.Dir, today) + "/MANIFEST"); err != nil {
		t.Error(err)
	}
}

// readOnly puts a file that cannot be written in place of a store's keys.
func readOnly(t *testing.T, s *Store) {
	t.Helper()
	f, err := os.Open(s.keys.f.Name())
	if err != nil {
		t.Fatal(err)
	}
	_ = s.keys.f.Close()
	s.keys.f = f
}

// TestKeysThatCannotBeWritten: no day begins under a key that is not on the disk, and a day
// is not called erased whose key still is.
func TestKeysThatCannotBeWritten(t *testing.T) {
	c := newClock()
	cfg := testConfig(t, c)
	s := mustOpen(t, cfg)
	mustPut(t, s, 1)
	number := s.days[0].number
	mustClose(t, s)
	s = mustOpen(t, cfg)
	readOnly(t, s)
	c.forward(24 * time.Hour)
	wantPut(t, s, 2, drop.Failed)
	if len(s.days) != 1 || len(s.keys.keys) != 1 {
		t.Errorf("%d days, %d keys", len(s.days), len(s.keys.keys))
	}
	wantFound(t, s, 1)
	c.forward(96 * time.Hour)
	if err := s.Expire(); err == nil {
		t.Error("a key that cannot be erased counts as erased")
	}
	if _, ok := s.keys.keys[number]; !ok {
		t.Error("it is not tried again")
	}
	if err := s.load(); err == nil {
		t.Error("a folder is opened with a key that should have gone")
	}
	wantNone(t, s, 1)
	if err := s.remove(number); err == nil {
		t.Error("a day is removed, and its key is there")
	}
}

// TestKeyFiles: what is no key file, or cannot be one, opens nothing.
func TestKeyFiles(t *testing.T) {
	cfg := testConfig(t, nil).withDefaults()
	path := filepath.Join(t.TempDir(), "keys")
	if _, err := openKeys(filepath.Join(path, "keys"), cfg.Expiry); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in no folder: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&keyFile{f: f}).load(1); err == nil {
		t.Error("a file that cannot be written was made")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (&keyFile{f: f}).load(1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file that cannot be read: %v", err)
	}
	k, err := openKeys(path, cfg.Expiry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.add(5, &dry{off: true}); !errors.Is(err, errDry) || len(k.keys) > 0 {
		t.Errorf("a key without randomness: %v", err)
	}
	if err := k.erase(5); err != nil {
		t.Errorf("a key that there is not: %v", err)
	}
	if _, err := k.f.WriteAt([]byte{keyVersion + 1}, 0); err != nil {
		t.Fatal(err)
	}
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openKeys(path, cfg.Expiry); !errors.Is(err, ErrDamaged) {
		t.Errorf("of another version: %v", err)
	}
}

// TestFoldersThatCannotBe: a store is opened in a folder, and with all that belongs to it.
func TestFoldersThatCannotBe(t *testing.T) {
	cfg := testConfig(t, nil).withDefaults()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]func(*Config){
		"making the folder": func(c *Config) { c.Dir = file },
		"opening the keys":  func(c *Config) { c.KeyFile = filepath.Join(file, "keys") },
		"freeing the reserve": func(c *Config) {
			if err := os.MkdirAll(c.reservePath(), 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		c := testConfig(t, nil)
		bad(&c)
		if s, err := Open(c); err == nil || s != nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	gone := &Store{cfg: Config{Dir: filepath.Join(file+"-gone", "drop"), Expiry: cfg.Expiry, Now: cfg.Now, small: true}, keys: &keyFile{}}
	if err := gone.load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no folder: %v", err)
	}
	if err := gone.cfg.dropReserve(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the free space of no folder: %v", err)
	}
	if err := gone.cfg.holdReserve(); err == nil || gone.cfg.roomToWrite() {
		t.Errorf("in no folder there is room: %v", err)
	}
	if err := syncDir(gone.cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the names in no folder are on the disk: %v", err)
	}
	gone.cfg.Dir, gone.keys.keys = file, map[dayNumber]secret.Key{1: {}}
	if _, err := gone.setAside(); err == nil {
		t.Error("days are set aside in a file")
	}
	delete(gone.keys.keys, 1)
	if err := gone.remove(1); err == nil {
		t.Error("a day is removed from a file")
	}
}

// TestReserve: the reserve is whole while a store is open, and what is in its place is not
// taken for it.
func TestReserve(t *testing.T) {
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	whole := func() {
		t.Helper()
		if info, err := os.Stat(cfg.reservePath()); err != nil || info.Size() != cfg.reserve() {
			t.Errorf("the reserve: %v", err)
		}
	}
	whole()
	if err := os.Truncate(cfg.reservePath(), 10); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, 1)
	whole()
	if err := errors.Join(os.Remove(cfg.reservePath()), os.Mkdir(cfg.reservePath(), 0o700)); err != nil {
		t.Fatal(err)
	}
	wantPut(t, s, 2, drop.Full)
	if l := s.Load(); l.NoSpace || l.Broken {
		t.Errorf("%+v, though the disk has room", l)
	}
	if err := os.Remove(cfg.reservePath()); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, 2)
	whole()
	greedy := s.cfg
	greedy.MinFree = 1 << 62
	if greedy.roomToWrite() {
		t.Error("there is room beyond what the disk has")
	}
	other := testConfig(t, nil)
	other.MinFree = greedy.MinFree
	s = mustOpen(t, other)
	if wantPut(t, s, 1, drop.Full); !s.Load().NoSpace {
		t.Error("nobody is told that there is no room")
	}
}

// TestCountsOfNothing: what is no answer to a command was never given.
func TestCountsOfNothing(t *testing.T) {
	s := mustOpen(t, testConfig(t, nil))
	mustPut(t, s, 1)
	for command := range 256 {
		for status := range 256 {
			if n := s.Count(onion.Command(command), drop.Status(status)); n != 0 {
				t.Errorf("command %d, status %d: %d", command, status, n)
			}
		}
	}
	if s.Answer(t.Context(), onion.Body{Command: onion.Get, Key: address(1)}); s.Count(onion.Get, drop.Found) != 1 {
		t.Error("what was given is not counted")
	}
}
