package control_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOtherUsersCannotConnect tries the socket as another user of the machine: not
// through its folder, and not even if the folder were open to all.
func TestOtherUsersCannotConnect(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	_, socket := serve(t)
	connect := func() error {
		failed := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			// The calls of Go change every thread of the process, this one its own alone.
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
				failed <- errno
				return
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = errors.Join(unix.Connect(fd, &unix.SockaddrUnix{Name: socket}), unix.Close(fd))
			}
			failed <- err
		}()
		return <-failed
	}
	if err := connect(); !errors.Is(err, unix.EACCES) {
		t.Errorf("another user connects: %v", err)
	}
	for dir := filepath.Dir(socket); dir != "/" && dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, info.Mode().Perm()) })
		}
	}
	if err := connect(); !errors.Is(err, unix.EACCES) {
		t.Errorf("another user who reaches the folder connects: %v", err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := connect(); err != nil {
		t.Errorf("with every door open: %v; the test would prove nothing", err)
	}
}
