package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A page is a manual page in the man macros, which every reader knows.
type page struct{ strings.Builder }

// macro writes a request. Each argument becomes one.
func (p *page) macro(name string, args ...string) {
	p.WriteString("." + name)
	for _, arg := range args {
		p.WriteString(` "` + strings.ReplaceAll(escape(arg), `"`, `\(dq`) + `"`)
	}
	p.WriteByte('\n')
}

// text writes lines of running text; an empty line begins a paragraph.
func (p *page) text(s string) {
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "":
			p.macro("PP")
		case strings.HasPrefix(line, "  "): // set out by hand
			p.macro("br")
			p.WriteString(escape(line) + "\n")
		default:
			p.WriteString(escape(line) + "\n")
		}
	}
}

// verbatim writes lines as they are.
func (p *page) verbatim(s string) {
	p.macro("nf")
	for line := range strings.Lines(s) {
		p.WriteString(escape(strings.TrimRight(line, "\n")) + "\n")
	}
	p.macro("fi")
}

// item writes a term and what is said of it.
func (p *page) item(term, what string) {
	p.macro("TP")
	p.WriteString(`\fB` + escape(term) + `\fR` + "\n")
	p.text(what)
}

// escape writes text so that roff sets it as it is: no request, no escape, hyphens
// that can be pasted, and ASCII alone.
func escape(s string) string {
	var b strings.Builder
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		b.WriteString(`\&`)
	}
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// pageName is a command's name as a page: backchannel-invite-new.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manual writes the page of a command.
func manual(c *cobra.Command) string {
	p := new(page)
	p.macro("TH", strings.ToUpper(pageName(c)), "1", "", "backchannel "+version, "Backchannel")
	p.macro("SH", "NAME")
	p.WriteString(escape(pageName(c)) + ` \- ` + escape(c.Short) + "\n")
	p.macro("SH", "SYNOPSIS")
	p.WriteString(`\fB` + escape(c.CommandPath()) + `\fR` + escape(strings.TrimPrefix(c.UseLine(), c.CommandPath())) + "\n")
	p.macro("SH", "DESCRIPTION")
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	p.text(long)
	p.commands(c)
	p.options(c)
	if c.Example != "" {
		p.macro("SH", "EXAMPLES")
		p.verbatim(strings.ReplaceAll(c.Example, "  backchannel", "backchannel"))
	}
	if !c.HasParent() {
		p.surroundings()
	}
	p.macro("SH", "SEE ALSO")
	p.WriteString(escape(seeAlso(c)) + "\n")
	return p.String()
}

func (p *page) commands(c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	p.macro("SH", "COMMANDS")
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			p.item(strings.TrimSuffix(sub.CommandPath(), " [flags]"), sub.Short+".")
		}
	}
}

func (p *page) options(c *cobra.Command) {
	flags := c.NonInheritedFlags()
	if !flags.HasAvailableFlags() {
		return
	}
	p.macro("SH", "OPTIONS")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, what := pflag.UnquoteUsage(f)
		term := "--" + f.Name
		if f.Shorthand != "" {
			term = "-" + f.Shorthand + ", " + term
		}
		if kind != "" {
			term += " " + kind
		}
		switch f.DefValue {
		case "", "false", "0", "-1":
		default:
			what += " (default: " + f.DefValue + ")"
		}
		p.item(term, what+".")
	})
}

func seeAlso(c *cobra.Command) string {
	var names []string
	if c.HasParent() {
		names = append(names, "backchannel(1)")
	}
	if p := c.Parent(); p != nil && p.HasParent() {
		names = append(names, pageName(p)+"(1)")
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, pageName(sub)+"(1)")
		}
	}
	return strings.Join(names, ", ")
}
