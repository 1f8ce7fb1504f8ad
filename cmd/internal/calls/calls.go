// Package calls says in the programs' own words what is wrong with how they were called.
// Nothing that was typed is repeated: a name may be among it.
package calls

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Usage makes a program's error of a message and a hint.
type Usage func(message, hint string) error

// Strict lets a command and those below it refuse flags that do not exist, arguments that
// are too many or too few, and names of commands that there are not.
func Strict(c *cobra.Command, usage Usage) {
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(flagError(err), cmd.CommandPath()+" --help")
	})
	if c.HasSubCommands() && c.RunE == nil {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(cmd *cobra.Command, args []string) error { return choose(cmd, args, usage) }
	}
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) != nil {
				return usage(cmd.CommandPath()+" is called with too many or too few arguments", cmd.CommandPath()+" --help")
			}
			return nil
		}
	}
	for _, below := range c.Commands() {
		Strict(below, usage)
	}
}

// choose answers a call that names no command, or one that does not exist.
func choose(cmd *cobra.Command, args []string, usage Usage) error {
	help := cmd.CommandPath() + " --help"
	if len(args) == 0 {
		return usage("choose a command", help)
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usage("there is no such command; did you mean "+near[0]+"?", help)
	}
	return usage("there is no such command", help)
}

func flagError(err error) string {
	var value *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &value):
		return "the value of --" + value.GetFlag().Name + " is malformed"
	case errors.As(err, &missing):
		return "--" + missing.GetFlag().Name + " needs a value"
	default:
		return "there is no such flag"
	}
}
