package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// everyCommand lists the commands with what stands before them, as "invite new".
func everyCommand(c *cobra.Command, path []string, each func(*cobra.Command, []string)) {
	each(c, path)
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			everyCommand(sub, append(path[:len(path):len(path)], sub.Name()), each)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Setenv("BACKCHANNEL_HOME", "")
	everyCommand((&app{}).root(), nil, func(c *cobra.Command, path []string) {
		var out, errOut bytes.Buffer
		if code := run(append(path, "--help"), strings.NewReader(""), &out, &errOut); code != 0 || errOut.Len() != 0 {
			t.Errorf("%v --help: exit %d, %s", path, code, errOut.String())
		}
		golden(t, filepath.Join("help", strings.Join(append([]string{"backchannel"}, path...), "-")+".txt"), out.String())
		if c.Runnable() && !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%v has no example", path)
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if utf8.RuneCountInString(line) > 80 && !strings.HasPrefix(line, "  backchannel ") && !strings.HasPrefix(line, `Use "backchannel `) { // what is pasted stays one line
				t.Errorf("%v --help is wider than 80 columns: %s", path, line)
			}
		}
	})
}

// TestHintsAreCommands takes every hint and example of the program, and wants the
// commands in it to exist, with these flags and that many arguments.
func TestHintsAreCommands(t *testing.T) {
	checked := 0
	check := func(where, line string) {
		checked++
		if err := callable(line); err != nil {
			t.Errorf("%s: %q: %v", where, line, err)
		}
	}
	everyCommand((&app{}).root(), nil, func(c *cobra.Command, _ []string) {
		for _, line := range strings.Split(c.Example, "\n") {
			if line != "" {
				check(c.CommandPath(), strings.TrimSpace(line))
			}
		}
	})
	fixed := regexp.MustCompile(`^backchannel( |$)|[:,] backchannel |; backchannel `)
	for _, dir := range []string{".", "../../node/control"} {
		for where, text := range literals(t, dir) {
			if !fixed.MatchString(text) || strings.Contains(text, "\n") || strings.Contains(text, "%") {
				continue
			}
			for _, part := range regexp.MustCompile(`backchannel [^;,]+`).FindAllString(text, -1) {
				if strings.Contains(part, ": ") || strings.HasSuffix(part, ":") {
					continue // the beginning of what an error says
				}
				check(where, part)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d commands were found", checked)
	}
}

// literals returns the string literals of a package's files, tests apart.
func literals(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil {
					found[fset.Position(l.Pos()).String()] = text
				}
			}
			return true
		})
	}
	return found
}

// callable reports what is wrong with a line that a person could paste.
func callable(line string) error {
	if _, after, piped := strings.Cut(line, "| "); piped {
		line = after
	}
	line, _, _ = strings.Cut(line, "<") // a redirection, with a descriptor before it
	args := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), " 3"))[1:]
	if strings.HasSuffix(line, " ") && (line == "backchannel --home " || line == "backchannel recall " || line == "backchannel file save ") {
		return nil // more follows
	}
	a := &app{in: newInput(context.Background(), strings.NewReader(""), io.Discard), out: io.Discard, err: io.Discard}
	root := a.root()
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	switch err := c.ParseFlags(rest); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if c.HasSubCommands() && c.Name() != "forge" {
		return usage("that is no whole command", "")
	}
	return c.ValidateArgs(c.Flags().Args())
}

// goldenHome is a home whose answers are kept as golden files.
type goldenHome struct {
	t    *testing.T
	home string
}

// run runs the real program and returns its output, on one of the two streams.
func (g goldenHome) run(input string, args ...string) string {
	g.t.Helper()
	cmd := exec.Command("backchannel", append([]string{"--json", "--home", g.home}, args...)...)
	cmd.Env = append(os.Environ(), "BACKCHANNEL_HOME=", "BACKCHANNEL_SOCKET=")
	cmd.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err == nil && errOut.Len() != 0 || err != nil && out.Len() != 0 {
		g.t.Errorf("%v ended with %v and wrote to both streams: %s%s", args, err, out.String(), errOut.String())
	}
	return out.String() + errOut.String()
}

// keepLine is keep for a command that answers one object a line: it keeps the line
// that begins in a certain way.
func (g goldenHome) keepLine(name, begins, input string, args ...string) {
	g.t.Helper()
	kept := ""
	for _, line := range strings.SplitAfter(g.run(input, args...), "\n") {
		if line != "" && !json.Valid([]byte(line)) {
			g.t.Errorf("%v answers with a line that is no object: %s", args, line)
		}
		if strings.HasPrefix(line, begins) {
			kept = line
		}
	}
	golden(g.t, filepath.Join("json", name+".json"), g.still(kept))
}

// keep compares the output with the golden file of that name.
func (g goldenHome) keep(name, input string, args ...string) string {
	g.t.Helper()
	out := g.run(input, args...)
	if !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 {
		g.t.Errorf("%v answers with no single object: %s", args, out)
	}
	golden(g.t, filepath.Join("json", name+".json"), g.still(out))
	return out
}

