package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/build"
	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
)

func (a *app) setupCommand() *cobra.Command {
	var keyFile string
	c := &cobra.Command{
		Use:   "setup",
		Short: "Make the vault of this machine",
		Long: `Make the vault of this machine: keys, contacts and messages, sealed under a
passphrase. There is no account and nothing is registered anywhere.

A second passphrase can be given. It opens another compartment, with contacts
and messages of its own, for the day that somebody makes you open the vault.
Nothing on this machine shows whether there is one. From a pipe it is the second
line.

With --key-file a second secret is made, which belongs on a stick or a card that
you take with you. Without it no passphrase opens the vault, and if it is lost
nothing does. Whenever you burn or remove something it is exchanged: then no
passphrase opens a copy of this disk from before, unless somebody has copied the
key file, too, or finds the old secret in old blocks of its medium. Its place
stands in config.toml.

The vault takes its whole size (--size) from the beginning, and always the same.
It cannot be changed later. A compartment has an eighth of it: with 32 MiB some
19,000 messages. A larger vault takes longer to open, and to lock.`,
		Example: "  backchannel setup\n  backchannel setup --passphrase-fd 3 3<passphrase.txt\n  backchannel setup --key-file /media/stick/key",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.setup(keyFile) },
	}
	keyFileFlag(c, &keyFile, "where to make a key file, without which nothing opens")
	a.sizeFlag(c)
	return c
}

func (a *app) setup(keyFile string) error {
	p, err := a.paths()
	if err != nil {
		return err
	}
	if store.Exists(p.vault) {
		return store.ErrExists
	}
	cfg, err := a.vaultIn(p.vault, keyFile)
	if err != nil {
		return err
	}
	if err := errors.Join(p.halfVault(), p.clearStage()); err != nil {
		return err
	}
	if cfg.KeyFile, err = absolute(keyFile); err != nil {
		return err
	}
	if _, err := p.settings(); err != nil && keyFile != "" {
		return err
	}
	passphrases, err := a.askSetup()
	defer wipe(passphrases)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.vault), 0o700); err != nil {
		return &control.Error{Code: "no_folder", Exit: control.ExitFailed, Message: "the folder for the vault cannot be made", Hint: "choose another: backchannel --home DIR setup"}
	}
	// Before: without its key file a vault would seem to have another passphrase.
	if err := p.setKeyFile(cfg.KeyFile); err != nil {
		return err
	}
	if err := store.Create(cfg, passphrases...); err != nil {
		return errors.Join(err, p.setKeyFile(""))
	}
	return a.answer(control.Done{V: control.Version}, func() {
		a.say("Ready. The passphrase cannot be recovered by anybody.")
		if keyFile != "" {
			a.say("Nor can the key file. It is needed for every unlock; take it out when the vault is\nlocked, and let nobody copy it.")
		}
		a.sayLimits()
		a.advise("  start the node      %s        (in a terminal of its own)", a.here("backchannel node run"))
		a.advise("  open the vault      %s", a.here("backchannel online"))
		a.advise("  invite someone      %s", a.here("backchannel node listen on --address HOST:PORT"))
		a.advise("                      %s", a.here("backchannel invite new"))
		a.advise("  accept one          %s", a.here("backchannel invite accept"))
	})
}

// How many words are drawn: a vault is guessed at on the machine that was seized, a
// file that is carried about may lie in many hands for long.
const (
	vaultWords = 6
	fileWords  = 10
)

// newPassphrase has a passphrase made up: on a terminal words are drawn, and what is
// typed is typed twice.
func (a *app) newPassphrase(prompt, again string, n int) ([]byte, error) {
	typed := a.fd < 0 && a.in.terminal()
	if typed && !a.quiet && !a.json {
		a.note("%s words were drawn for you. Write them on paper and type them below, a\nspace between two; or type a passphrase of your own. What you type is not shown.", map[int]string{vaultWords: "Six", fileWords: "Ten"}[n])
		for i, w := range drawWords(n) {
			a.note("  %2d  %s", i+1, w)
		}
		a.note("")
	}
	return a.firstTwice(prompt, again)
}

// shortPassphrase is below how many characters a passphrase is called short: six words that
// are drawn have more.
const shortPassphrase = 20

