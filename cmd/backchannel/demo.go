package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) demoCommand() *cobra.Command {
	return a.withRelays(&cobra.Command{
		Use:   "demo",
		Short: "Play the whole thing on this machine, with two real nodes",
		Long: `Play the whole thing on this machine: two nodes, each a process with its own
vault in a temporary folder, talk over loopback; then a third joins, and two of
them negotiate, with clocks that are set ahead. Every step is checked. Nothing
is left behind.`,
		Example: "  backchannel demo",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context()) },
	})
}

// demoPace is how often the vaults of the demo are written.
const demoPace = 100 * time.Millisecond

// player is one of the two people of the demo: a home, and a node that runs.
type player struct {
	d       *demo
	name    string // whom the others know
	contact string // what this one calls the other
	home    string
	node    *exec.Cmd
	orders  io.Writer      // to the node: what its clock is to show
	answers *bufio.Scanner // that it does
}

// demo runs the program itself, as a person would.
type demo struct {
	a      *app
	ctx    context.Context //nolint:containedctx // of one run of the demo
	binary string
	dir    string
	step   int
}

const demoPassphrase = "a passphrase that only the demo uses"

func (a *app) demo(parent context.Context) (err error) {
	ctx, cancel := context.WithTimeout(parent, 5*time.Minute)
	defer cancel()
	d := &demo{a: a, ctx: ctx}
	if d.binary, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "backchannel-demo-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(d.dir) }()
	alder := &player{d: d, name: "Alder desk", contact: "Larch", home: filepath.Join(d.dir, "a")}
	larch := &player{d: d, name: "Larch", contact: "Alder desk", home: filepath.Join(d.dir, "b")}
	defer alder.kill()
	defer larch.kill()
	c := d.newCast()
	defer func() {
		cancel() // nobody needs what is being made
		c.leave()
	}()
	negotiation := func(alder, larch *player) error { return d.negotiation(alder, larch, c) }
	began := time.Now()
	for i, act := range []func(alder, larch *player) error{d.setUp, d.meet, d.compareWords, d.talk, d.file, d.interrupt, d.transcripts, d.forgery, negotiation} {
		if i == 1 {
			c.start() // passphrases take long, and the steps that follow wait more than they work
		}
		if err := act(alder, larch); err != nil {
			if parent.Err() != nil {
				return parent.Err()
			}
			return &control.Error{Code: "demo_failed", Exit: control.ExitFailed, Message: fmt.Sprintf("step %d of the demo failed: %v", d.step, err)}
		}
	}
	a.say("\nAll steps were checked. It took %.1f s. The vaults are deleted now.", time.Since(began).Seconds())
	return nil
}

// tell prints what happens next.
func (d *demo) tell(format string, args ...any) {
	d.step++
	d.a.say("\n%d. "+format, append([]any{d.step}, args...)...)
}

func (d *demo) setUp(alder, larch *player) error {
	d.tell("Two people each make a vault on their own machine. Nothing is registered anywhere.")
	port, err := freePort()
	if err != nil {
		return err
	}
	if err := atOnce(
		func() error { return alder.begin("") },
		func() error { return larch.begin(port) },
	); err != nil {
		return err
	}
	d.a.say("   Both nodes run. Larch can be reached; the Alder desk reaches out.")
	d.a.say("   A vault is written by the clock, whether or not anything happens: here every %v,\n   so that you need not wait; yours every 2 s, and every minute when nobody is there.", demoPace)
	return nil
}

