package main

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestManual writes every page: nothing in it is taken for a request that was not
// meant, and readers of manual pages that are installed find no fault.
func TestManual(t *testing.T) {
	request := regexp.MustCompile(`^\.(TH|SH|TP|PP|br|nf|fi)( "[^"]*")*$`)
	root := (&app{}).root()
	everyCommand(root, nil, func(c *cobra.Command, _ []string) {
		page := manual(c)
		for _, want := range []string{`.SH "NAME"`, `.SH "SYNOPSIS"`, `.SH "DESCRIPTION"`, `.SH "SEE ALSO"`} {
			if !strings.Contains(page, want+"\n") {
				t.Errorf("%s lacks %s", pageName(c), want)
			}
		}
		for i, line := range strings.Split(page, "\n") {
			if strings.HasPrefix(line, ".") && !request.MatchString(line) || strings.HasPrefix(line, "'") {
				t.Errorf("%s:%d is taken for a request: %s", pageName(c), i+1, line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' }) {
				t.Errorf("%s:%d is not ASCII: %s", pageName(c), i+1, line)
			}
		}
		for _, reader := range [][]string{{"groff", "-man", "-ww", "-z", "-Tutf8"}, {"mandoc", "-Tlint", "-Werror"}} {
			if _, err := exec.LookPath(reader[0]); err != nil {
				continue
			}
			cmd := exec.Command(reader[0], reader[1:]...)
			cmd.Stdin = strings.NewReader(page)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 && reader[0] == "groff" {
				t.Errorf("%s of %s: %v %s", reader[0], pageName(c), err, out)
			}
		}
	})
	top := manual(root)
	for _, want := range []string{`.SH "EXIT STATUS"`, `.SH "ENVIRONMENT"`, `.SH "FILES"`, `\fB130\fR`, `\fBBACKCHANNEL_SOCKET\fR`, `\fB\-\-passphrase\-fd int\fR`} {
		if !strings.Contains(top, want) {
			t.Errorf("backchannel(1) lacks %s", want)
		}
	}
}

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		".so /etc/passwd": `\&.so /etc/passwd`, "'x": `\&\(aqx`, `\*x`: `\e*x`, "--json": `\-\-json`, "…": `\[u2026]`, "a.b": "a.b",
	} {
		if got := escape(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestCompletionAsksNobody completes after every command as a shell does: commands
// and fixed words are offered, and no file and no contact.
func TestCompletionAsksNobody(t *testing.T) {
	t.Setenv("BACKCHANNEL_HOME", t.TempDir()) // where no node answers
	offers := 0
	everyCommand((&app{}).root(), nil, func(c *cobra.Command, path []string) {
		for _, typed := range []string{"", "a"} {
			var out, errOut bytes.Buffer
			if code := run(append(append([]string{"__complete"}, path...), typed), strings.NewReader(""), &out, &errOut); code != 0 {
				t.Errorf("%v: exit %d, %s", path, code, errOut.String())
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != ":4" && len(path) > 0 {
				t.Errorf("%v %q: the shell may offer files (%s)", path, typed, last)
			}
			if c.Runnable() && !c.HasSubCommands() && len(c.ValidArgs) == 0 && c.Name() != "get" && c.Name() != "set" && c.Name() != "unset" && len(lines) > 1 {
				t.Errorf("%v %q: offers %q", path, typed, lines)
			}
			offers += len(lines) - 1
		}
	})
	if offers < 20 {
		t.Errorf("only %d words were offered", offers)
	}
}
