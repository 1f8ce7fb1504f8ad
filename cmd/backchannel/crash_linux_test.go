package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCrashTellsNothing ends an open node by the signals at which a Go program writes
// down its goroutines, and a system its memory. It leaves no stack, no core, and
// nothing of what it knew.
func TestCrashTellsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	home := filepath.Join(dir, "larch")
	call := func(input string, args ...string) *exec.Cmd {
		cmd := exec.Command("backchannel", append([]string{"--home", home}, args...)...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
		return cmd
	}
	must := func(input string, args ...string) {
		t.Helper()
		if out, err := call(input, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	must("violet tarpaulin\n", "setup")
	must("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	for i, signal := range []unix.Signal{unix.SIGQUIT, unix.SIGABRT} {
		node := call("", "node", "run")
		var out bytes.Buffer
		node.Stdout, node.Stderr = &out, &out
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(20 * time.Millisecond)
		for end := time.Now().Add(patience); call("", "status").Run() != nil; <-tick.C {
			if time.Now().After(end) {
				t.Fatal("the node does not answer")
			}
		}
		tick.Stop()
		must("violet tarpaulin\n", "online")
		if i == 0 {
			must("Quillfeather\n", "invite", "new")
			must("zanzibar at noon\n", "send", "1")
		}
		if err := node.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = node.Wait() // however it ends
		for _, secret := range []string{"goroutine", ".go:", "tarpaulin", "Quillfeather", "zanzibar", "BC1:"} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%v: it wrote %q among %d bytes", signal, secret, out.Len())
			}
		}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(d.Name(), "core") || bytes.HasPrefix(raw, []byte("\x7fELF")) {
			t.Errorf("it left %s", d.Name())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
