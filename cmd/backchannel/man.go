package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

// exitCodes says what each means; backchannel(1) prints them.
var exitCodes = []struct {
	code int
	what string
}{
	{control.ExitDone, "done"},
	{control.ExitFailed, "failed"},
	{control.ExitUsage, "wrong call"},
	{control.ExitNotRunning, "no node runs"},
	{control.ExitLocked, "locked, or wrong passphrase"},
	{control.ExitNoContact, "no such contact, message or file"},
	{control.ExitRefused, "refused"},
	{control.ExitNotInTime, "not in time"},
	{control.ExitClosed, "expired"},
	{control.ExitUnreachable, "not reachable"},
	{control.ExitCheckFailed, "a check failed: words, a transcript, or a WARN of the doctor"},
	{control.ExitInterrupted, "interrupted"},
}

// surroundings writes what holds for every command.
func (p *page) surroundings() {
	p.macro("SH", "EXIT STATUS")
	for _, e := range exitCodes {
		p.item(fmt.Sprint(e.code), e.what)
	}
	p.macro("SH", "ENVIRONMENT")
	p.text("Nothing secret belongs into a variable: every child of the shell inherits it.")
	for _, v := range [][2]string{
		{"BACKCHANNEL_HOME", "a folder for everything, instead of the usual places; --home goes before it"},
		{"BACKCHANNEL_SOCKET", "the control socket of the node"},
		{"BACKCHANNEL_PASSPHRASE_FD", "the number of a file descriptor to read the passphrase from; --passphrase-fd goes before it"},
		{"NO_COLOR", "changes nothing: no colour is ever used"},
		{"XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_RUNTIME_DIR", "where the files below are; relative paths are ignored"},
	} {
		p.item(v[0], v[1]+".")
	}
	p.macro("SH", "FILES")
	for _, f := range [][2]string{
		{"$XDG_CONFIG_HOME/backchannel/config.toml", "settings; see backchannel-config(1). Without the variable: ~/.config"},
		{"$XDG_DATA_HOME/backchannel/vault", "keys, contacts and messages, sealed under the passphrase. Without the variable: ~/.local/share"},
		{"$XDG_RUNTIME_DIR/backchannel/node.sock", "the control socket. Without the variable: run/node.sock beside the vault"},
	} {
		p.item(f[0], f[1]+".")
	}
	p.text("\nOn macOS the first two are in ~/Library/Application Support/backchannel, on Windows\n" +
		"in %AppData%\\backchannel and %LocalAppData%\\backchannel. Nothing is put into cache\nor state folders, and nothing is logged.")
}

func (a *app) manCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Print the manual",
		Long: `Print the manual page of a command, or of the whole program, in roff. With --dir
write a page for every command into a folder. To read one:
  backchannel man invite new | man -l -`,
		Example: "  backchannel man invite new\n  backchannel man --dir ~/.local/share/man/man1",
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir != "" {
				return a.manDir(cmd.Root(), dir)
			}
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage("there is no such command", "backchannel --help")
			}
			ans := struct {
				V    int    `json:"v"`
				Page string `json:"page"`
			}{control.Version, manual(of)}
			return a.answer(ans, func() { fmt.Fprint(a.out, ans.Page) })
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder to write a page for every command into")
	return c
}

// manDir writes all pages.
func (a *app) manDir(root *cobra.Command, dir string) error {
	ans := struct {
		V     int      `json:"v"`
		Files []string `json:"files"`
	}{V: control.Version}
	err := os.MkdirAll(dir, 0o755)
	var write func(*cobra.Command)
	write = func(c *cobra.Command) {
		name := pageName(c) + ".1"
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(manual(c)), 0o644))
		ans.Files = append(ans.Files, name)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				write(sub)
			}
		}
	}
	write(root)
	if err != nil {
		return &control.Error{Code: "no_folder", Exit: control.ExitFailed, Message: "the pages could not be written there", Hint: "name a folder of yours: backchannel man --dir man1"}
	}
	return a.answer(ans, func() { a.say("%s written.", plural(len(ans.Files), "page")) })
}
