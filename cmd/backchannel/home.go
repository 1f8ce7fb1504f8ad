package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/backchannel/backchannel/node/control"
)

// paths are the places of one installation.
type paths struct {
	config string // config.toml
	vault  string // folder of the store
	socket string
}

// paths follows the XDG rules and their equivalents; --home puts everything into
// one folder.
func (a *app) paths() (paths, error) {
	if a.home != "" {
		home, err := filepath.Abs(a.home)
		if err != nil {
			return paths{}, noHome()
		}
		if info, err := os.Stat(home); err == nil && !info.IsDir() {
			e := noHome()
			e.Message = "the home is no folder"
			return paths{}, e
		}
		p := paths{filepath.Join(home, "config.toml"), filepath.Join(home, "vault"), filepath.Join(home, "run", "node.sock")}
		return p.withSocket(), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	p, ok := placesOf(runtime.GOOS, home, os.Getenv)
	if !ok {
		return paths{}, noHome()
	}
	return p.withSocket(), nil
}

func (p paths) withSocket() paths {
	if s := os.Getenv("BACKCHANNEL_SOCKET"); s != "" {
		p.socket = s
	}
	return p
}

// stage is where a vault is built that is restored, until it is whole.
func (p paths) stage() string { return p.vault + ".restoring" }

func noHome() *control.Error {
	return &control.Error{Code: "no_home", Exit: control.ExitFailed, Message: "no home folder is known", Hint: "name a folder: backchannel --home ./backchannel setup"}
}

// halfVault describes a folder that stands where the vault should be and is none:
// neither may setup write into it, nor can a node open it.
func (p paths) halfVault() error {
	entries, err := os.ReadDir(p.vault)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	return &control.Error{
		Code: "vault_damaged", Exit: control.ExitFailed,
		Message: "where the vault should be there are files, but not a whole vault; nothing was changed",
		Hint:    "restore the vault folder from a backup; to begin anew, move it away, then: backchannel setup",
	}
}

// passphraseFD is the file descriptor that the environment names, or -1. The
// passphrase itself never stands in a variable: children inherit those.
func passphraseFD() int {
	fd, err := strconv.Atoi(os.Getenv("BACKCHANNEL_PASSPHRASE_FD"))
	if err != nil {
		return -1
	}
	return fd
}
