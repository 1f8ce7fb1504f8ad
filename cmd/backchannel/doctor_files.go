package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/store"
)

// checkFolders looks at the modes of what is there.
func (d *doctor) checkFolders() {
	if runtime.GOOS == "windows" {
		d.note("files", "", "who may open files could not be looked at on this system")
		return
	}
	open := false
	for _, f := range []struct {
		path, what, mend string
		others           fs.FileMode // bits that others must not have
	}{
		{d.paths.vault, "the vault's folder", "chmod 700 on the vault's folder", 0o077},
		{filepath.Dir(d.paths.socket), "the folder of the control socket", "chmod 700 on that folder", 0o077},
		{d.paths.socket, "the control socket", "restart the node: backchannel node stop", 0o077},
		{filepath.Dir(d.paths.config), "the folder of config.toml", "chmod go-w on that folder", 0o022},
		{d.paths.config, "config.toml", "chmod 600 on config.toml", 0o077},
	} {
		info, err := os.Stat(f.path)
		if err != nil {
			continue
		}
		if info.Mode().Perm()&f.others != 0 {
			open = true
			d.warn("files", f.mend, "others on this machine may use %s", f.what)
		}
	}
	if !open {
		d.ok("files", "folders, socket and config.toml are yours alone")
	}
}

func (d *doctor) checkConfig() {
	s, err := d.paths.settings()
	if err != nil {
		e := control.Describe(err)
		d.warn("config", e.Hint, "%s", e.Message)
		return
	}
	d.settings, d.readable = s, true
	if _, err := os.Stat(d.paths.config); errors.Is(err, fs.ErrNotExist) {
		d.ok("config", "there is no config.toml: every setting is as it comes")
		return
	}
	d.ok("config", "config.toml can be read")
}

// littleRoom is when the doctor warns of a full disk; the vault itself refuses to
// write a little above 4 MiB.
const littleRoom = 64 << 20

func (d *doctor) checkVault() {
	format, err := store.FormatOf(d.paths.vault)
	switch {
	case errors.Is(err, store.ErrMissing):
		if half := d.paths.halfVault(); half != nil {
			e := control.Describe(half)
			d.warn("vault", e.Hint, "%s", e.Message)
			return
		}
		d.note("vault", "backchannel setup", "there is no vault on this machine yet")
		return
	case err != nil:
		e := control.Describe(err)
		d.warn("vault", e.Hint, "%s", e.Message)
		return
	case format < store.Format:
		d.note("vault", "", "the vault is of format %d; the next unlock makes it format %d", format, store.Format)
	default:
		d.ok("vault", "the vault is there, %d MB, format %d; whether it is whole is seen when it is unlocked", folderSize(d.paths.vault)>>20, format)
	}
	free, err := store.FreeSpace(d.paths.vault)
	switch {
	case err != nil:
		d.note("disk", "", "how much of the disk is free could not be seen")
	case free < littleRoom:
		d.warn("disk", "free some space", "the disk is nearly full: %d MB left", free>>20)
	default:
		d.ok("disk", "%d MB of the disk are free", free>>20)
	}
}

// folderSize adds up the files of a folder, as far as it can be read.
func folderSize(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // what cannot be read is not counted
		}
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}
