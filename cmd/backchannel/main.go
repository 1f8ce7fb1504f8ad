// Command backchannel is a principal's program: it runs the node of one machine
// and talks to it. See docs/README.md.
package main

import (
	"os"

	"github.com/backchannel/backchannel/cmd/internal/harden"
)

// version is set when a release is built.
var version = "dev"

func main() {
	harden.Process()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
