package harden

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

const overwriteVariable = "BACKCHANNEL_HARDEN_TEST"

// leave puts something into memory, gives it up, and returns where it was.
//
//go:noinline
func leave(mark []byte) (at uintptr) {
	b := bytes.Repeat(mark, 1000)
	return uintptr(unsafe.Pointer(&b[0]))
}

// TestOverwriteChild is a program of which TestOverwrite is the user. It tells what it finds
// in memory that was freed.
func TestOverwriteChild(t *testing.T) {
	how := os.Getenv(overwriteVariable)
	if how == "" {
		t.Skip("it is run by TestOverwrite")
	}
	if how == "overwrite" {
		if err := Overwrite(); err != nil {
			t.Fatal(err)
		}
	}
	mark := []byte("left behind")
	seen := make([]byte, 1000*len(mark)) // before, or it would be in the same place
	at := leave(mark)
	runtime.GC()
	runtime.GC()
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if _, err := memory.ReadAt(seen, int64(at)); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%d %d %q %s\n", os.Getpid(), bytes.Count(seen, mark), os.Getenv("GODEBUG"), os.Args[1:])
}

// TestOverwrite: what a program gave up is there as long as nobody overwrites it, and is not
// when Overwrite was called. The process, what it was called with and what the environment
// says beside stay the same.
func TestOverwrite(t *testing.T) {
	for _, c := range []struct {
		how, says, then string
		there           bool
	}{
		{"look", "", "", true},
		{"overwrite", "", "clobberfree=1", false},
		{"overwrite", "madvdontneed=1", "madvdontneed=1,clobberfree=1", false},
		{"overwrite", "clobberfree=0", "clobberfree=0", true},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOverwriteChild$")
		cmd.Env = append(os.Environ(), overwriteVariable+"="+c.how, "GODEBUG="+c.says)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		var pid, left int
		line, _, _ := strings.Cut(out.String(), "\n")
		if _, err := fmt.Sscan(line, &pid, &left); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		if pid != cmd.Process.Pid || !strings.HasSuffix(line, fmt.Sprintf(" %q %s", c.then, cmd.Args[1:])) {
			t.Errorf("%+v: %s", c, line)
		}
		if (left > 0) != c.there {
			t.Errorf("%+v: %d marks are left", c, left)
		}
	}
}
