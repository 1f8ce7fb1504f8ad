package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/BurntSushi/toml"

	"github.com/backchannel/backchannel/node"
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
		p := paths{filepath.Join(home, "config.toml"), filepath.Join(home, "vault"), filepath.Join(home, "run", "node.sock")}
		return p.withSocket(), nil
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return paths{}, noHome()
	}
	data, runtimeDir := os.Getenv("XDG_DATA_HOME"), os.Getenv("XDG_RUNTIME_DIR")
	if data == "" {
		data = config
		if home, err := os.UserHomeDir(); err == nil && runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
			data = filepath.Join(home, ".local", "share")
		}
	}
	if runtimeDir == "" {
		runtimeDir = filepath.Join(data, "backchannel", "run")
	} else {
		runtimeDir = filepath.Join(runtimeDir, "backchannel")
	}
	p := paths{
		filepath.Join(config, "backchannel", "config.toml"), filepath.Join(data, "backchannel", "vault"),
		filepath.Join(runtimeDir, "node.sock"),
	}
	return p.withSocket(), nil
}

func (p paths) withSocket() paths {
	if s := os.Getenv("BACKCHANNEL_SOCKET"); s != "" {
		p.socket = s
	}
	return p
}

func noHome() error {
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

// settings reads config.toml; a missing file is the zero Settings.
func (p paths) settings() (node.Settings, error) {
	var s node.Settings
	meta, err := toml.DecodeFile(p.config, &s)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return s, &control.Error{Code: "bad_config", Exit: control.ExitFailed, Message: "config.toml cannot be read", Hint: "mend or delete it, then: backchannel node listen"}
	case len(meta.Undecoded()) > 0:
		return s, &control.Error{Code: "bad_config", Exit: control.ExitFailed, Message: "config.toml holds a setting that this version does not know: " + clean(meta.Undecoded()[0].String()), Hint: "delete that line, then repeat the command"}
	}
	return s, nil
}

// write replaces config.toml whole.
func (p paths) write(s node.Settings) error {
	failed := func(err error) error {
		var pathError *fs.PathError
		reason := "input or output error"
		if errors.As(err, &pathError) {
			reason = pathError.Err.Error()
		}
		return &control.Error{Code: "no_config", Exit: control.ExitFailed, Message: "writing config.toml: " + reason, Hint: "check that the folder can be written"}
	}
	if err := os.MkdirAll(filepath.Dir(p.config), 0o700); err != nil {
		return failed(err)
	}
	f, err := os.CreateTemp(filepath.Dir(p.config), ".config-*")
	if err != nil {
		return failed(err)
	}
	err = errors.Join(toml.NewEncoder(f).Encode(s), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), p.config)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return failed(err)
	}
	return nil
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
