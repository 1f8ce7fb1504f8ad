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
	"commit":  childCommit,
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

func childConfig(dir string) Config { return Config{Dir: dir, Cost: Cheap} }

// openOnline opens a store and goes online.
func openOnline(cfg Config) (*Store, error) {
	s, err := Open(cfg, testPass)
	if err == nil {
		err = s.Online()
	}
	return s, err
}

// childCommit commits the numbered records from args[1] on, two in each commit and
// a long one now and then, and prints the first of each pair when it is durable,
// until it is killed.
func childCommit(args []string) error {
	next, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	s, err := openOnline(childConfig(args[0]))
	if err != nil {
		return err
	}
	fmt.Println("open", s.RolledBack())
	for ; ; next += 2 {
		writes := []Write{put(next, numbered(next, 80)), put(next+1, numbered(next+1, 80))}
		if next%8 == 0 {
			writes = append(writes, Write{Key: Key{Kind: 2}, Value: numbered(next, MaxValue)})
		}
		if err := commit(s, writes...); err != nil {
			return err
		}
		fmt.Println(next)
	}
}

// childDie does what args[1] says and kills itself at the step in args[2]. Before
// that it stages two records, and all but "tick" and "purge" have them durable.
func childDie(args []string) error {
	at, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	cfg, armed := childConfig(args[0]), false
	cfg.faults = &faults{at: func(s step) {
		if armed && int(s) == at {
			p, _ := os.FindProcess(os.Getpid())
			_ = p.Kill()
			select {}
		}
	}}
	s, err := Open(cfg, testPass)
	if err != nil {
		return err
	}
	armed = args[1] == "online"
	if err := s.Online(); err != nil {
		return err
	}
	n, err := count(s, 80)
	if err != nil {
		return err
	}
	if _, err := s.Stage(put(n, numbered(n, 80)), put(n+1, numbered(n+1, 80))); err != nil {
		return err
	}
	switch armed = true; args[1] {
	case "tick":
		err = s.Tick()
	case "purge":
		err = s.Purge()
	case "rekey":
		err = s.Rekey(testPass, []byte("another"))
	case "accept":
		err = s.AcceptRollback()
		for range 2 {
			err = errors.Join(err, s.Tick())
		}
	case "close":
		armed = false
		err = s.Tick()
		armed = true
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("step %d was never met", at)
}

// childOutcome opens each of the folders in args and prints what came of it:
// damaged, full, rolled back, or how many records there are.
func childOutcome(args []string) error {
	for _, dir := range args {
		fmt.Println(filepath.Base(dir), outcome(childConfig(dir)))
	}
	return nil
}

func outcome(cfg Config) string {
	s, err := Open(cfg, testPass)
	if err != nil {
		return "error " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	defer s.Close()
	if err := s.Online(); err != nil {
		return "error online " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if s.RolledBack() {
		for r, err := range s.ScanKind(1) {
			if err != nil {
				return fmt.Sprintf("broken at %d: %v", r.Key.Seq, err)
			}
		}
		return "rolled back"
	}
	n, err := count(s, 80)
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
