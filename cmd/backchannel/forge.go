package main

import (
	"crypto/rand"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/forge"
)

func (a *app) forgeCommand() *cobra.Command {
	var out string
	var with []string
	c := &cobra.Command{
		Use:   "forge",
		Short: "Make a transcript of talks that never took place",
		Long: `Make a transcript of talks that never took place, between two people whose names
you make up, with any words. It passes every check that a real one passes. No
node and no vault is needed.

The questions are: the two names, then the lines as "name: text", ended with a
single dot. With --with there is one more for each tool: a charter that both
agreed on, a mandate that the first one showed, a text that both pre-signed, a
sounding, an introduction, sealed offers: --with takes charter, mandate,
communique, sounding, introduction, offers. All of it is made for both sides by
the code that makes real ones.`,
		Example: "  backchannel forge --out t.bct\n  backchannel forge --out t.bct --with charter,mandate\n  backchannel forge check t.bct",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.forge(out, with) },
	}
	c.Flags().StringVar(&out, "out", "", "file to write (required)")
	c.Flags().StringSliceVar(&with, "with", nil, "tools to make up, too: see above (repeatable)")
	c.AddCommand(a.forgeCheckCommand(), a.forgeFromCommand())
	return c
}

func (a *app) forge(out string, with []string) error {
	if out == "" {
		return usage("say where to write it", "backchannel forge --out t.bct")
	}
	if err := checkForgeries(with); err != nil {
		return err
	}
	own, err := a.in.ask("Who is the one that hands it over? ")
	if err != nil {
		return err
	}
	peer, err := a.in.ask("And the other? ")
	if err != nil {
		return err
	}
	own, peer = strings.TrimSpace(own), strings.TrimSpace(peer)
	if own == "" || peer == "" || strings.EqualFold(own, peer) {
		return usage("two different names are needed", "backchannel forge --out t.bct")
	}
	lines, err := a.script(own, peer)
	if err != nil {
		return err
	}
	p, err := forge.Invent(rand.Reader, own, peer, lines[0].Minute-1)
	if err != nil {
		return err
	}
	tools, err := a.forgeWith(p, with, lines[len(lines)-1].Minute)
	if err != nil {
		return err
	}
	t, err := forge.Forge(p, append(lines, tools...), rand.Reader)
	if err != nil {
		return err
	}
	return a.writeTranscript(out, t.Append(nil))
}

// script reads the lines of a forgery. They are a minute apart and end now.
func (a *app) script(own, peer string) ([]forge.Line, error) {
	if a.in.terminal() {
		a.note("Type lines as \"name: text\", end with a single dot.")
	}
	var lines []forge.Line
	for {
		line, err := a.in.ask("")
		if err != nil || strings.TrimSpace(line) == "." {
			break
		}
		who, text, ok := strings.Cut(line, ":")
		who, text = strings.TrimSpace(who), strings.TrimSpace(text)
		switch {
		case ok && text != "" && strings.EqualFold(who, own):
			lines = append(lines, forge.Line{Text: text})
		case ok && text != "" && strings.EqualFold(who, peer):
			lines = append(lines, forge.Line{FromPeer: true, Text: text})
		default:
			return nil, usage("line "+itoa(len(lines)+1)+" is not one of the two names, a colon and a text", "backchannel forge --out t.bct")
		}
	}
	if len(lines) == 0 {
		return nil, usage("there are no lines", "backchannel forge --out t.bct")
	}
	first := uint32(time.Now().Unix()/60) - uint32(len(lines))
	for i := range lines {
		lines[i].Minute = first + uint32(i)
	}
	return lines, nil
}

func (a *app) writeTranscript(out string, raw []byte) error {
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usage("the file cannot be made, or is there already", "choose another name with --out")
	}
	_, err = f.Write(raw)
	if closeErr := f.Close(); err != nil || closeErr != nil {
		return &control.Error{Code: "not_written", Exit: control.ExitFailed, Message: "the file could not be written whole", Hint: "free some space, then repeat the command"}
	}
	return a.answer(control.Done{V: control.Version}, func() {
		a.say("Made. It passes every check that a real one passes: backchannel forge check %s", quote(out))
	})
}

