package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

// ok and skipped stand in a row of wrongUse where no error is wanted, or where
// the cell does not exist for the command.
const (
	ok      = control.ExitDone
	skipped = -1
)

// wrongUse has a row for every command that can be run. call is right as far as
// the cell allows: CONTACT and NUMBER are filled in, and NEW is a name of a file
// that is not there.
var wrongUse = map[string]struct {
	call     string
	noNode   int // no node runs, and there is no vault
	locked   int
	stranger int // CONTACT is nobody
	absent   int // NUMBER is no message and no file
	bare     int // no arguments, and an input without a line
	noHome   int // the home is a file, and so no home
	readOnly int // as the home is that is on a disk for reading only
}{
	"setup":              {"setup", 2, 1, skipped, skipped, 1, 1, 1},
	"node run":           {"node run", 1, 1, skipped, skipped, 1, 1, 1},
	"node stop":          {"node stop", 3, skipped, skipped, skipped, skipped, 1, 3},
	"node listen":        {"node listen off", skipped, skipped, skipped, skipped, ok, 1, 1},
	"unlock":             {"unlock", 3, 2, skipped, skipped, 2, 1, 3},
	"online":             {"online", 3, 2, skipped, skipped, ok, 1, 3},
	"lock":               {"lock", 3, ok, skipped, skipped, skipped, 1, 3},
	"status":             {"status", 3, ok, skipped, skipped, ok, 1, 3},
	"invite new":         {"invite new", 3, 4, skipped, skipped, 2, 1, 3},
	"invite accept":      {"invite accept", 3, 4, skipped, skipped, 2, 1, 3},
	"invite list":        {"invite list", 3, 4, skipped, skipped, ok, 1, 3},
	"invite cancel":      {"invite cancel CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"contact list":       {"contact list", 3, 4, skipped, skipped, ok, 1, 3},
	"contact show":       {"contact show CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"contact resume":     {"contact resume CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"contact verify":     {"contact verify CONTACT --timeout 1s", 3, 4, 5, skipped, 2, 1, 3},
	"contact rename":     {"contact rename CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"contact remove":     {"contact remove CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"send":               {"send CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"recall":             {"recall CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"read":               {"read CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"file inspect":       {"file inspect", 2, 2, skipped, skipped, 2, 2, 2},
	"file send":          {"file send CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"file list":          {"file list CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"file save":          {"file save CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"file remove":        {"file remove CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"chat":               {"chat --plain CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"message edit":       {"message edit CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"message remove":     {"message remove CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"burn":               {"burn CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"vault info":         {"vault info", 3, 4, skipped, skipped, ok, 1, 3},
	"vault key-file":     {"vault key-file NEW", 3, 4, skipped, skipped, 2, 1, 3},
	"vault passphrase":   {"vault passphrase", 3, 4, skipped, skipped, 2, 1, 3},
	"forge":              {"forge --out NEW", 2, 2, skipped, skipped, 2, 2, 2},
	"forge check":        {"forge check NEW", 2, 2, skipped, skipped, 2, 2, 2},
	"forge from":         {"forge from CONTACT --change NUMBER --out NEW", 3, 4, 5, 5, 2, 1, 3},
	"version":            {"version", ok, ok, skipped, skipped, ok, ok, ok},
	"demo":               {"demo", skipped, skipped, skipped, skipped, skipped, skipped, skipped},
	"log show":           {"log show", 3, ok, skipped, skipped, ok, 1, 3},
	"log level":          {"log level", 3, ok, skipped, skipped, ok, 1, 3},
	"config list":        {"config list", ok, ok, skipped, skipped, ok, 1, ok},
	"config get":         {"config get rest", ok, ok, skipped, skipped, 2, 1, ok},
	"config set":         {"config set rest 10", skipped, skipped, skipped, skipped, 2, 1, 1},
	"config unset":       {"config unset address", ok, skipped, skipped, skipped, 2, 1, 1},
	"doctor":             {"doctor", skipped, skipped, skipped, skipped, skipped, skipped, skipped},
	"completion":         {"completion bash", ok, ok, skipped, skipped, 2, ok, ok},
	"man":                {"man", ok, ok, skipped, skipped, ok, ok, ok},
	"backup make":        {"backup make NEW", 3, 4, skipped, skipped, 2, 1, 3},
	"backup check":       {"backup check NEW", 1, 1, skipped, skipped, 2, 1, 1},
	"backup restore":     {"backup restore NEW", 1, 1, skipped, skipped, 1, 1, 1},
	"move out":           {"move out NEW", 1, 1, skipped, skipped, 2, 1, 1},
	"move in":            {"move in NEW", 1, 1, skipped, skipped, 1, 1, 1},
	"move cancel":        {"move cancel", 1, 2, skipped, skipped, 2, 1, 2},
	"mandate key":        {"mandate key NEW", 1, 1, skipped, skipped, 2, 1, 1},
	"mandate request":    {"mandate request CONTACT --out NEW", 3, 4, 5, skipped, 2, 1, 3},
	"mandate issue":      {"mandate issue --key NEW --request NEW --out NEW", 1, 1, skipped, skipped, 2, 1, 1},
	"mandate import":     {"mandate import NEW", 1, 1, skipped, skipped, 2, 1, 1},
	"mandate show":       {"mandate show CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"mandate list":       {"mandate list", 3, 4, skipped, skipped, ok, 1, 3},
	"mandate check":      {"mandate check CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"mandate withdraw":   {"mandate withdraw NEW --key NEW", 2, 2, skipped, skipped, 2, 2, 2},
	"communique draft":   {"communique draft CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"communique diff":    {"communique diff CONTACT 1 2", 3, 4, 5, 5, 2, 1, 3},
	"communique sign":    {"communique sign CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"communique publish": {"communique publish CONTACT NUMBER --out NEW", 3, 4, 5, 6, 2, 1, 3},
	"communique verify":  {"communique verify NEW", 1, 1, skipped, skipped, 2, 1, 1},
	"communique list":    {"communique list CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"channel open":       {"channel open CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"channel accept":     {"channel accept CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"channel decline":    {"channel decline CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"channel show":       {"channel show CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"channel amend":      {"channel amend CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"channel close":      {"channel close CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"channel list":       {"channel list", 3, 4, skipped, skipped, ok, 1, 3},
	"network join":       {"network join NEW", 2, 2, skipped, skipped, 2, 1, 2},
	"network show":       {"network show", ok, ok, skipped, skipped, ok, 1, ok},
	"network leave":      {"network leave", ok, ok, skipped, skipped, ok, 1, 1},
	"route show":         {"route show CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"route set":          {"route set CONTACT direct", 3, 4, 5, skipped, 2, 1, 3},
	"route avoid":        {"route avoid north", 9, 9, skipped, skipped, 9, 1, 9},
	"route allow":        {"route allow north", 9, 9, skipped, skipped, 2, 1, 9},

	"contact introduce":     {"contact introduce CONTACT CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"contact introductions": {"contact introductions", 3, 4, skipped, skipped, ok, 1, 3},
	"contact accept":        {"contact accept CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"contact decline":       {"contact decline CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"sounding new":          {"sounding new CONTACT --at 48h", 3, 4, 5, skipped, 2, 1, 3},
	"sounding list":         {"sounding list CONTACT", 3, 4, 5, skipped, ok, 1, 3},
	"sounding show":         {"sounding show CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"sounding drop":         {"sounding drop CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"shuttle open":          {"shuttle open CONTACT CONTACT --until 48h", 3, 4, 5, skipped, 2, 1, 3},
	"shuttle offer":         {"shuttle offer CONTACT", 3, 4, 5, skipped, 2, 1, 3},
	"shuttle release":       {"shuttle release CONTACT NUMBER --to 2", 3, 4, 5, 5, 2, 1, 3},
	"shuttle drop":          {"shuttle drop CONTACT NUMBER", 3, 4, 5, 5, 2, 1, 3},
	"shuttle show":          {"shuttle show CONTACT", 3, 4, 5, skipped, ok, 1, 3},
}

// TestWrongUse calls every command wrongly, in every way that the table knows: as
// a process for a person, and at the same time with --json for a script. What
// comes is an exit code of the table, and an error in our words.
func TestWrongUse(t *testing.T) {
	larch := misused{t, t.TempDir()}
	larch.each(func(path string) {
		larch.fails(path+" a b c d", control.ExitUsage, inside)
		larch.fails(path+" --velvet", control.ExitUsage, inside)
		larch.fails(path+" --yes=velvet", control.ExitUsage, inside)
		larch.cell(wrongUse[path].call, wrongUse[path].noNode)
	})
	nowhere := misused{t, filepath.Join(larch.home, "file")}
	if err := os.WriteFile(nowhere.home, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere.each(func(path string) { nowhere.cell(wrongUse[path].call, wrongUse[path].noHome, inside) })
	if err := os.Remove(nowhere.home); err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		return // a vault takes seconds
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	served := goldenHome{t, larch.home}
	served.run("pass larch\n", "setup")
	served.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	larch.onReadOnlyDisk()
	served.serve()
	larch.each(func(path string) { larch.cell(wrongUse[path].call, wrongUse[path].locked, inside) })
	larch.closed("unlock", control.ExitUsage)
	served.run("pass larch\n", "online")
	if out := served.run("Heron\n", "invite", "new"); !strings.Contains(out, "BC1:") {
		t.Fatalf("no contact to use wrongly: %s", out)
	}
	larch.each(func(path string) {
		row := wrongUse[path]
		larch.cell(strings.NewReplacer("CONTACT", "quillfeather", "NUMBER", "1").Replace(row.call), row.stranger)
		larch.cell(strings.NewReplacer("CONTACT", "99", "NUMBER", "1").Replace(row.call), row.stranger, inside)
		larch.cell(strings.NewReplacer("CONTACT", "1", "NUMBER", "99").Replace(row.call), row.absent)
		if strings.Contains(row.call, "NUMBER") {
			larch.fails(strings.NewReplacer("CONTACT", "1", "NUMBER", "velvet").Replace(row.call), control.ExitUsage, inside)
		}
		bare := path
		if path == "chat" {
			bare = "chat --plain"
		}
		larch.cell(bare, row.bare, inside)
		if row.bare != skipped {
			larch.closed(bare, row.bare)
		}
	})
	larch.twoAtOnce()
}

// twoAtOnce runs commands that change much against themselves.
func (m misused) twoAtOnce() {
	fresh := misused{m.t, filepath.Join(m.home, "fresh")}
	fresh.twice("setup", "pass fresh\n", ok, 1)
	fresh.twice("config set rest 10", "", ok)
	fresh.twice("burn --all --now", "", ok, 1)
	m.twice("invite new", "Larch\n", ok, control.ExitUsage) // one name, two contacts
	m.twice("invite cancel 2", "", ok, control.ExitNoContact)
	m.twice("lock", "", ok)
	m.twice("unlock", "pass larch\n", ok)
	m.twice("node run", "", 1)
	m.twice("node stop", "", ok, control.ExitNotRunning)
}

// twice runs a command against itself; each may end with any of the codes.
func (m misused) twice(line, input string, codes ...int) {
	m.t.Helper()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			cmd := exec.Command("backchannel", append([]string{"--home", m.home}, strings.Fields(line)...)...)
			cmd.Stdin = strings.NewReader(input)
			m.process(line+", twice at once", codes[0], cmd, codes[1:]...)
		})
	}
	both.Wait()
}

// misused is a home that is used wrongly.
type misused struct {
	t    *testing.T
	home string
}

// each goes through all commands that can be run; none may be missing in the table.
func (m misused) each(f func(path string)) {
	seen := 0
	everyCommand((&app{}).root(), nil, func(c *cobra.Command, path []string) {
		name := strings.Join(path, " ")
		if !c.Runnable() || c.HasSubCommands() && c.Name() != "forge" {
			return
		}
		seen++
		if _, listed := wrongUse[name]; !listed {
			m.t.Errorf("%s is missing in wrongUse", name)
			return
		}
		f(name)
	})
	if seen != len(wrongUse) {
		m.t.Errorf("%d commands were found, wrongUse lists %d", seen, len(wrongUse))
	}
}

// cell makes one call; skipped means that there is no such cell.
func (m misused) cell(line string, code int, w ...where) {
	if code != skipped {
		m.fails(strings.NewReplacer("CONTACT", "1", "NUMBER", "1").Replace(line), code, w...)
	}
}

// where a call is made: in a process of its own, or inside the test, which takes
// a hundredth of the time.
type where bool

const inside where = true

// fails makes a call twice at once: for a person, and for a script.
func (m misused) fails(line string, code int, w ...where) {
	m.t.Helper()
	args := append([]string{"--home", m.home}, strings.Fields(strings.ReplaceAll(line, "NEW", filepath.Join(m.home, "none", "t.bct")))...)
	within := func(args []string, forScript bool) {
		var out, errOut bytes.Buffer
		m.judge(line, code, run(args, strings.NewReader(""), &out, &errOut), out.String(), errOut.String(), forScript)
	}
	var both sync.WaitGroup
	both.Go(func() { within(append(args[:len(args):len(args)], "--json"), true) })
	both.Go(func() {
		if len(w) > 0 {
			within(args, false)
			return
		}
		cmd := exec.Command("backchannel", args...)
		cmd.Stdin = strings.NewReader("")
		m.process(line, code, cmd)
	})
	both.Wait()
}

// closed makes a call whose standard input is no open file at all.
func (m misused) closed(line string, code int) {
	m.t.Helper()
	cmd := exec.Command("sh", "-c", `exec backchannel --home "$0" "$@" <&-`, m.home)
	cmd.Args = append(cmd.Args, strings.Fields(line)...)
	m.process(line+" <&-", code, cmd)
}

// process runs a process, which is to end with the code, or one of the others.
func (m misused) process(line string, code int, cmd *exec.Cmd, others ...int) {
	m.t.Helper()
	cmd.Env = append(os.Environ(), "BACKCHANNEL_HOME=", "BACKCHANNEL_SOCKET=")
	cmd.Dir = filepath.Dir(m.home)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		m.t.Fatal(err)
	}
	got := cmd.ProcessState.ExitCode()
	if slices.Contains(others, got) {
		code = got
	}
	m.judge(line, code, got, out.String(), errOut.String(), false)
}

var stack = regexp.MustCompile(`panic|goroutine \d|runtime error|\.go:\d+|0x[0-9a-f]{6}`)

// judge looks at how a call ended.
func (m misused) judge(line string, want, got int, out, errOut string, forScript bool) {
	m.t.Helper()
	wrong := func(format string, args ...any) {
		m.t.Helper()
		m.t.Errorf("%s (--json %v): %s\n%s%s", line, forScript, fmt.Sprintf(format, args...), out, errOut)
	}
	if got != want {
		wrong("exit code %d, want %d", got, want)
		return
	}
	if stack.MatchString(errOut) {
		wrong("a stack, or an address in memory")
	}
	if strings.Contains(errOut, "velvet") || strings.Contains(errOut, "quillfeather") {
		wrong("what was typed is repeated")
	}
	if got == ok {
		return
	}
	if out != "" {
		wrong("an error, and an answer")
	}
	if forScript {
		var answer struct {
			V     int
			Error control.Error
		}
		if err := json.Unmarshal([]byte(errOut), &answer); err != nil || answer.V != 1 || answer.Error.Exit != want || answer.Error.Code == "" || answer.Error.Hint == "" || strings.Count(errOut, "\n") != 1 {
			wrong("no error object with a hint")
		}
		return
	}
	lines := strings.Split(strings.TrimSuffix(errOut, "\n"), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "backchannel: error: ") })
	if at < 0 || at > 1 || at != len(lines)-2 || !strings.HasPrefix(lines[at+1], "backchannel: hint: ") {
		wrong("it does not end with an error and its hint")
	}
}