// firstTwice asks twice for the passphrase that opens the most, and says so if it is short. Of
// others nothing is said: they are there to be given away.
func (a *app) firstTwice(prompt, again string) ([]byte, error) {
	pass, err := a.typedTwice(a.passphrase, prompt, again)
	if err == nil && a.fd < 0 && a.in.terminal() && utf8.RuneCount(pass) < shortPassphrase {
		a.note("That is short: who has this disk, or the file, can try out all that are like it.\nSix words drawn by chance cannot be tried out.")
	}
	return pass, err
}

// drawWords draws n words for a passphrase: 11 bits each.
func drawWords(n int) []string {
	words := make([]string, n)
	for i := range words {
		var b [2]byte
		_, _ = rand.Read(b[:]) // never fails
		words[i] = identity.WordAt(binary.BigEndian.Uint16(b[:]))
	}
	return words
}

func (a *app) unlockCommand() *cobra.Command {
	var keyFile string
	c := &cobra.Command{
		Use:   "unlock",
		Short: "Open the vault of the running node for reading",
		Long: `Open the vault for reading: what it holds can be shown, and not one byte of it
is changed. Nothing is sent or received until "backchannel online". A node that
is online, or whose screens locked after a rest, closes first what was open, and
is offline after that, whichever passphrase it was.`,
		Example: "  backchannel unlock\n  backchannel unlock --passphrase-fd 3 3<passphrase.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.unlock(cmd, keyFile)
			if err != nil {
				return err
			}
			return a.answer(d, func() {
				a.say("Unlocked.")
				a.say("While the node is offline nothing is written, sent or received: %s", a.here("backchannel online"))
			})
		},
	}
	keyFileFlag(c, &keyFile, "path of the key file, if it moved")
	return c
}

// unlock asks for the passphrase and opens the vault with it.
func (a *app) unlock(cmd *cobra.Command, keyFile string) (d control.Done, err error) {
	if keyFile, err = absolute(keyFile); err != nil {
		return d, err
	}
	var s control.StatusAnswer
	if err := a.call(cmd, "status", control.Empty{}, &s); err != nil {
		return d, err
	}
	pass, err := a.passphrase("Passphrase: ")
	if err != nil {
		return d, err
	}
	defer clear(pass)
	err = a.call(cmd, "unlock", control.UnlockRequest{Passphrase: pass, KeyFile: keyFile}, &d)
	return d, err
}

func (a *app) onlineCommand() *cobra.Command {
	var keyFile string
	c := &cobra.Command{
		Use:   "online",
		Short: "Write, send and receive; opens the vault first, if it is locked",
		Long: `Write, send and receive from here on. If the vault is locked it asks for the
passphrase first, as "backchannel unlock" does.

From here on the vault is written all the time, whether or not anything happens:
what is on the disk tells when a person was there, and no more. A vault can hold
more than one compartment, and nothing shows how many. Whatever is in those that
the passphrase did not open is overwritten while the node is online, within
minutes. So go online with the passphrase that opens the most, whatever you want
to do.`,
		Example: "  backchannel online\n  backchannel online --passphrase-fd 3 3<passphrase.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s control.StatusAnswer
			if err := a.call(cmd, "status", control.Empty{}, &s); err != nil {
				return err
			}
			if string(s.State) != node.Unlocked.String() {
				if _, err := a.unlock(cmd, keyFile); err != nil {
					return err
				}
			}
			var d control.Done
			if err := a.call(cmd, "online", control.Empty{}, &d); err != nil {
				return err
			}
			return a.answer(d, func() {
				a.say("Online. Whatever this passphrase does not open is overwritten from here on: %s", a.here("backchannel online --help"))
			})
		},
	}
	keyFileFlag(c, &keyFile, "path of the key file, if it moved")
	return c
}

func (a *app) lockCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "lock",
		Short:   "Wipe the keys from memory; nothing is received any more",
		Example: "  backchannel lock",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var d control.Done
			if err := a.call(cmd, "lock", control.Empty{}, &d); err != nil {
				return err
			}
			return a.answer(d, func() { a.say("Locked. Nothing is received until: %s", a.here("backchannel online")) })
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  backchannel version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.answer(build.Of(control.Version, version), func() {
				v := build.Of(control.Version, version)
				a.say("backchannel %s", v.Version)
				a.say("built with %s for %s, from libraries with the hash", v.Go, v.System)
				a.say("%s", v.Modules)
			})
		},
	}
}
