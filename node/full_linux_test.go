package node_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/backchannel/backchannel/node/store"
)

const tmpfsEnv = "NODE_TEST_TMPFS"

// TestSmallDisk fills a small disk of its own under a machine that talks. The
// test runs itself again where it may mount one.
func TestSmallDisk(t *testing.T) {
	if os.Getenv(tmpfsEnv) == "" {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "-test.run=^TestSmallDisk$", "-test.v", fmt.Sprint("-test.short=", testing.Short()))
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
	disk := t.TempDir()
	err := errors.Join(
		syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"))
	if err != nil {
		t.Fatal("cannot mount: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	talkOnSmallDisk(t, disk)
}

func talkOnSmallDisk(t *testing.T, disk string) {
	b := newMachine(t, freeSettings(t), hooks{})
	a := &machine{t: t, dir: filepath.Join(disk, "vault"), settings: freeSettings(t)}
	if err := store.Create(store.Config{Dir: a.dir, Cost: store.Cheap}, passphrase); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.unlock()
	w := newTalk(t, a, b)
	w.meet()
	refused := 0
	for i := range few(10) {
		w.round(fmt.Sprint("while there is room ", i))
		filler := filepath.Join(disk, "filler")
		fill(t, filler)
		for j, full := 0, false; !full; j++ {
			text := fmt.Sprint("as long as it goes ", i, j)
			switch _, err := a.Send(t.Context(), peer, text); {
			case err == nil:
				w.said[a] = append(w.said[a], text)
			case errors.Is(err, store.ErrFull):
				full = true
				refused++
			default:
				t.Fatalf("a full disk gives %v", err)
			}
		}
		w.say(b, fmt.Sprint("to a full disk ", i))
		until(t, "the node says that the disk is full", func() bool { return a.status().Full })
		w.truth()
		if i%2 == 1 {
			a.Lock() // closing works on a full disk
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			a.unlock()
		}
		w.say(a, fmt.Sprint("there is room again ", i))
		w.arrived()
	}
	w.undisturbed()
	t.Logf("%d texts each way, %d refused", len(w.said[a]), refused)
}

// fill writes until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
