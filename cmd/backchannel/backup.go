package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/harden"
	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/backup"
)

func (a *app) backupCommand() *cobra.Command {
	c := &cobra.Command{Use: "backup", Short: "Keep your contacts for the day that this machine is lost"}
	c.AddCommand(a.backupMakeCommand(), a.backupCheckCommand(), a.restoreCommand())
	return c
}

func (a *app) backupMakeCommand() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "make [FILE]",
		Short: "Write a backup of your contacts, sealed under a passphrase",
		Long: `Write a backup: who your contacts are, how each was verified, and the keys from
which a line to them is made anew. No message, session or file is in it, and
nothing that was said can be read with it.

But whoever has the file and its passphrase can pose as you. Your contacts see
that as a recovery: sending is paused. If they go on without comparing words,
the thief gets what they write, and what they wrote in the last 14 days.

The file looks like random bytes from end to end. With --key-file it needs a
second file to be opened, which is made if it is not there: keep it elsewhere.

It holds the contacts that you see now, and of no other compartment. If you have
a second passphrase, make a backup with each: a file on your stick of which
doctor knows nothing when the vault is open asks to be explained.

Make a new one after every new contact and after comparing words; status and
doctor say when the last one is too old. Without FILE its path is asked for.`,
		Example: "  backchannel backup make garden.bin\n  backchannel backup make --key-file key.bin garden.bin",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.backupMake(cmd, args, key) },
	}
	c.Flags().StringVar(&key, "key-file", "", "second secret; made if it is not there")
	return c
}

// madeAnswer says what a backup holds that was written.
type madeAnswer struct {
	V        int                     `json:"v"`
	Made     string                  `json:"made"`
	Bytes    int                     `json:"bytes"`
	Contacts []control.BackupContact `json:"contacts"`
	LeftOut  int                     `json:"invitations_left_out"`
	KeyMade  bool                    `json:"key_file_made"`
}

func (a *app) backupMake(cmd *cobra.Command, args []string, key string) error {
	var list control.ContactsAnswer // before anything is typed in vain
	if err := a.call(cmd, "contact/list", control.Empty{}, &list); err != nil {
		return err
	}
	if !slices.ContainsFunc(list.Contacts, func(c control.Contact) bool { return c.Stage == control.Word(channel.Met.String()) }) {
		return &control.Error{Code: "nothing_to_keep", Exit: control.ExitUsage, Message: "there is no contact yet that a backup could hold", Hint: "backchannel contact list"}
	}
	path, err := a.sealedPath(args)
	if err != nil {
		return err
	}
	if err := vacantPath(path); err != nil {
		return err
	}
	if err := a.notOfVault(key); err != nil {
		return err
	}
	second, keyMade, err := keyFile(key, true)
	if err != nil {
		return err
	}
	defer second.Wipe()
	pass, err := a.newPassphrase("Passphrase for the backup: ", "Again:                     ", fileWords)
	if err != nil {
		return err
	}
	defer clear(pass)
	request := control.BackupRequest{Passphrase: pass}
	if !second.IsZero() {
		request.Second = second.Bytes()
	}
	var sealed control.BackupAnswer
	if err := a.call(cmd, "backup/make", request, &sealed); err != nil {
		return err
	}
	if err := writeSealed(path, sealed.File, func() error { return nil }); err != nil {
		return err
	}
	written := control.BackedUpRequest{Made: sealed.Made, Numbers: []uint32{}}
	for _, c := range sealed.Contacts {
		written.Numbers = append(written.Numbers, c.Number)
	}
	var d control.Done
	told := a.call(cmd, "backup/written", written, &d)
	ans := madeAnswer{control.Version, sealed.Made, len(sealed.File), sealed.Contacts, sealed.LeftOut, keyMade}
	return a.answer(ans, func() {
		a.say("Made, with %s and how each was verified. No message, session or file is in it.", plural(len(ans.Contacts), "contact"))
		if ans.LeftOut > 0 {
			a.say("Not in it: %s that nobody has used yet.", plural(ans.LeftOut, "invitation"))
		}
		if keyMade {
			a.say("The key file was made, too. Keep it apart from the backup: neither opens without the other.")
		}
		if told != nil {
			a.say("The vault could not note that it was made; status goes on asking for one.")
		}
		a.advise("  see whether it opens     %s", a.here("backchannel backup check"))
		a.advise("  make a new one           after every new contact, and after comparing words")
	})
}

