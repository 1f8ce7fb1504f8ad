package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/backchannel/backchannel/node/control"
)

// demoText is what the two of the demo publish together.
const demoText = "Both sides read the gauges together, at noon.\n"

// talks are those of two who do not know each other yet, and of Larch, who knows both.
// The two know each other as contact 2.
type talks struct {
	*demo
	cast     *cast
	larch    *player
	two      [2]*player // the Alder desk, and Heron
	at       time.Time  // when the sounding ends
	channel  string     // the number of the channel
	deadline time.Time
	grants   sync.WaitGroup // while authorities give the two their mandates
	granted  [2]error
}

// A cast is what the negotiation needs and takes long to make: Heron's vault and node, and the
// keys of two authorities. It is made while other steps wait.
type cast struct {
	heron *player
	keys  [2]authorityAnswer
	err   error         // of prepare
	ready chan struct{} // closed by prepare
	begun bool
}

func (d *demo) newCast() *cast {
	return &cast{heron: &player{d: d, name: "Heron", contact: "Larch", home: filepath.Join(d.dir, "c")}, ready: make(chan struct{})}
}

func (c *cast) start() {
	c.begun = true
	go c.prepare()
}

func (c *cast) prepare() {
	defer close(c.ready)
	port, err := freePort()
	if err == nil {
		err = c.heron.begin(port)
	}
	for i := range c.keys {
		if err == nil {
			err = c.heron.ask(&c.keys[i], demoPassphrase+"\n", "mandate", "key", c.heron.d.mandateFile("key", i), "--public", c.heron.d.mandateFile("public", i))
		}
	}
	c.err = err
}

// leave ends Heron's node, also while it is being made.
func (c *cast) leave() {
	if c.begun {
		<-c.ready
	}
	c.heron.kill()
}

// mandateFile is where a file of an authority's is: each of the two has its own.
func (d *demo) mandateFile(name string, i int) string {
	return filepath.Join(d.dir, fmt.Sprint(name, i))
}

// negotiation plays a negotiation from an introduction to the deadline.
func (d *demo) negotiation(alder, larch *player, c *cast) error {
	t := &talks{demo: d, cast: c, larch: larch, two: [2]*player{alder, c.heron}}
	defer t.grants.Wait()
	for _, act := range []func() error{t.invite, t.introduce, t.compare, t.sound, t.agree, t.mandates, t.sign, t.end} {
		if err := act(); err != nil {
			return err
		}
	}
	return nil
}

// invite has Larch and Heron meet.
func (t *talks) invite() error {
	heron := t.two[1]
	t.tell("A negotiation. Larch knows Heron, too, and asks both whether they want to meet. Neither\n   learns the other's name, key or address before both have said yes.")
	if <-t.cast.ready; t.cast.err != nil {
		return t.cast.err
	}
	var inv control.InviteAnswer
	if err := t.larch.ask(&inv, heron.name+"\n", "invite", "new"); err != nil {
		return err
	}
	if _, err := heron.run(inv.Invitation+"\n"+heron.contact+"\n", "invite", "accept"); err != nil {
		return err
	}
	return t.eventually(func() bool { return heron.wordsReady("1") && t.larch.wordsReady("2") })
}

func (t *talks) introduce() error {
	if _, err := t.larch.run("a colleague on the other bank\na colleague upstream\n", "contact", "introduce", "1", "2"); err != nil {
		return err
	}
	for i, p := range t.two {
		other := t.two[1-i].name
		err := t.eventually(func() bool {
			_, err := p.run(other+"\n", "contact", "accept", "1") // fails until the question has come
			return err == nil
		})
		if err != nil {
			return fmt.Errorf("%s was not asked: %w", p.name, err)
		}
		t.a.say("   %-10s says yes.", p.name)
	}
	for i, p := range t.two {
		if err := t.eventually(func() bool { return p.wordsReady("2") }); err != nil {
			return fmt.Errorf("the two did not meet: %w", err)
		}
		t.a.say("   %-10s now has %q, introduced by Larch.", p.name, t.two[1-i].name)
	}
	var made control.IntroductionsAnswer
	if err := t.eventually(func() bool {
		return t.larch.ask(&made, "", "contact", "introductions") == nil && len(made.Made) == 1 && made.Made[0].State == "done"
	}); err != nil {
		return err
	}
	t.a.say("   Larch is out of it, and stops its node: the two go on by themselves.")
	return t.larch.stop()
}

func (p *player) wordsReady(contact string) bool {
	var c control.ContactAnswer
	p.look(&c, "contact/show", control.NameRequest{Name: contact})
	return c.Contact.WordsReady
}

