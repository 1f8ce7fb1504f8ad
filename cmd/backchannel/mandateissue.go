package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/harden"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/sounding"
)

// The authority's half of a mandate. It needs no node: its key lies in a sealed file.

// authorityVersion is the first byte of what a sealed file of the kind holds.
const authorityVersion = 1

// authorityAnswer describes the key of an authority.
type authorityAnswer struct {
	V     int      `json:"v"`
	Made  bool     `json:"made"`
	Key   string   `json:"authority"` // public
	Words []string `json:"words"`
}

func (a *app) mandateKeyCommand() *cobra.Command {
	var public string
	c := &cobra.Command{
		Use:   "key [FILE]",
		Short: "As an authority: make your key, or show its ten words",
		Long: `Make the key of an authority, in a file sealed under a passphrase; if the file
is there, open it and show the words of the key. No node and no network is
needed, and a machine that never sees one is the best place.

Read the ten words to the listener yourself, by a path that is not your envoy:
by them he knows that a mandate is of your key. With --public the public key
is written, too: give that file to your envoy. It is not secret, but whoever
has it can tell which requests and mandates are meant for you.`,
		Example: "  backchannel mandate key ministry.key --public ministry.pub",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := a.sealedPath(args)
			if err != nil {
				return err
			}
			if public != "" {
				if public, err = a.sealedPath([]string{public}); err != nil {
					return err
				}
				if err := vacantPath(public); err != nil {
					return err
				}
			}
			key, made, err := a.openOrMakeAuthority(path)
			if err != nil {
				return err
			}
			defer key.Wipe()
			if public != "" {
				if err := writeNew(public, key.Public().KeyFile()); err != nil {
					return err
				}
			}
			return a.showAuthority(key.Public(), made)
		},
	}
	c.Flags().StringVar(&public, "public", "", "write the public key to this file, for the envoy")
	return c
}

func (a *app) showAuthority(key mandate.PublicKey, made bool) error {
	words := key.Words()
	return a.answer(authorityAnswer{control.Version, made, hex.EncodeToString(key[:]), words[:]}, func() {
		if made {
			a.say("Made. Without the passphrase nobody can use it, and nobody can give it back to you.")
		}
		a.say("Read these ten words to the listener yourself, by a path that is not your envoy:\n\n    %s\n    %s\n",
			strings.Join(words[:5], "  "), strings.Join(words[5:], "  "))
		a.advise("Whoever has the file and the passphrase speaks as you. Nothing that the key makes\nis signed: what you give an envoy convinces one listener, and nobody else.")
	})
}

// openOrMakeAuthority opens the key in a file, or makes one where none is.
func (a *app) openOrMakeAuthority(path string) (key *mandate.Private, made bool, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		key, err = a.openAuthority(path)
		return key, false, err
	}
	if err := vacantPath(path); err != nil {
		return nil, false, err
	}
	pass, err := a.newPassphrase("Passphrase for the key: ", "Again:                  ", fileWords)
	if err != nil {
		return nil, false, err
	}
	defer clear(pass)
	harden.LockMemory()
	seed, err := secret.Read(rand.Reader)
	if err != nil {
		return nil, false, err
	}
	defer seed.Wipe()
	content := append([]byte{authorityVersion}, seed.Bytes()...)
	defer clear(content)
	sealed, err := backup.Seal(rand.Reader, backup.Secrets{Passphrase: pass, Cost: backupCost()}, backup.Authority, content)
	if err != nil {
		return nil, false, err
	}
	if err := writeNew(path, sealed); err != nil {
		return nil, false, err
	}
	return mandate.NewPrivate(seed), true, nil
}

// openAuthority opens the key of an authority.
func (a *app) openAuthority(path string) (*mandate.Private, error) {
	raw, err := readSealed(path)
	if err != nil {
		return nil, err
	}
	pass, err := a.passphrase("Passphrase of the key: ")
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	harden.LockMemory()
	kind, content, err := backup.Open(backup.Secrets{Passphrase: pass, Cost: backupCost()}, raw)
	if err != nil {
		return nil, err
	}
	defer clear(content)
	if kind != backup.Authority || len(content) != 1+secret.Size || content[0] != authorityVersion {
		return nil, usage(errNotAuthority.Error(), "backchannel mandate key")
	}
	seed := secret.FromBytes(content[1:])
	defer seed.Wipe()
	return mandate.NewPrivate(seed), nil
}

