package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// An answer is what is typed at a prompt.
type answer struct {
	prompt, typed string
	seen          bool // what is typed is shown
}

// onTerminal runs a command on a terminal, types each answer at its prompt, and
// returns what is on the screen then.
func (g goldenHome) onTerminal(answers []answer, args ...string) string {
	g.t.Helper()
	cmd := exec.Command("backchannel", args...)
	cmd.Env = append(os.Environ(), "BACKCHANNEL_HOME="+g.home, "BACKCHANNEL_SOCKET=", "TERM=dumb")
	screen, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 80})
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = screen.Close() }()
	shown, ended := &screenText{}, make(chan struct{})
	go func() { defer close(ended); shown.read(screen) }()
	for _, a := range answers {
		shown.until(g.t, args[0], a.prompt)
		if !a.seen { // the prompt comes a moment before typing is hidden
			for end := time.Now().Add(patience); echoes(screen) && time.Now().Before(end); <-time.After(time.Millisecond) {
			}
		}
		shown.mark()
		_, _ = screen.WriteString(a.typed + "\r")
	}
	select {
	case <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		g.t.Errorf("%v does not end:\n%s", args, shown.text())
	}
	_ = cmd.Wait()
	return shown.text()
}

// TestShortPassphrase: of the first passphrase it is said if it is short, of the others nothing.
func TestShortPassphrase(t *testing.T) {
	t.Parallel()
	for i, first := range []string{"one", "six words of a real length"} {
		screen := goldenHome{t, filepath.Join(t.TempDir(), "home")}.onTerminal([]answer{
			{prompt: "Passphrase: ", typed: first}, {prompt: "Again: ", typed: first}, {prompt: "Second passphrase: ", typed: "two"}, {prompt: "Again: ", typed: "two"},
		}, "setup")
		if got := strings.Count(screen, "That is short"); got != 1-i {
			t.Errorf("%q: said %d times:\n%s", first, got, screen)
		}
	}
}

// TestSetupOnTerminal types a second passphrase, and none: the screens are the same.
func TestSetupOnTerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	drawn := regexp.MustCompile(`(?m)^   (\d)  [a-z]+`)
	screens := map[string]string{}
	for _, second := range []string{"two", ""} {
		g := goldenHome{t, filepath.Join(dir, "home"+second)}
		screens[second] = drawn.ReplaceAllString(g.onTerminal([]answer{
			{prompt: "Passphrase: ", typed: "one"}, {prompt: "Again: ", typed: "one"}, {prompt: "Second passphrase: ", typed: second}, {prompt: "Again: ", typed: second},
		}, "setup"), "   $1  word")
	}
	if screens["two"] != screens[""] || !drawn.MatchString(screens[""]) {
		t.Errorf("with a second passphrase:\n%s\nwithout:\n%s", screens["two"], screens[""])
	}
}
