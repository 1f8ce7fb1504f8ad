//go:build unix

package node

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestPipeInPlace opens what has become a pipe after it was looked at: nobody
// writes to it, and nobody waits for that.
func TestPipeInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.pdf")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	opened := make(chan error, 1)
	go func() { _, err := openAtOnce(path); opened <- err }()
	select {
	case err := <-opened:
		if !errors.Is(err, ErrNotRegular) {
			t.Errorf("%v, not ErrNotRegular", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a writer")
	}
}
