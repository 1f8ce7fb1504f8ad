package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) renameCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rename [CONTACT]",
		Short: "Give a contact another name on this machine",
		Long: `Give a contact another name on this machine. It is asked for, or read from
standard input. Its number stays, and the other side does not learn of it.`,
		Example: "  backchannel contact rename 1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var of control.ContactAnswer // looked up first: nobody thinks of a name in vain
			if err := a.call(cmd, "contact/show", control.NameRequest{Name: name}, &of); err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			to, err := a.in.ask("New name (only you see this): ")
			if err != nil {
				return err
			}
			var ans control.ContactAnswer
			if err := a.call(cmd, "contact/rename", control.RenameRequest{Name: itoa(int(of.Contact.Number)), New: to}, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() { a.say("Contact %d is now called %s here.", ans.Contact.Number, quoted(ans.Contact.Name)) })
		},
	}
}

func (a *app) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove [CONTACT]",
		Short: "Delete a contact here, with all that was said",
		Long: `Delete a contact on this machine: its keys, messages and files. The other side
is told nothing; what they send from now on meets silence. To talk again, a new
invitation is needed.

The contact's name is asked for, or read from standard input; --yes does not
answer it.`,
		Example: "  backchannel contact remove 1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.destroy(cmd, args, destruction{
				call:      "contact/remove",
				warning:   "This deletes the contact here: keys, messages and files. They are told nothing.",
				otherwise: "nothing was deleted",
				done:      "Removed. This machine knows nothing of the contact any more. Their copy is as it was.",
			})
		},
	}
}

func (a *app) messageCommand() *cobra.Command {
	c := &cobra.Command{Use: "message", Short: "Change and remove what is stored of a conversation"}
	c.AddCommand(a.messageEditCommand(), a.messageRemoveCommand())
	return c
}

// messageNumber reads the number of a line.
func messageNumber(args []string) (uint64, error) {
	seq, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return 0, usage("the second argument is a message's number, as read shows it", "backchannel read"+shortArg(args[0]))
	}
	return seq, nil
}

const changedHere = `Changed here. Their copy is as it was. If their machine loses its data and asks for it
anew, this text goes.`

func (a *app) messageEditCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "edit CONTACT NUMBER",
		Short: "Put another text in the place of any message, yours or theirs",
		Long: `Put another text in the place of any message, yours or theirs, or of a line of
the program. Nothing that is stored shows it: whoever has this machine and its
passphrase cannot tell a changed line from another. Of a file, the name that is
shown changes.

The new text is typed after a prompt, or read from standard input or a file.
What still waits here is sent as you change it. What has left stays as it was
over there; until their machine confirms it, the sealed copy that may have to go
out again holds the old text.`,
		Example: "  backchannel message edit 1 17\n  backchannel message edit 1 17 --file text.txt",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := messageNumber(args)
			if err != nil {
				return err
			}
			if err := a.lookup(cmd, args[0], seq); err != nil {
				return err
			}
			if err := a.canWrite(cmd); err != nil {
				return err
			}
			text, err := a.text(file)
			if err != nil {
				return err
			}
			var ans control.MessageAnswer
			if err := a.call(cmd, "message/edit", control.EditRequest{Name: args[0], Seq: seq, Text: text}, &ans); err != nil {
				return err
			}
			ans.Message.Text = text
			return a.answer(ans, func() {
				switch m := ans.Message; {
				case m.Direction == "out" && m.State == "waiting here":
					a.say("Changed. It waits here still, and is sent like this.")
				case m.Direction == "out" && !m.File:
					a.say(changedHere)
				default:
					a.say("Changed here. Their copy is as it was.")
				}
			})
		},
	}
	c.Flags().StringVar(&file, "file", "", "file that holds the text; - for standard input")
	return c
}

func (a *app) messageRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove CONTACT NUMBER",
		Short: "Delete any message here, yours or theirs",
		Long: `Delete any message here, yours or theirs, or a line of the program, with the
file that it is about. Their copy stays. Numbers are not given out again, so a
gap shows that there was something: a message, or one that was recalled.

If their machine loses its data within 14 days, it may send a message of theirs
anew, and that is then shown again.`,
		Example: "  backchannel message remove 1 17",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := messageNumber(args)
			if err != nil {
				return err
			}
			var ans control.MessageAnswer
			if err := a.call(cmd, "message/remove", control.RecallRequest{Name: args[0], Seq: seq}, &ans); err != nil {
				return err
			}
			return a.answer(ans, func() { a.say("%s", removedLine(ans.Message)) })
		},
	}
}

// removedLine says what a removal means for the other side.
func removedLine(m control.Message) string {
	switch {
	case m.Direction == "notice":
		return "Removed."
	case m.Direction == "out" && m.State == "waiting here":
		return "Removed. It never left this machine."
	case m.File:
		return "Removed here, with its content. What has arrived over there stays there."
	case m.Direction == "out" && m.State == "on its way":
		return "Removed here. It was not confirmed: it may have arrived or not, and is not sent again."
	default:
		return "Removed here. Their copy is as it was."
	}
}

// lookup makes sure that there is such a message before a text is asked for.
func (a *app) lookup(cmd *cobra.Command, name string, seq uint64) error {
	var ans control.ReadAnswer
	if seq == 0 {
		return control.Describe(errNoMessage)
	}
	if err := a.call(cmd, "read", control.ReadRequest{Name: name, After: seq - 1}, &ans); err != nil {
		return err
	}
	if len(ans.Messages) == 0 || ans.Messages[0].Seq != seq {
		return control.Describe(errNoMessage)
	}
	return nil
}
