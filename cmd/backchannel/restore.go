package main

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
)

func (a *app) restoreCommand() *cobra.Command {
	var key string
	var lost bool
	c := &cobra.Command{
		Use:   "restore [FILE]",
		Short: "Make the vault of this machine from a backup",
		Long: `Make the vault of this machine from a backup, under a new passphrase. There must
be no vault here yet; nothing is left half made.

At the next connection a new line is made with each contact. Both of you read
that it was made anew, and sending is paused until both say to go on: compare
words first. Messages are not in a backup; what your contact sent in the last 14
days comes again from their machine. With --passphrase-fd the passphrase of the
backup is on the first line, and the new one on the second.

Only one machine may have your keys. If the one on which the backup was made
still runs, the two drive each other out, and sending stops with every contact.`,
		Example: "  backchannel backup restore garden.bin\n  backchannel --home ./second backup restore --i-lost-the-other-machine garden.bin",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.restore(args, key, lost) },
	}
	c.Flags().StringVar(&key, "key-file", "", "second secret that it was made with")
	a.sizeFlag(c)
	c.Flags().BoolVar(&lost, "i-lost-the-other-machine", false, "it is gone, or its vault is burned")
	return c
}

// restoreAnswer says what was restored.
type restoreAnswer struct {
	V        int                     `json:"v"`
	Made     string                  `json:"made"`
	Contacts []control.BackupContact `json:"contacts"`
	Address  string                  `json:"address_they_know,omitempty"`
}

func (a *app) restore(args []string, key string, lost bool) error {
	p, err := a.noVaultYet("take another home: backchannel --home ./second backup restore")
	if err != nil {
		return err
	}
	kind, content, err := a.openSealed(args, key)
	if err != nil {
		return err
	}
	defer clear(content)
	if kind != backup.Identity {
		return errNoBackup
	}
	b, err := backup.Parse(content)
	if err != nil {
		return err
	}
	defer b.Wipe()
	ans := restoreAnswer{control.Version, control.MadeAt(b), control.BackupContacts(b), addressOf(b)}
	a.note("The backup is of %s, with %s.", dateOf(ans.Made), plural(len(ans.Contacts), "contact"))
	if !lost {
		a.note("Only one machine may have these keys. Is the one on which it was made gone for good,\nor its vault burned?")
		if typed, err := a.in.ask("Type GONE: "); err != nil {
			return err
		} else if typed != "GONE" {
			return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "that is not the word; nothing was restored", Hint: "burn the other vault first; on that machine: backchannel burn --all"}
		}
	}
	err = a.buildVault(p, func(s node.Store) error { return node.Restore(rand.Reader, s, b) })
	if err != nil {
		return err
	}
	return a.answer(ans, func() {
		a.say("Restored: %s. Sending waits until a new line was made with each of them.", plural(len(ans.Contacts), "contact"))
		a.adviseStart(ans.Address)
		a.advise("  then, with each of them  %s", a.here("backchannel contact verify"))
	})
}

// noVaultYet returns the places of a home in which there is no vault.
func (a *app) noVaultYet(hint string) (paths, error) {
	p, err := a.paths()
	if err != nil {
		return p, err
	}
	if store.Exists(p.vault) {
		return p, &control.Error{Code: "vault_exists", Exit: control.ExitFailed, Message: "there is a vault here already; it was not touched", Hint: hint}
	}
	return p, p.halfVault()
}

func (a *app) adviseStart(address string) {
	if address != "" {
		a.advise("  be where they look       %s", a.here("backchannel node listen on")+" --address "+address)
	}
	a.advise("  start the node           %s        (in a terminal of its own)", a.here("backchannel node run"))
	a.advise("  open the vault           %s", a.here("backchannel online"))
}

// buildVault asks for a new passphrase and makes a vault beside its place. It gets
// its name when it is whole, and on the disk.
func (a *app) buildVault(p paths, fill func(node.Store) error) error {
	cfg, err := a.vaultIn(p.stage(), "")
	if err != nil {
		return err
	}
	pass, err := a.newPassphrase("New passphrase for this machine: ", "Again:                           ", vaultWords)
	if err != nil {
		return err
	}
	defer clear(pass)
	if err := os.MkdirAll(filepath.Dir(p.vault), 0o700); err != nil {
		return &control.Error{Code: "no_folder", Exit: control.ExitFailed, Message: "the folder for the vault cannot be made", Hint: "choose another: backchannel --home ./second backup restore"}
	}
	if err := p.clearStage(); err != nil {
		return err
	}
	if err := fillVault(cfg, pass, fill); err != nil {
		return errors.Join(err, os.RemoveAll(p.stage()))
	}
	if err := os.Remove(p.vault); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty folder
		return errors.Join(store.ErrExists, os.RemoveAll(p.stage()))
	}
	if err := os.Rename(p.stage(), p.vault); err != nil {
		return err
	}
	_ = os.Remove(p.stage() + ".lock")
	syncFolder(filepath.Dir(p.vault))
	if err := p.setKeyFile(""); err != nil {
		a.note("! The settings name the key file of an earlier vault, and could not be written. Take\nthe line out of config.toml before you open this one.")
	}
	return nil
}

// clearStage removes what a restoring left that was cut off.
func (p paths) clearStage() error {
	if pid := store.Holder(p.stage()); pid != 0 {
		return &store.InUseError{PID: pid, Started: time.Now()}
	}
	return store.Remove(p.stage())
}

// fillVault makes a vault and fills it.
func fillVault(cfg store.Config, pass []byte, fill func(node.Store) error) error {
	if err := store.Create(cfg, pass); err != nil {
		return err
	}
	s, err := store.Open(cfg, pass)
	if err != nil {
		return err
	}
	return errors.Join(fill(s), s.Close())
}
