package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestJSONMandate is TestJSON for mandates.
func TestJSONMandate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	larch, alder, ministry := metPair(t, dir)
	words := ministry.keep("mandate-key", "pass\n", "mandate", "key", file("a.key"), "--public", file("a.pub"))
	ministry.keep("error-authority-passphrase", "x\n", "mandate", "key", file("a.key"))
	alder.keep("mandate-request", "", "mandate", "request", "1", "--authority", file("a.pub"), "--out", file("request"))
	ministry.keep("mandate-issue", "pass\ngauges\nriver\n", "mandate", "issue", "--key", file("a.key"),
		"--request", file("request"), "--until", "14d", "--out", file("mandate"))
	alder.keep("mandate-import", "", "mandate", "import", file("mandate"))
	larch.keep("error-no-request", "", "mandate", "import", file("mandate"))
	alder.keep("mandate-show", "", "mandate", "show", "1")
	larch.until(`"state":"valid"`, "mandate", "list")
	larch.keep("mandate-check", "", "mandate", "check", "1")
	ten := regexp.MustCompile(`[a-z]{3,}`).FindAllString(regexp.MustCompile(`"words":\[[^]]*`).FindString(words), -1)[1:]
	larch.keep("mandate-check-words", strings.Join(ten, "\n")+"\n", "mandate", "check", "1", "--words")
	larch.keep("mandate-list", "", "mandate", "list")
	alder.keep("mandate-list-held", "", "mandate", "list", "1")
	ministry.keep("mandate-withdraw-made", "pass\n", "mandate", "withdraw", "--key", file("a.key"), "--mandate", file("mandate"), "--out", file("over"))
	larch.keep("mandate-withdraw", "", "mandate", "withdraw", file("over"))
	alder.keep("mandate-withdraw-passed", "", "mandate", "withdraw", file("over"))
	larch.keep("error-mandate-withdrawn", "", "mandate", "check", "1")
	alder.keep("error-mandate-over", "", "mandate", "show", "1", "2")
	if err := os.Truncate(file("over"), 7); err != nil {
		t.Fatal(err)
	}
	larch.keep("error-not-a-mandate", "", "mandate", "withdraw", file("over"))
}

// metPair is two homes that know each other, and one where no node ever ran.
func metPair(t *testing.T, dir string) (larch, alder, other goldenHome) {
	t.Helper()
	larch, alder = goldenHome{t, filepath.Join(dir, "larch")}, goldenHome{t, filepath.Join(dir, "alder")}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	larch.run("pass larch\n", "setup")
	alder.run("pass alder\n", "setup")
	larch.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	larch.serve()
	alder.serve()
	larch.run("pass larch\n", "online")
	alder.run("pass alder\n", "online")
	invitation := regexp.MustCompile(`BC1:[A-Z2-7]+`).FindString(larch.run("Alder desk\n", "invite", "new"))
	alder.run(invitation+"\nLarch\n", "invite", "accept")
	for _, g := range []goldenHome{larch, alder} {
		g.until(`"words_ready":true`, "contact", "show", "1")
	}
	return larch, alder, goldenHome{t, filepath.Join(dir, "other")}
}
