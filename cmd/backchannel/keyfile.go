package main

import (
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/store"
)

func keyFileFlag(c *cobra.Command, path *string, what string) {
	c.Flags().StringVar(path, "key-file", "", what)
}

// absolute makes a path mean the same to the node, which runs in another folder.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", usage("the path of the key file is malformed", "backchannel setup --help")
	}
	return whole, nil
}

func checkKeyFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", usage("the path of the key file has to be given from the root on", "backchannel config set key-file /media/stick/key")
	}
	return filepath.Clean(path), nil
}

// notOfVault refuses the vault's key file for something that lasts longer than its
// secret: the next burning would make that unreadable.
func (a *app) notOfVault(path string) error {
	p, err := a.paths()
	if err != nil || path == "" {
		return err
	}
	whole, err := absolute(path)
	if err != nil {
		return err
	}
	if s, err := p.settings(); err == nil && s.KeyFile != "" && sameFile(s.KeyFile, whole) {
		return usage("that is the key file of the vault, whose secret changes when you burn", "name another one: backchannel backup make --key-file PATH FILE")
	}
	return nil
}

// sameFile reports whether two paths lead to one file, or are the same.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, otherErr := os.Stat(b)
	return a == b || err == nil && otherErr == nil && os.SameFile(one, other)
}

// setKeyFile has the settings name the key file of a vault that was made: none, if
// one stands there that an earlier vault had.
func (p paths) setKeyFile(path string) error {
	s, err := p.settings()
	if err != nil || s.KeyFile == path {
		return nil //nolint:nilerr // settings that cannot be read are told with the next command
	}
	s.KeyFile = path
	return p.write(s)
}

// vaultKeyFile makes a key file for a vault that has none. Whatever the moment of a
// crash, the vault opens: the file counts as none until the node has taken it.
func (a *app) vaultKeyFile(cmd *cobra.Command, path string) error {
	path, err := absolute(path)
	if err != nil {
		return err
	}
	if err := a.canWrite(cmd); err != nil {
		return err
	}
	p, err := a.paths()
	if err != nil {
		return err
	}
	s, err := p.settings()
	if err != nil {
		return err
	}
	if s.KeyFile != "" && s.KeyFile != path {
		return store.ErrKeyFileExists
	}
	if err := store.MakeKeyFile(path); err != nil {
		return err
	}
	s.KeyFile = path
	if err := p.write(s); err != nil {
		return err
	}
	a.timeout = max(a.timeout, rekeyTime)
	var d control.Done
	if err := a.call(cmd, "vault/key-file", control.KeyFileRequest{Path: path}, &d); err != nil {
		return err
	}
	return a.answer(d, func() {
		a.say("Done. Every passphrase needs the key file from now on, and nobody can make it again.\nTake it out when the vault is locked.")
		a.say("A copy of this disk that was made before opens without it.")
	})
}

// keyFileOf is the key file that the settings name, also where they cannot be read as a
// whole: a vault that is burned must not leave it because of another line.
func (p paths) keyFileOf() string {
	text, err := p.configText()
	if err != nil {
		return ""
	}
	if s, err := parseSettings(text); err == nil {
		return s.KeyFile
	}
	if m := keyFileLine.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

var keyFileLine = regexp.MustCompile(`(?m)^\s*key-file\s*=\s*["']([^"'\n]+)["']`)

// What became of the key file of a vault that is burned.
const (
	keyFileGone control.Word = "overwritten"
	keyFileLeft control.Word = "not_overwritten"
)

// burnKeyFile writes over the key file, if the vault has one. It ends in the
// background: a stick may take long.
func burnKeyFile(path string) <-chan control.Word {
	done := make(chan control.Word, 1)
	if path == "" {
		done <- ""
		return done
	}
	go func() {
		if store.DestroyKeyFile(path) != nil {
			done <- keyFileLeft
			return
		}
		done <- keyFileGone
	}()
	return done
}

// sayKeyFile says what became of it, and what that is worth.
func (a *app) sayKeyFile(state control.Word) {
	switch state {
	case keyFileGone:
		a.say("The key file was overwritten: a copy of this disk from before opens with no passphrase,\nunless somebody copied the key file, too. A stick or card can keep old blocks: if much\nhangs on it, destroy the medium.")
	case keyFileLeft:
		a.say("! The key file is not there, or could not be overwritten. As long as it or a copy of it\nexists, a copy of this disk from before opens with it and a passphrase. Destroy its medium.")
	}
}