func (t *talks) compare() error {
	var read [2]control.WordsAnswer
	for i, p := range t.two {
		if err := p.ask(&read[i], "", "contact", "verify", "2", "--show"); err != nil {
			return err
		}
	}
	for i, p := range t.two {
		if _, err := p.run(strings.Join(read[1-i].Words, "\n")+"\n", "contact", "verify", "2"); err != nil {
			return err
		}
	}
	t.a.say("   They compare words by telephone. These fit: Larch does not sit between them.")
	for i := range t.two {
		t.grants.Go(func() { t.granted[i] = t.grant(i) }) // passphrases take long
	}
	return nil
}

// sound has both name topics, and the machines find out which ones both named.
func (t *talks) sound() error {
	t.tell("Would the other talk about it at all? Each names topics; only what both name is shown.")
	t.at = time.Now().Add(3 * time.Hour).Truncate(time.Minute)
	alder, heron := t.two[0], t.two[1]
	if _, err := alder.run("Embassy reopening\ngauges\n", "sounding", "new", "2", "--at", t.at.Format(time.RFC3339)); err != nil {
		return err
	}
	if err := t.eventually(func() bool { return heron.sounding().State == "open" }); err != nil {
		return err
	}
	if _, err := heron.run("dams\nGAUGES\n", "sounding", "new", "2"); err != nil {
		return err
	}
	t.a.say("   Alder desk : embassy reopening, gauges\n   Heron      : dams, gauges")
	t.a.say("   The machines take hours over it. The clocks of both nodes are set ahead from here on,\n   so that you need not wait.")
	if err := t.later(t.at.Add(-5 * time.Minute)); err != nil {
		return err
	}
	if err := t.eventually(func() bool {
		a, h := alder.sounding(), heron.sounding() // both are asked, always: so somebody is there
		return a.Answered == 21 && h.Answered == 21
	}); err != nil {
		return fmt.Errorf("the machines did not get through: %w", err)
	}
	if err := t.later(t.at.Add(time.Minute)); err != nil {
		return err
	}
	for _, p := range t.two {
		var s control.Sounding
		if err := t.eventually(func() bool { s = p.sounding(); return s.State == "both named it" && len(s.Common) == 1 }); err != nil {
			return fmt.Errorf("the sounding ends with %q: %w", s.State, err)
		}
		t.a.say("   %-10s sees: BOTH NAMED IT: %s. Nothing of the rest.", p.name, cleanLine(s.Common[0].Topic))
	}
	return nil
}

func (p *player) sounding() control.Sounding {
	var s control.SoundingAnswer
	if p.look(&s, "sounding/show", control.NameRequest{Name: "2"}); s.Sounding == nil {
		return control.Sounding{}
	}
	return *s.Sounding
}

// later has the clocks of the two show another time. Their nodes are asked something then:
// where nobody has been for a minute, the vault is written every minute only.
func (t *talks) later(now time.Time) error {
	for _, p := range t.two {
		if err := p.setClock(now); err != nil {
			return err
		}
	}
	for _, p := range t.two {
		if err := t.eventually(func() bool {
			var c control.ContactAnswer
			p.look(&c, "contact/show", control.NameRequest{Name: "2"})
			return c.V > 0
		}); err != nil {
			return fmt.Errorf("the node of %s does not answer: %w", p.name, err)
		}
	}
	return nil
}

// agree opens a channel with a charter.
func (t *talks) agree() error {
	t.tell("They agree in advance what the talk is for, that something may be published, and when all\n   of it is burned.")
	alder, heron := t.two[0], t.two[1]
	t.deadline = t.at.Add(48 * time.Hour)
	var c control.ChannelAnswer
	if err := alder.ask(&c, "river gauges\nagree how they are read\n", "channel", "open", "2", "--kind", "publishable", "--until", t.deadline.Format(time.RFC3339)); err != nil {
		return err
	}
	t.channel = fmt.Sprint(c.Channel.Number)
	if _, err := alder.run("Too early.", "send", "2", "--channel", t.channel); err == nil {
		return errors.New("something flows in a channel before both agreed")
	}
	if err := t.eventually(func() bool {
		_, err := heron.run("", "channel", "accept", "2", t.channel)
		return err == nil
	}); err != nil {
		return fmt.Errorf("the channel did not open: %w", err)
	}
	if err := t.eventually(func() bool {
		_, err := alder.run("Noon suits us.", "send", "2", "--channel", t.channel, "--wait")
		return err == nil
	}); err != nil {
		return err
	}
	t.a.say("   Both accepted the same text: %s. Before that, nothing flowed.", cleanLine(c.Channel.Yours.Name))
	return nil
}

// mandates has each show for whom it speaks.
func (t *talks) mandates() error {
	t.tell("Each shows for whom it speaks: with a mandate that convinces the other, and nobody else.")
	if t.grants.Wait(); errors.Join(t.granted[:]...) != nil {
		return errors.Join(t.granted[:]...)
	}
	if err := atOnce(func() error { return t.mandate(0) }, func() error { return t.mandate(1) }); err != nil {
		return err
	}
	for _, p := range t.two {
		t.a.say("   %-10s may speak about \"the gauges\": valid, and the authority's words fit.", p.name)
	}
	return nil
}

