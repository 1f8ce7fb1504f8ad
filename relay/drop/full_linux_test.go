package drop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/backchannel/backchannel/protocol/drop"
)

// TestDiskFull fills a small file system to the brim at random moments between puts
// and reopenings. The process must live, what was called stored must be there, and
// gets go on.
func TestDiskFull(t *testing.T) {
	steps := 150
	if testing.Short() {
		steps = 30
	}
	cmd := child(t, "full", t.TempDir(), strconv.Itoa(steps))
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
	steps, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	cfg := childConfig(filepath.Join(dir, "drop"))
	cfg.MinFree = 12 << 20
	fill := func() error { return takeSpace(filepath.Join(dir, "fill"), 1<<30) }
	free := func() { _ = os.Remove(filepath.Join(dir, "fill")) }
	if err := fill(); err != nil {
		return err
	}
	if _, err := Open(cfg); !errors.Is(err, ErrFull) {
		return fmt.Errorf("opening a new one on a full disk: %w", err)
	}
	free()
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	count := map[drop.Status]int{}
	stored := map[uint64]bool{}
	reopened := 0
	for i := range uint64(steps) {
		switch rand.IntN(6) {
		case 0:
			err = fill()
		case 1:
			err = takeSpace(filepath.Join(dir, "fill"), rand.IntN(40<<20))
		case 2:
			free()
		case 3:
			reopened++
			if err := s.Close(); err != nil {
				return fmt.Errorf("closing: %w", err)
			}
			s, err = Open(cfg)
			if errors.Is(err, ErrFull) { // somebody took the room in between
				free()
				s, err = Open(cfg)
			}
		}
		if err != nil {
			return err
		}
		for n := i * 100; n < i*100+20; n++ {
			status := put(s, n)
			if count[status]++; status == drop.Stored {
				stored[n] = true
			}
		}
		for n := range stored {
			if got, box := s.Get(address(n)); got != drop.Found {
				return fmt.Errorf("%d: %v", n, got)
			} else if _, want := numbered(n); *box != *want {
				return fmt.Errorf("%d: another box", n)
			}
			if rand.IntN(50) == 0 {
				break
			}
		}
	}
	free()
	fmt.Println(count, reopened, "times reopened")
	if count[drop.Failed] != 0 || count[drop.Full] == 0 {
		return errors.New("puts failed, or the disk was never full")
	}
	return s.Close()
}

// takeSpace writes up to n bytes to a file, or until the disk is full.
func takeSpace(path string, n int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	page := make([]byte, 4096)
	for ; n > 0; n -= len(page) {
		if _, err := file.Write(page); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
