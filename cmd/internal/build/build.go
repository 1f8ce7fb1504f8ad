// Package build says what a program was built of.
package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Info is that, as version prints it.
type Info struct {
	V       int    `json:"v"`
	Version string `json:"version"`
	Go      string `json:"go"`
	System  string `json:"system"`
	Modules string `json:"modules"` // SHA-256, in hex
}

// Of reads what the linker put into the program. The hash is over a line
// "path version checksum" for each module in it, as `go version -m` lists them.
func Of(v int, version string) Info {
	h := sha256.New()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			fmt.Fprintf(h, "%s %s %s\n", m.Path, m.Version, m.Sum)
		}
	}
	return Info{v, version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, hex.EncodeToString(h.Sum(nil))}
}
