package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/store"
)

func (a *app) burnCommand() *cobra.Command {
	var all, now bool
	var number uint32
	var keyFile string
	c := &cobra.Command{
		Use:   "burn [CONTACT]",
		Short: "Burn the conversation with a contact, or with --all the vault",
		Long: `Burn the conversation with a contact here: messages, files, and what was not
confirmed yet. The contact stays, with how it was verified. Your node asks
theirs to do the same; their person decides, and you cannot check. The vault is
written anew by it: what your passphrase does not open is destroyed, as it is by
being online.

With --all, burn the vault of this machine: every key, contact and message, and
the settings with its address. The key goes first, in milliseconds, the files
after it. No passphrase is asked, and no node has to run. With --now nothing is
asked at all: for a hotkey.

Your contact's name, or the word BURN, is asked for; --yes does not answer it.
On an SSD, in snapshots and in backups, older blocks can outlive any of this.
With the passphrase they can be read, unless the vault has a key file: that gets
another secret, and with --all it is overwritten (backchannel setup --help).`,
		Example: "  backchannel burn 1\n  backchannel burn --all\n  backchannel burn --all --now",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return usage("--all burns every contact; name none", "backchannel burn --all")
			case all:
				return a.burnAll(cmd.Context(), now, keyFile)
			case now:
				return usage("--now goes with --all only", "backchannel burn --help")
			}
			if number > 1 {
				return a.burnChannel(cmd, args, number)
			}
			return a.burnOne(cmd, args)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "burn the whole vault of this machine")
	c.Flags().BoolVar(&now, "now", false, "with --all: ask nothing")
	c.Flags().Uint32Var(&number, "channel", 0, "burn your copy of this channel, and close it for them")
	keyFileFlag(c, &keyFile, "with --all: path of the key file, if it moved")
	return c
}

// A destruction is a way to delete what there was with a contact.
type destruction struct {
	call      string
	warning   string // before the name is asked for
	otherwise string // if it is not the contact's
	done      string
}

func (a *app) burnOne(cmd *cobra.Command, args []string) error {
	return a.destroy(cmd, args, destruction{
		call:      "burn",
		warning:   "This burns the conversation here: messages and files. The contact stays.",
		otherwise: "nothing was burned",
		done:      "Burned. Your node deleted it here and asks theirs to do the same. You cannot check.",
	})
}

// burnChannel burns this side's copy of a channel.
func (a *app) burnChannel(cmd *cobra.Command, args []string, number uint32) error {
	name, err := a.contactArg(args)
	if err != nil {
		return err
	}
	of, err := a.channel(cmd, name, number)
	if err != nil {
		return err
	}
	if err := a.canWrite(cmd); err != nil {
		return err
	}
	a.note("This burns channel %d here: its messages and its charter. Theirs is burned at the deadline.", number)
	var files control.FilesAnswer // none of a channel that is withheld
	if err := a.call(cmd, "file/list", control.FilesRequest{Name: itoa(int(of.Contact.Number)), Channel: number}, &files); err == nil {
		a.tellFiles(files.Files, "backchannel file list "+itoa(int(of.Contact.Number))+inChannel(number))
	}
	if err := a.confirmName(of.Contact, "nothing was burned"); err != nil {
		return err
	}
	var ans control.BurnAnswer
	if err := a.call(cmd, "channel/burn", control.ChannelRequest{Name: itoa(int(of.Contact.Number)), Number: number}, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		a.say("Burned here, and closed for them. You cannot check what they keep.")
		a.sayLeft(ans)
	})
}

// destroy says what will be gone, has the contact's name typed, and carries it out.
func (a *app) destroy(cmd *cobra.Command, args []string, how destruction) error {
	name, err := a.contactArg(args)
	if err != nil {
		return err
	}
	var of control.ContactAnswer
	if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &of); err != nil {
		return err
	}
	if err := a.canWrite(cmd); err != nil {
		return err
	}
	a.note("%s", how.warning)
	if err := a.tellLoss(cmd, of.Contact); err != nil {
		return err
	}
	if err := a.confirmName(of.Contact, how.otherwise); err != nil {
		return err
	}
	var ans control.BurnAnswer
	if err := a.call(cmd, how.call, control.NameRequest{Name: itoa(int(of.Contact.Number))}, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		a.say("%s", how.done)
		a.sayLeft(ans)
		if ans.KeyFile != "" {
			a.say("The key file has another secret now. A copy of this disk from before opens with the old\none alone: if somebody copied the key file, or its medium keeps old blocks, as sticks do.")
			return
		}
		a.say("On an SSD, or in an earlier copy of this disk, old blocks can outlive it. With the\npassphrase they can be read.")
	})
}

