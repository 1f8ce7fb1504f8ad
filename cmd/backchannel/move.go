package main

import (
	"crypto/rand"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/harden"
	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
)

func (a *app) moveCommand() *cobra.Command {
	c := &cobra.Command{Use: "move", Short: "Take what you see of the vault to another machine"}
	in := &cobra.Command{
		Use:   "in [FILE]",
		Short: "Make the vault of this machine from one that moved",
		Long: `Make the vault of this machine from a file that "move out" wrote, under a new
passphrase. There must be no vault here yet; nothing is left half made. Open
the file on one machine only. With --passphrase-fd the passphrase of the file
is on the first line, and the new one on the second.`,
		Example: "  backchannel move in garden.bin",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.moveIn(args) },
	}
	a.sizeFlag(in)
	c.AddCommand(
		&cobra.Command{
			Use:   "out [FILE]",
			Short: "Write the vault to a file, and leave the network here",
			Long: `Write what you see of the vault to a file that is sealed under a passphrase:
keys, contacts, conversations, and what is still under way. From then on this
vault stays off the network here. Open the file on the other machine with
"move in"; your contacts need not be told, and nothing has to be compared again.

The file holds what was said: unlike a backup, keep it no longer than the way
takes. When the vault is open on the other machine, burn the one here, and
delete the file. Deleted files can be brought back; the passphrase protects.

Only what you see travels. What your other passphrases open stays here, is
burned with this vault, and may be overwritten before. If the node runs, it is
locked. "move out" again writes the file again.
With --passphrase-fd the vault's passphrase is on the first line, the file's on
the second.`,
			Example: "  backchannel move out garden.bin",
			Args:    cobra.MaximumNArgs(1),
			RunE:    func(cmd *cobra.Command, args []string) error { return a.moveOut(cmd, args) },
		},
		in,
		&cobra.Command{
			Use:   "cancel",
			Short: "Stay here after all: the file was opened nowhere",
			Long: `Let this vault go online again after "move out". Do this only if the file was
opened on no other machine, and will not be: else both have your keys, and
sending stops with every contact.`,
			Example: "  backchannel move cancel",
			Args:    cobra.NoArgs,
			RunE:    func(*cobra.Command, []string) error { return a.moveCancel() },
		},
	)
	return c
}

// movedAnswer says what was written or taken over.
type movedAnswer struct {
	V       int `json:"v"`
	Records int `json:"records"`
	Bytes   int `json:"bytes,omitempty"`
}

// openVault asks for the passphrase and opens the vault itself; no node may have it.
func (a *app) openVault(p paths) (*store.Store, error) {
	if !store.Exists(p.vault) {
		return nil, store.ErrMissing
	}
	pass, err := a.passphrase("Passphrase of the vault: ")
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	harden.LockMemory()
	settings, err := p.settings()
	if err != nil {
		return nil, err
	}
	return store.Open(store.Config{Dir: p.vault, Cost: cost, KeyFile: settings.KeyFile}, pass)
}

func (a *app) moveOut(cmd *cobra.Command, args []string) (err error) {
	p, err := a.paths()
	if err != nil {
		return err
	}
	if !store.Exists(p.vault) {
		return store.ErrMissing
	}
	path, err := a.sealedPath(args)
	if err != nil {
		return err
	}
	if err := vacantPath(path); err != nil {
		return err
	}
	var d control.Done
	if err := a.call(cmd, "lock", control.Empty{}, &d); err != nil && control.Describe(err).Code != control.ErrNotRunning.Code {
		return err
	}
	s, err := a.openVault(p)
	if err != nil {
		return err
	}
	defer func() {
		if closed := s.Close(); err == nil {
			err = closed
		}
	}()
	records, err := node.Records(s)
	if err != nil {
		return err
	}
	pass, err := a.newPassphrase("Passphrase for the file: ", "Again:                   ", fileWords)
	if err != nil {
		return err
	}
	defer clear(pass)
	sealed, err := sealRecords(pass, records)
	if err != nil {
		return err
	}
	// The file is on its disk, the vault is marked, the file gets its name: whoever is
	// cut off in between has a vault, and can write the file again.
	marked := false
	err = writeSealed(path, sealed, func() error { err := node.MarkMoved(s, time.Now()); marked = err == nil; return err })
	if err != nil && marked {
		return &control.Error{Code: "not_written", Exit: control.ExitFailed, Message: "the file could not be finished; the vault is marked already, and stays off the network", Hint: "repeat the command, or stay here: backchannel move cancel"}
	}
	if err != nil {
		return err
	}
	return a.answer(movedAnswer{control.Version, len(records), len(sealed)}, func() {
		a.say("Written. From now on this vault stays off the network here.")
		a.advise("  on the other machine     backchannel move in")
		a.advise("  when it is open there    %s        and delete the file", a.here("backchannel burn --all"))
		a.advise("  if you stay after all    %s", a.here("backchannel move cancel"))
	})
}

func sealRecords(pass []byte, records []backup.Record) ([]byte, error) {
	size := backup.RecordsSize(records)
	if size > backup.MaxSize {
		return nil, backup.ErrTooLarge
	}
	content := backup.AppendRecords(make([]byte, 0, size), records)
	defer clear(content)
	for _, r := range records {
		clear(r.Value)
	}
	return backup.Seal(rand.Reader, backup.Secrets{Passphrase: pass, Cost: backupCost()}, backup.Vault, content)
}

func (a *app) moveIn(args []string) error {
	p, err := a.noVaultYet("take another home: backchannel --home ./second move in")
	if err != nil {
		return err
	}
	kind, content, err := a.openSealed(args, "")
	if err != nil {
		return err
	}
	defer clear(content)
	if kind != backup.Vault {
		return &control.Error{Code: "no_vault_file", Exit: control.ExitUsage, Message: "this is a backup, and not a vault that moves", Hint: "backchannel backup restore"}
	}
	records, err := backup.ParseRecords(content)
	if err != nil {
		return err
	}
	if err := a.buildVault(p, func(s node.Store) error { return node.TakeRecords(s, records) }); err != nil {
		return err
	}
	return a.answer(movedAnswer{V: control.Version, Records: len(records)}, func() {
		a.say("Here. Everything that could be seen was taken over: contacts, how each was verified,\nconversations. What other passphrases open there was not.")
		a.say("Settings stayed behind, and files have their paths of the other machine.")
		a.advise("  if others reach you      %s", a.here("backchannel node listen on --address HOST:PORT"))
		a.adviseStart("")
		a.advise("  on the other machine     backchannel burn --all        and delete the file")
	})
}

func (a *app) moveCancel() (err error) {
	p, err := a.paths()
	if err != nil {
		return err
	}
	if !store.Exists(p.vault) {
		return store.ErrMissing
	}
	a.note("Only one machine may have these keys. Was the file opened nowhere, and is it deleted?")
	typed, err := a.in.ask("Type DELETED: ")
	if err != nil {
		return err
	}
	if typed != "DELETED" {
		return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "that is not the word; nothing was changed", Hint: "backchannel move cancel"}
	}
	s, err := a.openVault(p)
	if err != nil {
		return err
	}
	defer func() {
		if closed := s.Close(); err == nil {
			err = closed
		}
	}()
	if err := node.Unmark(s); err != nil {
		return err
	}
	return a.answer(control.Done{V: control.Version}, func() { a.say("This vault may go online here again: %s", a.here("backchannel online")) })
}
