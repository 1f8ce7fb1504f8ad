//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFolderTakenAway removes or locks the folder under an open store, in a
// process that is not root and may leak what Badger cannot let go.
func TestFolderTakenAway(t *testing.T) {
	for _, script := range []string{"lose", "unable"} {
		if out, err := runChild(t, script); err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
}

// plainUser becomes nobody if it is root, and makes an open store.
func plainUser() (*Store, Config, error) {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return nil, Config{}, err
		}
	}
	base, err := os.MkdirTemp("", "store")
	if err != nil {
		return nil, Config{}, err
	}
	cfg := childConfig(filepath.Join(base, "s"))
	if err := Create(cfg, testPass); err != nil {
		return nil, cfg, err
	}
	s, err := openOnline(cfg)
	if err != nil {
		return nil, cfg, err
	}
	return s, cfg, commit(s, put(0, numbered(0, 80)))
}

// expect returns an error unless err is want.
func expect(what string, err, want error) error {
	if !errors.Is(err, want) || want == nil && err != nil {
		return fmt.Errorf("%s: got error %w, want %v", what, err, want)
	}
	return nil
}

func init() {
	scripts["lose"] = childLose
	scripts["unable"] = childUnable
}

func childLose([]string) error {
	s, cfg, err := plainUser()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Dir(cfg.Dir)); err != nil {
		return err
	}
	if s.Close(); Exists(cfg.Dir) {
		return errors.New("closing made the folder anew")
	}
	s, cfg, err = plainUser()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Dir(cfg.Dir)); err != nil {
		return err
	}
	err = expect("ticking", s.Tick(), ErrMissing)
	_, getErr := s.Get(key(0))
	return errors.Join(err,
		expect("reading after it", getErr, ErrMissing),
		expect("closing", s.Close(), errStuck))
}

func childUnable([]string) error {
	s, cfg, err := plainUser()
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(cfg.Dir))
	next := uint64(1)
	for _, dir := range []string{cfg.Dir, recordsDir(cfg.Dir)} {
		for _, mode := range []os.FileMode{0, 0o500} {
			if err := os.Chmod(dir, mode); err != nil {
				return err
			}
			err := expect(fmt.Sprintf("ticking with mode %o", mode), s.Tick(), os.ErrPermission)
			err = errors.Join(err, os.Chmod(dir, 0o700))
			err = errors.Join(err, expect("committing when allowed again", commit(s, put(next, numbered(next, 80))), nil))
			if err != nil {
				return err
			}
			next++
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	for path, mode := range map[string]os.FileMode{cfg.Dir: 0o500, recordsDir(cfg.Dir): 0o500, headerPath(cfg.Dir): 0, lockPath(cfg.Dir): 0} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		s, err := Open(cfg, testPass)
		if err == nil { // the folder's own mode forbids only writing
			err = s.Online()
			_ = s.Close()
		}
		if err := expect(fmt.Sprintf("with %s of mode %o", filepath.Base(path), mode), err, os.ErrPermission); err != nil {
			return err
		}
		if err := os.Chmod(path, info.Mode()); err != nil {
			return err
		}
	}
	if s, err = openOnline(cfg); err != nil {
		return err
	}
	if n, err := count(s, 80); n != next || err != nil || s.RolledBack() {
		return fmt.Errorf("%d records, want %d: %w", n, next, err)
	}
	if err := os.Chmod(recordsDir(cfg.Dir), 0o500); err != nil {
		return err
	}
	err = expect("closing without permission", s.Close(), errStuck)
	return errors.Join(err, os.Chmod(recordsDir(cfg.Dir), 0o700))
}
