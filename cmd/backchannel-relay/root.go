package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/build"
	"github.com/backchannel/backchannel/cmd/internal/calls"
	"github.com/backchannel/backchannel/cmd/internal/screen"
)

// answerVersion stands in every answer with --json. Fields are only ever added.
const answerVersion = 1

const homeVariable = "BACKCHANNEL_RELAY_HOME"

// app is one call of the program: its streams and its flags.
type app struct {
	out, err io.Writer
	home     string
	json     bool
	quiet    bool
	timeout  time.Duration
}

// run runs one command and returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	// On the last two Go would write the stacks of all goroutines, with pieces of keys
	// among the arguments.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGABRT)
	defer stop()
	a := &app{out: stdout, err: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	// What is wrong in the call may stand before the flag.
	a.json = a.json || slices.Contains(args, "--json")
	if ctx.Err() != nil && !errors.As(err, new(*fault)) {
		err = context.Canceled
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "backchannel-relay",
		Short: "A relay that hides who talks with whom",
		Long: `A relay passes packets on for people who talk through a network of relays, and
keeps boxes for those who are not there. It knows no account, writes no log, and
cannot tell who talks with whom.

First steps:  backchannel-relay init --address HOST:PORT --operator NAME
              hand the line that it prints to the founders of a network
              put the network file that you get in its place
              backchannel-relay run
              backchannel-relay check     (in another terminal)`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.home, "home", os.Getenv(homeVariable), "folder for everything, instead of the usual place")
	flags.BoolVar(&a.json, "json", false, "answer in JSON")
	flags.BoolVar(&a.quiet, "quiet", false, "print the answer without advice on what to do next")
	flags.DurationVar(&a.timeout, "timeout", 15*time.Second, "longest time to wait for a relay")
	root.AddCommand(
		a.initCommand(), a.runCommand(), a.statusCommand(), a.healthCommand(), a.checkCommand(), a.networkCommand(), a.versionCommand(),
	)
	calls.Strict(root, usage)
	return root
}

// report prints an error as the person or the script wants it, and returns the exit
// code.
func (a *app) report(err error) int {
	e := *describe(err)
	e.Hint = a.here(e.Hint)
	if a.json {
		screen.WriteJSON(a.err, struct {
			V     int    `json:"v"`
			Error *fault `json:"error"`
		}{answerVersion, &e})
		return e.Exit
	}
	fmt.Fprintf(a.err, "backchannel-relay: error: %s\n", screen.Clean(e.Message))
	if e.Hint != "" {
		fmt.Fprintf(a.err, "backchannel-relay: hint: %s\n", screen.Clean(e.Hint))
	}
	return e.Exit
}

// here writes --home into the commands of a hint if this call had it, so that the hint
// can be pasted and means the same home.
func (a *app) here(hint string) string {
	if a.home == "" || a.home == os.Getenv(homeVariable) {
		return hint
	}
	return strings.ReplaceAll(hint, "backchannel-relay ", "backchannel-relay --home "+screen.Quote(a.home)+" ")
}

// note prints to the person, never a part of an answer.
func (a *app) note(format string, args ...any) {
	if !a.json && !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// say prints a line of the answer.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

// advise prints a line on what could be done next.
func (a *app) advise(format string, args ...any) {
	if !a.quiet {
		a.say(format, args...)
	}
}

// answer prints v as JSON, or calls plain for a person.
func (a *app) answer(v any, plain func()) error {
	if a.json {
		screen.WriteJSON(a.out, v)
		return nil
	}
	plain()
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  backchannel-relay version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := build.Of(answerVersion, version)
			return a.answer(v, func() {
				a.say("backchannel-relay %s", v.Version)
				a.say("built with %s for %s, from libraries with the hash", v.Go, v.System)
				a.say("%s", v.Modules)
			})
		},
	}
}
