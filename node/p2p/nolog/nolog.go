// Package nolog throws away what libp2p would log: its lines are full of addresses
// and peer IDs. Who uses libp2p imports it for its effect.
//
// That has to happen before libp2p's packages are initialized. One of them writes to
// standard error past every handler (one connection in a hundred, by its peer ID), and
// reads when it is initialized, from the environment alone, whether to. Go initializes
// packages that wait for nothing more in the order of their import paths, and ours
// comes before libp2p's; the test would see if that ever changed.
package nolog

import (
	"log/slog"
	"os"

	"github.com/libp2p/go-libp2p/gologshim"
)

func init() { //nolint:gochecknoinits // nothing later is early enough
	_ = os.Unsetenv("GOLOG_LOG_LEVEL")
	gologshim.SetDefaultHandler(slog.DiscardHandler)
}
