package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

// golden compares with a file of testdata/golden, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -run %s -update writes it", err, t.Name())
	}
	if got != string(want) {
		t.Errorf("%s differs; what users see has changed.\ngot:\n%s\nwant:\n%s", name, got, want)
	}
}

func everyCommand(c *cobra.Command, path []string, each func(*cobra.Command, []string)) {
	each(c, path)
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			everyCommand(sub, append(path[:len(path):len(path)], sub.Name()), each)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Setenv(homeVariable, "")
	everyCommand((&app{}).root(), nil, func(c *cobra.Command, path []string) {
		var out, errOut bytes.Buffer
		if code := run(append(path, "--help"), &out, &errOut); code != 0 || errOut.Len() != 0 {
			t.Errorf("%v --help: exit %d, %s", path, code, errOut.String())
		}
		golden(t, filepath.Join("help", strings.Join(append([]string{"backchannel-relay"}, path...), "-")+".txt"), out.String())
		if !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%v has no example", path)
		}
		for line := range strings.Lines(out.String()) {
			if utf8.RuneCountInString(line) > 81 && !strings.HasPrefix(line, "  backchannel-relay ") && !strings.HasPrefix(line, "Use ") { // what is pasted stays one line
				t.Errorf("%v --help is wider than 80 columns: %s", path, line)
			}
		}
	})
}

// TestHintsAreCommands takes every hint and example of the program, and wants the
// commands in it to exist, with these flags and that many arguments.
func TestHintsAreCommands(t *testing.T) {
	var lines []string
	everyCommand((&app{}).root(), nil, func(c *cobra.Command, _ []string) {
		lines = append(lines, strings.Split(c.Example, "\n")...)
	})
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(?:[^"]*: )?(backchannel-relay [a-z-][^"\\]*)"`).FindAllStringSubmatch(string(raw), -1) {
			lines = append(lines, m[1])
		}
	}
	checked := 0
	for _, line := range lines {
		args := strings.Fields(line)
		if len(args) < 2 || strings.Contains(line, "%") || strings.HasSuffix(line, " ") || strings.HasSuffix(line, "with") {
			continue // the beginning of a line
		}
		checked++
		root := (&app{out: io.Discard, err: io.Discard}).root()
		c, rest, err := root.Find(args[1:])
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if strings.Contains(line, "--help") {
			continue
		}
		if err == nil {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if err != nil || c.HasSubCommands() {
			t.Errorf("%q: %v", line, err)
		}
	}
	if checked < 40 {
		t.Errorf("only %d commands were found", checked)
	}
}

// TestFaults looks at how errors read.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		e := describe(f.err)
		first, _ := utf8.DecodeRuneInString(e.Message)
		if e.Code != f.code || strings.HasSuffix(e.Message, ".") || strings.ToLower(string(first)) != string(first) {
			t.Errorf("%+v", e)
		}
		if e.Hint == "" && e.Code != "interrupted" {
			t.Errorf("%s has no hint", e.Code)
		}
	}
}

