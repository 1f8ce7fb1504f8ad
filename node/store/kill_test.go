package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestKillAnywhere kills a writing process at random moments, in ticks and in the
// rebuilds between them. Every commit that was durable is there, none is half there.
func TestKillAnywhere(t *testing.T) {
	t.Parallel()
	kills := few(15)
	if *long {
		kills = 300
	}
	cfg := testConfig(t)
	mustCreate(t, cfg)
	var next uint64
	records := uint64(0)
	for kill := range kills {
		if kill%20 == 19 { // before the level is full
			records += next
			next, cfg = 0, testConfig(t)
			mustCreate(t, cfg)
		}
		durable := next
		cmd := child(t, "write", cfg.Dir, strconv.FormatUint(next, 10))
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
		// The moment: some number of durable commits on, plus what the pipe and the
		// scheduler add.
		for left := rand.IntN(25); lines.Scan(); left-- {
			if durable, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatalf("kill %d: the child says %q", kill, lines.Text())
			}
			if left == 0 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		s := mustLook(t, cfg, testPass)
		n, err := count(s, 80)
		if err != nil || s.RolledBack() || n < durable || n%2 != 0 {
			t.Fatalf("kill %d: %d records, %d durable, rolled back %v, error %v", kill, n, durable, s.RolledBack(), err)
		}
		next = n
		mustClose(t, s)
	}
	t.Logf("%d kills, %d records", kills, records+next)
}

// die runs a deed in a child that kills itself at a step, and returns whether it
// met it.
func die(t *testing.T, cfg Config, deed string, at step) bool {
	t.Helper()
	out, err := runChild(t, "die", cfg.Dir, deed, fmt.Sprint(int(at)))
	if strings.Contains(out, "never met") {
		return false
	}
	if err == nil || strings.Contains(out, "error") {
		t.Fatalf("%s, step %d: %q, error %v", deed, at, out, err)
	}
	return true
}

// TestKillAtEachStep kills a process at every step of a tick.
func TestKillAtEachStep(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	for round := range 2 { // the counter's turn alternates
		for at := range stepCount {
			before := recordsOf(t, cfg, false)
			if !die(t, cfg, "tick", at) {
				t.Fatalf("step %d was never met", at)
			}
			want := before + 2
			if at <= stepBadger {
				want = before
			}
			if after := recordsOf(t, cfg, false); after != want {
				t.Errorf("round %d, step %d: %d records, want %d", round, at, after, want)
			}
		}
	}
}

// TestKillWhileRebuilding kills a process at every step of a rebuild, in whatever
// it is done: while it runs, at the close, after a crash, in a purge and with new
// passphrases. The next open finds all records, is not rolled back, and leaves
// nothing beside them.
func TestKillWhileRebuilding(t *testing.T) {
	t.Parallel()
	whole, crashed := testConfig(t), testConfig(t)
	mustCreate(t, whole)
	s := mustOpen(t, whole)
	for i := range uint64(6) {
		mustStage(t, s, put(i, numbered(i, 80)))
	}
	mustCommit(t, s)
	mustCommit(t, s, Write{Key: key(5), Delete: true})
	copyFolder(t, whole.Dir, crashed.Dir)
	mustClose(t, s)
	exchanged := []step{stepBuilding, stepBuilt, stepDeclared, stepAside, stepInPlace}
	refreshed := []step{stepNextCounter, stepOldClosed, stepCounterWrite, stepCounterSync, stepCounterDone, stepRefreshEnd}
	for deed, more := range map[string][]step{
		"rebuild": {stepOldClosed}, "close": {stepOldClosed, stepOldGone}, "online": nil, "purge": refreshed, "rekey": refreshed[:1],
	} {
		for _, at := range slices.Concat(exchanged, more) {
			cfg := testConfig(t)
			from := whole
			if deed == "online" {
				from = crashed
			}
			copyFolder(t, from.Dir, cfg.Dir)
			if !die(t, cfg, deed, at) {
				t.Fatalf("%s: step %d was never met", deed, at)
			}
			n := recordsOf(t, cfg, false)
			if n != 5 && n != 7 {
				t.Errorf("%s, step %d: a look finds %d records", deed, at, n)
			}
			s := wantRollback(t, cfg, false)
			mustCommit(t, s, put(n, numbered(n, 80)))
			mustClose(t, s)
			if after := recordsOf(t, cfg, false); after != n+1 {
				t.Errorf("%s, step %d: %d records, want %d", deed, at, after, n+1)
			}
			wantFiles(t, cfg.Dir)
		}
	}
}

// wantFiles checks that a closed folder holds what it must and nothing else.
func wantFiles(t *testing.T, dir string) {
	t.Helper()
	want := map[string]bool{
		"header": true, "counter.0": true, "counter.1": true, "reserve": true,
		filepath.Join("records", "MANIFEST"): true, filepath.Join("records", "000001.sst"): true,
	}
	found := contents(t, dir)
	for name := range found {
		if !want[name] {
			t.Errorf("%s is left in the folder", name)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d files, want %d", len(found), len(want))
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 5 {
		t.Errorf("%d names in the folder, error %v", len(list), err)
	}
}

// TestKillWhileAccepting kills a process at every step in which a rollback is
// accepted: the next open is rolled back or clean, and accepting again works.
func TestKillWhileAccepting(t *testing.T) {
	t.Parallel()
	base := testConfig(t)
	mustCreate(t, base)
	s := mustOpen(t, base)
	mustCommit(t, s, put(0, numbered(0, 80)))
	mustClose(t, s)
	old := base.Dir + ".old"
	copyFolder(t, recordsDir(base.Dir), old)
	s = mustOpen(t, base)
	mustCommit(t, s, put(1, numbered(1, 80)))
	mustTick(t, s)
	mustClose(t, s)
	copyFolder(t, old, recordsDir(base.Dir))
	for _, at := range []step{stepBadger, stepBadgerDone, stepCounterWrite, stepCounterSync, stepCounterDone} {
		cfg := testConfig(t)
		copyFolder(t, base.Dir, cfg.Dir)
		if !die(t, cfg, "accept", at) {
			t.Fatalf("step %d was never met", at)
		}
		s := mustOpen(t, cfg)
		if !s.RolledBack() {
			t.Errorf("step %d: accepted before what was staged is durable", at)
		}
		if err := s.AcceptRollback(nil); err != nil {
			t.Errorf("step %d: accepting again: %v", at, err)
		}
		mustTick(t, s)
		mustClose(t, s)
		s = wantRollback(t, cfg, false)
		mustClose(t, s)
	}
}
