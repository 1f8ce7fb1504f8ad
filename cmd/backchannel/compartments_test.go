package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// plainly runs the program as a person does, and returns both streams and the exit
// code.
func (g goldenHome) plainly(input string, args ...string) (out, errOut string, code int) {
	g.t.Helper()
	cmd := exec.Command("backchannel", args...)
	cmd.Env = append(os.Environ(), "BACKCHANNEL_HOME="+g.home, "BACKCHANNEL_SOCKET=")
	cmd.Stdin = bytes.NewBufferString(input)
	var both [2]bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both[0], &both[1]
	_ = cmd.Run()
	return both[0].String(), both[1].String(), cmd.ProcessState.ExitCode()
}

// sizesIn are the sizes of all files of a folder, and the modes.
func sizesIn(t *testing.T, dir string) (sizes map[string]int64, modes map[string]fs.FileMode) {
	t.Helper()
	sizes, modes = map[string]int64{}, map[string]fs.FileMode{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if modes[name] = info.Mode(); !d.IsDir() {
			sizes[name] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes, modes
}

// tableSlack is by how much the sizes of two tables differ that hold the same
// number of slots: Badger writes checksums, which are random, with a length that
// depends on their value.
const tableSlack = 256

// sameFolders wants the files of folders to be the same in number, name, mode and
// size.
func sameFolders(t *testing.T, a, b string) {
	t.Helper()
	sizes, modes := sizesIn(t, a)
	otherSizes, otherModes := sizesIn(t, b)
	if len(modes) != len(otherModes) {
		t.Errorf("%d files, and %d", len(modes), len(otherModes))
	}
	for name, mode := range modes {
		slack := int64(0)
		if filepath.Ext(name) == ".sst" {
			slack = tableSlack
		}
		if diff := sizes[name] - otherSizes[name]; otherModes[name] != mode || max(diff, -diff) > slack {
			t.Errorf("%s: %v, %d bytes, and %v, %d bytes", name, mode, sizes[name], otherModes[name], otherSizes[name])
		}
	}
}

// TestSetupShowsNoSecondPassphrase makes vaults with and without a second
// passphrase: what is shown, and what files there are, is the same.
func TestSetupShowsNoSecondPassphrase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	with, without := goldenHome{t, filepath.Join(dir, "a")}, goldenHome{t, filepath.Join(dir, "b")}
	for _, passphrases := range []string{"one\n", "one\n\n"} {
		out, errOut, code := with.plainly("one\ntwo\n", "setup")
		other, otherErr, otherCode := without.plainly(passphrases, "setup")
		if code != 0 || out != other || errOut != otherErr || otherCode != 0 {
			t.Errorf("exit %d, %d\n%s%s\n%s%s", code, otherCode, out, errOut, other, otherErr)
		}
		sameFolders(t, with.home, without.home)
		for _, g := range []goldenHome{with, without} {
			if err := os.RemoveAll(g.home); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, errOut, code := with.plainly("one\none\n", "setup"); code != 2 || errOut == "" {
		t.Errorf("the same passphrase twice: exit %d, %s", code, errOut)
	}
	if _, err := os.Stat(filepath.Join(with.home, "vault")); err == nil {
		t.Error("a vault was made")
	}
}