// TestHealth looks at what an operator is told.
func TestHealth(t *testing.T) {
	now := time.Now()
	well := statusAnswer{State: stateInUse, Started: stamp(now.Add(-time.Hour)), Neighbours: 4, Linked: 2, Boxes: &boxesAnswer{}}
	for name, c := range map[string]struct {
		change func(*statusAnswer)
		want   string
	}{
		"well":     {func(*statusAnswer) {}, ""},
		"waiting":  {func(s *statusAnswer) { s.State = stateWaiting }, ""},
		"new":      {func(s *statusAnswer) { s.Started, s.Linked = stamp(now), 0 }, ""},
		"left out": {func(s *statusAnswer) { s.State = stateLeftOut }, "do not know this one"},
		"crowded":  {func(s *statusAnswer) { s.State = stateCrowded }, "of one block of addresses"},
		"revoked":  {func(s *statusAnswer) { s.State = stateRevoked }, "revoked"},
		"alone":    {func(s *statusAnswer) { s.Linked = 1 }, "linked with 1 of 4"},
		"alarm":    {func(s *statusAnswer) { s.Loops.Alarm = true }, "half of its last loops"},
		"damaged":  {func(s *statusAnswer) { s.Boxes.Damaged = 1 }, "1 day of boxes"},
		"full":     {func(s *statusAnswer) { s.Boxes.Full = 100 }, "no room"},
		"no space": {func(s *statusAnswer) { s.Boxes.NoSpace = true }, "less room than is to stay free"},
		"broken":   {func(s *statusAnswer) { s.Boxes.Broken = true }, "the disk has failed"},
		"muted":    {func(s *statusAnswer) { s.Muted = true }, "its disk takes nothing"},
		"no boxes": {func(s *statusAnswer) { s.Boxes = nil }, ""},
	} {
		s := well
		if s.Boxes != nil {
			copied := *s.Boxes
			s.Boxes = &copied
		}
		c.change(&s)
		got := strings.Join(s.faults(now), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for n, want := range map[uint64]uint64{0: 0, 9: 0, 10: 10, 99: 90, 109: 100, 999: 990, 1099: 1000, 12345: 12000} {
		if got := about(n); got != want {
			t.Errorf("about(%d) = %d", n, got)
		}
	}
}

// TestJSON keeps the answer of every command, so that a script that was written for one
// version runs with the next: fields are only ever added.
func TestJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	keep := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command("backchannel-relay", append([]string{"--json", "--home", "h"}, args...)...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		if !json.Valid(out) || bytes.Count(out, []byte("\n")) != 1 {
			t.Errorf("%v answers with no single object: %s", args, out)
		}
		if name != "" {
			golden(t, filepath.Join("json", name+".json"), still(string(out)))
		}
		return out
	}
	keep("version", "version")
	keep("error-not-running", "status")
	keep("error-usage", "network", "add")
	var relay initAnswer
	_ = json.Unmarshal(keep("init", "init", "--address", "127.0.0.1:"+port, "--bind", "127.0.0.1", "--operator", "one"), &relay)
	keep("error-no-network", "run")
	var founder keyAnswer
	_ = json.Unmarshal(keep("network-key", "network", "key", "alpha.key"), &founder)
	keep("network-new", "network", "new", "h/network.pem", "--name", "talks.example", "--founder", "alpha="+founder.Key, "--suite", "1", "--epoch", "10s", "--slot", "1s")
	keep("network-add", "network", "add", "h/network.pem", "--relay", relay.Relay, "--operator", "one", "--address", relay.Address)
	keep("error-unsigned", "network", "verify", "h/network.pem")
	keep("network-sign", "network", "sign", "h/network.pem", "--key", "alpha.key")
	keep("network-show", "network", "show", "h/network.pem")
	keep("network-verify", "network", "verify", "h/network.pem")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Skipf("no such sockets here: %v", err)
	}
	defer socket.Close()
	cmd := exec.Command("backchannel-relay", "--home", "h", "run")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=900000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for end := time.Now().Add(patience); bytes.Contains(keep("", "status"), []byte(`"error"`)) && time.Now().Before(end); {
		<-time.After(50 * time.Millisecond)
	}
	keep("status", "status")
	keep("health", "health")
	keep("check", "check")
	keep("error-in-use", "run")
	wantStates(t, socket, "READY=1", "WATCHDOG=1")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for state := ""; state != "STOPPING=1"; {
		if state = readState(t, socket); state != "WATCHDOG=1" && state != "STOPPING=1" {
			t.Fatalf("systemd is told %q", state)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("a relay that is stopped ends with %v", err)
	}
}

// wantStates reads what systemd would.
func wantStates(t *testing.T, socket *net.UnixConn, states ...string) {
	t.Helper()
	for _, want := range states {
		if got := readState(t, socket); got != want {
			t.Errorf("systemd is told %q, not %q", got, want)
		}
	}
}

func readState(t *testing.T, socket *net.UnixConn) string {
	t.Helper()
	_ = socket.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 256)
	n, err := socket.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// still puts a fixed value in the place of each that differs from run to run.
func still(out string) string {
	for _, r := range []struct{ pattern, value string }{
		{`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`, `"2026-11-07T11:02:00Z"`},
		{`"pid":\d+`, `"pid":4121`},
		{`"go":"[^"]*","system":"[^"]*","modules":"[0-9a-f]{64}"`, `"go":"go1.26","system":"linux/amd64","modules":"00"`},
		{`[a-z2-7]{56}`, `fyugaquwot3s`},
		{`([a-z2-7]{4} ){7}[a-z2-7]{4}`, `mnu2 vviy`},
		{`[0-9a-f]{40}`, `1e5fa4df`},
		{`"epoch":\d+`, `"epoch":498000`},
		{`"state":"(waiting|in_use)"`, `"state":"waiting"`},
		{`"(members|operators|neighbours|held|delay_milliseconds)":\d+`, `"$1":0`},
		{`knows \d+ relays?`, `knows 0 relays`},
		{`ends on \d+ \w+ \d{4}`, `ends on 7 Nov 2027`},
		{`"packets":\{[^}]*\}`, `"packets":{}`},
		{`"at [^"]*h/network.pem`, `"at /home/relay/network.pem`},
		{`put the file that the founders gave you at \S+`, `put the file that the founders gave you at /home/relay/network.pem,`},
		{`127\.0\.0\.1:\d+`, `127.0.0.1:4129`},
	} {
		out = regexp.MustCompile(r.pattern).ReplaceAllString(out, r.value)
	}
	return out
}
