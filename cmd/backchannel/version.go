package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/backchannel/backchannel/node/control"
)

// versionAnswer says what a program was built of.
type versionAnswer struct {
	V       int    `json:"v"`
	Version string `json:"version"`
	Go      string `json:"go"`
	System  string `json:"system"`
	Modules string `json:"modules"` // SHA-256, in hex
}

// versionOf reads what the linker put into the program. The hash is over a line
// "path version checksum" for each module in it, as `go version -m` lists them.
func versionOf() versionAnswer {
	h := sha256.New()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			fmt.Fprintf(h, "%s %s %s\n", m.Path, m.Version, m.Sum)
		}
	}
	return versionAnswer{control.Version, version, runtime.Version(), systemName(), hex.EncodeToString(h.Sum(nil))}
}
