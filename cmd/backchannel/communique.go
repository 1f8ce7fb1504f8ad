package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/communique"
)

func (a *app) communiqueCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "communique",
		Short: "Publish one text that both of you sign, and that anybody can check",
		Long: `A communiqué is one text under two signatures that anybody can check, for
ever. It is the only thing here that is signed. It shows nothing of the talks:
no names, no dates, no addresses, not that this conversation existed.

Both of you send drafts until one will do (draft, diff), agree to sign it and
sign it (sign, twice each: the second time is final), and publish it (publish).
Before you sign you are told who could walk away with what.`,
		Example: "  backchannel communique list 1\n  backchannel communique verify communique.txt",
	}
	c.AddCommand(
		a.communiqueDraftCommand(), a.communiqueDiffCommand(), a.communiqueSignCommand(),
		a.communiquePublishCommand(), a.communiqueVerifyCommand(), a.communiqueListCommand(),
	)
	return c
}

func (a *app) communiqueDraftCommand() *cobra.Command {
	var file string
	var agree bool
	var number uint32
	c := &cobra.Command{
		Use:   "draft [CONTACT]",
		Short: "Send a version of the text, or agree that there may be one",
		Long: `Send a version of the text. It is typed after a prompt, ended with a line that
holds a single dot, or read from standard input or a file.

With --channel the text is drafted in a channel that is open and that both of
you agreed on as publishable; it is signed there, and burned with the channel.
Without, in the conversation that has no charter: nothing said there can be
published until both of you have said that something may be, with a first draft
or with --agree and no text; nor while you have a channel that stays secret.

Your versions and theirs have numbers of their own, odd ones of who made the
invitation and even ones of who took it up: two drafts at once are two
versions.`,
		Example: "  backchannel communique draft 1 --file draft.txt\n  backchannel communique draft 1 --channel 2\n  backchannel communique draft 1 --agree",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			now, err := a.communiques(cmd, args, number) // looked up first: nobody writes a text in vain
			if err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			if err := a.channelFlows(cmd, now.Contact, number, false); err != nil {
				return err
			}
			if number > 1 && !now.YouAgree {
				return channel.ErrStaysSecret
			}
			return a.draft(cmd, now, file, agree)
		},
	}
	channelFlag(c, &number)
	c.Flags().StringVar(&file, "file", "", "file that holds the text; - for standard input")
	c.Flags().BoolVar(&agree, "agree", false, "send no text; say that something may be published")
	return c
}

func (a *app) draft(cmd *cobra.Command, now control.CommuniqueAnswer, file string, agree bool) error {
	request := control.DraftRequest{Name: itoa(int(now.Contact.Number)), Channel: now.Channel, Agree: agree}
	if !now.YouAgree {
		a.note("! With this you agree that something may be published together with %s. That is no\n  signature: you are asked again before each.", quoted(now.Contact.Name))
	}
	if !agree {
		text, err := a.text(file)
		if err != nil {
			return err
		}
		request.Text = text
	}
	var ans control.DraftAnswer
	if err := a.call(cmd, "communique/draft", request, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		switch {
		case agree && now.TheyAgree:
			a.say("Said. Something may be published together: both of you have said so.")
			return
		case agree:
			a.say("Said. Something may be published when %s has said so, too.", quoted(now.Contact.Name))
			return
		}
		d := ans.Draft
		a.say("v%d: %s. SHA-256 %s.", d.Version, d.State, d.Digest)
		if tidied := request.Text + "\n"; d.Text != tidied {
			a.advise("Spaces at the ends of lines, tabs and empty lines at both ends were tidied.")
		}
		if !now.TheyAgree {
			a.advise("It can be signed when %s has said that something may be published, too: by a draft, or by\n  backchannel communique draft --agree", quoted(now.Contact.Name))
		}
	})
}

