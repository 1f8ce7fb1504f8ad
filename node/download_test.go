package node

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

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
