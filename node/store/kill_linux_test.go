package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func init() { scripts["session"] = childSession }

// childSession does everything that writes, and says how many records are durable.
func childSession(args []string) error {
	s, err := childOpen(childConfig(args[0]))
	if err != nil {
		return err
	}
	n, err := count(s, 80)
	if err != nil {
		return err
	}
	step := func(do func() error) {
		if err != nil {
			return
		}
		if _, err = s.Stage(put(n, numbered(n, 80)), put(n+1, numbered(n+1, 80))); err == nil {
			err = do()
		}
		if err == nil {
			err = commit(s)
		}
		if n += 2; err == nil {
			fmt.Println(n)
		}
	}
	step(s.Tick)
	step(func() error { return deeds["rebuild"](s) })
	step(s.Purge)
	step(func() error { return s.Rekey(testPass) })
	step(func() error { return deeds["rebuild"](s) })
	if err == nil {
		err = s.Close()
	}
	if err == nil {
		fmt.Println("done")
	}
	return err
}

// killedCalls are the system calls by which a store writes.
var killedCalls = []string{
	"pwrite64", "write", "fsync", "msync", "ftruncate", "fallocate", "renameat,rename,renameat2", "unlinkat,unlink", "mkdirat,mkdir", "openat", "mmap",
}

// TestKillInCalls has the kernel kill a process in a write, sync, rename and so on,
// each time in a later one of some thread. The next open finds every commit whole,
// and those that were durable.
func TestKillInCalls(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	cfg := testConfig(t)
	mustCreate(t, cfg)
	kills, turn := 0, rand.IntN(3)
	for i, call := range killedCalls {
		tries := 10
		if !*long { // some of them, each time others
			tries = 0
			if i%3 == turn {
				tries = 1
			}
		}
		for n := range tries {
			if killedAt(t, strace, cfg, call, 1+n+rand.IntN(4)) {
				kills++
			}
		}
		if i%4 == 3 { // or the level would be full at last
			cfg = testConfig(t)
			mustCreate(t, cfg)
		}
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
	t.Logf("%d kills", kills)
}

// killedAt kills a session at the n-th call of some thread, and looks what is left. It
// reports false if the session came to its end.
func killedAt(t *testing.T, strace string, cfg Config, call string, n int) bool {
	t.Helper()
	before := recordsOf(t, cfg, false)
	plain := child(t, "session", cfg.Dir)
	cmd := exec.Command(strace, append([]string{
		"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
		"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, n), "--",
	}, plain.Args...)...)
	cmd.Env = plain.Env
	var said, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaint
	err := cmd.Run()
	if complaint.Len() > 0 && said.Len() == 0 {
		t.Skip("processes cannot be traced here")
	}
	lines := strings.Fields(said.String())
	durable := before
	for _, line := range lines {
		if line == "done" {
			return false
		}
		if durable, err = strconv.ParseUint(line, 10, 64); err != nil {
			t.Fatalf("%s %d: the child says %q", call, n, lines)
		}
	}
	if err == nil && cmd.ProcessState.Success() {
		t.Fatalf("%s %d: the child ended without a word", call, n)
	}
	after := recordsOf(t, cfg, false)
	if after < durable || after%2 != 0 {
		t.Fatalf("%s %d: %d records, %d were durable", call, n, after, durable)
	}
	return true
}