// sayLeft names what could not be deleted. It is said once: to keep it would be to
// keep a path of what was burned.
func (a *app) sayLeft(ans control.BurnAnswer) {
	for _, path := range ans.Left {
		a.say("! Part of a file could not be deleted; its disk may be out. Nothing here knows of it now.\n  Write this down, and delete it yourself: %s", quote(path))
	}
}

// confirmName has the contact's name typed. --yes does not answer it.
func (a *app) confirmName(c control.Contact, otherwise string) error {
	typed, err := a.in.ask("Type the contact's name: ")
	if err != nil {
		return err
	}
	if node.Slug(typed) != c.Short {
		return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "that is not the contact's name; " + otherwise, Hint: "backchannel contact list"}
	}
	return nil
}

// tellLoss says what will be gone that is nowhere else yet, and what will not.
func (a *app) tellLoss(cmd *cobra.Command, c control.Contact) error {
	if c.Waiting > 0 {
		a.note("! %s, never confirmed, will be lost.", plural(c.Waiting, "message"))
	}
	var files control.FilesAnswer
	if err := a.call(cmd, "file/list", control.FilesRequest{Name: itoa(int(c.Number)), All: true}, &files); err != nil {
		return err
	}
	a.tellFiles(files.Files, "backchannel file list "+itoa(int(c.Number)))
	return nil
}

// tellFiles says which files will end, and which are not reached. Those of channels stand
// in lists of their own.
func (a *app) tellFiles(files []control.File, list string) {
	here, moving := 0, 0
	for _, f := range files {
		switch {
		case f.State == "here":
			here++
		case underWay(f):
			moving++
		}
	}
	if here > 0 {
		a.note("! Saved outside the vault, and not deleted: %s. Afterwards nothing tells where; look first: %s", plural(here, "file"), a.here(list))
	}
	if moving > 0 {
		a.note("! %s offered or on the way will end.", plural(moving, "file"))
	}
}

// burnAnswer says what became of the vault.
type burnAnswer struct {
	V       int          `json:"v"`
	Key     bool         `json:"key_destroyed"`
	Files   bool         `json:"files_removed"`
	Config  bool         `json:"settings_removed"`   // and which relay network it was in
	Node    bool         `json:"node_ended"`         // or there was none
	KeyFile control.Word `json:"key_file,omitempty"` // what became of it, if there is one
	KeyTook int64        `json:"key_milliseconds"`
	Took    int64        `json:"milliseconds"`
}

func (a *app) burnAll(ctx context.Context, now bool, keyFile string) error {
	p, err := a.paths()
	if err != nil {
		return err
	}
	if !p.anythingLeft() {
		return store.ErrMissing
	}
	if !now {
		a.note("This burns the vault of this machine: all keys, contacts, messages and files in it.\nNobody can bring it back.")
		typed, err := a.in.ask("Type BURN: ")
		if err != nil {
			return err
		}
		if typed != "BURN" {
			return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "that is not the word; nothing was burned", Hint: "backchannel burn --all"}
		}
	}
	if keyFile, err = absolute(keyFile); err != nil {
		return err
	}
	if keyFile == "" {
		keyFile = p.keyFileOf()
	}
	ans := p.burn(ctx, keyFile)
	if !ans.Key || !ans.Files || !ans.Config {
		return notAllBurned(ans)
	}
	return a.answer(ans, func() {
		a.say("Burned: the key in %d ms, all in %d ms. The vault's key was overwritten, its files and this\nmachine's settings were removed. No passphrase opens what is left.", ans.KeyTook, ans.Took)
		if !ans.Node {
			a.say("A node is still ending. If it does not, switch the machine off: it may hold keys in memory.")
		}
		a.sayKeyFile(ans.KeyFile)
		if ans.KeyFile == "" {
			a.say("On an SSD, in snapshots and in backups, older blocks can outlive this; with the passphrase\nthey can be read.")
		}
		a.say("What you saved elsewhere is still there, and beside it what was\nstill coming, under a name that begins with a dot.")
		a.say("Others may remember that this machine was used: whoever watched its line, its contacts\nand, if it was in a relay network, its guards.")
	})
}

