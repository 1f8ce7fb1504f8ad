package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

// withRelays lets the demo play what relays are for.
func (a *app) withRelays(c *cobra.Command) *cobra.Command {
	var relays, one bool
	direct := c.RunE
	c.Example += "\n  backchannel demo --relays"
	c.Flags().BoolVar(&relays, "relays", false, "play a talk over relays, of two who are never both online")
	c.Flags().BoolVar(&one, "one-relay", false, "be one relay of the demo")
	_ = c.Flags().MarkHidden("one-relay")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case one:
			return demoRelay(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		case relays:
			return a.demoRelays(cmd.Context())
		}
		return direct(cmd, args)
	}
	return c
}

// relayDemo is a demo with a relay network.
type relayDemo struct {
	*demo
	alder, larch *player
	stations     []*station
	file         string // of the network
	texts        []string
}

func (a *app) demoRelays(parent context.Context) (err error) {
	ctx, cancel := context.WithTimeout(parent, 10*time.Minute)
	defer cancel()
	d := &relayDemo{demo: &demo{a: a, ctx: ctx}}
	if d.binary, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "backchannel-demo-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(d.dir) }()
	d.alder = &player{d: d.demo, name: "Alder desk", contact: "Larch", home: filepath.Join(d.dir, "a")}
	d.larch = &player{d: d.demo, name: "Larch", contact: "Alder desk", home: filepath.Join(d.dir, "b")}
	defer d.larch.kill()
	defer d.alder.kill()
	defer func() {
		for _, s := range d.stations {
			s.kill()
		}
	}()
	began := time.Now()
	for _, act := range []func() error{d.network, d.people, d.apart, d.sights, d.direct, d.lose} {
		if err := act(); err != nil {
			if parent.Err() != nil {
				return parent.Err()
			}
			return &control.Error{Code: "demo_failed", Exit: control.ExitFailed, Message: fmt.Sprintf("step %d of the demo failed: %v", d.step, err)}
		}
	}
	a.say("\nAll steps were checked. It took %.1f s. The vaults and the boxes are deleted now.", time.Since(began).Seconds())
	return nil
}

func (d *relayDemo) network() (err error) {
	d.tell("Three operators run five relays, each a process with a folder of its own. Two founders\n   have signed which relays there are; with which keys, they tell one another.")
	if d.stations, d.file, err = d.found(); err != nil {
		return err
	}
	for _, s := range d.stations {
		if err := s.start(d.ctx, d.binary); err != nil {
			return err
		}
	}
	d.a.say("   Slots are a second here, each with a box of theirs, and packets of 5 kB, so that you need\n   not wait; in a network of the usual kind 30 s, every second one, and 16 kB.")
	return nil
}

func (d *relayDemo) people() error {
	d.tell("Two people join the network, and meet once while both are online.")
	port, err := freePort()
	if err != nil {
		return err
	}
	if err := atOnce(
		func() error { return d.alder.join(d.file, port) },
		func() error { return d.larch.join(d.file, port) },
	); err != nil {
		return err
	}
	var inv control.InviteAnswer
	if err := d.larch.ask(&inv, d.larch.contact+"\n", "invite", "new", "--direct"); err != nil {
		return err
	}
	if _, err := d.alder.run(inv.Invitation+"\n"+d.alder.contact+"\n", "invite", "accept"); err != nil {
		return err
	}
	for _, p := range []*player{d.alder, d.larch} {
		if err := d.within(func() bool { r := p.route(); return r.Agreed && len(r.Relays) == 4 }); err != nil {
			return fmt.Errorf("no drops were agreed: %w", err)
		}
	}
	seen, err := d.stations[0].look()
	if err != nil {
		return err
	}
	if seen.Members != len(d.stations) {
		return fmt.Errorf("relay 1 has learnt of %d relays", seen.Members)
	}
	d.a.say("   Relay 1 has learnt of all %d relays, and of their keys. The two have agreed on three of\n   them as drops, where boxes wait.", seen.Members)
	return d.greet()
}