func (d *demo) meet(alder, larch *player) error {
	d.tell("Larch makes an invitation: one line, for one person, once.")
	var inv control.InviteAnswer
	if err := larch.ask(&inv, larch.contact+"\n", "invite", "new"); err != nil {
		return err
	}
	d.a.say("   %s… (%d characters)", inv.Invitation[:40], len(inv.Invitation))
	mistyped := []byte(inv.Invitation)
	mistyped[30] ^= 'A' ^ 'B'
	if _, err := alder.run(string(mistyped)+"\nx\n", "invite", "accept"); err == nil {
		return errors.New("a mistyped invitation was taken")
	}
	d.a.say("   With one character mistyped it is refused, and nothing is spent.")
	if _, err := alder.run(inv.Invitation+"\n"+alder.contact+"\n", "invite", "accept"); err != nil {
		return err
	}
	return nil
}

func (d *demo) compareWords(alder, larch *player) error {
	d.tell("They call each other. Each reads three words aloud and types the other's.")
	var read [2]control.WordsAnswer
	for i, p := range []*player{alder, larch} {
		if err := p.ask(&read[i], "", "contact", "verify", "1", "--show"); err != nil {
			return err
		}
		d.a.say("   %-10s reads: %s", p.name, strings.ToUpper(strings.Join(read[i].Words, " ")))
	}
	wrong := strings.Join(read[0].Words, "\n") + "\n" // one's own words are not the other's
	if _, err := alder.run(wrong, "contact", "verify", "1"); exitCode(err) != control.ExitCheckFailed {
		return fmt.Errorf("wrong words were not refused: %w", err)
	}
	d.a.say("   Words that do not fit are refused: nobody sits between them unnoticed.")
	for i, p := range []*player{alder, larch} {
		heard := strings.Join(read[1-i].Words, "\n") + "\n"
		if _, err := p.run(heard, "contact", "verify", "1"); err != nil {
			return err
		}
		var c control.ContactAnswer
		if err := p.ask(&c, "", "contact", "show", "1"); err != nil {
			return err
		}
		if c.Contact.Verified != "words compared by voice" {
			return errors.New("the contact is not verified after the words fitted")
		}
		d.a.say("   %-10s now has %q as: %s", p.name, p.contact, c.Contact.Verified)
	}
	return nil
}

func (d *demo) talk(alder, larch *player) error {
	d.tell("They talk.")
	for _, l := range []struct {
		by   *player
		text string
	}{
		{alder, "Our side could live with two inspections a year."},
		{larch, "Two is fine. Ten days' notice is long. Seven?"},
		{alder, "Seven, if the first reading can be before the 20th."},
	} {
		if err := l.by.deliver(l.text); err != nil {
			return err
		}
		d.a.say("   %-10s : %-54s (delivered)", l.by.name, l.text)
	}
	return nil
}