func (a *app) communiqueListCommand() *cobra.Command {
	var number uint32
	c := &cobra.Command{
		Use:     "list [CONTACT]",
		Short:   "List the drafts, and how their signing stands",
		Example: "  backchannel communique list 1\n  backchannel communique list 1 --channel 2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ans, err := a.communiques(cmd, args, number)
			if err != nil {
				return err
			}
			return a.answer(ans, func() { a.printCommunique(ans) })
		},
	}
	channelFlag(c, &number)
	return c
}

// communiques looks how drafts and signings stand in a channel of a contact.
func (a *app) communiques(cmd *cobra.Command, args []string, number uint32) (ans control.CommuniqueAnswer, err error) {
	name, err := a.contactArg(args)
	if err != nil {
		return ans, err
	}
	err = a.call(cmd, "communique/list", control.CommuniqueRequest{Name: name, Channel: number}, &ans)
	return ans, err
}

// argsOf names a contact and its channel, as a command takes them.
func argsOf(ans control.CommuniqueAnswer) string {
	where := itoa(int(ans.Contact.Number))
	if ans.Channel > 1 {
		where += " --channel " + itoa(int(ans.Channel))
	}
	return where
}

func (a *app) printCommunique(ans control.CommuniqueAnswer) {
	who := cleanLine(ans.Contact.Name)
	switch {
	case ans.Channel > 1 && ans.YouAgree:
		a.say("Both of you agreed on this channel as publishable. Drafts and signatures are burned with it.")
	case ans.Channel > 1:
		a.say("This channel is not agreed to be publishable.")
	case ans.YouAgree && ans.TheyAgree:
		a.say("Both of you have said that something may be published together.")
	case ans.YouAgree:
		a.say("You have said that something may be published together; %s has not.", who)
	case ans.TheyAgree:
		a.say("%s has said that something may be published together; you have not.", who)
	default:
		a.say("Neither of you has said that something may be published together.")
	}
	for _, d := range ans.Drafts {
		from, state := who, ""
		if d.Direction == "out" {
			from, state = "you", "   ("+string(d.State)+")"
		}
		a.sayFolded(hang, "  v%-3d %s  %s, %s, SHA-256 %s…%s", d.Version, localTime(d.Time), from, plural(len(strings.Fields(d.Text)), "word"), d.Digest[:8], state)
	}
	for _, s := range ans.Signings {
		a.printSigning(ans, s)
	}
}

func (a *app) printSigning(ans control.CommuniqueAnswer, s control.Signing) {
	contact := argsOf(ans)
	a.say("signing of v%d, until %s: %s", s.Version, longTime(s.Until), s.State)
	if s.OwnKey != "" {
		a.say("  your key:  %s", strings.Join(s.OwnWords, "-"))
	}
	if s.TheirKey != "" {
		a.say("  their key: %s", strings.Join(s.TheirWords, "-"))
	}
	a.say("  you could walk away with %s; they with %s", holding(s.You), holding(s.They))
	switch s.State {
	case "proposed by them":
		a.advise("  read it                  %s\n  take it up               %s", a.here("backchannel communique diff "+contact), a.here("backchannel communique sign "+contact))
	case "waits for your signature":
		a.advise("  sign it                  %s", a.here("backchannel communique sign "+contact))
	case "signed by both":
		a.advise("  write the file           %s", a.here("backchannel communique publish "+contact+" --out communique.txt"))
	}
}

// holding says what somebody could walk away with.
func holding(power control.Word) string {
	switch string(power) {
	case communique.PowerWaiting.String():
		return "half of a signature that proves nothing"
	case communique.PowerBoth.String():
		return "BOTH SIGNATURES"
	default:
		return "nothing"
	}
}

