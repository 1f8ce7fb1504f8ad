package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/calls"
	"github.com/backchannel/backchannel/cmd/internal/screen"
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
	size     int           // of a vault that is made, in MiB
	fd       int           // of the passphrase; -1: none
	given    *bufio.Reader // what comes from there; nil before the first is read
}

// run runs one command and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// On the last two Go would write the stacks of all goroutines, with pieces of keys
	// among the arguments; Ctrl-\ sends one.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGABRT)
	defer stop()
	a := &app{in: newInput(ctx, stdin, stderr), out: stdout, err: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return control.ExitDone
	}
	// What is wrong in the call may stand before the flag.
	a.json = a.json || slices.Contains(args, "--json")
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
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, // ours is shown
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.home, "home", os.Getenv("BACKCHANNEL_HOME"), "folder for everything, instead of the usual places")
	flags.BoolVar(&a.json, "json", false, "answer in JSON")
	flags.BoolVar(&a.quiet, "quiet", false, "print the answer without advice on what to do next")
	flags.BoolVar(&a.yes, "yes", false, "answer yes to questions")
	flags.DurationVar(&a.timeout, "timeout", 30*time.Second, "longest time to wait for the node")
	flags.Bool("no-color", false, "use no colour; none is ever used")
	flags.IntVar(&a.fd, "passphrase-fd", passphraseFD(), "descriptor to read the passphrase from")
	root.AddCommand(
		a.setupCommand(), a.nodeCommand(), a.unlockCommand(), a.onlineCommand(), a.lockCommand(), a.statusCommand(),
		a.inviteCommand(), a.contactCommand(), a.networkCommand(), a.routeCommand(), a.channelCommand(), a.sendCommand(), a.recallCommand(), a.readCommand(), a.fileCommand(),
		a.chatCommand(), a.messageCommand(), a.burnCommand(), a.vaultCommand(), a.mandateCommand(), a.communiqueCommand(), a.soundingCommand(), a.shuttleCommand(), a.forgeCommand(), a.versionCommand(), a.demoCommand(),
		a.backupCommand(), a.moveCommand(), a.logCommand(), a.configCommand(), a.doctorCommand(), a.completionCommand(), a.manCommand(),
	)
	completeNothing(root)
	calls.Strict(root, usage)
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
	}
	shown := *e
	shown.Hint = a.here(e.Hint)
	e = &shown
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

// here writes --home into the commands of a hint if this call had it, so that the
// hint can be pasted and means the same home.
func (a *app) here(hint string) string {
	if a.home == "" || a.home == os.Getenv("BACKCHANNEL_HOME") {
		return hint
	}
	hint = strings.ReplaceAll(hint, "backchannel ", "backchannel --home "+quote(a.home)+" ")
	return strings.ReplaceAll(hint, " --home "+quote(a.home)+" --home ", " --home ") // one that names another home
}

func quote(s string) string { return screen.Quote(s) }

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
