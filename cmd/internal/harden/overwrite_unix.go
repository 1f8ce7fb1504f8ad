//go:build unix

package harden

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Overwrite has the runtime write over every piece of memory that its collector frees.
// Without that an image of the process shows who came hours ago, until something else
// takes the place. Go reads the setting from the environment when a process begins, and
// there alone: so the program begins anew, with the same number, arguments and streams.
// Nothing may be open yet, and what Overwrite returns is nil in the process that begins.
// A GODEBUG that says something about it already is left as it is.
func Overwrite() error {
	const variable, setting = "GODEBUG", "clobberfree="
	said := os.Getenv(variable)
	if strings.Contains(said, setting) {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program: %w", err)
	}
	if said != "" {
		said += ","
	}
	others := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, variable+"=") })
	return syscall.Exec(program, os.Args, append(others, variable+"="+said+setting+"1")) //nolint:gosec // the program itself
}