// grant has one of the two ask its authority for a mandate, and get it.
func (t *talks) grant(i int) error {
	file := func(name string) string { return t.mandateFile(name, i) }
	for _, step := range []struct {
		input string
		args  []string
	}{
		{"", []string{"request", "2", "--authority", file("public"), "--out", file("request")}},
		{demoPassphrase + "\nthe gauges\nriver\n", []string{"issue", "--key", file("key"), "--request", file("request"), "--until", "7d", "--out", file("mandate")}},
		{"", []string{"import", file("mandate")}},
	} {
		if _, err := t.two[i].run(step.input, append([]string{"mandate"}, step.args...)...); err != nil {
			return err
		}
	}
	return nil
}

// mandate has one of the two show its mandate, and the other check it.
func (t *talks) mandate(i int) error {
	p, listener := t.two[i], t.two[1-i]
	if _, err := p.run("", "mandate", "show", "2"); err != nil {
		return err
	}
	if err := t.eventually(func() bool {
		_, err := listener.run("", "mandate", "check", "2")
		return err == nil
	}); err != nil {
		return fmt.Errorf("the mandate of %s does not check: %w", p.name, err)
	}
	_, err := listener.run(strings.Join(t.cast.keys[i].Words, "\n")+"\n", "mandate", "check", "2", "--words")
	return err
}

// sign has both sign one text, which anybody can check.
func (t *talks) sign() error {
	t.tell("They draft one text, and sign it at once. It is the only thing here that is signed.")
	alder, heron := t.two[0], t.two[1]
	if _, err := alder.run(demoText, "communique", "draft", "2", "--channel", t.channel); err != nil {
		return err
	}
	if err := t.eventually(func() bool { return len(t.communique(heron).Drafts) == 1 }); err != nil {
		return err
	}
	if _, err := alder.run("", "communique", "sign", "2", "--channel", t.channel, "--until", t.at.Add(12*time.Hour).Format(time.RFC3339)); err != nil {
		return err
	}
	first := strings.Join(strings.Fields(demoText)[:3], " ") + "\n"
	for _, step := range []struct {
		p     *player
		state control.Word
		input string
	}{{heron, "proposed by them", ""}, {alder, "waits for your signature", first}, {heron, "waits for your signature", first}} {
		if err := t.eventually(func() bool { return t.signing(step.p) == step.state }); err != nil {
			return fmt.Errorf("the signing is at %q: %w", t.signing(step.p), err)
		}
		if _, err := step.p.run(step.input, "communique", "sign", "2", "--channel", t.channel); err != nil {
			return err
		}
	}
	var files [2][]byte
	for i, p := range t.two {
		if err := t.eventually(func() bool { return t.signing(p) == "signed by both" }); err != nil {
			return err
		}
		path := filepath.Join(t.dir, fmt.Sprint("communique", i))
		if _, err := p.run("", "communique", "publish", "2", "--channel", t.channel, "--out", path); err != nil {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[i] = raw
	}
	if !bytes.Equal(files[0], files[1]) {
		return errors.New("the two publish different files")
	}
	if _, err := t.larch.run("", "communique", "verify", filepath.Join(t.dir, "communique0")); err != nil { // as anybody could
		return err
	}
	t.a.say("   %q\n   Both have the same file with two signatures, and anybody can check it.", strings.TrimSpace(demoText))
	return nil
}

func (t *talks) communique(p *player) (c control.CommuniqueAnswer) {
	_ = p.ask(&c, "", "communique", "list", "2", "--channel", t.channel)
	return c
}

// signing is how the only signing stands.
func (t *talks) signing(p *player) control.Word {
	c := t.communique(p)
	if len(c.Signings) == 0 {
		return ""
	}
	return c.Signings[0].State
}

// end lets the deadline pass.
func (t *talks) end() error {
	t.tell("The deadline comes: the clocks are set ahead by two days.")
	if err := t.later(t.deadline.Add(time.Minute)); err != nil {
		return err
	}
	for _, p := range t.two {
		if err := t.eventually(func() bool {
			var list control.ChannelsAnswer
			return p.ask(&list, "", "channel", "list", "2") == nil && len(list.Channels) == 1 && list.Channels[0].State == "burned"
		}); err != nil {
			return fmt.Errorf("the channel was not burned at its deadline: %w", err)
		}
		if _, err := p.run("", "read", "2", "--channel", t.channel); err == nil {
			return errors.New("a burned channel can be read")
		}
		t.a.say("   %-10s : what was said in the channel is burned, and the charter with it.", p.name)
	}
	t.a.say("   What they published stays. What one of them copied before, it can keep.")
	return nil
}