// still puts a fixed value in the place of each that differs from run to run.
func (g goldenHome) still(out string) string {
	for _, r := range []struct{ pattern, value string }{
		{`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`, `"2026-11-07T11:02:00Z"`},
		{`"pid":\d+`, `"pid":4121`},
		{`"digest":"[0-9a-f]{64}"`, `"digest":"00"`},
		{`"go":"[^"]*","system":"[^"]*","modules":"[0-9a-f]{64}"`, `"go":"go1.26","system":"linux/amd64","modules":"00"`},
		{`process \d+, started \d+ \w+ \d\d:\d\d`, `process 4121, started 7 Nov 11:02`},
		{`BC1:[A-Z2-7]+`, `BC1:AEAAJQ`},
		{`"(script|page)":".*"`, `"$1":"…"`},
		{`"words":\[[^]]*\]`, `"words":["velvet","plank","monsoon"]`},
		{`"digits":"[\d ]+"`, `"digits":"96010 12594"`},
		{`"path":"[^"]*/(request|mandate|over)"`, `"path":"/home/envoy/$1"`},
		{`"(authority|your_key|their_key)":"[0-9a-f]{64}"`, `"$1":"00"`},
		{`"keys":\["[0-9a-f]{64}","[0-9a-f]{64}"\],"key_words":\[\[[^]]*\],\[[^]]*\]\]`, `"keys":["00","01"],"key_words":[["velvet"],["plank"]]`},
		{`"(your_words|their_words)":\[[^]]*\]`, `"$1":["velvet","plank","monsoon"]`},
		{`"direct_now":(true|false)`, `"direct_now":true`},
		{`"connected":(true|false)`, `"connected":true`},
		{`"not_confirmed":\d`, `"not_confirmed":0`},
		{`"state":"being_offered"`, `"state":"offered_not_taken_yet"`},
		{`"(state|delivery)":"(waiting_here|on_its_way|delivered)"`, `"$1":"delivered"`},
		{`"last_heard_(from|to)":"[^"]*",`, ``}, // of a contact that is connected or was just now
		{`milliseconds":\d+`, `milliseconds":12`},
		{`"used":\d+,"percent":\d+`, `"used":49152,"percent":1`},
		{`127\.0\.0\.1:\d+`, `127.0.0.1:4127`},
	} {
		out = regexp.MustCompile(r.pattern).ReplaceAllString(out, r.value)
	}
	return strings.ReplaceAll(out, g.home, "/home/envoy/bc")
}

// serve runs the node of a home until the test ends.
func (g goldenHome) serve() {
	g.t.Helper()
	cmd := exec.Command("backchannel", "--home", g.home, "--quiet", "node", "run")
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	g.until(`"state":`, "status")
}

// until repeats a command until its output fits.
func (g goldenHome) until(pattern string, args ...string) {
	g.t.Helper()
	for end := time.Now().Add(patience); !regexp.MustCompile(pattern).MatchString(g.run("", args...)); <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("%v: never %s", args, pattern)
		}
	}
}

