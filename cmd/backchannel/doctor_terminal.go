package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func (d *doctor) checkTerminal() {
	if runtime.GOOS != "windows" && !utf8Locale(os.Getenv) {
		d.warn("terminal", "export LC_ALL=C.UTF-8", "the locale is not UTF-8: names and texts may be shown wrong")
	}
	switch {
	case !d.onTerminal:
		return
	case os.Getenv("TERM") == "dumb":
		d.warn("terminal", "use another terminal", "this terminal cannot hide what is typed on it or clear itself (TERM=dumb)")
	case os.Getenv("STY") != "" || os.Getenv("TMUX") != "":
		d.note("terminal", "", "screen or tmux keeps what was shown after this program has ended: clear its history, too")
	default:
		d.note("terminal", "", "what was shown stays in this terminal's scrollback: close the window after use")
	}
}

// utf8Locale looks at what the C library would take for characters.
func utf8Locale(env func(string) string) bool {
	if runtime.GOOS == "darwin" {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := env(name); v != "" {
			v = strings.ToLower(strings.ReplaceAll(v, "-", ""))
			return strings.Contains(v, "utf8")
		}
	}
	return false
}

// Variables that the program reads.
var variables = []string{"BACKCHANNEL_HOME", "BACKCHANNEL_SOCKET", "BACKCHANNEL_PASSPHRASE_FD"}

// checkEnvironment finds what somebody may have put into a variable that every
// child of the shell inherits. Neither names nor values are repeated.
func (d *doctor) checkEnvironment() {
	clean := true
	if v := os.Getenv("BACKCHANNEL_PASSPHRASE_FD"); v != "" {
		if _, err := strconv.Atoi(v); err != nil {
			clean = false
			d.warn("environment", "unset BACKCHANNEL_PASSPHRASE_FD; if it was the passphrase, change it", "BACKCHANNEL_PASSPHRASE_FD is not the number of a file descriptor")
		}
	}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "BACKCHANNEL_") && !slices.Contains(variables, name) {
			clean = false
			d.warn("environment", "unset it; nothing secret belongs into a variable", "there is a variable BACKCHANNEL_… that this program does not read")
		}
	}
	if clean {
		d.ok("environment", "nothing secret is in the environment; on command lines use a contact's number, a name stays in the shell's history")
	}
}