// greet has Larch say something while both are online. When it is delivered so is all that
// the two machines told each other before, and no box has to carry it.
func (d *relayDemo) greet() error {
	text := "What could your side live with?"
	d.texts = append(d.texts, text)
	if err := d.larch.deliver(text); err != nil {
		return err
	}
	d.a.say("   %-10s: %-52s (delivered)", d.larch.name, text)
	return nil
}

// join makes a vault in a relay network, and starts its node. Larch can be reached.
func (p *player) join(network, port string) error {
	if _, err := p.run(demoPassphrase+"\n", "setup"); err != nil {
		return err
	}
	if _, err := p.run("", "network", "join", network); err != nil {
		return err
	}
	if p.name == "Larch" {
		if _, err := p.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port); err != nil {
			return err
		}
	}
	return p.start()
}

// apart is a talk of two people who are never online together.
func (d *relayDemo) apart() error {
	d.tell("From now on over relays alone, and never both online.")
	if _, err := d.larch.run("", "lock"); err != nil {
		return err
	}
	if _, err := d.alder.run("", "route", "set", "1", "relayed"); err != nil {
		return err
	}
	offer := "Two inspections a year, at ten days' notice."
	// What takes a passphrase its time is done while others wait for slots: who is next opens
	// the vault for reading, and goes online later.
	if err := atOnce(d.larch.open, func() error { return d.leave(d.alder, d.larch, offer) }); err != nil {
		return err
	}
	if err := atOnce(d.alder.open, func() error { return d.come(d.larch, offer) }); err != nil {
		return err
	}
	answer := "Two is fine. Ten days' notice is long."
	if err := d.leave(d.larch, d.alder, answer); err != nil {
		return err
	}
	if err := atOnce(d.larch.open, func() error { return d.come(d.alder, answer) }); err != nil {
		return err
	}
	if err := d.within(func() bool { return d.alder.mark(offer) == "delivered" }); err != nil {
		return fmt.Errorf("the first text is not confirmed: %w", err)
	}
	d.a.say("   %-10s: the first text is now: delivered.", d.alder.name)
	return nil
}

// leave has somebody send a text to one who is offline, and go offline.
func (d *relayDemo) leave(p, to *player, text string) error {
	d.texts = append(d.texts, text)
	var m control.MessageAnswer
	if err := p.ask(&m, text, "send", "1"); err != nil {
		return err
	}
	if err := d.within(func() bool { return p.mark(text) == "in their mailbox" }); err != nil {
		return fmt.Errorf("no drop took a text: %w", err)
	}
	d.a.say("   %-10s: %-52s (in their mailbox)", p.name, text)
	if to.isOnline() {
		return errors.New("both were online")
	}
	for _, s := range d.stations {
		seen, err := s.look()
		if err != nil {
			return err
		}
		if seen.Clients > 0 && !slices.Contains(s.met, p.name) {
			s.met = append(s.met, p.name)
		}
	}
	_, err := p.run("", "lock")
	return err
}

// come has somebody whose vault is open go online, and wait for a text.
func (d *relayDemo) come(p *player, text string) error {
	if _, err := p.run("", "online"); err != nil {
		return err
	}
	began := time.Now()
	if err := d.within(func() bool { return p.mark(text) == "here" }); err != nil {
		return fmt.Errorf("a text that waited at a drop did not come: %w", err)
	}
	d.a.say("   %-10s  comes online, alone, and has it after %.0f s.", p.name, time.Since(began).Seconds())
	return nil
}

