package harden

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestHardened looks at what no limit shows: whether the kernel would write this
// process down all the same, for a program that collects crashes.
func TestHardened(t *testing.T) {
	before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	system()
	after, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || after != 0 {
		t.Errorf("dumpable is %d, error %v", after, err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}
