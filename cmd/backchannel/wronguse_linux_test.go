package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/backchannel/backchannel/node/control"
)

// onReadOnlyDisk copies the home to a disk that is for reading only, and uses it
// there. Only root can mount one.
func (m misused) onReadOnlyDisk() {
	if os.Getuid() != 0 {
		return
	}
	disk := m.t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=96m,mode=700"); err != nil {
		m.t.Logf("no disk for reading only: %v", err)
		return
	}
	m.t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	r := misused{m.t, filepath.Join(disk, "larch")}
	if err := os.CopyFS(r.home, os.DirFS(m.home)); err != nil {
		m.t.Fatal(err)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		m.t.Fatal(err)
	}
	r.each(func(path string) { r.cell(wrongUse[path].call, wrongUse[path].readOnly) })
	r.fails("burn --all --now", 1)
}

// TestReadOnlyHome sets up where nothing can be written, not even by root.
func TestReadOnlyHome(t *testing.T) {
	for _, home := range []string{"/proc/larch", "/sys/larch"} {
		cmd := exec.Command("backchannel", "--home", home, "setup")
		cmd.Stdin = strings.NewReader("pass larch\n")
		misused{t, home}.process("setup in "+home, control.ExitFailed, cmd)
	}
}
