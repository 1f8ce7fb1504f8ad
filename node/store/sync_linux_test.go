package store

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func init() { scripts["sync"] = childSync }

// childSync commits the numbered records until a tick fails, and says whether the
// store refuses everything after that.
func childSync(args []string) error {
	s, err := childOpen(childConfig(args[0]))
	if err != nil {
		return err
	}
	next := uint64(0)
	for ; err == nil && next < 100; next++ {
		if err = commit(s, put(next, numbered(next, 80))); err == nil {
			fmt.Println(next)
		}
	}
	if err == nil {
		return errors.New("no commit failed")
	}
	_, getErr := s.Get(key(0))
	_, stageErr := s.Stage(put(next, nil))
	fmt.Println("refused", errors.Is(getErr, err), errors.Is(stageErr, err))
	return nil // without Close, as a process that stops
}

// TestSyncFails has the kernel answer "input/output error" to syncs of the disk, from
// some moment on: to Badger's, of its log, or to those of the counter. The tick
// fails, and so is every call after it: what failed to reach the disk is not tried
// again and then trusted. What was acknowledged is there at the next open.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	for _, call := range []string{"msync", "fsync,fdatasync"} {
		for _, from := range []int{4, 9} { // for each thread
			t.Run(fmt.Sprint(call, from), func(t *testing.T) {
				t.Parallel()
				cfg := testConfig(t)
				mustCreate(t, cfg)
				plain := child(t, "sync", cfg.Dir)
				cmd := exec.Command(strace, append([]string{
					"-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
					"-e", fmt.Sprintf("inject=%s:error=EIO:when=%d+", call, from), "--",
				}, plain.Args...)...)
				cmd.Env = plain.Env
				raw, err := cmd.Output()
				acked, told := strings.CutSuffix(string(raw), "refused true true\n")
				if err != nil && len(raw) == 0 {
					t.Skip("processes cannot be traced here")
				}
				if err != nil || !told {
					t.Fatalf("%v: %s", err, raw)
				}
				least := uint64(strings.Count(acked, "\n"))
				s := wantRollback(t, cfg, false)
				if n, err := count(s, 80); n < least || n > least+1 || err != nil {
					t.Errorf("%d records, %d acknowledged, error %v", n, least, err)
				}
			})
		}
	}
}
