package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print what makes a shell complete commands",
		Long: `Print a script that makes a shell complete commands and flags. It never asks the
node, and completes no contact and no file: a name that the shell offers is a
name on the screen, and in its history.`,
		Example: "  backchannel completion bash\n  backchannel completion fish",
		Args:    cobra.ExactArgs(1), ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			var b bytes.Buffer
			var err error
			switch root := cmd.Root(); args[0] {
			case "bash":
				err = root.GenBashCompletionV2(&b, true)
			case "zsh":
				err = root.GenZshCompletion(&b)
			case "fish":
				err = root.GenFishCompletion(&b, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(&b)
			default:
				return usage("there is no such shell; known are bash, zsh, fish and powershell", "backchannel completion --help")
			}
			if err != nil {
				return err
			}
			ans := struct {
				V      int    `json:"v"`
				Script string `json:"script"`
			}{control.Version, b.String()}
			return a.answer(ans, func() { _, _ = a.out.Write(b.Bytes()) })
		},
	}
}

// completeNothing keeps the shell from offering files, or anything else, where a
// contact, a number or a name is wanted.
func completeNothing(c *cobra.Command) {
	if len(c.ValidArgs) == 0 && c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, below := range c.Commands() {
		completeNothing(below)
	}
}
