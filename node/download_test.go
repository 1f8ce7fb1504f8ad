package node

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/backchannel/backchannel/node/channel"
)

// TestFinishAfterACrash gives a part file its name again, after a crash at each
// moment of the first time: there is one file in the end, under the name that was
// asked for.
func TestFinishAfterACrash(t *testing.T) {
	for _, content := range []string{"", "what was sent"} {
		crashes := map[string]func(part, path string) error{
			"before": func(string, string) error { return nil },
			"linked": os.Link,
			"named":  os.Rename,
		}
		for when, crash := range crashes {
			dir := t.TempDir()
			task := channel.FileTask{
				Kind: channel.FinishFile, Path: filepath.Join(dir, "report.pdf"), Part: ".0123.part",
				Size: uint64(len(content)), Sum: sha256.Sum256([]byte(content)), Offset: uint64(len(content)),
			}
			part := filepath.Join(dir, task.Part)
			if err := os.WriteFile(part, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := crash(part, task.Path); err != nil {
				t.Fatal(err)
			}
			path, err := new(sink).perform(t.Context(), task)
			if err != nil || path != task.Path {
				t.Errorf("%d bytes, %s: %q, %v", len(content), when, filepath.Base(path), err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 || entries[0].Name() != "report.pdf" {
				t.Errorf("%d bytes, %s: %v, %v", len(content), when, entries, err)
			}
		}
	}
}

// TestFinishSomethingElse finds something else in the place of the part file: it
// does not get the name, and is not called whole.
func TestFinishSomethingElse(t *testing.T) {
	const content = "what was sent"
	write := func(b string) func(part, other string) error {
		return func(part, _ string) error { return os.WriteFile(part, []byte(b), 0o600) }
	}
	for what, put := range map[string]func(part, other string) error{
		"cut":     write(content[:5]),
		"longer":  write(content + "more"),
		"altered": write("what was SENT"),
		"link":    func(part, other string) error { return os.Symlink(other, part) },
		"folder":  func(part, _ string) error { return os.Mkdir(part, 0o700) },
	} {
		dir := t.TempDir()
		task := channel.FileTask{
			Kind: channel.FinishFile, Path: filepath.Join(dir, "report.pdf"), Part: ".0123.part",
			Size: uint64(len(content)), Sum: sha256.Sum256([]byte(content)), Offset: uint64(len(content)),
		}
		other := filepath.Join(t.TempDir(), "other")
		if err := errors.Join(os.WriteFile(other, []byte(content), 0o600), put(filepath.Join(dir, task.Part), other)); err != nil {
			t.Fatal(err)
		}
		if path, err := new(sink).perform(t.Context(), task); !errors.Is(err, channel.ErrPartLost) {
			t.Errorf("%s: %q, %v", what, filepath.Base(path), err)
		}
		if _, err := os.Lstat(task.Path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it got the name", what)
		}
	}
}

// TestRenameAnew gives two files one name at once, on a file system without links:
// one of them gets it, and the other is not lost.
func TestRenameAnew(t *testing.T) {
	dir := t.TempDir()
	parts := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	for range 1000 {
		path := filepath.Join(dir, "report.pdf")
		errs := make([]error, len(parts))
		var both sync.WaitGroup
		start := make(chan struct{})
		for i, part := range parts {
			if err := os.WriteFile(part, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			both.Go(func() { <-start; errs[i] = renameAnew(part, path) })
		}
		close(start)
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("%v and %v: one was overwritten", errs[0], errs[1])
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWithdraw deletes a file that was finished and is not wanted, and nothing else
// that stands in its place.
func TestWithdraw(t *testing.T) {
	task := channel.FileTask{Kind: channel.WithdrawFile, Path: filepath.Join(t.TempDir(), "report.pdf"), Size: 5}
	for content, stays := range map[string]bool{"whole": false, "another": true} {
		if err := os.WriteFile(task.Path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := new(sink).perform(t.Context(), task)
		if _, gone := os.Lstat(task.Path); err != nil || (gone == nil) != stays {
			t.Errorf("%s: stays %v, %v", content, gone == nil, err)
		}
	}
}

// TestNames gives files the names that are left: with a number when the name is
// taken, also when it is as long as the disk allows, and none when all are taken.
func TestNames(t *testing.T) {
	for _, name := range []string{"report.pdf", strings.Repeat("x", 251) + ".pdf", strings.Repeat("é", 125) + ".pdf", strings.Repeat("x", 255)} {
		dir := t.TempDir()
		task := channel.FileTask{Kind: channel.FinishFile, Path: filepath.Join(dir, name), Part: ".0123.part", Size: 4, Sum: sha256.Sum256([]byte("sent"))}
		got := map[string]bool{}
		for range 9 {
			if err := os.WriteFile(filepath.Join(dir, task.Part), []byte("sent"), 0o600); err != nil {
				t.Fatal(err)
			}
			path, err := new(sink).perform(t.Context(), task)
			if err != nil || filepath.Dir(path) != dir || filepath.Ext(path) != filepath.Ext(name) || !utf8.ValidString(path) {
				t.Errorf("%.8s: name %d is %q, %v", name, len(got)+1, path, err)
			}
			got[path] = true
		}
		if err := os.WriteFile(filepath.Join(dir, task.Part), []byte("sent"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := new(sink).perform(t.Context(), task); !errors.Is(err, channel.ErrNoName) || len(got) != 9 {
			t.Errorf("%.8s: %d names, then %v", name, len(got), err)
		}
		if _, err := os.Lstat(filepath.Join(dir, task.Part)); err != nil {
			t.Errorf("%.8s: what came is gone: %v", name, err)
		}
	}
	if err := roomFor(filepath.Join(t.TempDir(), strings.Repeat("x", 300)), 1); !errors.Is(err, ErrLongName) {
		t.Errorf("a name of 300 bytes: %v", err)
	}
}

// TestContentBeforeItsTurn writes what comes in boxes, in any order, and reads it back in
// its turn, also after a restart; a part file that is shorter than it was is another one.
func TestContentBeforeItsTurn(t *testing.T) {
	dir := t.TempDir()
	base := channel.FileTask{Seq: 7, Path: filepath.Join(dir, "report.pdf"), Part: ".0123.part", Size: 10}
	do := func(s *sink, kind channel.TaskKind, before, offset uint64, content ...[]byte) error {
		task := base
		task.Kind, task.Before, task.Offset, task.Content, task.Sync = kind, before, offset, content, true
		_, err := s.perform(t.Context(), task)
		return err
	}
	s := new(sink)
	if err := errors.Join(
		do(s, channel.KeepContent, 0, 8, []byte("89")),
		do(s, channel.KeepContent, 10, 4, []byte("45"), []byte("67")),
	); err != nil {
		t.Fatal(err)
	}
	s.close()
	s = new(sink)
	defer s.close()
	if err := do(s, channel.WriteContent, 10, 0, []byte("0123")); err != nil {
		t.Fatal(err)
	}
	got := [][]byte{make([]byte, 4), make([]byte, 2)}
	if err := do(s, channel.ReadContent, 10, 4, got...); err != nil || string(got[0])+string(got[1]) != "456789" {
		t.Errorf("%q, %v", got, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, base.Part)); string(b) != "0123456789" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.Truncate(filepath.Join(dir, base.Part), 9); err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]*sink{"open": s, "opened anew": new(sink)} {
		if err := do(s, channel.ReadContent, 10, 4, got...); !errors.Is(err, channel.ErrPartLost) {
			t.Errorf("cut short, %s: %v", what, err)
		}
	}
}