func (a *app) communiquePublishCommand() *cobra.Command {
	var out string
	var number uint32
	c := &cobra.Command{
		Use:   "publish [CONTACT] [VERSION]",
		Short: "Write the file of a text that both signed",
		Long: `Write the file of a text that both signed. It is a text file that anybody can
check with the program or without it. Nothing is sent anywhere: you put it
where you want it to be read. Neither file nor signatures say who proposed it,
or when.

Announce your key's words with it, by a path that people know to be yours:
that a key is yours only you can say.`,
		Example: "  backchannel communique publish 1 --out communique.txt",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := a.communiqueVersion(args, number)
			if err != nil {
				return err
			}
			var ans control.PublishAnswer
			if err := a.call(cmd, "communique/publish", request, &ans); err != nil {
				return err
			}
			if out, err = a.pathOf(out, "Write the communiqué to: "); err != nil {
				return err
			}
			if err := writeNew(out, ans.File); err != nil {
				return err
			}
			return a.answer(writtenAnswer{control.Version, out, len(ans.File)}, func() {
				a.say("Written. Who has this file has both signatures, for ever.")
				a.advise("  check it                 %s", "backchannel communique verify "+quote(out))
			})
		},
	}
	channelFlag(c, &number)
	c.Flags().StringVar(&out, "out", "", "where to write it")
	return c
}

// communiqueVersion reads a contact and a version that may be left out.
func (a *app) communiqueVersion(args []string, number uint32) (control.SignRequest, error) {
	name, err := a.contactArg(args)
	request := control.SignRequest{Name: name, Channel: number}
	if err != nil || len(args) < 2 {
		return request, err
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(args[1], "v"), 10, 32)
	if err != nil || n == 0 {
		return request, usage("the second argument is a version, as communique list shows it", "backchannel communique list"+shortArg(args[0]))
	}
	request.Version = uint32(n)
	return request, nil
}

// verifyAnswer says what a published file is.
type verifyAnswer struct {
	V      int        `json:"v"`
	Good   bool       `json:"good"`
	Keys   []string   `json:"keys"`
	Words  [][]string `json:"key_words"`
	Digest string     `json:"sha256"` // of the text
	Text   string     `json:"text"`
}

func (a *app) communiqueVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check a published communiqué; no node and no network is needed",
		Long: `Check a published communiqué. No node and no network is needed, and nothing of
this machine is looked at but the file. The exit code is 0 if both signatures
fit, and 10 if not.

What no program can check is whose the two keys are: compare their words with
those that the parties announced. docs/spec/communique.md has ten lines of Go
that check the same file without this program.`,
		Example: "  backchannel communique verify communique.txt",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := a.sealedPath(args)
			if err != nil {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return notRead(err)
			}
			defer func() { _ = f.Close() }()
			file, err := io.ReadAll(io.LimitReader(f, int64(communique.MaxFile)+1))
			if err != nil {
				return notRead(err)
			}
			c, err := communique.Verify(file)
			if err != nil {
				return err
			}
			return a.verified(c)
		},
	}
}

func (a *app) verified(c *communique.Communique) error {
	digest := sha256.Sum256([]byte(c.Text))
	ans := verifyAnswer{V: control.Version, Good: true, Digest: hex.EncodeToString(digest[:]), Text: c.Text}
	for _, k := range c.Keys {
		words := k.Words()
		ans.Keys, ans.Words = append(ans.Keys, hex.EncodeToString(k[:])), append(ans.Words, words[:])
	}
	return a.answer(ans, func() {
		a.say("good: the holders of two keys signed this text:\n")
		for line := range strings.Lines(c.Text) {
			a.sayFolded(4, "    %s", clean(strings.TrimSuffix(line, "\n")))
		}
		a.say("\n  key %s\n  key %s", c.Keys[0], c.Keys[1])
		a.advise("Whose they are, only those who hold them can say: compare the words with what the\nparties announced. It says nothing of who proposed it, when, or what was said before.")
	})
}

// latestDraft returns the draft that a request names, or the one that is being
// signed, or the latest.
func latestDraft(ans control.CommuniqueAnswer, version uint32) (control.Draft, error) {
	if version == 0 {
		for _, s := range ans.Signings {
			if s.State != "signed by both" {
				version = s.Version
			}
		}
	}
	for i := len(ans.Drafts) - 1; i >= 0; i-- {
		if d := ans.Drafts[i]; version == 0 || d.Version == version {
			return d, nil
		}
	}
	return control.Draft{}, channel.ErrNoDraft
}
