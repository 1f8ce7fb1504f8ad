package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestKillAnywhere kills a committing process at random moments. Every commit
// that it had acknowledged is there, none is half there.
func TestKillAnywhere(t *testing.T) {
	t.Parallel()
	kills := few(10)
	cfg := testConfig(t)
	mustCreate(t, cfg)
	var next uint64
	for kill := range kills {
		acked := next
		cmd := child(t, "commit", cfg.Dir, strconv.FormatUint(next, 10))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "open false" {
			t.Fatalf("kill %d: the child says %q", kill, lines.Text())
		}
		// The moment: some number of acknowledgements on, plus what the pipe and
		// the scheduler add.
		for left := rand.IntN(30); lines.Scan(); left-- {
			n, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("kill %d: the child says %q", kill, lines.Text())
			}
			acked = n + 2
			if left == 0 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		s := wantRollback(t, cfg, false)
		n, err := count(s, 80)
		if err != nil || n < acked || n > acked+2 || n%2 != 0 {
			t.Fatalf("kill %d: %d records, %d acknowledged, error %v", kill, n, acked, err)
		}
		next = n
		mustClose(t, s)
	}
	t.Logf("%d kills, %d records", kills, next)
}

// TestKillAtEachStep kills a process at every step of everything that writes.
func TestKillAtEachStep(t *testing.T) {
	t.Parallel()
	tick := []step{stepBegin, stepBadger, stepBadgerDone, stepCounterWrite, stepCounterSync, stepCounterDone, stepTidy, stepEnd}
	refresh := []step{stepRebuilt, stepCounters, stepAside, stepInPlace, stepCounted, stepCleared}
	rebuild := []step{stepRebuilt, stepAside, stepInPlace, stepCleared}
	for _, test := range []struct {
		what    string
		steps   []step
		staged  bool // the two records are not durable before
		written step // from which on they are there
	}{
		{"tick", tick, true, stepBadgerDone},
		{"online", rebuild, true, stepEnd},
		{"purge", refresh, true, stepAside},
		{"rekey", refresh, true, stepAside},
		{"close", rebuild, false, 0},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t)
			mustCreate(t, cfg)
			for _, at := range test.steps {
				if test.what == "online" {
					die(t, cfg, "tick", stepBadger) // leaves no history, but the next does
					die(t, cfg, "tick", stepBadgerDone)
				}
				before := records(t, cfg, false)
				if test.what == "online" {
					die(t, cfg, "tick", stepBadgerDone)
					before += 2
				}
				die(t, cfg, test.what, at)
				want := before
				if !test.staged || test.what != "online" && at >= test.written {
					want += 2
				}
				if after := records(t, cfg, false); after != want {
					t.Errorf("step %d: %d records, want %d", at, after, want)
				}
				for _, dir := range []string{freshDir(cfg.Dir), formerDir(cfg.Dir), counterPath(cfg.Dir, 0) + freshSuffix} {
					if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("step %d: %s is left: %v", at, filepath.Base(dir), err)
					}
				}
			}
		})
	}
}

// die runs the child of that name to its death.
func die(t *testing.T, cfg Config, what string, at step) {
	t.Helper()
	out, err := runChild(t, "die", cfg.Dir, what, fmt.Sprint(int(at)))
	if err == nil || strings.Contains(out, "never met") || strings.Contains(out, "error") {
		t.Fatalf("%s, step %d: %q, error %v", what, at, out, err)
	}
}

// TestKillWhileAccepting kills a process at some steps of the tick that accepts a
// rollback: the next open is rolled back or clean, and accepting again works.
func TestKillWhileAccepting(t *testing.T) {
	t.Parallel()
	for _, at := range []step{stepBadger, stepBadgerDone, stepCounterSync} {
		cfg := testConfig(t)
		mustCreate(t, cfg)
		s := mustOpen(t, cfg)
		mustCommit(t, s, put(0, numbered(0, 80)))
		mustClose(t, s)
		old := cfg.Dir + ".old"
		copyFolder(t, recordsDir(cfg.Dir), old)
		s = mustOpen(t, cfg)
		mustCommit(t, s, put(1, numbered(1, 80)))
		mustTick(t, s, 3)
		mustClose(t, s)
		copyFolder(t, old, recordsDir(cfg.Dir))
		die(t, cfg, "accept", at)
		s = mustOpen(t, cfg)
		if at == stepBadger && !s.RolledBack() {
			t.Error("accepted before anything was written")
		}
		if err := s.AcceptRollback(); err != nil {
			t.Errorf("step %d: accepting again: %v", at, err)
		}
		mustTick(t, s, 1)
		mustClose(t, s)
		if n := records(t, cfg, false); n != 1 && n != 3 {
			t.Errorf("step %d: %d records, want 1 or 3", at, n)
		}
	}
}
