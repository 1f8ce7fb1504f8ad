package main

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/secret"
)

// contactForBackup is a contact whom nobody can reach.
func contactForBackup(t *testing.T) backup.Contact {
	t.Helper()
	keys := func() (secret.Key, [32]byte) {
		static, err := secret.Read(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, err := handshake.PublicKey(static.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return static, public
	}
	c := backup.Contact{Number: 1, Made: 29_000_000, Side: identity.Inviter, Mode: handshake.Mutual, Mark: 1, MarkedAt: 29_000_100, Name: "Larch"}
	c.Static, c.OwnCard.Static = keys()
	_, c.PeerCard.Static = keys()
	c.Dial, _ = keys()
	c.Recovery, _ = keys()
	return c
}

// killing is a home whose commands are killed.
type killing struct {
	t   *testing.T
	dir string
}

func (k killing) path(name string) string { return filepath.Join(k.dir, name) }

func (k killing) command(home, input string, args ...string) *exec.Cmd {
	cmd := exec.Command("backchannel", append([]string{"--home", k.path(home)}, args...)...)
	cmd.Dir, cmd.Stdin = k.dir, strings.NewReader(input)
	return cmd
}

func (k killing) must(home, input string, args ...string) {
	k.t.Helper()
	if out, err := k.command(home, input, args...).CombinedOutput(); err != nil {
		k.t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// kills runs a command to its end, and looks at what is left; then it kills one of its
// like at each of the moments when a file appears, and a little later.
func (k killing) kills(reset func(), moments []string, home, input string, args []string, look func()) {
	k.t.Helper()
	for _, file := range moments {
		for _, later := range []time.Duration{0, 8 * time.Millisecond} {
			reset()
			cmd := k.command(home, input, args...)
			if err := cmd.Start(); err != nil {
				k.t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				_ = cmd.Wait()
				close(ended)
			}()
			k.appears(file, ended)
			<-time.After(later)
			_ = cmd.Process.Kill()
			<-ended
			look()
		}
	}
	reset()
	k.must(home, input, args...)
	look()
}

// appears waits until a file of a pattern is there, or the process has ended.
func (k killing) appears(file string, ended <-chan struct{}) {
	for {
		if there, _ := filepath.Glob(k.path(file)); len(there) > 0 {
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(200 * time.Microsecond):
		}
	}
}

// remove removes files and folders, by patterns.
func (k killing) remove(patterns ...string) {
	var names []string
	for _, p := range patterns {
		there, _ := filepath.Glob(k.path(p))
		names = append(names, there...)
	}
	for _, name := range names {
		if err := os.RemoveAll(name); err != nil {
			k.t.Fatal(err)
		}
	}
}

// whole returns the content of a file that is there, which must be whole; nil: it is not.
func (k killing) whole(name, pass string) []byte {
	k.t.Helper()
	raw, err := os.ReadFile(k.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	_, content, err := backup.Open(backup.Secrets{Passphrase: []byte(pass), Cost: backup.Cheap}, raw)
	if err != nil {
		k.t.Fatalf("what a killed command left does not open: %v", err)
	}
	return content
}

// vault opens a home's vault and reports how many contacts are in it.
func (k killing) vault(home, pass string, f func(node.Store) error) (contacts int) {
	k.t.Helper()
	s, err := store.Open(store.Config{Dir: k.path(home + "/vault"), Cost: store.Cheap}, []byte(pass))
	if err != nil {
		k.t.Fatalf("the vault does not open: %v", err)
	}
	for _, err := range s.ScanKind(channel.KindContact) {
		if err != nil {
			k.t.Fatal(err)
		}
		contacts++
	}
	if err := errors.Join(f(s), s.Close()); err != nil {
		k.t.Fatal(err)
	}
	return contacts
}

// TestKilled kills what makes and restores backups, and what moves a vault: a file is
// there whole or not at all, and so is a vault.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it kills for some seconds")
	}
	t.Parallel()
	k := killing{t, t.TempDir()}
	b := &backup.Backup{Made: 29_000_200, Contacts: []backup.Contact{contactForBackup(t)}}
	sealed, err := backup.Seal(rand.Reader, backup.Secrets{Passphrase: []byte("ten words"), Cost: backup.Cheap}, backup.Identity, b.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.path("garden.bin"), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(node.Store) error { return nil }
	restored := func(home string) []string {
		return []string{home + "/vault.restoring.new", home + "/vault.restoring", home + "/vault"}
	}
	k.kills(func() { k.remove("home/vault") }, restored("home"), "home", "ten words\nGONE\npass\n", []string{"backup", "restore", "garden.bin"}, func() {
		if _, err := os.Stat(k.path("home/vault")); err == nil && k.vault("home", "pass", nothing) != 1 {
			t.Error("a vault was left in which the contact is missing")
		}
	})
	k.remove("home/vault.restoring")

	serving := k.command("home", "", "node", "run")
	if err := serving.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); k.command("home", "", "status").Run() != nil; <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the node does not answer")
		}
	}
	k.must("home", "pass\n", "online")
	k.kills(func() { k.remove("made.bin", ".made.bin.part-*") }, []string{".made.bin.part-*", "made.bin"}, "home", "words\n", []string{"backup", "make", "made.bin"}, func() { k.whole("made.bin", "words") })
	k.must("home", "", "node", "stop")
	if err := serving.Wait(); err != nil {
		t.Error(err)
	}

	// A file that is whole is of a vault that is marked; what is marked can be moved again.
	k.kills(func() { k.remove("moved.bin", ".moved.bin.part-*") }, []string{".moved.bin.part-*", "moved.bin"}, "home", "pass\nwords\n", []string{"move", "out", "moved.bin"}, func() {
		content := k.whole("moved.bin", "words")
		k.vault("home", "pass", func(s node.Store) error {
			if err := node.Unmark(s); content != nil && err != nil {
				t.Error("there is a file, and the vault is not marked")
			}
			return nil
		})
	})
	k.kills(func() { k.remove("second/vault") }, restored("second"), "second", "words\npass\n", []string{"move", "in", "moved.bin"}, func() {
		if _, err := os.Stat(k.path("second/vault")); err == nil && k.vault("second", "pass", nothing) != 1 {
			t.Error("a vault was left in which the contact is missing")
		}
	})
}
