package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

// app is one call of the program: its streams, its flags, its home.
type app struct {
	in       *input
	out, err io.Writer
	home     string
	json     bool
	quiet    bool
	yes      bool
	timeout  time.Duration
	fd       int // of the passphrase; -1: none
}

// run runs one command and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: newInput(stdin, stderr), out: stdout, err: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return control.ExitDone
	}
	if ctx.Err() != nil && !errors.As(err, new(*control.Error)) {
		err = context.Canceled
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "backchannel",
		Short: "A private line between two people who never talk",
		Long: `Backchannel lets two people talk over a Noise-encrypted line that nobody else
runs. There is no account and no server. Nothing that either side keeps is
signed: either of you could have typed the whole conversation.

First steps:  backchannel setup
              backchannel node run          (in a terminal of its own)
              backchannel invite new        or: backchannel invite accept`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usage("choose a command", "backchannel --help")
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.home, "home", os.Getenv("BACKCHANNEL_HOME"), "folder for everything, instead of the usual places")
	flags.BoolVar(&a.json, "json", false, "answer in JSON")
	flags.BoolVar(&a.quiet, "quiet", false, "print only the answer")
	flags.BoolVar(&a.yes, "yes", false, "answer yes to questions")
	flags.DurationVar(&a.timeout, "timeout", 30*time.Second, "longest time to wait for the node")
	flags.IntVar(&a.fd, "passphrase-fd", passphraseFD(), "file descriptor to read the passphrase from")
	root.AddCommand(
		a.setupCommand(), a.nodeCommand(), a.unlockCommand(), a.lockCommand(), a.statusCommand(),
		a.inviteCommand(), a.contactCommand(), a.sendCommand(), a.recallCommand(), a.readCommand(),
		a.chatCommand(), a.forgeCommand(), a.versionCommand(), a.demoCommand(),
	)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(err.Error(), cmd.CommandPath()+" --help")
	})
	for _, c := range root.Commands() {
		for _, verb := range append(c.Commands(), c) {
			if verb.HasSubCommands() && verb.RunE == nil {
				verb.RunE = func(cmd *cobra.Command, args []string) error {
					return usage("choose one of its commands", cmd.CommandPath()+" --help")
				}
			}
		}
	}
	return root
}

// usage is an error in how the program was called.
func usage(message, hint string) error {
	return &control.Error{Code: "usage", Exit: control.ExitUsage, Message: message, Hint: hint}
}

// report prints an error as the person or the script wants it, and returns the
// exit code.
func (a *app) report(err error) int {
	var e *control.Error
	if !errors.As(err, &e) {
		e = control.Describe(err)
		if s := err.Error(); e.Code == "failed" && (strings.HasPrefix(s, "unknown command") || strings.Contains(s, "arg(s)")) {
			e = &control.Error{Code: "usage", Exit: control.ExitUsage, Message: clean(s), Hint: "backchannel --help"}
		}
	}
	if a.json {
		writeJSON(a.err, control.FollowLine{V: control.Version, Error: e})
		return e.Exit
	}
	a.note("backchannel: error: %s", e.Message)
	if e.Hint != "" {
		a.note("backchannel: hint: %s", e.Hint)
	}
	return e.Exit
}

// client returns a client of the node of this home.
func (a *app) client() (*control.Client, error) {
	p, err := a.paths()
	if err != nil {
		return nil, err
	}
	return control.NewClient(p.socket), nil
}

// call makes one call to the node within the time that is allowed.
func (a *app) call(cmd *cobra.Command, name string, request, answer any) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
	defer cancel()
	return c.Call(ctx, name, request, answer)
}