// TestJSON keeps the answer of every command, so that a script that was written
// for one version runs with the next: fields are only ever added.
func TestJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	larch, alder := goldenHome{t, filepath.Join(dir, "larch")}, goldenHome{t, filepath.Join(dir, "alder")}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	larch.keep("version", "", "version")
	larch.keep("error-not-running", "", "status")
	larch.keep("error-no-vault", "", "node", "run")
	larch.keep("error-usage", "", "recall", "1")
	larch.keep("setup", "pass larch\n", "setup")
	alder.run("pass alder\n", "setup")
	larch.keep("node-listen", "", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	larch.serve()
	alder.serve()
	larch.keep("status-locked", "", "status")
	larch.keep("error-locked", "", "read", "1")
	larch.keep("error-in-use", "", "node", "run")
	larch.keep("error-wrong-passphrase", "x\n", "unlock")
	larch.keep("unlock", "pass larch\n", "unlock")
	larch.keep("error-offline", "Heron\n", "invite", "new")
	larch.keep("online", "", "online")
	alder.run("pass alder\n", "online")
	invitation := regexp.MustCompile(`BC1:[A-Z2-7]+`).FindString(larch.keep("invite-new", "Alder desk\n", "invite", "new"))
	alder.keep("invite-accept", invitation+"\nLarch\n", "invite", "accept")
	for _, g := range []goldenHome{larch, alder} {
		g.until(`"words_ready":true`, "contact", "show", "1")
	}
	larch.run("Heron\n", "invite", "new")
	larch.keep("invite-list", "", "invite", "list")
	larch.keep("invite-cancel", "", "invite", "cancel", "2")
	larch.keep("contact-list", "", "contact", "list")
	larch.keep("contact-show", "", "contact", "show", "1")
	larch.keep("error-no-contact", "", "contact", "show", "alder-dusk")
	larch.keep("error-nothing-paused", "", "contact", "resume", "1")
	larch.keep("contact-verify-show", "", "contact", "verify", "1", "--show")
	larch.keep("error-words", "abandon abandon abandon\n", "contact", "verify", "1")
	var words struct{ Words []string }
	if err := json.Unmarshal([]byte(alder.run("", "contact", "verify", "1", "--show")), &words); err != nil {
		t.Fatal(err)
	}
	larch.keep("contact-verify", strings.Join(words.Words, "\n")+"\n", "contact", "verify", "1")
	larch.keep("send", "Two is fine.", "send", "1", "--wait")
	alder.run("Seven, then.", "send", "1", "--wait")
	larch.keep("read", "", "read", "1")
	larch.keep("route-show", "", "route", "show", "1")
	larch.keep("route-set", "", "route", "set", "1", "direct")
	larch.keep("error-no-network", "", "route", "set", "1", "relayed")
	keepFiles(t, larch, alder)
	alder.run("", "lock")
	larch.until(`"connected":false`, "contact", "show", "1")
	larch.keep("error-not-delivered", "Later.", "send", "1", "--wait", "--timeout", "1s")
	larch.keep("error-too-late", "", "recall", "1", "1")
	larch.keep("recall", "", "recall", "1", "6")
	transcript := filepath.Join(dir, "t.bct")
	larch.keep("forge-from", "", "forge", "from", "1", "--out", transcript)
	larch.keep("forge-check", "", "forge", "check", transcript)
	larch.keep("forge", "Larch\nHeron\nLarch: Yes.\n.\n", "forge", "--out", filepath.Join(dir, "u.bct"))
	larch.keep("status", "", "status")
	larch.keep("read-search", "SEVEN\n", "read", "1", "--search")
	larch.keepLine("chat", `{"v":1,"contact":{`, "/state\n/quit\n", "chat", "--plain", "1")
	larch.keep("message-edit", "Eight, then.", "message", "edit", "1", "2")
	larch.keep("message-remove", "", "message", "remove", "1", "1")
	larch.keep("contact-rename", "Heron\n", "contact", "rename", "1")
	larch.keep("error-not-the-name", "Larch\n", "burn", "1")
	larch.keep("burn", "Heron\n", "burn", "1")
	larch.keep("vault-info", "", "vault", "info")
	larch.keep("vault-passphrase", "pass larch\nother\nless\n", "vault", "passphrase")
	keepRecovery(t, larch, alder)
	larch.keep("contact-remove", "Heron\n", "contact", "remove", "1")
	larch.keep("lock", "", "lock")
	larch.keep("node-stop", "", "node", "stop")
	larch.keep("burn-all", "", "burn", "--all", "--now")
}

// keepRecovery puts Alder's vault back to an older state, and keeps what goes on
// after it.
func keepRecovery(t *testing.T, larch, alder goldenHome) {
	t.Helper()
	vault, older := filepath.Join(alder.home, "vault"), filepath.Join(alder.home, "older")
	if err := os.CopyFS(older, os.DirFS(vault)); err != nil { // it is locked
		t.Fatal(err)
	}
	alder.run("pass alder\n", "online")
	larch.run("Once more.", "send", "1", "--wait")
	alder.run("", "lock")
	if err := errors.Join(os.RemoveAll(vault), os.Rename(older, vault), os.Chmod(vault, 0o700)); err != nil {
		t.Fatal(err)
	}
	alder.run("pass alder\n", "online")
	larch.until(`"paused":true`, "contact", "show", "1")
	larch.keep("contact-resume", "", "contact", "resume", "1")
}

// keepFiles keeps the answers of the commands about files.
func keepFiles(t *testing.T, larch, alder goldenHome) {
	t.Helper()
	path, in := filepath.Join(larch.home, "report.txt"), filepath.Join(larch.home, "in")
	if err := os.WriteFile(path, []byte("One line.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	larch.keep("file-send", path+"\n", "file", "send", "1")
	larch.keep("error-no-file", "", "file", "remove", "1", "99")
	alder.until(`"waits_for_you`, "file", "list", "1")
	alder.run("", "file", "remove", "1", "3")
	larch.until(`declined`, "file", "list", "1")
	alder.run(path+"\n", "file", "send", "1")
	larch.until(`"waits_for_you`, "file", "list", "1")
	larch.keep("error-file-exists", path+"\n", "file", "save", "1", "4")
	larch.keep("file-save", in+"\n", "file", "save", "1", "4", "--wait")
	larch.keep("file-list", "", "file", "list", "1")
	larch.run(path+"\n", "file", "send", "1")
	alder.until(`"waits_for_you`, "file", "list", "1")
	larch.keep("file-remove", "", "file", "remove", "1", "5")
	larch.keep("error-file-over", "", "file", "remove", "1", "5")
}