// issueFiles are the files of an issue, as flags give them.
type issueFiles struct{ key, request, until, out string }

func (a *app) mandateIssueCommand() *cobra.Command {
	var f issueFiles
	c := &cobra.Command{
		Use:   "issue",
		Short: "As an authority: answer an envoy's request with a mandate",
		Long: `Answer an envoy's request with a mandate: what he may speak about, and until
when. No node and no network is needed. What is not given is asked for: the
files, the end, the scope, and the dossier.

The scope is one line that the listener reads. The dossier is for your own
eyes: if you give two envoys the same one for the same listener, he sees that
both come for one matter. Large and small letters and spaces do not matter. No
envoy sees it, and its text leaves this machine in no form.

A withdrawal needs a copy of the mandate. Short ends are the better
protection: a withdrawal works when it arrives.`,
		Example: "  backchannel mandate issue --key ministry.key --request request.bcm --until 14d --out mandate.bcm",
		Args:    cobra.NoArgs,
		RunE:    func(_ *cobra.Command, _ []string) error { return a.mandateIssue(f) },
	}
	c.Flags().StringVar(&f.key, "key", "", "file of the authority's key")
	c.Flags().StringVar(&f.request, "request", "", "file of the envoy's request")
	c.Flags().StringVar(&f.until, "until", "", "end in UTC, as 2026-11-30T12:00; or 14d, 36h from now")
	c.Flags().StringVar(&f.out, "out", "", "where to write the mandate")
	return c
}

// issuedAnswer says what was issued.
type issuedAnswer struct {
	V     int    `json:"v"`
	Path  string `json:"path"`
	Bytes int    `json:"bytes"`
	Scope string `json:"scope"`
	Until string `json:"until"`
}

func (a *app) mandateIssue(f issueFiles) error {
	key, request, err := a.openRequest(&f)
	if err != nil {
		return err
	}
	defer key.Wipe()
	terms, err := a.terms(f.until)
	if err != nil {
		return err
	}
	if f.out, err = a.pathOf(f.out, "Write the mandate to: "); err != nil {
		return err
	}
	g, err := mandate.Issue(key, request, terms, rand.Reader)
	if err != nil {
		return err
	}
	raw := g.Append(nil)
	if err := writeNew(f.out, raw); err != nil {
		return err
	}
	until := g.Mandate.NotAfter.Format(time.RFC3339)
	return a.answer(issuedAnswer{control.Version, f.out, len(raw), g.Mandate.Scope, until}, func() {
		a.sayFolded(2, "Made. One envoy can show it, to one listener:\n  speaks about: %s\n  until %s", cleanLine(g.Mandate.Scope), longTime(until))
		a.advise("Which envoy and which listener that is, the envoy tells you: a request names keys,\nand no people. Give him the file, and keep a copy if you may want to withdraw it:\nit is sealed by nothing, and proves nothing to who finds it.")
		a.advise("Nothing here is signed. The listener is convinced by a key that only he and you\nshare, so he could have made it himself.")
	})
}

// openRequest opens the key, and with it the request.
func (a *app) openRequest(f *issueFiles) (*mandate.Private, mandate.Request, error) {
	var none mandate.Request
	var err error
	if f.key, err = a.pathOf(f.key, "File of the authority's key: "); err != nil {
		return nil, none, err
	}
	if f.request, err = a.pathOf(f.request, "File of the request: "); err != nil {
		return nil, none, err
	}
	raw, err := readSmall(f.request, mandate.RequestSize)
	if err != nil {
		return nil, none, err
	}
	key, err := a.openAuthority(f.key)
	if err != nil {
		return nil, none, err
	}
	r, err := mandate.OpenRequest(key, raw)
	if err != nil {
		key.Wipe()
		return nil, none, err
	}
	return key, r, nil
}

