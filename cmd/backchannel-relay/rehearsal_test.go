//go:build unix

package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRehearsal replays the rehearsal of docs/deploy/relay.md as it stands there, in one
// shell. Other than the text it has ports that are free, and an epoch that ends soon.
func TestRehearsal(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts three relays, and waits for an epoch")
	}
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell here")
	}
	blocks := rehearsal(t)
	if len(blocks) != 3 {
		t.Fatalf("the rehearsal has %d parts", len(blocks))
	}
	r := &rehearsed{T: t, dir: t.TempDir()}
	r.start()
	r.runs(blocks[0])
	for _, home := range []string{"relay-1", "relay-2", "relay-3"} {
		r.until(home+" is in use", func() bool { return strings.Contains(r.status(home), "is in use") })
	}
	said := r.runs(blocks[1])
	for _, line := range []string{"ok    relay of operator-", "and knows 3 relays of this epoch", "The relay is well.", "linked with 2 of 2"} {
		if got := strings.Count(said, line); got < 3 {
			t.Errorf("%q stands %d times in what was printed:\n%s", line, got, said)
		}
	}
	if strings.Contains(said, "FAIL") {
		t.Errorf("a check failed:\n%s", said)
	}
	r.runs(blocks[2])
	if left, err := os.ReadDir(r.dir); err != nil || len(left) != 1 { // its own output
		t.Errorf("%d entries are left behind: %v", len(left), err)
	}
	_ = r.in.Close()
	if err := r.shell.Wait(); err != nil {
		t.Errorf("the shell ended with %v", err)
	}
}

// rehearsal returns what the page has people type.
func rehearsal(t *testing.T) (blocks []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/deploy/relay.md")
	if err != nil {
		t.Fatal(err)
	}
	prefix := freeTen(t)
	parts := strings.Split(string(page), "<!-- rehearsal -->\n```\n")
	for _, p := range parts[1:] {
		block, _, ok := strings.Cut(p, "\n```\n")
		if !ok {
			t.Fatal("a part of the rehearsal does not end")
		}
		block = strings.ReplaceAll(block, ":413$i", ":"+prefix+"$i")
		blocks = append(blocks, strings.ReplaceAll(block, "--epoch 30s", "--epoch "+soon().String()))
	}
	return blocks
}

// freeTen returns what three free ports begin with that end in 1, 2 and 3.
func freeTen(t *testing.T) string {
	t.Helper()
	for range 100 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		prefix, free := port[:len(port)-1], 0
		for _, last := range []string{"1", "2", "3"} {
			if l, err := net.Listen("tcp", "0.0.0.0:"+prefix+last); err == nil {
				_ = l.Close()
				free++
			}
		}
		if free == 3 {
			return prefix
		}
	}
	t.Fatal("no ports are free")
	return ""
}

// rehearsed is a shell in which somebody types.
type rehearsed struct {
	*testing.T
	dir   string
	shell *exec.Cmd
	in    io.WriteCloser
	asked int
}

func (r *rehearsed) start() {
	r.Helper()
	r.shell = exec.Command("sh", "-e")
	r.shell.Dir = r.dir
	r.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its relays end with it
	out, err := os.Create(r.output())
	if err != nil {
		r.Fatal(err)
	}
	r.shell.Stdout, r.shell.Stderr = out, out
	if r.in, err = r.shell.StdinPipe(); err != nil {
		r.Fatal(err)
	}
	if err := r.shell.Start(); err != nil {
		r.Fatal(err)
	}
	_ = out.Close()
	r.Cleanup(func() { _ = syscall.Kill(-r.shell.Process.Pid, syscall.SIGKILL) })
}

func (r *rehearsed) output() string { return filepath.Join(r.dir, "output") }

// runs types a part, and returns what was printed until it was through.
func (r *rehearsed) runs(block string) string {
	r.Helper()
	before := len(r.said())
	r.asked++
	end := "\nthrough " + strings.Repeat("I", r.asked) + "\n"
	if _, err := io.WriteString(r.in, block+"\nprintf '"+strings.ReplaceAll(end, "\n", "\\n")+"'\n"); err != nil {
		r.Fatalf("the shell has ended: %v\n%s", err, r.said())
	}
	r.until("a part of it", func() bool { return strings.Contains(r.said(), end) })
	return r.said()[before:]
}

func (r *rehearsed) said() string {
	raw, err := os.ReadFile(r.output())
	if err != nil {
		r.Fatal(err)
	}
	return string(raw)
}

func (r *rehearsed) status(home string) string {
	cmd := exec.Command("backchannel-relay", "--home", filepath.Join(r.dir, "rehearsal", home), "status")
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return string(out)
}

func (r *rehearsed) until(what string, holds func() bool) {
	r.Helper()
	for end := time.Now().Add(patience); !holds(); <-time.After(100 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("not in time: %s\n%s", what, r.said())
		}
	}
}
