package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keyed makes a home whose vault has a key file, and in it a contact.
func keyed(t *testing.T) (g goldenHome, key string) {
	t.Helper()
	key = filepath.Join(t.TempDir(), "stick")
	g, said := servedHome(t, "--key-file", key)
	if !strings.Contains(said, "Nor can the key file.") {
		t.Errorf("setup says: %s", said)
	}
	return g, key
}

// servedHome sets a home up, with two passphrases, and runs its node.
func servedHome(t *testing.T, flags ...string) (g goldenHome, said string) {
	t.Helper()
	g = goldenHome{t, filepath.Join(t.TempDir(), "home")}
	said, errOut, code := g.plainly("one\ntwo\n", append([]string{"setup"}, flags...)...)
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, said, errOut)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	g.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	g.serve()
	return g, said
}

func (g goldenHome) wants(part, input string, args ...string) {
	g.t.Helper()
	if out := g.run(input, args...); !strings.Contains(out, part) {
		g.t.Errorf("%v: %s", args, out)
	}
}

// opensCopy runs a node on a copy of a home, and unlocks it with each passphrase.
func opensCopy(t *testing.T, vault, key string) (opened int) {
	t.Helper()
	g := goldenHome{t, filepath.Join(t.TempDir(), "home")}
	if err := os.CopyFS(filepath.Join(g.home, "vault"), os.DirFS(vault)); err != nil {
		t.Fatal(err)
	}
	g.serve()
	defer g.run("", "node", "stop")
	for _, pass := range []string{"one\n", "two\n"} {
		if _, _, code := g.plainly(pass, "unlock", "--key-file", key); code == 0 {
			opened++
		}
	}
	return opened
}

// TestKeyFileOnMedium unlocks with the medium in and away, burns, and opens copies
// from before with both passphrases: with the new key file none opens, with the old
// one both do, or the test would check nothing.
func TestKeyFileOnMedium(t *testing.T) {
	t.Parallel()
	g, key := keyed(t)
	old, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	away := func(is bool) {
		from, to := key, key+".away"
		if !is {
			from, to = to, from
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	away(true)
	g.wants(`"code":"no_key_file"`, "one\n", "unlock")
	away(false)
	g.wants(`{"v":1}`, "one\n", "unlock")
	g.wants(`{"v":1}`, "", "online")
	g.wants(`BC1:`, "Larch\n", "invite", "new")
	g.wants(`{"v":1}`, "", "lock")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(image, os.DirFS(filepath.Join(g.home, "vault"))); err != nil {
		t.Fatal(err)
	}
	g.wants(`{"v":1}`, "one\n", "online")
	away(true)
	g.wants(`"code":"key_file_away"`, "Larch\n", "burn", "1")
	away(false)
	g.wants(`"key_file":"new_secret"`, "Larch\n", "burn", "1")
	if now, err := os.ReadFile(key); err != nil || len(now) != 32 || bytes.Equal(now, old) {
		t.Errorf("the key file is %x, and was %x; %v", now, old, err)
	}
	if n := opensCopy(t, image, key); n != 0 {
		t.Errorf("%d passphrases open what was there before", n)
	}
	former := key + ".old"
	if err := os.WriteFile(former, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := opensCopy(t, image, former); n != 2 {
		t.Errorf("with the old key file %d passphrases open the copy: this checks nothing", n)
	}
	g.wants(`{"v":1}`, "", "lock")
	if n := opensCopy(t, filepath.Join(g.home, "vault"), key); n != 2 {
		t.Errorf("%d passphrases open the vault", n)
	}
}

// TestVaultKeyFile gives a vault a key file: both passphrases need it then, also of a
// node that runs, and a copy from before opens without.
func TestVaultKeyFile(t *testing.T) {
	t.Parallel()
	g, _ := servedHome(t)
	key := filepath.Join(t.TempDir(), "stick")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(image, os.DirFS(filepath.Join(g.home, "vault"))); err != nil {
		t.Fatal(err)
	}
	g.wants(`{"v":1}`, "one\n", "unlock")
	g.wants(`"code":"offline"`, "", "vault", "key-file", key)
	if _, err := os.Stat(key); err == nil {
		t.Error("offline, a key file was made")
	}
	g.wants(`{"v":1}`, "", "online")
	g.keep("vault-key-file", "", "vault", "key-file", key)
	g.wants(`"code":"key_file_exists"`, "", "vault", "key-file", key)
	g.wants(`"code":"key_file_exists"`, "", "vault", "key-file", key+"2")
	g.wants(`{"v":1}`, "", "lock")
	if n := opensCopy(t, image, ""); n != 2 {
		t.Errorf("%d passphrases open the copy", n)
	}
	if n := opensCopy(t, filepath.Join(g.home, "vault"), key); n != 2 {
		t.Errorf("%d passphrases open the vault", n)
	}
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	g.wants(`"code":"no_key_file"`, "one\n", "unlock")
}

// TestBurnAllWithKeyFile burns the vault at once: the key file is overwritten in
// place, it is said, and all of it takes less than a second.
func TestBurnAllWithKeyFile(t *testing.T) {
	t.Parallel()
	g, key := keyed(t)
	g.wants(`{"v":1}`, "one\n", "online")
	old, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	var ans burnAnswer
	if out := g.run("", "burn", "--all", "--now"); json.Unmarshal([]byte(out), &ans) != nil || ans.KeyFile != keyFileGone || !ans.Key || !ans.Files || !ans.Node {
		t.Errorf("%s", out)
	}
	if ans.KeyTook >= 1000 {
		t.Errorf("the key was dead after %d ms", ans.KeyTook)
	}
	t.Logf("key dead after %d ms, all gone after %d ms", ans.KeyTook, ans.Took)
	if now, err := os.ReadFile(key); err != nil || len(now) != 32 || bytes.Equal(now, old) {
		t.Errorf("the key file is %x, and was %x; %v", now, old, err)
	}
	h, key := keyed(t)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if out, _, code := h.plainly("", "burn", "--all", "--now"); code != 0 || !strings.Contains(out, "! The key file is not there") {
		t.Errorf("exit %d: %s", code, out)
	}
}
