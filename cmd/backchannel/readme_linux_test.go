package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// TestReadme replays the terminal session of README.md with the real program on
// real terminals, and compares every line. «…» is what a person types; times,
// process numbers, invitations and drawn words differ from run to run.
func TestReadme(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, session, found := strings.Cut(string(raw), "<!-- session -->\n```\n")
	session, _, closed := strings.Cut(session, "\n```\n")
	if !found || !closed {
		t.Fatal("README.md has no session")
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := &replay{t: t, dir: t.TempDir(), port: port}
	for _, who := range []string{"alder", "larch"} {
		if err := os.Mkdir(filepath.Join(r.dir, who+"-desk"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, "alder-desk", "annex.pdf"), annex(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.setUp("alder")
	prompt := regexp.MustCompile(`(?m)^(larch|alder)\$ backchannel `)
	starts := prompt.FindAllStringSubmatchIndex(session, -1)
	for i, at := range starts {
		end := len(session)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		command, shown, _ := strings.Cut(session[at[1]:end], "\n")
		r.play(session[at[2]:at[3]], command, strings.Split(regexp.MustCompile(`(?m)^#.*\n?`).ReplaceAllString(shown, ""), "\n"))
	}
	if len(starts) < 10 {
		t.Errorf("the session has only %d commands", len(starts))
	}
}

// replay is the two people's machines.
type replay struct {
	t          *testing.T
	dir, port  string
	invitation string
}

func (r *replay) command(who, line string) *exec.Cmd {
	line = strings.ReplaceAll(line, "--address 203.0.113.7:4127", "--bind 127.0.0.1 --address 127.0.0.1:"+r.port)
	cmd := exec.Command("backchannel", strings.Fields(line)...)
	cmd.Dir = filepath.Join(r.dir, who+"-desk")
	cmd.Env = append(os.Environ(), "BACKCHANNEL_HOME="+filepath.Join(r.dir, who), "BACKCHANNEL_SOCKET=", "TERM=xterm", realCost+"=1")
	return cmd
}

// setUp does for one person what the session shows for the other.
func (r *replay) setUp(who string) {
	r.t.Helper()
	const pass = "another passphrase\n"
	node := r.command(who, "--quiet node run")
	for _, step := range []string{"setup", "node", "status", "online"} {
		cmd := r.command(who, step)
		cmd.Stdin = strings.NewReader(pass)
		var err error
		switch step {
		case "node":
			err = node.Start()
			r.t.Cleanup(func() {
				_ = node.Process.Kill()
				_ = node.Wait()
			})
		case "status":
			for end := time.Now().Add(patience); r.command(who, step).Run() != nil && time.Now().Before(end); <-time.After(50 * time.Millisecond) {
			}
		default:
			err = cmd.Run()
		}
		if err != nil {
			r.t.Fatalf("%s of %s: %v", step, who, err)
		}
	}
}

// words asks for what the other one reads aloud.
func (r *replay) words(who string) []string {
	other := map[string]string{"larch": "alder", "alder": "larch"}[who]
	out, err := r.command(other, "--json contact verify 1 --show").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	var a struct{ Words []string }
	if err := json.Unmarshal(out, &a); err != nil {
		r.t.Fatal(err)
	}
	return a.Words
}

// play runs one command on a terminal, types what stands in «», and compares.
func (r *replay) play(who, line string, shown []string) {
	r.t.Helper()
	var heard []string
	if strings.HasPrefix(line, "contact verify") {
		r.words(map[string]string{"larch": "alder", "alder": "larch"}[who]) // both are ready now
		heard = r.words(who)
	}
	cmd := r.command(who, line)
	screen, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 200})
	if err != nil {
		r.t.Fatal(err)
	}
	s := &screenText{}
	ended := make(chan struct{})
	go func() { defer close(ended); s.read(screen) }()
	before, typed := "", regexp.MustCompile(`^(.*?)«(.*)»$`)
	for i, text := range shown {
		m := typed.FindStringSubmatch(text)
		if m == nil {
			before = text
			continue
		}
		hidden := strings.HasSuffix(m[2], "not shown")
		answer := m[2]
		switch {
		case strings.HasPrefix(answer, "BC1:"):
			answer = r.invitation
		case len(heard) > 0:
			answer, heard = heard[0], heard[1:]
		}
		if m[1] != "" {
			before = m[1]
		}
		r.until(line, s, strings.TrimSpace(before), func() bool { return !hidden || !echoes(screen) })
		s.mark()
		if _, err := screen.WriteString(answer + "\r"); err != nil {
			r.t.Fatal(err)
		}
		before, shown[i] = answer, m[1]
		if !hidden {
			shown[i] += answer
		}
	}
	if line == "node run" {
		r.until(line, s, strings.TrimSpace(shown[0]), func() bool { return true })
		r.t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = screen.Close()
		})
	} else {
		<-ended // the terminal closes with the program
		if err := cmd.Wait(); err != nil {
			r.t.Errorf("%s$ backchannel %s: %v", who, line, err)
		}
		_ = screen.Close()
	}
	got, want := r.still(s.text()), r.still(strings.Join(shown, "\n"))
	if got != want {
		r.t.Errorf("README.md differs from what is on the screen.\n%s$ backchannel %s\n%s\n--- README.md has\n%s", who, line, got, want)
	}
	if inv := regexp.MustCompile(`BC1:[A-Z2-7]+`).FindString(s.text()); inv != "" {
		r.invitation = inv
	}
}

