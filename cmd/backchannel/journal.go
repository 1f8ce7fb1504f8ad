package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) logCommand() *cobra.Command {
	c := &cobra.Command{Use: "log", Short: "See what the node did in the last hour"}
	c.AddCommand(
		&cobra.Command{
			Use:   "show",
			Short: "Show what the running node remembers of the last hour",
			Long: `Show what the running node remembers of the last hour: that it was unlocked and
locked, that connections came and went, and why something failed. It is kept in
memory alone, at most 1,000 lines, and is gone when the node stops. No name,
address, message or size is in it; links are numbered as they come, and the
number says nothing of the contact. Lines about connections are forgotten when
the node locks, and not shown while its screens are locked.`,
			Example: "  backchannel log show",
			Args:    cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				var l control.LogAnswer
				if err := a.call(cmd, "log/show", control.Empty{}, &l); err != nil {
					return err
				}
				return a.answer(l, func() { a.printLog(l) })
			},
		},
		&cobra.Command{
			Use:   "level [off|normal|debug]",
			Short: "Say or set how much the running node remembers",
			Long: `Say or set how much the running node remembers. With debug it also remembers
each attempt to connect; with off it remembers nothing, and forgets what it has.
The level holds until the node stops; a node starts with normal.`,
			Example:   "  backchannel log level\n  backchannel log level debug",
			Args:      cobra.MaximumNArgs(1),
			ValidArgs: []string{"off", "normal", "debug"},
			RunE: func(cmd *cobra.Command, args []string) error {
				var r control.LevelRequest
				var l control.LevelAnswer
				if len(args) == 1 {
					r.Level = args[0]
				}
				if err := a.call(cmd, "log/level", r, &l); err != nil {
					return err
				}
				return a.answer(l, func() { a.say("The node remembers: %s.", l.Level) })
			},
		},
	)
	return c
}

func (a *app) printLog(l control.LogAnswer) {
	if len(l.Entries) == 0 {
		a.say("Nothing in the last hour (level %s).", l.Level)
	}
	for _, e := range l.Entries {
		a.say("%s  %s", clock(e.At), logLine(e))
	}
}

// clock shows a time of the API as hours, minutes and seconds here.
func clock(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "--:--:--"
	}
	return t.Local().Format("15:04:05")
}

// logLine puts an entry into one line: "link #3 down · under 10 min".
func logLine(e control.LogEntry) string {
	line := string(e.Event)
	switch e.Event {
	case "link up":
		line = "link #" + itoa(int(e.Link)) + " up"
	case "link down":
		line = "link #" + itoa(int(e.Link)) + " down"
	}
	if e.Reason != "" {
		line += ": " + string(e.Reason)
	}
	if e.Count != "" {
		line += " (" + string(e.Count) + ")"
	}
	for _, more := range []control.Word{e.State, e.Took} {
		if more != "" {
			line += " · " + string(more)
		}
	}
	return cleanLine(line)
}
