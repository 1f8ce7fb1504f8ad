package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) communiqueSignCommand() *cobra.Command {
	var until string
	var leave bool
	var number uint32
	c := &cobra.Command{
		Use:   "sign [CONTACT] [VERSION]",
		Short: "Agree to sign a version, and then sign it",
		Long: `Agree to sign a version, and then sign it. Each of you calls it twice. The
first time one of you proposes, with the end (--until), and the other takes it
up; the machines then make and exchange keys that are for this text alone. The
second time each of you signs: you are told who could walk away with what, and
type the first three words of the text.

Whoever proposes signs first and, when the other has signed, completes both.
No two parties can exchange signatures fairly without a third: from the moment
when the other has signed until both files are there, who proposed alone
decides. So let the one of you propose who has more to lose.

The end binds honest machines only. Sign minutes before you publish, and never
sign a text that you would not survive. --leave ends a signing while you can.`,
		Example: "  backchannel communique sign 1 3 --until 2h\n  backchannel communique sign 1",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := a.communiqueVersion(args, number)
			if err != nil {
				return err
			}
			if request.Leave = leave; leave {
				return a.leaveSigning(cmd, request)
			}
			var ans control.CommuniqueAnswer
			if err := a.call(cmd, "communique/list", control.CommuniqueRequest{Name: request.Name, Channel: number}, &ans); err != nil {
				return err
			}
			draft, err := latestDraft(ans, request.Version)
			if err != nil {
				return err
			}
			request.Version, request.Digest = draft.Version, draft.Digest
			return a.sign(cmd, ans, draft, request, until)
		},
	}
	channelFlag(c, &number)
	c.Flags().StringVar(&until, "until", "", "end of a proposal in UTC, as 2026-11-30T12:00; or 2h")
	c.Flags().BoolVar(&leave, "leave", false, "end the signing that is under way")
	return c
}

// sign does what comes next in a signing: a proposal, taking one up, or signing.
func (a *app) sign(cmd *cobra.Command, ans control.CommuniqueAnswer, d control.Draft, request control.SignRequest, until string) error {
	state := control.Word("")
	var at control.Signing
	for _, s := range ans.Signings {
		if s.Version == d.Version && s.State != "signed by both" {
			at, state = s, s.State
		}
	}
	a.note("v%d, %s, SHA-256 %s", d.Version, plural(len(strings.Fields(d.Text)), "word"), d.Digest)
	switch state {
	case "", "expired", "expired but they can still complete it":
		if until == "" {
			var err error
			if until, err = a.in.ask("Until when may it be signed? In UTC, as 2026-11-30 12:00; or from now, as 2h: "); err != nil {
				return err
			}
		}
		end, ok := untilTime(until, time.Now())
		if !ok {
			return usage("the end is not a moment to come", "backchannel communique sign --until 2h")
		}
		request.Until = end.Format(time.RFC3339)
		if err := a.signStep(cmd, request, &ans); err != nil {
			return err
		}
		return a.answer(ans, func() {
			a.say("Proposed. Nothing is signed yet, and nobody could walk away with anything.\nYou sign first, when %s has taken it up; and you alone can complete both signatures.", quoted(ans.Contact.Name))
		})
	case "proposed by them":
		if err := a.signStep(cmd, request, &ans); err != nil {
			return err
		}
		return a.answer(ans, func() {
			a.say("Taken up. Nothing is signed yet, and nobody could walk away with anything.\nThey sign first; when you have signed, they alone decide whether and when both signatures are completed.")
		})
	case "waits for your signature":
		return a.signNow(cmd, ans, at, d, request)
	default:
		return a.answer(ans, func() { a.printSigning(ans, at) })
	}
}

// signStep goes on, and looks how everything stands.
func (a *app) signStep(cmd *cobra.Command, request control.SignRequest, ans *control.CommuniqueAnswer) error {
	var step control.SigningAnswer
	if err := a.call(cmd, "communique/sign", request, &step); err != nil {
		return err
	}
	*ans = control.CommuniqueAnswer{}
	return a.call(cmd, "communique/list", control.CommuniqueRequest{Name: request.Name, Channel: request.Channel}, ans)
}

// signNow is the last moment to refuse: it says what the signature is, and who could
// walk away with what, and wants the first three words of the text.
func (a *app) signNow(cmd *cobra.Command, ans control.CommuniqueAnswer, s control.Signing, d control.Draft, request control.SignRequest) error {
	who := quoted(ans.Contact.Name)
	a.note("\nTHIS ONE IS SIGNED. Your signature and theirs can be checked by anybody, for ever.\nIt covers this text and nothing else; it shows neither that you talked nor when:\n")
	for line := range strings.Lines(d.Text) {
		a.noteFolded(4, "    %s", clean(strings.TrimSuffix(line, "\n")))
	}
	a.note("\n  your key:  %s\n  their key: %s", strings.Join(s.OwnWords, "-"), strings.Join(s.TheirWords, "-"))
	a.note("Who could walk away with what:")
	if s.Role == "initiator" {
		a.note("  when you sign       %s holds half of a signature. It proves nothing, and becomes one\n                      only if you complete both.", who)
		a.note("  when they sign      your machine completes both, and sends theirs at once. Until that has\n                      arrived you have both signatures, and they have none.")
	} else {
		a.note("  when you sign       %s can complete both signatures AT ANY TIME, also after the end,\n                      and show them to whom they like. You have nothing until they do,\n                      and cannot take yours back.", who)
		a.note("  an honest machine   completes both at once and sends you yours.")
	}
	first := strings.Join(strings.Fields(d.Text)[:min(3, len(strings.Fields(d.Text)))], " ")
	typed, err := a.in.ask("Type the first three words of the text to sign: ")
	if err != nil {
		return err
	}
	if fold(strings.Join(strings.Fields(typed), " ")) != fold(first) {
		return &control.Error{Code: "stopped", Exit: control.ExitRefused, Message: "these are not the first words of the text; nothing was signed", Hint: "backchannel communique sign " + argsOf(ans)}
	}
	request.Agreed = true
	if err := a.signStep(cmd, request, &ans); err != nil {
		return err
	}
	return a.answer(ans, func() {
		a.say("Signed. Yours leaves by itself, until %s.", longTime(s.Until))
		for _, now := range ans.Signings {
			if now.Version == d.Version {
				a.printSigning(ans, now)
			}
		}
	})
}

func (a *app) leaveSigning(cmd *cobra.Command, request control.SignRequest) error {
	var done control.SigningAnswer
	if err := a.call(cmd, "communique/sign", request, &done); err != nil {
		return err
	}
	return a.answer(control.Done{V: control.Version}, func() { a.say("Ended. Nothing was signed by both, and nothing more of it is sent.") })
}