// sights prints what each relay saw, as it says itself.
func (d *relayDemo) sights() error {
	d.tell("What each relay has seen until now, from its own links, packets and boxes:")
	d.a.say("\n   RELAY  OPERATOR  LINKED WITH THE MACHINE OF  PACKETS  BOXES PUT  ASKED FOR  FOUND")
	both := 0
	for _, s := range d.stations {
		seen, err := s.look()
		if err != nil {
			return err
		}
		met := strings.Join(s.met, " and ")
		if met == "" {
			met = "nobody"
		}
		if len(s.met) > 1 {
			both = s.number
		}
		d.a.say("   %-5d  %-8s  %-26s  %7d  %9d  %9d  %5d", s.number, s.operator, met, seen.Passed, seen.Put, seen.Asked, seen.Found)
	}
	if both > 0 {
		d.a.say("\n   By chance relay %d is the guard of both: it knows both machines' addresses, and of each\n   that it is on.", both)
	} else {
		d.a.say("\n   No relay has been linked with both.")
	}
	d.a.say("   Guards know an address, and no box. Drops know boxes of one size, each put once and\n   asked for once. Those of the talk look like those that idle machines write to themselves,\n   and most of what is asked for was never there: that is cover.")
	looked, err := d.search()
	if err != nil {
		return err
	}
	d.a.say("   In the %d files of the relays is not one of the texts, and no name.", looked)
	return nil
}

// search looks for texts and names in all that the relays have written.
func (d *relayDemo) search() (looked int, err error) {
	words := append([]string{d.alder.name, d.larch.name}, d.texts...)
	for _, s := range d.stations {
		err = errors.Join(err, filepath.WalkDir(s.dir, func(path string, f fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && !f.Type().IsRegular() {
				return nil // a file may go at any time
			}
			if err != nil {
				return err
			}
			looked++
			found, err := holdsOne(path, words)
			if found {
				return fmt.Errorf("a file of relay %d holds a text or a name", s.number)
			}
			return err
		}))
	}
	if looked < len(d.stations) {
		err = errors.Join(err, errors.New("the relays have no files"))
	}
	return looked, err
}

// holdsOne reports whether one of the words is in a file. It reads a piece at a time, and
// looks at no piece of zeros: the files of a database are mostly room.
func holdsOne(path string, words []string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	const overlap = 256 // longer than any of the words
	piece, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for kept := 0; ; {
		n, err := io.ReadFull(f, piece[kept:])
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		here := piece[:kept+n]
		if !bytes.Equal(here, zeros[:len(here)]) {
			for _, w := range words {
				if bytes.Contains(here, []byte(w)) {
					return true, nil
				}
			}
		}
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return false, err
		}
		kept = copy(piece, here[len(here)-overlap:])
	}
}

// direct is the change to a direct connection in mid-conversation.
func (d *relayDemo) direct() error {
	d.tell("Both are online; in mid-conversation they change to a direct connection.")
	first, second := "Seven days, then.", "And the first reading before the 20th."
	d.texts = append(d.texts, first, second)
	if _, err := d.larch.run("", "online"); err != nil {
		return err
	}
	var m control.MessageAnswer
	if err := d.alder.ask(&m, first, "send", "1"); err != nil { // still over relays
		return err
	}
	if _, err := d.alder.run("", "route", "set", "1", "both"); err != nil {
		return err
	}
	if err := d.within(func() bool { return d.alder.route().Direct }); err != nil {
		return fmt.Errorf("no direct connection: %w", err)
	}
	if err := d.alder.deliver(second); err != nil {
		return err
	}
	if err := d.within(func() bool { return d.alder.mark(first) == "delivered" }); err != nil {
		return fmt.Errorf("a text was lost when the route changed: %w", err)
	}
	if err := d.inOrder(); err != nil {
		return err
	}
	d.a.say("   %-10s: %-52s (before the change)", d.alder.name, first)
	d.a.say("   %-10s: %-52s (after it)", d.alder.name, second)
	d.a.say("   Both are there once, and in order.")
	return nil
}

// inOrder looks at what both have on the screen.
func (d *relayDemo) inOrder() error {
	for _, p := range []*player{d.alder, d.larch} {
		var got []string
		for _, m := range p.messages().Messages {
			got = append(got, m.Text)
		}
		if !slices.Equal(got, d.texts) {
			return errors.New("the texts are not those that were sent, or not in their order")
		}
	}
	return nil
}

