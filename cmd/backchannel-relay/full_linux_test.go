package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const tmpfsEnv = "RELAY_TEST_TMPFS"

// TestFullDisk fills the disk of a relay over the end of an epoch. It goes on, says what is
// wrong, and says what it has to say as soon as there is room. The test runs itself again
// where it may mount a small disk.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for an epoch")
	}
	if os.Getenv(tmpfsEnv) == "" {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
		cmd.Env = append(os.Environ(), tmpfsEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Getuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "cannot mount") {
			t.Skipf("no tmpfs of our own: %v %s", err, out)
		}
		if t.Logf("%s", out); err != nil {
			t.Fatal(err)
		}
		return
	}
	w := &town{T: t, dir: t.TempDir()}
	disk := filepath.Join(w.dir, folder(0))
	err := errors.Join(
		os.Mkdir(disk, 0o700),
		syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=100m,mode=0700"))
	if err != nil {
		t.Fatal("cannot mount: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	w.found()
	w.start(0)
	defer w.kill(0)
	w.until("it runs", func() bool { s, ok := w.status(0); return ok && !s.Muted })
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	var full statusAnswer
	w.until("the disk takes nothing", func() (ok bool) { full, ok = w.status(0); return ok && full.Muted })
	if full.Boxes == nil || !full.Boxes.NoSpace {
		t.Errorf("%+v", full.Boxes)
	}
	health := exec.Command("backchannel-relay", "--home", disk, "health")
	if out, err := health.CombinedOutput(); err == nil || !strings.Contains(string(out), "Free some space") {
		t.Errorf("%v %s", err, out)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.until("it has said what it has to", func() bool {
		s, ok := w.status(0)
		return ok && !s.Muted && s.PID == full.PID
	})
}

// fill takes all room that a disk has.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, zeros{})
	if err := errors.Join(fmt.Errorf("filled: %w", err), f.Close()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