func notAllBurned(ans burnAnswer) error {
	e := &control.Error{Code: "not_burned", Exit: control.ExitFailed, Message: "the key was destroyed; some files could not be removed", Hint: "remove the vault's folder by hand"}
	if !ans.Key {
		e.Message = "the key could not be overwritten; the files were removed, as far as that was possible"
		e.Hint = "check the permissions of the vault's folder, then: backchannel burn --all --now"
	} else if ans.Files {
		e.Message, e.Hint = "the vault is burned; this machine's settings could not be removed", "remove config.toml, network.pem and guards by hand"
	}
	return e
}

// machineFiles are the settings, the relay network and its guards, and what a write of
// these that was cut off may have left.
func (p paths) machineFiles() []string {
	half, _ := filepath.Glob(filepath.Join(filepath.Dir(p.networkFile()), newFilePrefix+"*"))
	return append(half, p.config, p.networkFile(), p.guardsFile(), p.avoidedFile())
}

// anythingLeft reports whether there is something to burn: a burning that was cut off
// may have left the settings, which name the key file, and a node with keys in memory.
func (p paths) anythingLeft() bool {
	return slices.ContainsFunc(append(p.machineFiles(), p.vault, p.stage(), p.vault+".lock"), func(path string) bool {
		_, err := os.Lstat(path)
		return !errors.Is(err, fs.ErrNotExist)
	})
}

// burn destroys the vault: its key, then its files, then what a node holds of it
// in memory, then the settings. Nothing in it can wait for long.
func (p paths) burn(ctx context.Context, keyFile string) burnAnswer {
	began := time.Now()
	ms := func() int64 { return time.Since(began).Milliseconds() }
	ans := burnAnswer{V: control.Version}
	holder := store.Holder(p.vault)
	ans.Key = store.DestroyKey(p.vault) == nil
	ans.KeyTook = ms()
	stick := burnKeyFile(keyFile)
	ans.Key = store.DestroyKey(p.stage()) == nil && ans.Key // of a restoring that was cut off
	staged := store.Remove(p.stage())
	_ = store.Remove(p.vault) // a node that has it open cannot write any more, nor flush
	ans.Node = p.endNode(ctx, holder)
	ans.Files = store.Remove(p.vault) == nil && staged == nil
	ans.Config = true
	for _, path := range p.machineFiles() { // after the node has ended, which writes guards
		err := os.Remove(path)
		ans.Config = ans.Config && (err == nil || errors.Is(err, fs.ErrNotExist))
	}
	select {
	case ans.KeyFile = <-stick:
	case <-time.After(stickWait):
		ans.KeyFile = keyFileLeft
	}
	ans.Took = ms()
	return ans
}

// stickWait is how long the medium of the key file may take after everything else.
const stickWait = 400 * time.Millisecond

// nodeWait is how long a node may take to wipe its keys before it is killed.
const nodeWait = 400 * time.Millisecond

// endNode has the node wipe its keys and end. One that does not answer, though it
// has the vault open, is killed.
func (p paths) endNode(ctx context.Context, holder int) bool {
	ctx, cancel := context.WithTimeout(ctx, nodeWait)
	defer cancel()
	var d control.Done
	err := control.NewClient(p.socket).Call(ctx, "quit", control.Empty{}, &d)
	if err == nil || holder == 0 && control.Describe(err).Code == control.ErrNotRunning.Code {
		return true
	}
	if holder == 0 || holder == os.Getpid() {
		return false
	}
	process, err := os.FindProcess(holder)
	return err == nil && process.Kill() == nil
}
