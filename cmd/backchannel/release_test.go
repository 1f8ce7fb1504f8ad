package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestRelease builds both programs as .ci/build does, in two folders of different
// names: the bytes are the same, they need no library of the system, and
// no path of the machine that built it is in it. That other caches give the same
// bytes, too, is for .ci/run, which has the time.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the programs twice")
	}
	if _, err := exec.LookPath("bash"); err != nil || runtime.GOOS == "windows" {
		t.Skip("no bash here")
	}
	t.Parallel()
	programs := []string{"backchannel-linux-amd64", "backchannel-relay-linux-amd64"}
	var sums [2][2][sha256.Size]byte
	var folders [2]string
	for i, folder := range []string{"here", "quite/another/folder"} {
		tree := filepath.Join(t.TempDir(), folder)
		for _, part := range []string{".ci", "cmd", "node", "protocol", "relay"} {
			if err := os.CopyFS(filepath.Join(tree, part), os.DirFS(filepath.Join("..", "..", part))); err != nil {
				t.Fatal(err)
			}
		}
		for _, file := range []string{"go.mod", "go.sum"} {
			raw, err := os.ReadFile(filepath.Join("..", "..", file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(tree, file), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out := filepath.Join(tree, "out")
		cmd := exec.Command("bash", filepath.Join(tree, ".ci", "build"), out, "linux/amd64")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building: %v %s", err, said)
		}
		folders[i] = out
		for j, name := range programs {
			raw, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			sums[i][j] = sha256.Sum256(raw)
			wantNoPath(t, raw, tree)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two folders, other programs: %x and %x", sums[0], sums[1])
	}
	for _, name := range programs {
		wantStatic(t, filepath.Join(folders[0], name))
	}
}

// wantNoPath looks for folders of this machine in a program.
func wantNoPath(t *testing.T, program []byte, tree string) {
	t.Helper()
	paths := []string{tree, os.TempDir() + "/"}
	for _, name := range []string{"GOROOT", "GOMODCACHE", "GOCACHE"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, strings.TrimSpace(string(out)))
	}
	if here, err := filepath.Abs("."); err == nil {
		paths = append(paths, here)
	}
	for _, p := range paths {
		// Programs know /tmp; only a longer path says something of a machine.
		if strings.Count(strings.TrimSuffix(p, "/"), "/") > 1 && bytes.Contains(program, []byte(p)) {
			t.Errorf("the program names %s", p)
		}
	}
}

// wantStatic wants a program that the kernel starts without a loader.
func wantStatic(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a %v", p.Type)
		}
	}
	if libraries, err := f.ImportedLibraries(); err == nil && len(libraries) > 0 {
		t.Errorf("the program wants %v", libraries)
	}
	if f.Section(".note.go.buildid") != nil {
		if raw, err := f.Section(".note.go.buildid").Data(); err == nil && bytes.Count(raw, []byte("/")) > 0 {
			t.Error("the program bears a build ID")
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil {
		t.Error("the program bears symbols or debug information")
	}
}
