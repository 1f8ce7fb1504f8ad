package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/protocol/directory"
)

// A home is the folder of one relay:
//
//	relay.toml     settings
//	relay.key      its identity
//	network.pem    the network file
//	descriptor     epoch and sequence of its last descriptor
//	drop/          boxes, and the keys of their days
//	run/relay.sock the local socket
type home string

// systemHome is where a relay lies that the system starts.
const systemHome = "/var/lib/backchannel-relay"

func (h home) settingsFile() string { return filepath.Join(string(h), "relay.toml") }
func (h home) keyFile() string      { return filepath.Join(string(h), "relay.key") }
func (h home) drop() string         { return filepath.Join(string(h), "drop") }
func (h home) socket() string       { return filepath.Join(string(h), "run", "relay.sock") }
func (h home) networkFile() string  { return filepath.Join(string(h), "network.pem") }

// place returns the home: that of --home, that of the system if there is one, or one in
// the folder of the person.
func (a *app) place() (home, error) {
	if a.home != "" {
		path, err := filepath.Abs(a.home)
		return home(path), err
	}
	if info, err := os.Stat(systemHome); err == nil && info.IsDir() {
		return systemHome, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return home(filepath.Join(dir, "backchannel-relay")), nil
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return "", &fault{"no_home", exitFailed, "no home folder is known", "name a folder: backchannel-relay --home relay init --address 203.0.113.7:4129 --operator alpha"}
	}
	return home(filepath.Join(dir, ".local", "share", "backchannel-relay")), nil
}

// network reads the network file, and refuses one that is not finished.
func (h home) network() (*directory.File, error) {
	f, err := readNetwork(h.networkFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault{"no_network", exitFailed, "there is no network file here yet", "put the file that the founders gave you at " + h.networkFile() + ", then: backchannel-relay check"}
	}
	if err != nil {
		return nil, err
	}
	if err := f.Verify(); err != nil {
		return nil, err
	}
	return f, nil
}

// readNetwork reads a network file or a draft of one.
func readNetwork(path string) (*directory.File, error) {
	text, err := readBounded(path, 2*directory.MaxFile)
	if err != nil {
		return nil, err
	}
	return directory.ParseFileText(text)
}

// readBounded reads a file that is not longer than most.
func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, &fault{"bad_file", exitFailed, "a file is too long, or none", "check which file it is"}
	}
	return os.ReadFile(path)
}

// replace writes a file beside its place and moves it there.
func replace(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// create writes a file that must not be there yet.
func create(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return &fault{"file_exists", exitUsage, "there is a file of that name already; nothing was changed", "take another name, or move it away"}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}