// terms asks what the mandate says.
func (a *app) terms(until string) (mandate.Terms, error) {
	var t mandate.Terms
	var err error
	if until == "" {
		if until, err = a.in.ask("Until when? In UTC, as 2026-11-30 12:00; or from now, as 14d: "); err != nil {
			return t, err
		}
	}
	var ok bool
	if t.NotAfter, ok = untilTime(until, time.Now()); !ok {
		return t, usage("the end is not a moment to come", "give it in UTC: backchannel mandate issue --until 14d")
	}
	if time.Until(t.NotAfter) > 31*24*time.Hour {
		a.note("That is more than a month. A mandate that ends soon needs no withdrawal.")
	}
	if t.Scope, err = a.in.ask("What may the envoy speak about? One line, which the listener reads: "); err != nil {
		return t, err
	}
	t.Scope = strings.TrimSpace(t.Scope)
	dossier, err := a.in.ask("Dossier, for your own eyes (empty: a matter of its own): ")
	if err != nil || strings.TrimSpace(dossier) == "" {
		return t, err
	}
	if t.Dossier, err = sounding.Normalize(dossier); err != nil {
		return t, usage("a dossier has 1 to 128 bytes of text", "give the matter a short name: the same for every envoy who comes for it")
	}
	return t, nil
}

func (a *app) mandateWithdrawCommand() *cobra.Command {
	var f issueFiles
	c := &cobra.Command{
		Use:   "withdraw [FILE]",
		Short: "Withdraw a mandate as its authority; or take a withdrawal in",
		Long: `As an authority, with --key: make the withdrawal of a mandate, from the file
that issue wrote. No node is needed.

With FILE alone: take a withdrawal in, by whatever path it came. If you are the
listener, it is checked, and the mandate is not valid here any more. If you are
the envoy, it is passed on to the listener.

A withdrawal works when it arrives, and an envoy who does not want it to can
keep it back: send it by a second path, too.`,
		Example: "  backchannel mandate withdraw --key ministry.key --mandate mandate.bcm --out withdrawal.bcm\n  backchannel mandate withdraw withdrawal.bcm",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.key == "" {
				return a.takeWithdrawal(cmd, args)
			}
			if len(args) > 0 {
				return usage("a withdrawal is either made or taken in", "backchannel mandate withdraw --help")
			}
			return a.makeWithdrawal(f)
		},
	}
	c.Flags().StringVar(&f.key, "key", "", "file of the authority's key")
	c.Flags().StringVar(&f.request, "mandate", "", "file of the mandate, as issue wrote it")
	c.Flags().StringVar(&f.out, "out", "", "where to write the withdrawal")
	return c
}

func (a *app) makeWithdrawal(f issueFiles) error {
	var err error
	if f.request, err = a.pathOf(f.request, "File of the mandate: "); err != nil {
		return err
	}
	raw, err := readSmall(f.request, mandate.GrantSize)
	if err != nil {
		return err
	}
	g, err := mandate.ParseGrant(raw)
	if err != nil {
		return err
	}
	if f.out, err = a.pathOf(f.out, "Write the withdrawal to: "); err != nil {
		return err
	}
	if f.key, err = a.pathOf(f.key, ""); err != nil {
		return err
	}
	key, err := a.openAuthority(f.key)
	if err != nil {
		return err
	}
	defer key.Wipe()
	if key.Public() != g.Mandate.Authority {
		return mandate.ErrRefused
	}
	file, err := mandate.Withdraw(key, g.Mandate)
	if err != nil {
		return err
	}
	if err := writeNew(f.out, file); err != nil {
		return err
	}
	return a.answer(writtenAnswer{control.Version, f.out, len(file)}, func() {
		a.say("Made. It works when it reaches the listener, by whatever path; whoever carries it can\ndrop it, and cannot make one. Until then the mandate is valid to him.")
		a.advise("  the listener does        backchannel mandate withdraw")
	})
}
