package main

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/secret"
)

// backupCost is what trying a passphrase of a file costs.
func backupCost() backup.Cost {
	if cost == store.Cheap {
		return backup.Cheap
	}
	return backup.Standard
}

// sealedPath is the path of a backup: the argument, or what is typed.
func (a *app) sealedPath(args []string) (string, error) {
	if len(args) == 0 {
		return a.askPath("Path of the file: ")
	}
	path, err := filepath.Abs(args[0])
	if err != nil {
		return "", usage("the path of the file is malformed", "repeat the command, and give another")
	}
	return path, nil
}

// vacantPath makes sure that a file can be written where nothing is yet.
func vacantPath(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return &control.Error{Code: "file_exists", Exit: control.ExitUsage, Message: "there is something at that place already; nothing was made", Hint: "repeat the command, and give another name"}
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return &control.Error{Code: "no_folder", Exit: control.ExitFailed, Message: "there is no such folder", Hint: "make the folder, or repeat the command and name another"}
	}
	return nil
}

// writeSealed writes a file that is there whole or not at all: under a name of its own
// first, and under the right one when it is on the disk. before is called in
// between, and may still stop it. Nothing is overwritten, whatever came to be there
// meanwhile. If it is cut off, what is left can be read by nobody.
func writeSealed(path string, content []byte, before func() error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*") // for its owner alone
	if err != nil {
		return notWritten(err)
	}
	part := f.Name()
	defer func() { _ = os.Remove(part) }()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return notWritten(err)
	}
	if err := before(); err != nil {
		return err
	}
	if err := giveName(part, path); err != nil {
		return notWritten(err)
	}
	syncFolder(filepath.Dir(path))
	return nil
}

// giveName gives a file a name that nothing has: by a link, which refuses one that is
// taken, or, on a file system without links, as sticks have it, after a look.
func giveName(part, path string) error {
	err := os.Link(part, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(part, path)
}

func notWritten(err error) error {
	e := &control.Error{Code: "not_written", Exit: control.ExitFailed, Message: "the file cannot be written there", Hint: "name a folder that you may write to, with some space"}
	if errors.Is(err, fs.ErrPermission) {
		e.Message = "you may not write there"
	}
	if errors.Is(err, fs.ErrExist) {
		e.Message, e.Hint = "there is something at that place by now; it was not touched", "repeat the command, and give another name"
	}
	return e
}

// syncFolder makes a new name durable, where the system can do that.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		_ = f.Close()
	}
}

// readSealed reads a file, if it has the size of a whole one.
func readSealed(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, notRead(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, notRead(err)
	case !info.Mode().IsRegular() || !backup.ValidSize(info.Size()):
		return nil, backup.ErrSize
	}
	raw := make([]byte, info.Size())
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, notRead(err)
	}
	return raw, nil
}

func notRead(err error) error {
	e := &control.Error{Code: "unreadable", Exit: control.ExitFailed, Message: "the file cannot be read", Hint: "check the stick or disk it is on"}
	if errors.Is(err, fs.ErrNotExist) {
		e.Message, e.Hint = "there is no such file", "check its name, and that its stick or disk is in"
	}
	return e
}

// keyFile reads the second secret, if there is one. With create it is made, unless
// it is there.
func keyFile(path string, create bool) (key secret.Key, made bool, err error) {
	if path == "" {
		return secret.Key{}, false, nil
	}
	raw, err := readKeyFile(path)
	if err == nil {
		defer clear(raw)
		return secret.FromBytes(raw), false, nil
	}
	if _, missing := os.Lstat(path); !create || !errors.Is(missing, fs.ErrNotExist) {
		return secret.Key{}, false, err
	}
	if key, err = secret.Read(rand.Reader); err != nil {
		return secret.Key{}, false, err
	}
	if err := writeSealed(path, key.Bytes(), func() error { return nil }); err != nil {
		key.Wipe()
		return secret.Key{}, false, err
	}
	return key, true, nil
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, notRead(err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, secret.Size+1))
	if err != nil || len(raw) != secret.Size {
		clear(raw)
		return nil, &control.Error{Code: "no_key_file", Exit: control.ExitUsage, Message: "that is no key file: one has 32 bytes", Hint: "check which file it is"}
	}
	return raw, nil
}
