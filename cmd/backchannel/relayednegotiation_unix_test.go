//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/control"
)

// TestRelaysNegotiation plays a negotiation over five relays: nobody in it can be reached,
// and no two machines are ever connected. Each node is killed now and then. It takes about ten
// minutes, and has a command of its own. What takes hours of any clock is not in it: a
// sounding is called and named here, and its rounds are played over boxes in virtual time,
// in node/channel.
func TestRelaysNegotiation(t *testing.T) {
	if os.Getenv("RELAYS_TEST") == "" {
		t.Skip("it takes ten minutes: RELAYS_TEST=1 go test ./cmd/backchannel -run TestRelaysNegotiation -timeout 40m")
	}
	v := newVillage(t)
	w := &bargain{kills: rand.IntN(3), finch: v.person(t, "finch"), two: [2]*person{v.person(t, "larch"), v.person(t, "heron")}}
	for _, p := range w.all() {
		p.runs()
	}
	for _, p := range w.all() {
		p.joined()
	}
	for i, p := range w.two {
		inv := strings.TrimSpace(w.finch.run(w.name(i)+"\n", "invite", "new"))
		p.run(inv+"\nFinch\n", "invite", "accept")
	}
	for i, p := range w.two {
		p.until("it knows finch", func() bool { return p.wordsReady("1") && w.finch.wordsReady([]string{"1", "2"}[i]) })
	}
	for _, act := range []func(){w.introduce, w.compare, w.call, w.agree, w.mandates, w.sign, w.end} {
		act()
		w.kill()
	}
	for _, p := range w.all() {
		var s control.ContactsAnswer
		p.answer(&s, "", "contact", "list")
		for _, c := range s.Contacts {
			if c.Connected {
				t.Errorf("%s is connected with %s", p.home, c.Name)
			}
		}
	}
}

// A bargain is one of two who are contact 2 of each other, and of Finch, who is contact
// 1 of both.
type bargain struct {
	finch   *person
	two     [2]*person
	channel string
	until   time.Time // the channel's deadline
	kills   int
}

func (w *bargain) all() []*person    { return []*person{w.finch, w.two[0], w.two[1]} }
func (w *bargain) name(i int) string { return []string{"Larch", "Heron"}[i] }

// kill kills a node, as a power cut does, each in its turn, and starts it again.
func (w *bargain) kill() {
	p := w.all()[w.kills%3]
	w.kills++
	p.Helper()
	p.Logf("%s is killed", filepath.Base(p.home))
	_ = p.node.Process.Kill()
	_ = p.node.Wait()
	p.runs()
}

