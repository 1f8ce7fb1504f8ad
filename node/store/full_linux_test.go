package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestDiskFull fills a small tmpfs to the brim at random moments of random
// commits and reopenings. The process must live, every refused commit must say
// ErrFull, and every acknowledged one must be there.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	cmd := child(t, "full", t.TempDir(), strconv.Itoa(few(120)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "cannot mount") {
		t.Skipf("no tmpfs of our own: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("the process ended with %v: %s", err, out)
	}
	t.Log(string(out))
}

func init() { scripts["full"] = childFull }

func childFull(args []string) error {
	dir := args[0]
	err := errors.Join(
		syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=80m"))
	if err != nil {
		fmt.Println("cannot mount:", err)
		return err
	}
	f := &filler{path: filepath.Join(dir, "fill")}
	cfg := childConfig(filepath.Join(dir, "s"))
	if err := f.fill(1 << 30); err != nil {
		return err
	}
	if err := Create(cfg, testPass); !errors.Is(err, ErrFull) {
		return fmt.Errorf("creating on a full disk: %w", err)
	}
	f.free()
	if err := Create(cfg, testPass); err != nil {
		return err
	}
	d := &fullDisk{cfg: cfg, filler: f, model: make(map[Key][]byte)}
	if d.s, err = childOpen(cfg); err != nil {
		return err
	}
	steps, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for range steps {
		if err := d.step(); err != nil {
			return err
		}
	}
	f.free()
	if err := d.reopen(); err != nil {
		return err
	}
	if err := d.commit(true); err != nil {
		return err
	}
	fmt.Printf("%d commits, %d refused, %d reopenings, %d of them on a full disk", d.commits, d.refused, d.opens, d.opensFull)
	return d.s.Close()
}

// filler takes disk space away.
type filler struct {
	path string
	full bool
}

// fill writes up to n bytes, or until the disk is full.
func (f *filler) fill(n int) error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	page := make([]byte, 4096)
	for ; n > 0; n -= len(page) {
		if _, err := file.Write(page); errors.Is(err, syscall.ENOSPC) {
			f.full = true
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (f *filler) free() {
	f.full = false
	_ = os.Remove(f.path)
}

type fullDisk struct {
	*filler
	cfg                                Config
	s                                  *Store
	model                              map[Key][]byte
	commits, refused, opens, opensFull int
}

func (d *fullDisk) step() error {
	switch rand.IntN(12) {
	case 0:
		return d.fill(1 << 30)
	case 1:
		return d.fill(rand.IntN(24 << 20))
	case 2:
		d.free()
		return d.commit(true)
	case 3:
		return d.reopen()
	}
	for range 6 {
		if err := d.commit(false); err != nil {
			return err
		}
	}
	return nil
}

// commit stages and ticks once; must says that there is room for it.
func (d *fullDisk) commit(must bool) error {
	var writes []Write
	for range 1 + rand.IntN(3) {
		writes = append(writes, put(uint64(rand.IntN(12)), bytes.Repeat([]byte{byte(rand.Uint32())}, rand.IntN(9000))))
	}
	_, err := d.s.Stage(writes...)
	if err == nil {
		for _, w := range writes {
			d.model[w.Key] = w.Value
		}
		for err == nil && d.s.Durable() < d.s.staged {
			err = d.s.Tick()
		}
	}
	if errors.Is(err, ErrFull) && !must {
		d.refused++
		return nil
	}
	if err != nil {
		return fmt.Errorf("commit %d: %w", d.commits, err)
	}
	d.commits++
	return nil
}

// makeDurable frees the disk if it has to, and ticks until nothing waits.
func (d *fullDisk) makeDurable() error {
	for d.s.Durable() < d.s.staged {
		err := d.s.Tick()
		if errors.Is(err, ErrFull) {
			d.free()
			err = d.s.Tick()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reopen closes and opens, on whatever disk there is, and checks every record.
func (d *fullDisk) reopen() error {
	d.opens++
	if d.full {
		d.opensFull++
	}
	if err := d.makeDurable(); err != nil {
		return fmt.Errorf("before closing: %w", err)
	}
	if d.full = d.full && rand.IntN(2) == 0; d.full {
		if err := d.fill(1 << 30); err != nil {
			return err
		}
	}
	if err := d.s.Close(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	var err error
	if d.s, err = Open(d.cfg, testPass); err != nil { // a look needs no room
		return fmt.Errorf("opening: %w", err)
	}
	if err = d.s.Online(); errors.Is(err, ErrFull) {
		d.free()
		err = d.s.Online()
	}
	if err != nil {
		return fmt.Errorf("going online: %w", err)
	}
	if d.s.RolledBack() {
		return errors.New("rolled back")
	}
	for k, want := range d.model {
		if got, err := d.s.Get(k); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("a record is gone or wrong: %w", err)
		}
	}
	return nil
}