func (d *demo) file(alder, larch *player) error {
	d.tell("The Alder desk sends a file. Larch says where it is to be written.")
	proposal := filepath.Join(d.dir, "proposal.txt")
	content := strings.Repeat("Article 1. Two inspections a year, at seven days' notice.\n", 20_000)
	if err := os.WriteFile(proposal, []byte(content), 0o600); err != nil {
		return err
	}
	var f control.FileAnswer
	if err := alder.ask(&f, proposal+"\n", "file", "send", "1"); err != nil {
		return err
	}
	d.a.say("   %s, %s: %s.", f.File.Name, size(f.File.Size), f.File.State)
	var list control.FilesAnswer
	if err := d.eventually(func() bool { return larch.ask(&list, "", "file", "list", "1") == nil && len(list.Files) == 1 }); err != nil {
		return fmt.Errorf("the offer of a file did not come: %w", err)
	}
	folder := filepath.Join(d.dir, "larch's folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	if err := larch.ask(&f, folder+"\n", "file", "save", "1", fmt.Sprint(list.Files[0].Seq), "--wait"); err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(folder, "proposal.txt"))
	if err != nil {
		return err
	}
	if string(got) != content {
		return errors.New("the file that came is another one")
	}
	if err := d.eventually(func() bool {
		return alder.ask(&list, "", "file", "list", "1") == nil && list.Files[0].State == "delivered"
	}); err != nil {
		return fmt.Errorf("the sender does not know that the file came: %w", err)
	}
	d.a.say("   It is in Larch's folder, bit for bit; at the Alder desk it is: %s.", list.Files[0].State)
	return nil
}

func (d *demo) interrupt(alder, larch *player) error {
	d.tell("The Alder desk's node is stopped and started again in mid-conversation.")
	if err := alder.stop(); err != nil {
		return err
	}
	if err := larch.apart(); err != nil {
		return err
	}
	meanwhile := "Before the 20th will do."
	var m control.MessageAnswer
	if err := larch.ask(&m, meanwhile, "send", "1"); err != nil {
		return err
	}
	d.a.say("   Meanwhile Larch writes %q: %s.", meanwhile, m.Message.State)
	if err := alder.start(); err != nil {
		return err
	}
	if err := d.eventually(func() bool { return larch.state(meanwhile) == "delivered" }); err != nil {
		return fmt.Errorf("what was written meanwhile was not delivered: %w", err)
	}
	d.a.say("   The Alder desk is back: it is delivered.")

	d.tell("Larch's machine dies (killed, no goodbye). The Alder desk writes all the same.")
	larch.kill()
	if err := alder.apart(); err != nil {
		return err
	}
	waiting := "Agreed: the 18th."
	for _, text := range []string{waiting, "Or the 19th?"} {
		if err := alder.ask(&m, text, "send", "1"); err != nil {
			return err
		}
		if m.Message.State != "waiting here" {
			return fmt.Errorf("a message to a dead machine is shown as %q", m.Message.State)
		}
		d.a.say("   %q is: %s.", text, m.Message.State)
	}
	if _, err := alder.run("", "recall", "1", fmt.Sprint(m.Message.Seq)); err != nil {
		return err
	}
	d.a.say("   The second is taken back: it never left.")
	if err := larch.start(); err != nil {
		return err
	}
	if err := d.eventually(func() bool { return alder.state(waiting) == "delivered" }); err != nil {
		return fmt.Errorf("the message that waited was not delivered: %w", err)
	}
	d.a.say("   Larch's machine is back: %q is: delivered. Nothing was lost.", waiting)
	return nil
}

func (d *demo) transcripts(alder, larch *player) error {
	d.tell("What each has on the screen:")
	var texts [2][]string
	for i, p := range []*player{alder, larch} {
		d.a.say("\n   --- %s", p.name)
		out, err := p.run("", "read", "1")
		if err != nil {
			return err
		}
		d.a.say("   %s", strings.ReplaceAll(strings.TrimRight(out, "\n"), "\n", "\n   "))
		var r control.ReadAnswer
		if err := p.ask(&r, "", "read", "1"); err != nil {
			return err
		}
		for _, m := range r.Messages {
			texts[i] = append(texts[i], m.Text)
		}
	}
	if len(texts[0]) != 6 || !sameSet(texts[0], texts[1]) {
		return errors.New("the two transcripts differ")
	}
	return nil
}

func (d *demo) forgery(alder, _ *player) error {
	d.tell("Suppose the Alder desk hands over its transcript with all its keys. It also makes one\n   up, with other words, from the same program and no keys of Larch's.")
	realFile, forged := filepath.Join(d.dir, "handed-over.bct"), filepath.Join(d.dir, "made-up.bct")
	if _, err := alder.run("", "forge", "from", "1", "--out", realFile); err != nil {
		return err
	}
	script := "Alder desk\nLarch\nAlder desk: We would drop the inspections altogether.\nLarch: Then we have a deal.\n.\n"
	if _, err := alder.run(script, "forge", "--out", forged); err != nil {
		return err
	}
	var said [2]string
	for i, f := range []string{realFile, forged} {
		out, err := alder.run("", "forge", "check", f)
		if err != nil {
			return err
		}
		said[i] = out
		d.a.say("   %-16s %s", filepath.Base(f), strings.SplitN(out, "\n", 2)[0])
	}
	if said[0] != said[1] {
		return errors.New("the check tells the two apart")
	}
	raw, err := os.ReadFile(forged)
	if err != nil {
		return err
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(forged, raw, 0o600); err != nil {
		return err
	}
	if _, err := alder.run("", "forge", "check", forged); exitCode(err) != control.ExitCheckFailed {
		return errors.New("the check accepts anything")
	}
	d.a.say("   The check is a real one: with one bit changed it refuses. But it cannot say who wrote\n   the words. Nothing here is signed; either of them could have typed it all.")
	return nil
}

// run runs the program for this player and returns its output.
func (p *player) run(stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(p.d.ctx, p.d.binary, append([]string{"--home", p.home}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(errOut.String()), "\n")
		return "", fmt.Errorf("%s: %w", first, err)
	}
	return out.String(), nil
}

// ask is run with --json.
func (p *player) ask(answer any, stdin string, args ...string) error {
	out, err := p.run(stdin, append([]string{"--json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), answer)
}

// begin makes a vault and starts the node, which others reach at a port if there is one.
func (p *player) begin(port string) error {
	if _, err := p.run(demoPassphrase+"\n", "setup"); err != nil {
		return err
	}
	if port != "" {
		if _, err := p.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port); err != nil {
			return err
		}
	}
	return p.start()
}

// atOnce does all of these at one time.
func atOnce(all ...func() error) error {
	failed := make([]error, len(all))
	var tasks sync.WaitGroup
	for i, each := range all {
		tasks.Go(func() { failed[i] = each() })
	}
	tasks.Wait()
	return errors.Join(failed...)
}

// start runs the node in a process of its own and has it go online.
func (p *player) start() error {
	p.node = exec.CommandContext(p.d.ctx, p.d.binary, "--home", p.home, "--quiet", "node", "run", "--write-every", demoPace.String(), "--box-period", "1", "--clock-from-input")
	p.node.Stderr = io.Discard
	orders, err := p.node.StdinPipe()
	if err != nil {
		return err
	}
	answers, err := p.node.StdoutPipe()
	if err != nil {
		return err
	}
	p.orders, p.answers = orders, bufio.NewScanner(answers)
	if err := p.node.Start(); err != nil {
		return err
	}
	if err := p.d.eventually(func() bool {
		var s control.StatusAnswer
		p.look(&s, "status", control.Empty{})
		return s.V > 0
	}); err != nil {
		return fmt.Errorf("the node did not start: %w", err)
	}
	_, err = p.run(demoPassphrase+"\n", "online")
	return err
}

// stop ends the node as a person does.
func (p *player) stop() error {
	if _, err := p.run("", "node", "stop"); err != nil {
		return err
	}
	err := p.node.Wait()
	p.node = nil
	return err
}

// kill ends the node as a power cut does.
func (p *player) kill() {
	if p.node != nil {
		_ = p.node.Process.Kill()
		_ = p.node.Wait()
		p.node = nil
	}
}

// deliver sends a text and waits until it is delivered.
func (p *player) deliver(text string) error {
	var m control.MessageAnswer
	if err := p.ask(&m, text, "send", "1", "--wait"); err != nil {
		return err
	}
	if m.Message.State != "delivered" {
		return fmt.Errorf("the message is %q", m.Message.State)
	}
	return nil
}

// apart waits until the node has noticed that the other one is gone.
func (p *player) apart() error {
	return p.d.eventually(func() bool {
		var c control.ContactAnswer
		p.look(&c, "contact/show", control.NameRequest{Name: "1"})
		return c.V > 0 && !c.Contact.Connected
	})
}

// state returns the state of a text that this player sent.
func (p *player) state(text string) control.Word { return p.mark(text) }

// eventually waits until something holds, at most a minute.
func (d *demo) eventually(holds func() bool) error {
	for range 1200 {
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

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

func sameSet(a, b []string) bool {
	count := map[string]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
