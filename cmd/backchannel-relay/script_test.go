package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the real program a command of the scripts and of exec.Command.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"backchannel-relay": main})
}

// patience is how long a script waits for something before it has failed.
const patience = 40 * time.Second

// TestScripts runs the scripts of testdata/script:
//
//	fails CODE args...      the program, and its exit code
//	capture NAME WORD       sets a variable to what follows a word in the output
//	flip FILE N             changes one letter in the N-th line of a file
//	start HOME, stop HOME   runs a relay in the background until it answers; ends it
//	mode FILE MODE          wants a mode
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": scriptFails, "capture": scriptCapture, "flip": scriptFlip, "start": scriptStart, "stop": scriptStop, "mode": scriptMode,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv(homeVariable, "")
			for _, name := range []string{"PORT", "PORT2"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				e.Setenv(name, port)
			}
			e.Values[stageKey{}] = map[string]*exec.Cmd{}
			return nil
		},
	})
}

type stageKey struct{}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func program(ts *testscript.TestScript, args ...string) *exec.Cmd {
	cmd := exec.Command("backchannel-relay", args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("WORK"), homeVariable+"=", "NOTIFY_SOCKET="+ts.Getenv("NOTIFY_SOCKET"))
	return cmd
}

func scriptFails(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := program(ts, args[1:]...)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func scriptCapture(ts *testscript.TestScript, _ bool, args []string) {
	_, after, ok := strings.Cut(ts.ReadFile("stdout"), args[1])
	fields := strings.Fields(after)
	if !ok || len(fields) == 0 {
		ts.Fatalf("nothing follows %s", args[1])
	}
	ts.Setenv(args[0], fields[0])
}

func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	lines := strings.Split(ts.ReadFile(args[0]), "\n")
	letter := "A"
	if lines[n][5:6] == letter {
		letter = "B"
	}
	lines[n] = lines[n][:5] + letter + lines[n][6:]
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "\n")), 0o600))
}

func scriptStart(ts *testscript.TestScript, _ bool, args []string) {
	cmd := program(ts, "--home", args[0], "run")
	ts.Check(cmd.Start())
	ts.Value(stageKey{}).(map[string]*exec.Cmd)[args[0]] = cmd
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(patience); program(ts, "--home", args[0], "status").Run() != nil; <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("the relay does not answer")
		}
	}
}

func scriptStop(ts *testscript.TestScript, _ bool, args []string) {
	cmd := ts.Value(stageKey{}).(map[string]*exec.Cmd)[args[0]]
	ts.Check(cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitDone && code != exitInterrupted {
		ts.Fatalf("the relay ended with code %d", code)
	}
}

func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}
