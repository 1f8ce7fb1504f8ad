package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// duress is a home with two compartments, in each of which there is a contact.
func duress(t *testing.T) goldenHome {
	t.Helper()
	g := goldenHome{t, filepath.Join(t.TempDir(), "home")}
	g.run("deepest\nshallow\n", "setup")
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	g.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	g.serve()
	for _, who := range []string{"shallow\nHeron", "deepest\nLarch"} { // the deepest last: what it holds is not written over
		pass, name, _ := strings.Cut(who, "\n")
		g.wants(`{"v":1}`, pass+"\n", "online")
		g.wants(`BC1:`, name+"\n", "invite", "new")
		g.wants(`{"v":1}`, "", "lock")
	}
	g.wants(`{"v":1}`, "", "node", "stop")
	return g
}

// A look is what the program shows to who unlocks, looks and locks again, and what
// the node does for it.
type look struct {
	shown string
	keys  []string       // of every JSON answer
	calls map[string]int // of the system, on files, by name; nil without strace
}

// look runs a node, unlocks it with a passphrase, and looks around.
func (g goldenHome) look(pass string) (l look) {
	g.t.Helper()
	trace := filepath.Join(g.t.TempDir(), "trace")
	command := []string{"backchannel", "--home", g.home, "--quiet", "node", "run"}
	strace, err := exec.LookPath("strace")
	if err == nil {
		command = append([]string{strace, "-f", "-y", "-qq", "-e", "trace=" + onFiles, "-o", trace}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.until(`"state":`, "status")
	add := func(line string, out, errOut string, code int) {
		l.shown += line + "\n" + out + errOut + itoa(code) + "\n"
		var answer map[string]any
		if json.Unmarshal([]byte(out), &answer) == nil {
			l.keys = append(l.keys, keysOf(answer)...)
		}
	}
	for _, line := range []string{"unlock", "--json unlock", "status", "--json status", "contact list", "--json contact show 1", "vault info", "--json vault info", "log show", "online --help", "lock", "--json unlock", "lock", "node stop"} {
		out, errOut, code := g.plainly(pass+"\n", strings.Fields(line)...)
		add(line, out, errOut, code)
	}
	_ = cmd.Wait()
	if strace != "" {
		l.calls = callsIn(g.t, trace, g.home)
	}
	l.shown = stillLook.ReplaceAllString(strings.NewReplacer("Heron", "NAME", "Larch", "NAME", "heron", "name", "larch", "name").Replace(l.shown), "#")
	return l
}

// stillLook are times, process numbers, and how long unlocking took, which depends on
// what else the machine does: see TestDuressTimes.
var stillLook = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\d\d:\d\d(:\d\d)?|process \d+|"pid":\d+|took [^\n]*|unlocked · [^\n]*`)

// onFiles are the calls that are counted.
const onFiles = "%file,%desc"

// callsIn counts the calls on what lies in a home, by name. What else the runtime of
// Go reads, and when, depends on how busy the machine is.
func callsIn(t *testing.T, trace, home string) map[string]int {
	t.Helper()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +(\w+)\(.*$`).FindAllStringSubmatch(string(b), -1) {
		if strings.Contains(m[0], home+"/vault") || strings.Contains(m[0], home+"/config") {
			calls[m[1]]++
		}
	}
	return calls
}

// keysOf are the names of all fields of an object, with those inside.
func keysOf(v any) (keys []string) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			keys = append(append(keys, k), keysOf(v[k])...)
		}
	case []any:
		for _, e := range v {
			keys = append(keys, keysOf(e)...)
		}
	}
	return keys
}

// TestDuressPair looks with each passphrase: the same prompt, text, exit code, keys
// of JSON, files and sizes, and calls of the system on files by name; and not one
// byte of the vault changes.
func TestDuressPair(t *testing.T) {
	if testing.Short() {
		t.Skip("two vaults take seconds")
	}
	t.Parallel()
	g := duress(t)
	vault := filepath.Join(g.home, "vault")
	before := filepath.Join(t.TempDir(), "before")
	if err := os.CopyFS(before, os.DirFS(vault)); err != nil {
		t.Fatal(err)
	}
	deepest, shallow := g.look("deepest"), g.look("shallow")
	if deepest.shown != shallow.shown || !strings.Contains(shallow.shown, "Unlocked.") || !strings.Contains(shallow.shown, "NAME") {
		t.Errorf("the deepest shows\n%s\nthe shallow one\n%s", deepest.shown, shallow.shown)
	}
	if !slices.Equal(deepest.keys, shallow.keys) || len(shallow.keys) < 20 {
		t.Errorf("JSON: %v, and %v", deepest.keys, shallow.keys)
	}
	if !maps.Equal(deepest.calls, shallow.calls) || shallow.calls != nil && shallow.calls["openat"] < 10 {
		t.Errorf("calls on files: %v, and %v", deepest.calls, shallow.calls)
	}
	t.Logf("calls on files: %v", shallow.calls)
	sizes, modes := sizesIn(t, before)
	now, _ := sizesIn(t, vault)
	if !maps.Equal(sizes, now) {
		t.Errorf("sizes %v, then %v", sizes, now)
	}
	for name := range sizes {
		a, errA := os.ReadFile(filepath.Join(before, name))
		b, errB := os.ReadFile(filepath.Join(vault, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("a look has changed %s", name)
		}
	}
	if len(modes) < 5 {
		t.Errorf("only %d files: this checks nothing", len(modes))
	}
}

// TestVaultPassphraseIsOneScreen changes passphrases where there is one, and where
// there are two: the screens are the same.
func TestVaultPassphraseIsOneScreen(t *testing.T) {
	t.Parallel()
	var screens []string
	for _, made := range []string{"one\n", "one\ntwo\n"} {
		g := goldenHome{t, filepath.Join(t.TempDir(), "home")}
		g.run(made, "setup")
		g.serve()
		g.wants(`{"v":1}`, "one\n", "online")
		screens = append(screens, g.onTerminal([]answer{
			{prompt: "Passphrase now: ", typed: "one"}, {prompt: "First: ", typed: "one"}, {prompt: "Again: ", typed: "one"}, {prompt: "Second: ", typed: "two"}, {prompt: "Again: ", typed: "two"}, {prompt: "Third: ", typed: ""}, {prompt: "Again: ", typed: ""}, {prompt: "REPLACE to go on: ", typed: "REPLACE", seen: true},
		}, "vault", "passphrase"))
		for _, pass := range []string{"one\n", "two\n"} {
			g.wants(`{"v":1}`, pass, "unlock")
		}
	}
	if screens[0] != screens[1] || !strings.Contains(screens[0], "Done.") {
		t.Errorf("with one:\n%s\nwith two:\n%s", screens[0], screens[1])
	}
}