func (a *app) backupCheckCommand() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Open a backup in memory and say what is in it",
		Long: `Open a backup, or a vault that is on its way to another machine, in memory,
and say what is in it. Nothing is written, and no node has to run. If one runs
and is open, its contacts are compared with those in the backup.`,
		Example: "  backchannel backup check garden.bin",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.backupCheck(cmd, args, key) },
	}
	c.Flags().StringVar(&key, "key-file", "", "second secret that it was made with")
	return c
}

// openSealed asks for a file and its passphrase, and opens it.
func (a *app) openSealed(args []string, key string) (backup.Kind, []byte, error) {
	path, err := a.sealedPath(args)
	if err != nil {
		return 0, nil, err
	}
	raw, err := readSealed(path)
	if err != nil {
		return 0, nil, err
	}
	second, _, err := keyFile(key, false)
	if err != nil {
		return 0, nil, err
	}
	defer second.Wipe()
	pass, err := a.passphrase("Passphrase of the file: ")
	if err != nil {
		return 0, nil, err
	}
	defer clear(pass)
	harden.LockMemory()
	kind, content, err := backup.Open(backup.Secrets{Passphrase: pass, Second: second, Cost: backupCost()}, raw)
	if err == nil && kind == backup.Authority {
		clear(content)
		return 0, nil, &control.Error{Code: "authority_key", Exit: control.ExitUsage, Message: "this is the key of an authority, and no backup", Hint: "backchannel mandate key"}
	}
	return kind, content, err
}

// backupCheckAnswer says what is in a file.
type backupCheckAnswer struct {
	V        int                     `json:"v"`
	Kind     control.Word            `json:"kind"`
	Made     string                  `json:"made,omitempty"`
	Contacts []control.BackupContact `json:"contacts,omitempty"`
	Compared bool                    `json:"compared_with_the_vault"`
	Lacking  []control.BackupContact `json:"not_in_it,omitempty"` // contacts of the open vault
	Records  int                     `json:"records,omitempty"`
}

func (a *app) backupCheck(cmd *cobra.Command, args []string, key string) error {
	kind, content, err := a.openSealed(args, key)
	if err != nil {
		return err
	}
	defer clear(content)
	ans := backupCheckAnswer{V: control.Version, Kind: control.Word(kind.String())}
	if kind == backup.Vault {
		records, err := backup.ParseRecords(content)
		if err != nil {
			return err
		}
		ans.Records = len(records)
		return a.answer(ans, func() {
			a.say("It opens, and is whole: a vault that moves, with everything in it.")
			a.advise("  open it here             %s", a.here("backchannel move in"))
		})
	}
	b, err := backup.Parse(content)
	if err != nil {
		return err
	}
	b.Wipe()
	ans.Made, ans.Contacts = control.MadeAt(b), control.BackupContacts(b)
	ans.compare(a, cmd)
	return a.answer(ans, func() { a.printBackup(ans) })
}