// lose kills a relay, and lets the two go on over the others.
func (d *relayDemo) lose() error {
	dead, what := d.mortal()
	if dead == nil {
		return errors.New("the route names no drop")
	}
	d.tell("Relay %d dies (killed, no goodbye). %s\n   They go back to relays alone.", dead.number, what)
	dead.kill()
	for _, p := range []*player{d.larch, d.alder} {
		if _, err := p.run("", "route", "set", "1", "relayed"); err != nil {
			return err
		}
	}
	text := "The 18th, and then we meet."
	d.texts = append(d.texts, text)
	var m control.MessageAnswer
	if err := d.alder.ask(&m, text, "send", "1"); err != nil {
		return err
	}
	began := time.Now()
	if err := d.within(func() bool { return d.larch.mark(text) == "here" }); err != nil {
		return fmt.Errorf("a text was lost with a relay: %w", err)
	}
	d.a.say("   %-10s: %-52s (there after %.0f s)", d.alder.name, text, time.Since(began).Seconds())
	return nil
}

// mortal is the relay that is killed, and what it is to the two: one of their drops, if
// then there is still one that is no guard of theirs. Nobody puts boxes at his own guard,
// nor asks it for any.
func (d *relayDemo) mortal() (dead *station, what string) {
	var drops, guards []string
	for _, p := range []*player{d.alder, d.larch} {
		for _, r := range p.route().Relays {
			if r.Role == "drop" {
				drops = append(drops, r.Address)
			} else {
				guards = append(guards, r.Address)
			}
		}
	}
	var ofTalk, others []*station
	for _, s := range d.stations {
		switch guard := slices.Contains(guards, s.address); {
		case slices.Contains(drops, s.address) && !guard:
			ofTalk = append(ofTalk, s)
		case !guard:
			others = append(others, s)
		}
	}
	switch {
	case len(drops) == 0:
		return nil, ""
	case len(ofTalk) > 1:
		return ofTalk[0], "It is one of their three drops."
	case len(others) > 0:
		return others[0], "It is none of their drops: by chance\n   two of these are guards of theirs, and only the third is left to both."
	}
	return nil, ""
}

// within waits until something holds, for two minutes at most: slots are a second here, and
// a machine that is busy misses some.
func (d *relayDemo) within(holds func() bool) error {
	for range 2400 {
		if holds() {
			return nil
		}
		select {
		case <-d.ctx.Done():
			return d.ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("it took too long")
}

// look asks the node what a screen would show, without a process for each time. What
// cannot be had leaves into as it is.
func (p *player) look(into any, call string, request any) {
	ctx, cancel := context.WithTimeout(p.d.ctx, 10*time.Second)
	defer cancel()
	_ = control.NewClient(filepath.Join(p.home, "run", "node.sock")).Call(ctx, call, request, into)
}

// open opens the vault for reading: nothing is written, sent or received.
func (p *player) open() error {
	_, err := p.run(demoPassphrase+"\n", "unlock")
	return err
}

func (p *player) isOnline() bool {
	var s control.StatusAnswer
	p.look(&s, "status", control.Empty{})
	return s.Online || s.V == 0 // who does not answer might be
}

func (p *player) route() (r control.RouteAnswer) {
	p.look(&r, "route/show", control.NameRequest{Name: "1"})
	return r
}

func (p *player) messages() (r control.ReadAnswer) {
	p.look(&r, "read", control.ReadRequest{Name: "1"})
	return r
}

// mark is the state of a text that this player sent, or "here" of one that came; nothing
// if it is not there.
func (p *player) mark(text string) control.Word {
	for _, m := range p.messages().Messages {
		switch {
		case m.Text != text:
		case m.Direction == "in":
			return "here"
		default:
			return m.State
		}
	}
	return ""
}
