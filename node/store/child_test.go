package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Some tests need a process that may die. They run this test binary again with a
// script to do, and read what it says on its standard output.

const childEnv = "STORE_TEST_CHILD"

// scripts maps a name to what the child does; args come from the parent. Files
// that are built on some systems only add theirs.
var scripts = map[string]func(args []string) error{
	"write":   childWrite,
	"die":     childDie,
	"outcome": childOutcome,
	"hold":    childHold,
}

func childMain(script string) int {
	args := strings.Split(script, "\n")
	if err := scripts[args[0]](args[1:]); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

// child prepares this binary to run a script.
func child(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(append([]string{script}, args...), "\n"))
	cmd.Stderr = os.Stderr
	return cmd
}

// runChild runs a script to its end and returns its output.
func runChild(t testing.TB, script string, args ...string) (string, error) {
	t.Helper()
	out, err := child(t, script, args...).Output()
	return string(out), err
}

// childConfig is that of a store with a key file if one lies beside it.
func childConfig(dir string) Config {
	cfg := Config{Dir: dir, Slots: testSlots, Cost: Cheap}
	if _, err := os.Stat(dir + ".key"); err == nil {
		cfg.KeyFile = dir + ".key"
	}
	return cfg
}

// childOpen opens a store for writing.
func childOpen(cfg Config) (*Store, error) {
	s, err := Open(cfg, testPass)
	if err != nil {
		return nil, err
	}
	return s, s.Online()
}

// childWrite stages the numbered records from args[1] on, two in each commit and
// up to four commits before a tick, and prints how many are durable after each
// tick, until it is killed.
func childWrite(args []string) error {
	next, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	s, err := childOpen(childConfig(args[0]))
	if err != nil {
		return err
	}
	fmt.Println("open", s.RolledBack())
	type staged struct{ ticket, next uint64 }
	var waiting []staged
	for round := 0; ; round++ {
		for range round % 5 {
			ticket, err := s.Stage(put(next, numbered(next, 80)), put(next+1, numbered(next+1, 80)))
			if err != nil {
				return err
			}
			next += 2
			waiting = append(waiting, staged{ticket, next})
		}
		if err := s.Tick(); err != nil {
			return err
		}
		for len(waiting) > 0 && waiting[0].ticket <= s.Durable() {
			fmt.Println(waiting[0].next)
			waiting = waiting[1:]
		}
	}
}

// deeds are what a child dies in.
var deeds = map[string]func(*Store) error{
	"tick":   (*Store).Tick,
	"purge":  (*Store).Purge,
	"rekey":  func(s *Store) error { return s.Rekey(testPass, otherPass) },
	"rotate": (*Store).Rotate,
	"close":  (*Store).Close,
	"rebuild": func(s *Store) error {
		for range s.rebuildAfter() {
			if err := s.Tick(); err != nil {
				return err
			}
		}
		return nil
	},
	"accept": func(s *Store) error {
		if err := s.AcceptRollback(nil); err != nil {
			return err
		}
		return errors.Join(s.Tick(), s.Tick())
	},
}

// childDie stages one commit of two records and kills itself at the step in
// args[2] of the deed in args[1]. With the deed "online" it does so while opening.
func childDie(args []string) error {
	at, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	cfg := childConfig(args[0])
	armed := args[1] == "online"
	cfg.faults = &faults{at: func(s step) {
		if armed && int(s) == at {
			p, _ := os.FindProcess(os.Getpid())
			_ = p.Kill()
			select {}
		}
	}}
	s, err := childOpen(cfg)
	if err != nil {
		return err
	}
	n, err := count(s, 80)
	if err != nil {
		return err
	}
	if _, err = s.Stage(put(n, numbered(n, 80)), put(n+1, numbered(n+1, 80))); err != nil {
		return err
	}
	if armed = true; deeds[args[1]] == nil {
		return fmt.Errorf("step %d was never met", at)
	}
	if args[1] == "close" {
		armed = false
		err = commit(s)
		armed = true
	}
	if err := errors.Join(err, deeds[args[1]](s)); err != nil {
		return err
	}
	return fmt.Errorf("step %d was never met", at)
}

// childOutcome opens each of the folders in args and prints what came of it:
// damaged, full, rolled back, or how many records there are. Every third it writes
// to as well.
func childOutcome(args []string) error {
	for i, dir := range args {
		fmt.Println(filepath.Base(dir), outcome(childConfig(dir), i%3 == 0))
	}
	return nil
}

func outcome(cfg Config, write bool) string {
	s, err := Open(cfg, testPass)
	if err != nil {
		return "error " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	defer s.Close()
	rolledBack := s.RolledBack()
	if write {
		if err := s.Online(); err != nil {
			return "offline: " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		if err := s.Tick(); err != nil {
			return "no tick: " + err.Error()
		}
	}
	if rolledBack {
		for r, err := range s.ScanKind(1) {
			if err != nil {
				return fmt.Sprintf("broken at %d: %v", r.Key.Seq, err)
			}
		}
		return "rolled back"
	}
	n, err := count(s, 2000)
	if err != nil {
		return "broken: " + err.Error()
	}
	return fmt.Sprintf("records %d", n)
}

// childHold opens the store, says so, and waits for its input to end.
func childHold(args []string) error {
	s, err := Open(childConfig(args[0]), testPass)
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	return s.Close()
}