// compare finds the contacts of an open vault that the backup does not hold.
func (ans *backupCheckAnswer) compare(a *app, cmd *cobra.Command) {
	var list control.ContactsAnswer
	if a.call(cmd, "contact/list", control.Empty{}, &list) != nil {
		return
	}
	ans.Compared = true
	type key struct {
		number uint32
		made   string
	}
	held := map[key]control.BackupContact{}
	for _, c := range ans.Contacts {
		held[key{c.Number, c.Made}] = c
	}
	for _, c := range list.Contacts {
		in, ok := held[key{c.Number, c.Made}]
		if c.Stage == control.Word(channel.Met.String()) && (!ok || in.Verified != c.Verified || in.VerifiedAt != c.VerifiedAt || in.OnlyRoute != c.OnlyRoute) {
			ans.Lacking = append(ans.Lacking, control.BackupContact{Number: c.Number, Name: c.Name, Verified: c.Verified, VerifiedAt: c.VerifiedAt, Made: c.Made, OnlyRoute: c.OnlyRoute})
		}
	}
}

func (a *app) printBackup(ans backupCheckAnswer) {
	a.say("It opens, and is whole. Made %s, with %s:", dateOf(ans.Made), plural(len(ans.Contacts), "contact"))
	a.printBackupContacts(ans.Contacts)
	switch {
	case !ans.Compared:
		a.advise("No vault is open here to compare it with.")
	case len(ans.Lacking) == 0:
		a.say("Nothing is missing: every contact of this vault is in it, as it is now.")
	default:
		a.say("Not in it, or verified or talked to otherwise since: %s.", plural(len(ans.Lacking), "contact"))
		a.printBackupContacts(ans.Lacking)
		a.advise("  make a new one           %s", a.here("backchannel backup make"))
	}
}

func (a *app) printBackupContacts(list []control.BackupContact) {
	for _, c := range list {
		line := string(c.Verified)
		if c.VerifiedAt != "" {
			line += " " + dateOf(c.VerifiedAt)
		}
		if c.UsedTwice {
			line += ", invitation USED TWICE"
		}
		switch c.OnlyRoute {
		case control.Word(channel.DirectRoute.String()):
			line += ", directly alone"
		case control.Word(channel.RelayRoute.String()):
			line += ", over relays alone"
		}
		a.say("%3d  %-24s  %s", c.Number, cleanLine(c.Name), line)
	}
}

// dateOf shows a time with its year: a backup may lie for long.
func dateOf(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "at an unknown time"
	}
	return t.Local().Format("2 Jan 2006 15:04")
}

// addressOf is the address that most contacts of a backup were told last.
func addressOf(b *backup.Backup) string {
	told, most := map[string]int{}, ""
	for _, c := range b.Contacts {
		at := c.OwnPlace.Address()
		if at == "" {
			continue
		}
		if told[at]++; told[at] > told[most] {
			most = at
		}
	}
	return most
}

var errNoBackup = &control.Error{Code: "no_backup", Exit: control.ExitUsage, Message: "this is a whole vault that moves, and no backup", Hint: "backchannel move in"}

// statusBackup says when the last backup is too old; a vault that never had one is
// the doctor's business.
func (a *app) statusBackup(s control.StatusAnswer) {
	if s.LastBackup != "" && s.NotBackedUp > 0 {
		a.advise("The last backup lacks %s, or how they were verified since: %s", plural(s.NotBackedUp, "contact"), a.here("backchannel backup make"))
	}
}

// checkBackup says whether what would be lost with this machine is anywhere else.
func (d *doctor) checkBackup() {
	switch s := d.status; {
	case s == nil || s.State != control.Word(node.Unlocked.String()):
		d.note("backup", "", "whether there is a backup is seen when the node is open")
	case s.NotBackedUp > 0 && s.LastBackup == "":
		d.note("backup", "backchannel backup make", "no backup was made: %s would be lost with this machine", plural(s.NotBackedUp, "contact"))
	case s.NotBackedUp > 0:
		d.note("backup", "backchannel backup make", "the last backup lacks %s, or how they were verified since", plural(s.NotBackedUp, "contact"))
	case s.LastBackup != "":
		d.ok("backup", "the last backup holds every contact; this program cannot see whether you still have it")
	default:
		d.ok("backup", "there is no contact yet that a backup could hold")
	}
}
