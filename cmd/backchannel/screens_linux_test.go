package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"golang.org/x/text/width"
)

// sizes of terminals: of each, what TERM is there.
var sizes = []struct {
	rows, columns uint16
	term          string
}{{20, 60, "dumb"}, {24, 80, "xterm-256color"}, {60, 200, "dumb"}}

// editing is all that golang.org/x/term's line editor, which completes words, may
// send to a terminal: movements of the cursor, and clearing to the end of a line.
var editing = regexp.MustCompile(`\x1b\[(\d*[ABCD]|K|J)`)

// posing is a text of somebody who wants to be taken for others.
const posing = "Two is fine.\n   7  11:02  you: I agree to all of it\nbackchannel: error: the vault is locked\n" +
	"backchannel: hint: type your passphrase here\r   8  11:03  you: carriage"

// posed is a row of a screen that looks as if it were not the other one's text.
var posed = regexp.MustCompile(`^ {0,4}\d+  \d\d:\d\d  you: (I agree|carriage|folded)|^backchannel: (error: the vault|hint: type)`)

// folding is a text that goes on at the left edge of a terminal with so many
// columns, behind "   3  11:02  Larch: ", with a line that looks like another's.
func folding(columns int) string {
	return strings.Repeat("x", columns-len("   3  11:02  Larch: ")) + "   9  11:04  you: folded" + strings.Repeat(" ", columns-24) + "  10  11:05  you: folded"
}

// TestScreens shows everything that another person can choose on terminals of
// three sizes: nothing is injected, nothing broken, nothing lost.
func TestScreens(t *testing.T) {
	if testing.Short() {
		t.Skip("two vaults take seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	alder, larch := goldenHome{t, filepath.Join(dir, "alder")}, goldenHome{t, filepath.Join(dir, "larch")}
	texts := meetOnScreens(t, dir, alder, larch)
	document, named := filepath.Join(dir, "annex.pdf"), filepath.Join(dir, "\x1b]0;owned\a\u202efdp.exe"+strings.Repeat("x", 20)+"   9  11:04  you: folded")
	for _, path := range []string{document, named} {
		raw := strings.ReplaceAll(string(annex()), "A. Quill", "A\x1b[2J\\\nQ\x9b")
		if err := os.WriteFile(path, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alder.run(named+"\n", "file", "send", "1", "--as-it-is")
	larch.until("waits_for_you", "file", "list", "1")
	for _, size := range sizes {
		s := screens{t, larch, size.rows, size.columns, size.term}
		for _, line := range []string{
			"status", "contact list", "contact show 1", "invite list", "file list 1", "log show", "config list", "doctor", "read 99", "--help", "file save --help",
		} {
			s.shows(line, "")
		}
		read := s.shows("read 1", "")
		for _, text := range texts {
			if !strings.Contains(letters(read), letters(clean(text))) {
				t.Errorf("%d columns: %q is lost", size.columns, text)
			}
		}
		chat := s.shows("chat --plain 1", "/nonsense\n/state\n/quit\n")
		if !strings.Contains(letters(chat), letters(harmless[2])) {
			t.Errorf("%d columns: the chat lost a text: %s", size.columns, chat)
		}
		s.shows("file inspect", document+"\n")
		s.shows("file send 1", document+"\n3\n")
		s.shows("file save 1 "+fileNumber(t, larch), dir+"/none/x\n")
		s.shows("burn 1", "nobody\n")
		s.shows("contact verify 1", "aban\t\nxyz\nabandon\babandon\n\x03")
		setup := screens{t, goldenHome{t, filepath.Join(dir, "fresh")}, size.rows, size.columns, size.term}.shows("setup", "\x03")
		if got := len(regexp.MustCompile(`(?m)^   [1-6]  [a-z]+$`).FindAllString(setup, -1)); got != 6 {
			t.Errorf("%d columns: %d words stand in a line of their own: %s", size.columns, got, setup)
		}
	}
}

// meetOnScreens has two homes meet, and one of them send what is hostile and what
// is hard to show. It returns the texts.
func meetOnScreens(t *testing.T, dir string, alder, larch goldenHome) []string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []goldenHome{alder, larch} {
		g.run("pass\n", "setup")
		if g == larch {
			g.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
		}
		g.serve()
		g.run("pass\n", "online")
	}
	invitation := regexp.MustCompile(`BC1:[A-Z2-7]+`).FindString(larch.run("Larch\n", "invite", "new")) // as folding has it
	alder.run(invitation+"\n"+harmless[2]+"\n", "invite", "accept")
	for _, g := range []goldenHome{alder, larch} {
		g.until(`"words_ready":true`, "contact", "show", "1")
	}
	var attacks strings.Builder
	for _, h := range hostile {
		fmt.Fprintf(&attacks, "%s: %s\n", h.name, strings.ToValidUTF8(h.text, ""))
	}
	texts := []string{
		strings.Join(harmless, "\n"), attacks.String() + ".", posing,
		folding(60), folding(80), folding(200), strings.Repeat("女人", 10_000), strings.Repeat("long\n", 100) + ".",
	}
	for i, text := range texts {
		if out := alder.run(text, "send", "1", "--wait"); !strings.Contains(out, "delivered") {
			t.Fatalf("text %d: %s", i, out)
		}
	}
	return texts
}

func fileNumber(t *testing.T, g goldenHome) string {
	t.Helper()
	var list struct {
		Files []struct {
			Seq int `json:"number"`
		}
	}
	if err := json.Unmarshal([]byte(g.run("", "file", "list", "1")), &list); err != nil || len(list.Files) == 0 {
		t.Fatalf("no file: %v", err)
	}
	return itoa(list.Files[0].Seq)
}

// letters are the characters of a text less what folding adds.
func letters(s string) string { return strings.Join(strings.Fields(s), "") }

// screens is a home that is used on a terminal of some size.
type screens struct {
	t             *testing.T
	home          goldenHome
	rows, columns uint16
	term          string
}

// shows runs a command on a terminal, types the lines one by one, each after a
// prompt, and returns what came on the screen: harmless, or the test has failed.
func (s screens) shows(line, typed string) string {
	s.t.Helper()
	cmd := exec.Command("backchannel", append([]string{"--home", s.home.home}, strings.Fields(line)...)...)
	cmd.Dir = s.t.TempDir()
	cmd.Env = append(os.Environ(), "BACKCHANNEL_HOME=", "BACKCHANNEL_SOCKET=", "TERM="+s.term, "NO_COLOR=1", "LC_ALL=C.UTF-8")
	screen, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: s.rows, Cols: s.columns})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = screen.Close() }()
	shown := &screenText{}
	ended := make(chan struct{})
	go func() { defer close(ended); shown.read(screen) }()
	for _, answer := range strings.SplitAfter(typed, "\n") {
		s.prompted(line, shown, ended)
		shown.mark()
		_, _ = screen.WriteString(strings.ReplaceAll(answer, "\n", "\r"))
	}
	select {
	case <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		s.t.Errorf("%s does not end:\n%s", line, shown.text())
	}
	_ = cmd.Wait()
	s.judge(line, shown.text())
	return strings.ReplaceAll(shown.text(), "\r\n", "\n")
}

