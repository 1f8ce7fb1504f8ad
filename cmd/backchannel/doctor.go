package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
)

// The levels of a finding.
const (
	fine  control.Word = "ok"
	warn  control.Word = "WARN"
	aside control.Word = "note"
)

// A finding is one line of the doctor. No text in it holds a name, an address or a
// path, so that a report can be given away.
type finding struct {
	Level control.Word `json:"level"`
	Check string       `json:"check"`
	Text  string       `json:"text"`
	Hint  string       `json:"hint,omitempty"`
}

// doctor is one examination.
type doctor struct {
	paths      paths
	settings   node.Settings
	readable   bool                  // the settings could be read
	status     *control.StatusAnswer // nil: no node
	findings   []finding
	onTerminal bool
}

func (d *doctor) add(level control.Word, check, hint, format string, args ...any) {
	d.findings = append(d.findings, finding{level, check, fmt.Sprintf(format, args...), hint})
}

func (d *doctor) ok(check, format string, args ...any) { d.add(fine, check, "", format, args...) }
func (d *doctor) note(check, hint, format string, args ...any) {
	d.add(aside, check, hint, format, args...)
}

func (d *doctor) warn(check, hint, format string, args ...any) {
	d.add(warn, check, hint, format, args...)
}

func (a *app) doctorCommand() *cobra.Command {
	var report bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong or careless on this machine",
		Long: `Look for what is wrong or careless on this machine: files, vault, node, memory,
clock, how it is reached, terminal. Nothing is changed, and nothing is sent: a
proxy on this machine is asked whether it is one, and that is all. What this
system does not let one see is said. The exit code is 10 if there is a WARN,
else 0.

With --report the lines are meant to be read by you and then copied to somebody
who helps: no name, address or path is in them. Nothing is uploaded.`,
		Example: "  backchannel doctor\n  backchannel doctor --report",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd, report) },
	}
	c.Flags().BoolVar(&report, "report", false, "make it fit to be given to somebody who helps")
	return c
}

func (a *app) doctor(cmd *cobra.Command, report bool) error {
	p, err := a.paths()
	if err != nil {
		return err
	}
	d := &doctor{paths: p, onTerminal: a.in.terminal()}
	var st control.StatusAnswer
	if a.call(cmd, "status", control.Empty{}, &st) == nil {
		d.status = &st
	}
	d.checkVersion()
	d.checkFolders()
	d.checkConfig()
	d.checkVault()
	d.checkNode()
	d.checkBackup()
	d.checkMemory()
	d.checkClock()
	d.checkListening()
	d.checkProxy(cmd.Context())
	d.checkTerminal()
	d.checkEnvironment()
	return a.showFindings(d.findings, report)
}

func systemName() string { return runtime.GOOS + "/" + runtime.GOARCH }

// doctorAnswer holds all findings.
type doctorAnswer struct {
	V        int       `json:"v"`
	Version  string    `json:"version"`
	System   string    `json:"system"`
	Warnings int       `json:"warnings"`
	Findings []finding `json:"findings"`
}

func (a *app) showFindings(list []finding, report bool) error {
	ans := doctorAnswer{V: control.Version, Version: version, System: systemName(), Findings: list}
	for i, f := range list {
		if f.Level == warn {
			ans.Warnings++
		}
		if !report {
			list[i].Hint = a.here(f.Hint) // with --home, which may hold a name
		}
	}
	err := a.answer(ans, func() {
		if report {
			a.say("Report of backchannel %s on %s. Read it before you copy it; it was sent to nobody.", version, ans.System)
		}
		for _, f := range list {
			a.say("%-4s  %s", f.Level, f.Text)
			if f.Hint != "" {
				a.say("      %s", f.Hint)
			}
		}
	})
	if err == nil && ans.Warnings > 0 {
		return &control.Error{Code: "warnings", Exit: control.ExitCheckFailed, Message: plural(ans.Warnings, "warning")}
	}
	return err
}

func (d *doctor) checkVersion() {
	d.note("version", "", "version %s; this program asks nobody whether there is a newer one", version)
}
