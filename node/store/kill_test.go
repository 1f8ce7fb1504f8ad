package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// TestKillAnywhere kills a committing process at random moments. Every commit
// that it had acknowledged is there, none is half there.
func TestKillAnywhere(t *testing.T) {
	t.Parallel()
	kills := few(60)
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
		for left := rand.IntN(60); lines.Scan(); left-- {
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
		n, err := count(s, 2000)
		if err != nil || n < acked || n > acked+2 || n%2 != 0 {
			t.Fatalf("kill %d: %d records, %d acknowledged, error %v", kill, n, acked, err)
		}
		next = n
		mustClose(t, s)
	}
	t.Logf("%d kills, %d records", kills, next)
}

// TestKillAtEachStep kills a process at every step of a commit.
func TestKillAtEachStep(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	for round := range 2 { // the counter's turn alternates
		for at := range int(stepCount) {
			before := records(t, cfg, false)
			out, err := runChild(t, "die", cfg.Dir, fmt.Sprint(at))
			if err == nil || strings.Contains(out, "never met") || strings.Contains(out, "error") {
				t.Fatalf("step %d: %q, error %v", at, out, err)
			}
			after := records(t, cfg, false)
			want := before + 2
			if step(at) <= stepBadger {
				want = before
			}
			if after != want {
				t.Errorf("round %d, step %d: %d records, want %d", round, at, after, want)
			}
		}
	}
}

// TestKillWhileAccepting kills a process at every step of AcceptRollback: the
// next open is rolled back or clean, and accepting again works.
func TestKillWhileAccepting(t *testing.T) {
	t.Parallel()
	for _, at := range []step{stepBadger, stepBadgerDone, stepCounterWrite, stepCounterSync, stepCounterDone} {
		cfg := testConfig(t)
		mustCreate(t, cfg)
		s := mustOpen(t, cfg)
		mustCommit(t, s, put(0, numbered(0, 80)))
		mustClose(t, s)
		old := cfg.Dir + ".old"
		copyFolder(t, recordsDir(cfg.Dir), old)
		s = mustOpen(t, cfg)
		mustCommit(t, s, put(1, numbered(1, 80)))
		mustClose(t, s)
		copyFolder(t, old, recordsDir(cfg.Dir))
		if out, err := runChild(t, "die", cfg.Dir, fmt.Sprint(int(at)), "accept"); err == nil || strings.Contains(out, "error") {
			t.Fatalf("step %d: %q, error %v", at, out, err)
		}
		s = mustOpen(t, cfg)
		if at == stepBadger && !s.RolledBack() {
			t.Error("accepted before anything was written")
		}
		if err := s.AcceptRollback(); err != nil {
			t.Errorf("step %d: accepting again: %v", at, err)
		}
		mustClose(t, s)
		if n := records(t, cfg, false); n != 1 {
			t.Errorf("step %d: %d records, want 1", at, n)
		}
	}
}

// records opens the store and counts.
func records(t *testing.T, cfg Config, rolledBack bool) uint64 {
	t.Helper()
	s := wantRollback(t, cfg, rolledBack)
	n, err := count(s, 80)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	return n
}