func (a *app) forgeFromCommand() *cobra.Command {
	var out string
	var change, drop []uint
	c := &cobra.Command{
		Use:   "from [CONTACT]",
		Short: "Make a transcript from a real contact, with what is stored",
		Long: `Make a transcript from a real contact. Nothing that went over the wire was kept,
so all but the words is made up anew, from this machine's keys: as it would be
for any other words.

With --change the new text of a message is asked for, or read as a line of
standard input, one for each number in the order in which they stand. What is
stored stays as it is.`,
		Example: "  backchannel forge from 1 --out t.bct\n  backchannel forge from 1 --out t.bct --change 4 --change 7 --drop 5",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usage("say where to write it", "backchannel forge from --out t.bct")
			}
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			request := control.ForgeRequest{Name: name, OwnName: "me"}
			for _, n := range drop {
				request.Drop = append(request.Drop, uint64(n))
			}
			if request.Change, err = a.changes(cmd, name, change); err != nil {
				return err
			}
			var ans control.ForgeAnswer
			if err := a.call(cmd, "forge", request, &ans); err != nil {
				return err
			}
			return a.writeTranscript(out, ans.Transcript)
		},
	}
	c.Flags().UintSliceVar(&change, "change", nil, "message that gets another text (repeatable)")
	c.Flags().UintSliceVar(&drop, "drop", nil, "message to leave out (repeatable)")
	c.Flags().StringVar(&out, "out", "", "file to write (required)")
	return c
}

// changes asks for the new text of each message, showing the one that is stored.
func (a *app) changes(cmd *cobra.Command, name string, numbers []uint) ([]control.ForgeChange, error) {
	var list []control.ForgeChange
	if len(numbers) == 0 {
		return nil, nil
	}
	var stored control.ReadAnswer
	if err := a.call(cmd, "read", control.ReadRequest{Name: name}, &stored); err != nil {
		return nil, err
	}
	for _, n := range numbers {
		i := slices.IndexFunc(stored.Messages, func(m control.Message) bool { return m.Seq == uint64(n) && m.Direction != "notice" })
		if i < 0 {
			return nil, control.Describe(errNoMessage)
		}
		a.noteFolded(4, "%s", strings.ReplaceAll(clean(stored.Messages[i].Text), "\n", "\n    "))
		text, err := a.in.ask("New text of message " + itoa(int(n)) + ": ")
		if err != nil {
			return nil, err
		}
		list = append(list, control.ForgeChange{Seq: uint64(n), Text: text})
	}
	return list, nil
}

// checkAnswer is what a check found.
type checkAnswer struct {
	V     int         `json:"v"`
	Good  bool        `json:"good"`
	Names []string    `json:"names"`
	Lines []checkLine `json:"lines"`
}

type checkLine struct {
	From string `json:"from"`
	Time string `json:"time"`
	Text string `json:"text"`
}

func (a *app) forgeCheckCommand() *cobra.Command {
	var show bool
	c := &cobra.Command{
		Use:     "check FILE",
		Short:   "Check a transcript, real or not",
		Example: "  backchannel forge check t.bct --show",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := readTranscript(args[0])
			if err != nil {
				return err
			}
			lines, err := t.Check()
			if err != nil {
				return err
			}
			ans := checkAnswer{V: control.Version, Good: true, Names: []string{t.OwnName, t.PeerName}, Lines: []checkLine{}}
			for _, l := range lines {
				from := t.OwnName
				if l.FromPeer {
					from = t.PeerName
				}
				ans.Lines = append(ans.Lines, checkLine{from, time.Unix(int64(l.Minute)*60, 0).UTC().Format(time.RFC3339), l.Summary()})
			}
			return a.answer(ans, func() { a.printCheck(ans, show) })
		},
	}
	c.Flags().BoolVar(&show, "show", false, "print the lines, too")
	return c
}

func (a *app) printCheck(ans checkAnswer, show bool) {
	a.say("structure good · keys fit · times plausible")
	a.say("This says nothing about who wrote it. Any member of a channel, or anyone with this\nprogram and two made-up keys, can make such a file.")
	if !show {
		return
	}
	for _, l := range ans.Lines {
		a.sayFolded(hang, "  %s  %s: %s", localTime(l.Time), cleanLine(l.From), standIn(l.Text))
	}
}

// maxTranscript bounds what is read of a file.
const maxTranscript = 128 << 20

func readTranscript(name string) (*forge.Transcript, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usage("the file cannot be read", "check its name, then: backchannel forge check t.bct")
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxTranscript))
	if err != nil {
		return nil, usage("the file cannot be read", "check its name, then: backchannel forge check t.bct")
	}
	return forge.Parse(raw)
}
