package main

import "github.com/spf13/cobra"

func (a *app) fileCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "file",
		Short:   "Send and receive files",
		Example: "  backchannel file send 1\n  backchannel file list 1",
	}
	c.AddCommand(
		a.fileSendCommand(), a.fileListCommand(), a.fileSaveCommand(), a.fileRemoveCommand(),
	)
	return c
}