// attempt runs the program for a person, and reports whether it did what it was to do.
func (p *person) attempt(stdin string, args ...string) bool {
	cmd := exec.Command("backchannel", append([]string{"--home", p.home}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	return cmd.Run() == nil
}

// answer is what the program says to a script.
func (p *person) answer(into any, stdin string, args ...string) {
	p.Helper()
	if err := json.Unmarshal([]byte(p.run(stdin, append([]string{"--json"}, args...)...)), into); err != nil {
		p.Fatalf("%v: %v", args, err)
	}
}

func (p *person) wordsReady(contact string) bool {
	var c control.ContactAnswer
	return p.ask(&c, "contact/show", control.NameRequest{Name: contact}) && c.Contact.Stage == "met" && c.Contact.WordsReady
}

func (w *bargain) introduce() {
	w.finch.run("a colleague on the other bank\na colleague upstream\n", "contact", "introduce", "1", "2")
	w.kill()
	for i, p := range w.two {
		p.until("it is asked, and says yes", func() bool { return p.attempt(w.name(1-i)+"\n", "contact", "accept", "1") })
	}
	for _, p := range w.two {
		p.until("the two have met", func() bool { return p.wordsReady("2") })
	}
	w.finch.until("finch knows that it is done", func() bool {
		var made control.IntroductionsAnswer
		w.finch.answer(&made, "", "contact", "introductions")
		return len(made.Made) == 1 && made.Made[0].State == "done"
	})
}

func (w *bargain) compare() {
	for i, p := range w.two {
		var read control.WordsAnswer
		w.two[1-i].answer(&read, "", "contact", "verify", "2", "--show")
		p.run(strings.Join(read.Words, "\n")+"\n", "contact", "verify", "2")
	}
}

// call has one of the two call a sounding, and both name topics.
func (w *bargain) call() {
	w.two[0].run("Embassy reopening\ngauges\n", "sounding", "new", "2", "--at", time.Now().Add(30*time.Hour).Format(time.RFC3339))
	w.two[1].until("the sounding is called", func() bool {
		var s control.SoundingAnswer
		w.two[1].answer(&s, "", "sounding", "show", "2")
		return s.Sounding != nil && s.Sounding.State == "open"
	})
	w.two[1].run("dams\nGAUGES\n", "sounding", "new", "2")
}

func (w *bargain) agree() {
	larch, heron := w.two[0], w.two[1]
	w.until = time.Now().Add(10 * time.Minute).Truncate(time.Minute)
	var c control.ChannelAnswer
	larch.answer(&c, "river gauges\nagree how they are read\n", "channel", "open", "2", "--kind", "publishable", "--until", w.until.Format(time.RFC3339))
	w.channel = itoa(int(c.Channel.Number))
	heron.until("it accepts the charter", func() bool { return heron.attempt("", "channel", "accept", "2", w.channel) })
	larch.until("the channel is open", func() bool { return larch.attempt("Noon suits us.", "send", "2", "--channel", w.channel) })
	heron.until("the text is there", func() bool {
		return strings.Contains(heron.run("", "read", "2", "--channel", w.channel), "Noon suits us.")
	})
}

// mandates has each show for whom it speaks.
func (w *bargain) mandates() {
	for i, p := range w.two {
		file := func(name string) string { return filepath.Join(p.dir, name+w.name(i)) }
		var key authorityAnswer
		p.answer(&key, "pass authority\n", "mandate", "key", file("key"), "--public", file("public"))
		p.until("the listener's key is there", func() bool {
			return p.attempt("", "mandate", "request", "2", "--authority", file("public"), "--out", file("request"))
		})
		p.run("pass authority\nthe gauges\nriver\n", "mandate", "issue", "--key", file("key"), "--request", file("request"), "--until", "7d", "--out", file("mandate"))
		p.run("", "mandate", "import", file("mandate"))
		p.run("", "mandate", "show", "2")
		listener := w.two[1-i]
		listener.until("the mandate is valid", func() bool { return listener.attempt("", "mandate", "check", "2") })
		listener.run(strings.Join(key.Words, "\n")+"\n", "mandate", "check", "2", "--words")
	}
}

func (w *bargain) signing(p *person) (state control.Word, drafts int) {
	var c control.CommuniqueAnswer
	p.answer(&c, "", "communique", "list", "2", "--channel", w.channel)
	if len(c.Signings) > 0 {
		state = c.Signings[0].State
	}
	return state, len(c.Drafts)
}

func (w *bargain) sign() {
	larch, heron := w.two[0], w.two[1]
	larch.run(demoText, "communique", "draft", "2", "--channel", w.channel)
	heron.until("the draft is there", func() bool { _, drafts := w.signing(heron); return drafts == 1 })
	larch.run("", "communique", "sign", "2", "--channel", w.channel, "--until", w.until.Format(time.RFC3339))
	w.kill()
	first := strings.Join(strings.Fields(demoText)[:3], " ") + "\n"
	for _, step := range []struct {
		p     *person
		state control.Word
		input string
	}{{heron, "proposed by them", ""}, {larch, "waits for your signature", first}, {heron, "waits for your signature", first}} {
		step.p.until(string(step.state), func() bool { state, _ := w.signing(step.p); return state == step.state })
		step.p.run(step.input, "communique", "sign", "2", "--channel", w.channel)
	}
	var files [2][]byte
	for i, p := range w.two {
		p.until("it is signed by both", func() bool { state, _ := w.signing(p); return state == "signed by both" })
		path := filepath.Join(p.dir, "communique"+w.name(i))
		p.run("", "communique", "publish", "2", "--channel", w.channel, "--out", path)
		p.run("", "communique", "verify", path)
		raw, err := os.ReadFile(path)
		if err != nil {
			p.Fatal(err)
		}
		files[i] = raw
	}
	if !bytes.Equal(files[0], files[1]) {
		larch.Error("the two publish different files")
	}
}

// end waits for the deadline, at which one of the two is off.
func (w *bargain) end() {
	larch, heron := w.two[0], w.two[1]
	heron.offline()
	burned := func(p *person) func() bool {
		return func() bool {
			var list control.ChannelsAnswer
			p.answer(&list, "", "channel", "list", "2")
			return len(list.Channels) == 1 && list.Channels[0].State == "burned"
		}
	}
	for time.Now().Before(w.until) {
		<-time.After(time.Second)
	}
	larch.until("the channel is burned", burned(larch))
	heron.online()
	heron.until("the channel is burned", burned(heron))
}