// echoes reports whether what is typed on the terminal is shown.
func echoes(screen *os.File) bool {
	state, err := unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS)
	return err != nil || state.Lflag&unix.ECHO != 0
}

func (r *replay) until(line string, s *screenText, text string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !s.has(text) || !holds(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("backchannel %s: %q does not come on the screen:\n%s", line, text, s.text())
		}
	}
}

// still puts a fixed value in the place of each that differs from run to run.
func (r *replay) still(text string) string {
	for _, c := range []struct{ pattern, value string }{
		{`\x1b\[[0-9;?]*[A-Za-z]|\r`, ``},
		{`\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d+ \w{3}\b`, `DAY`},
		{`\b(\d{1,2} [A-Z][a-z]{2} )?\d\d:\d\d\b`, `HH:MM`}, // with its day, if that is not today
		{`process \d+`, `process N`},
		{`being offered`, `offered, not taken yet`}, // as fast as the other machine is
		{`(?m)^coming, \d+ % of .*\n`, ``},          // on a slow machine
		{regexp.QuoteMeta(r.dir) + `/(alder|larch)-desk`, `/home/$1`},
		{`BC1:[A-Z2-7]+…?`, `BC1:X`},
		{`(?m)^( {3}[1-6] ) \w+$`, `$1 word`},
		{`(?m)^( {8}[1-3]) \w+$`, `$1 word`},
		{`(?m)^ {8}[A-Z]+ {6}[A-Z]+ {6}[A-Z]+$`, `WORDS`},
		{`\b(0\.0\.0\.0|127\.0\.0\.1|203\.0\.113\.7):\d+`, `ADDRESS`},
		{`(?m)[ \t]+$`, ``},
	} {
		text = regexp.MustCompile(c.pattern).ReplaceAllString(text, c.value)
	}
	return strings.Trim(text, "\n")
}

// screenText is what came on a terminal so far.
type screenText struct {
	mu     sync.Mutex
	all    []byte
	marked int
}

func (s *screenText) read(screen *os.File) {
	for buf := make([]byte, 4096); ; {
		n, err := screen.Read(buf)
		s.mu.Lock()
		s.all = append(s.all, slices.Clone(buf[:n])...)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// has reports whether a text came since mark.
func (s *screenText) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(string(s.all[s.marked:]), text)
}

func (s *screenText) mark() {
	s.mu.Lock()
	s.marked = len(s.all)
	s.mu.Unlock()
}

func (s *screenText) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.all)
}
