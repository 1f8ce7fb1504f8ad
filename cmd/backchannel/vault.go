package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) vaultCommand() *cobra.Command {
	c := &cobra.Command{Use: "vault", Short: "Change what opens the vault, and say how full it is"}
	c.AddCommand(
		&cobra.Command{
			Use:   "passphrase",
			Short: "Change the passphrases of the vault, or their number",
			Long: `Change the passphrases of the vault. All that it is to have are typed, up to
three, also those that stay. The first opens what you see now, and everything
that the others open; the second opens less, the third least. One that is new
opens a compartment that is empty. What had a passphrase and gets none is
destroyed, and so is what you have not opened.

Nothing on this machine shows how many there are, nor whether you changed any.
Somebody who copied the disk before can open that copy with the old ones. And
whoever knows this program knows that there can be more than one.

From a pipe, the first line is the passphrase that opens what you see now.`,
			Example: "  backchannel vault passphrase\n  backchannel vault passphrase --passphrase-fd 3 3<passphrases.txt",
			Args:    cobra.NoArgs,
			RunE:    func(cmd *cobra.Command, _ []string) error { return a.vaultPassphrase(cmd) },
		},
		&cobra.Command{
			Use:   "key-file PATH",
			Short: "Give the vault a key file, without which nothing opens",
			Long: `Make a key file for a vault that has none, at best on a stick or card that you
take out when the vault is locked. From then on every passphrase needs it, and
burning changes what is in it: a copy of this disk from before a burning opens
with a copy of the key file from before it, and not without.

The vault is written anew by that: whatever you have not opened is destroyed, as
it is whenever the node is online. Nothing opens without the file: nobody can
make it again.`,
			Example: "  backchannel vault key-file /media/stick/key",
			Args:    cobra.ExactArgs(1),
			RunE:    func(cmd *cobra.Command, args []string) error { return a.vaultKeyFile(cmd, args[0]) },
		},
		&cobra.Command{
			Use:   "info",
			Short: "Say how large the vault is, and how full what you see of it",
			Long: `Say how large the vault is, and how full what you see of it. A compartment has
an eighth of the vault, less a little, whether there is one or three; nobody
can tell from it how many there are.`,
			Example: "  backchannel vault info",
			Args:    cobra.NoArgs,
			RunE:    func(cmd *cobra.Command, _ []string) error { return a.vaultInfo(cmd) },
		},
	)
	return c
}

// rekeyTime is how long changing passphrases may take at least.
const rekeyTime = 10 * time.Minute

// vaultPassphrase is one screen for everybody: it neither knows nor shows how many
// passphrases there are.
func (a *app) vaultPassphrase(cmd *cobra.Command) error {
	if err := a.canWrite(cmd); err != nil {
		return err
	}
	request, err := a.askPassphrases()
	defer clear(request.Present)
	defer wipe(request.Passphrases)
	if err != nil {
		return err
	}
	a.timeout = max(a.timeout, rekeyTime) // who gave up would not know what opens the vault
	var d control.Done
	if err := a.call(cmd, "vault/passphrase", request, &d); err != nil {
		return err
	}
	return a.answer(d, func() {
		a.say("Done. The vault was written anew, and opens with these passphrases alone.")
		a.say("A copy of this disk that was made before opens with the old ones.")
	})
}

func (a *app) askPassphrases() (r control.PassphraseRequest, err error) {
	person := a.fd < 0 && a.in.terminal() && !a.quiet && !a.json
	if person {
		a.note("The vault is written anew. Whatever you have not opened is destroyed by that, as\nit is whenever the node is online.\n")
	}
	if r.Present, err = a.passphrase("Passphrase now: "); err != nil {
		return r, err
	}
	if person {
		a.note("\nNow type all that the vault is to have, up to three, also those that stay. The\nfirst opens what you see now. Each further one opens less: what it opened\nbefore, or an empty compartment. To go without, press enter twice; what had\none and gets none is destroyed.")
	}
	first, err := a.firstTwice("First:  ", "Again:  ")
	if err != nil {
		return r, err
	}
	r.Passphrases = append(r.Passphrases, first)
	for _, which := range []string{"Second: ", "Third:  "} {
		next, err := a.typedTwice(a.furtherPassphrase, which, "Again:  ")
		if err != nil {
			return r, err
		}
		if len(next) > 0 {
			r.Passphrases = append(r.Passphrases, next)
		}
	}
	if person {
		return r, a.confirmReplace()
	}
	return r, nil
}

// confirmReplace asks the same of everybody, because it does not know whether
// anything is lost.
func (a *app) confirmReplace() error {
	typed, err := a.in.ask("Whatever these do not open is destroyed now. Type REPLACE to go on: ")
	if err != nil {
		return err
	}
	if strings.TrimSpace(typed) != "REPLACE" {
		return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "REPLACE was not typed; nothing was changed", Hint: "backchannel vault passphrase"}
	}
	return nil
}

func (a *app) vaultInfo(cmd *cobra.Command) error {
	var ans control.VaultAnswer
	if err := a.call(cmd, "vault/info", control.Empty{}, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		a.say("The vault takes %s on the disk, whatever is in it.", megabytes(ans.Size))
		a.say("What you see takes %s of the %s that it has: %d %%.", megabytes(ans.Used), megabytes(ans.Room), ans.Percent)
		if ans.Percent >= 80 {
			a.say("It is nearly full. Remove messages that you do not need, or burn a conversation.")
		}
	})
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
