package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/backchannel/backchannel/protocol/backup"
)

// TestJSONBackup is TestJSON for backups and for a vault that moves.
func TestJSONBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	b := &backup.Backup{Made: 29_000_200, Contacts: []backup.Contact{contactForBackup(t)}}
	sealed, err := backup.Seal(rand.Reader, backup.Secrets{Passphrase: []byte("ten words"), Cost: backup.Cheap}, backup.Identity, b.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("garden.bin"), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	larch, other := goldenHome{t, file("larch")}, goldenHome{t, file("other")}
	larch.keep("error-wrong-file-passphrase", "nine words\n", "backup", "check", file("garden.bin"))
	larch.keep("backup-restore", "ten words\npass larch\n", "backup", "restore", "--i-lost-the-other-machine", file("garden.bin"))
	larch.keep("error-vault-here", "", "backup", "restore", file("garden.bin"))
	larch.serve()
	larch.run("pass larch\n", "online")
	larch.keep("backup-make", "words\n", "backup", "make", file("made.bin"))
	larch.keep("backup-check", "words\n", "backup", "check", file("made.bin"))
	larch.keep("error-backup-exists", "words\n", "backup", "make", file("made.bin"))
	larch.keep("move-out", "pass larch\nwords\n", "move", "out", file("moved.bin"))
	larch.keep("error-moved", "pass larch\n", "unlock")
	other.keep("move-in", "words\npass other\n", "move", "in", file("moved.bin"))
	larch.keep("move-cancel", "DELETED\npass larch\n", "move", "cancel")
}
