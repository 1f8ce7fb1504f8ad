// Command backchannel-relay is an intermediary's program: it runs a relay, and makes
// the file of a network. See docs/README.md.
package main

import (
	"os"

	"github.com/backchannel/backchannel/cmd/internal/harden"
)

// version is set when a release is built.
var version = "dev"

func main() {
	harden.Process()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