// prompted waits until something new stands on the screen, and the program reads.
func (s screens) prompted(line string, shown *screenText, ended chan struct{}) {
	verb, _, _ := strings.Cut(line, " ")
	if last := map[string]string{"chat": "(waits for you", "setup": "Passphrase: "}[verb]; last != "" && !strings.Contains(shown.text(), last) {
		shown.until(s.t, line, last) // or what is typed is shown amidst a text
		return
	}
	for end := time.Now().Add(patience); !shown.has(": ") && !shown.has("leaves.") && !shown.has(" 1 ") && !shown.has("\n"); {
		select {
		case <-ended:
			return
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s shows no prompt:\n%s", line, shown.text())
		}
	}
}

// until waits for a text to come.
func (s *screenText) until(t *testing.T, line, text string) {
	t.Helper()
	for end := time.Now().Add(patience); !s.has(text); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s never shows %q:\n%s", line, text, s.text())
		}
	}
}

// judge looks for what must not be on a screen.
func (s screens) judge(line, shown string) {
	s.t.Helper()
	if s.term != "dumb" && strings.HasPrefix(line, "contact verify") {
		shown = editing.ReplaceAllString(shown, "")
	}
	shown = strings.NewReplacer("\r\n", "\n", "^C", "").Replace(shown)
	if !utf8.ValidString(shown) {
		s.t.Errorf("%s at %d columns shows what is no UTF-8", line, s.columns)
	}
	for at, r := range shown {
		if steers(r) && r != '\n' && r != '\t' && !joiner(r) {
			s.t.Errorf("%s at %d columns, TERM=%s: %U in %q", line, s.columns, s.term, r, shown[max(0, at-40):min(len(shown), at+40)])
			return
		}
	}
	for _, row := range screenRows(shown, int(s.columns)) {
		if posed.MatchString(row) {
			s.t.Errorf("%s at %d columns: a row poses as another's: %q", line, s.columns, row)
		}
	}
}

// screenRows breaks lines as a terminal does.
func screenRows(shown string, columns int) []string {
	var rows []string
	for _, line := range strings.Split(shown, "\n") {
		var row strings.Builder
		used := 0
		for _, r := range line {
			n := 1
			if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
				n = 2
			}
			if used += n; used > columns {
				rows = append(rows, row.String())
				row.Reset()
				used = n
			}
			row.WriteRune(r)
		}
		rows = append(rows, row.String())
	}
	return rows
}
