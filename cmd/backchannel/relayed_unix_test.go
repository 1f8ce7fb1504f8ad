//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/control"
)

// A village is a network of relays, each a process, and the people who use it, with a
// node each. The relays are those of the demo: the program itself.
type village struct {
	demo
	network string // its file
	begun   time.Time
}

// person is one of them, by the folder of the home.
type person struct {
	*village
	*testing.T
	home   string
	node   *exec.Cmd
	client *control.Client
}

// newVillage founds a network and starts its relays. They come into use at the end of an
// epoch.
func newVillage(t *testing.T) *village {
	t.Helper()
	v := &village{demo: demo{ctx: context.Background(), dir: t.TempDir()}, begun: time.Now()}
	relays, file, err := v.found()
	if err != nil {
		t.Fatal(err)
	}
	v.network = file
	t.Cleanup(func() {
		for _, r := range relays {
			r.kill()
		}
	})
	for _, r := range relays {
		if err := r.start(v.ctx, "backchannel"); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// until waits for something, and says in the log when it came.
func (p *person) until(what string, holds func() bool) {
	p.Helper()
	for end := time.Now().Add(4 * patience); !holds(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			p.Fatalf("not in time: %s: %s", filepath.Base(p.home), what)
		}
	}
	p.Logf("%.1f s: %s: %s", time.Since(p.begun).Seconds(), filepath.Base(p.home), what)
}

// person makes a home with a vault that is in the network, and starts its node.
func (v *village) person(t *testing.T, home string) *person {
	t.Helper()
	p := v.known(t, home)
	p.run("pass "+home+"\n", "setup")
	p.run("", "network", "join", v.network)
	return p
}

// run runs the program for this person.
func (p *person) run(stdin string, args ...string) string {
	p.Helper()
	cmd := exec.Command("backchannel", append([]string{"--home", p.home}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		p.Fatalf("%v: %v %s", args, err, errOut.String())
	}
	return string(out)
}

// ask asks the node what a screen would show; it is asked often, and a process for each
// time would take more than all the rest. An answer that cannot be had leaves into as it
// is.
func (p *person) ask(into any, call string, request any) bool {
	ctx, cancel := context.WithTimeout(p.Context(), 10*time.Second)
	defer cancel()
	return p.client.Call(ctx, call, request, into) == nil
}

// runs starts the node and goes online.
func (p *person) runs() {
	p.Helper()
	p.node = exec.Command("backchannel", "--home", p.home, "node", "run")
	if err := p.node.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		_ = p.node.Process.Kill()
		_ = p.node.Wait()
	})
	p.until("the node answers", func() bool { return p.ask(&control.StatusAnswer{}, "status", control.Empty{}) })
	p.online()
}

// joined waits until the relay network is in use.
func (p *person) joined() {
	p.Helper()
	p.until("the relay network is in use", func() bool {
		var s control.StatusAnswer
		return p.ask(&s, "status", control.Empty{}) && s.RelayNetwork != nil && s.RelayNetwork.State == "running"
	})
}

func (p *person) online()  { p.Helper(); p.run("pass "+filepath.Base(p.home)+"\n", "online") }
func (p *person) offline() { p.Helper(); p.run("", "lock") }

func (p *person) route() (r control.RouteAnswer) {
	p.ask(&r, "route/show", control.NameRequest{Name: "1"})
	return r
}

func (p *person) messages() (r control.ReadAnswer) {
	p.ask(&r, "read", control.ReadRequest{Name: "1"})
	return r
}

// state is that of a message that this person sent or has.
func (p *person) state(text string) (s control.Word) {
	for _, m := range p.messages().Messages {
		if m.Text == text {
			if s = m.State; m.Direction == "in" {
				s = "here"
			}
		}
	}
	return s
}

// TestRelays lets people talk over five relays, each a process of its own, as people and
// operators run them. It has slots of a second, in which nine processes have packets to
// send: what wants the processors would be starved, and starve it. So .ci/run has a stage for
// it and for the walk of cmd/backchannel-relay, which waits as it does.
func TestRelays(t *testing.T) {
	if os.Getenv("RELAYS_TEST") == "" {
		t.Skip("nothing may run beside it: RELAYS_TEST=1 go test ./cmd/backchannel -run TestRelays")
	}
	v := newVillage(t)
	t.Run("NeverOnlineTogether", func(t *testing.T) { t.Parallel(); v.neverOnlineTogether(t) })
	t.Run("MeetAtDrop", func(t *testing.T) { t.Parallel(); v.meetAtDrop(t) })
}

// neverOnlineTogether lets two people talk of whom one is always offline.
func (v *village) neverOnlineTogether(t *testing.T) {
	larch, alder := v.person(t, "larch"), v.person(t, "alder")
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	larch.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	for _, p := range []*person{larch, alder} {
		p.runs()
	}
	alder.run(larch.run("Alder desk\n", "invite", "new", "--direct")+"Larch\n", "invite", "accept")
	for _, p := range []*person{larch, alder} {
		p.joined()
		p.until("drops are agreed", func() bool { r := p.route(); return r.Agreed && len(r.Relays) == 4 })
	}
	t.Log(larch.run("", "route", "show", "1"))

	alder.offline()
	larch.run("", "route", "set", "1", "relayed")
	larch.run("Two is fine.", "send", "1")
	larch.until("it is in their mailbox", func() bool { return larch.state("Two is fine.") == "in their mailbox" })
	larch.offline()

	alder.online()
	alder.until("the text came", func() bool { return alder.state("Two is fine.") == "here" })
	alder.run("Seven, then.", "send", "1")
	alder.until("the answer is in their mailbox", func() bool { return alder.state("Seven, then.") == "in their mailbox" })
	alder.offline()

	larch.online()
	larch.until("the answer came", func() bool { return larch.state("Seven, then.") == "here" })
	larch.until("the first text is confirmed", func() bool { return larch.state("Two is fine.") == "delivered" })

	alder.online() // and now together, and directly
	larch.run("Relayed still.", "send", "1")
	larch.run("", "route", "set", "1", "both")
	larch.until("they are connected", func() bool { return larch.route().Direct })
	larch.run("Direct now.", "send", "1")
	for _, text := range []string{"Relayed still.", "Direct now."} {
		larch.until(text+" is delivered", func() bool { return larch.state(text) == "delivered" })
	}
	var got []string
	for _, m := range alder.messages().Messages {
		if m.Direction == "in" {
			got = append(got, m.Text)
		}
	}
	if want := "Two is fine.|Relayed still.|Direct now."; strings.Join(got, "|") != want {
		t.Errorf("the texts came as %q", got)
	}
}

// meetAtDrop lets two people meet of whom neither can be reached: the invitation names a
// relay, and all that follows goes over boxes.
func (v *village) meetAtDrop(t *testing.T) {
	quince, rowan := v.person(t, "quince"), v.person(t, "rowan")
	for _, p := range []*person{quince, rowan} {
		p.runs()
	}
	for _, p := range []*person{quince, rowan} {
		p.joined()
	}
	out := strings.TrimSpace(quince.run("Rowan desk\n", "invite", "new"))
	rowan.run(out+"\nQuince\n", "invite", "accept")
	for _, p := range []*person{quince, rowan} {
		p.until("the two have met", func() bool {
			var c control.ContactAnswer
			return p.ask(&c, "contact/show", control.NameRequest{Name: "1"}) && c.Contact.Stage == "met" && c.Contact.WordsReady
		})
		if r := p.route(); r.Route != "relayed" || r.Direct || !r.Agreed {
			t.Errorf("after the meeting: %+v", r)
		}
	}
	if shown := rowan.run("", "contact", "show", "1"); !strings.Contains(shown, "reached over relays: neither machine has to be dialled") {
		t.Error(shown)
	}
	if after := rowan.run("We meet at last.", "send", "1"); !strings.Contains(after, "Over relays: there in about ") {
		t.Errorf("when it will be there is not said: %s", after)
	}
	rowan.until("it is delivered", func() bool { return rowan.state("We meet at last.") == "delivered" })
	if quince.state("We meet at last.") != "here" {
		t.Error("what is delivered is not there")
	}
	rowan.sendsOverRelays(quince)
}

// sendsOverRelays has a file go to somebody who is reached over relays alone.
func (p *person) sendsOverRelays(to *person) {
	content := bytes.Repeat([]byte("We would drop the inspection.\n"), 500)
	path, folder := filepath.Join(p.dir, "draft.txt"), filepath.Join(p.dir, "in")
	if err := errors.Join(os.WriteFile(path, content, 0o600), os.Mkdir(folder, 0o700)); err != nil {
		p.Fatal(err)
	}
	p.run(path+"\n", "file", "send", "1")
	file := func(of *person) (f control.File) {
		var list control.FilesAnswer
		if of.ask(&list, "file/list", control.NameRequest{Name: "1"}) && len(list.Files) == 1 {
			f = list.Files[0]
		}
		return f
	}
	if f := file(p); f.Expected < 8 || f.Expected > 60 { // four pieces, one each two seconds
		p.Errorf("before it goes: %+v", f)
	}
	to.until("the file is offered", func() bool { return file(to).State == waitsForYou })
	p.Log(p.run("", "file", "list", "1"))
	to.run(folder+"\n", "file", "save", "1", strconv.FormatUint(file(to).Seq, 10), "--timeout", "1s")
	to.until("the file is here", func() bool { return file(to).State == "here" })
	p.until("it is delivered", func() bool { return file(p).State == "delivered" })
	if got, err := os.ReadFile(filepath.Join(folder, "draft.txt")); !bytes.Equal(got, content) {
		p.Errorf("%d bytes came, %v", len(got), err)
	}
}

// TestReunion: of two people who only meet at drops, one loses the machine and restores a
// backup. A new session is made over relays; both people say to go on, and they talk. It
// takes minutes: RELAYS_TEST=1 go test ./cmd/backchannel -run TestReunion.
func TestReunion(t *testing.T) {
	if os.Getenv("RELAYS_TEST") == "" {
		t.Skip("nothing may run beside it: RELAYS_TEST=1 go test ./cmd/backchannel -run TestReunion")
	}
	v := newVillage(t)
	v.meetAtDrop(t)
	quince, rowan := v.known(t, "quince"), v.known(t, "rowan")
	garden := filepath.Join(v.dir, "garden.bin")
	quince.run("ten words\n", "backup", "make", garden)
	quince.offline()
	rowan.run("To one who is away.", "send", "1")
	heather := v.known(t, "heather")
	heather.run("ten words\nGONE\npass heather\n", "backup", "restore", garden)
	heather.run("", "network", "join", v.network)
	heather.runs()
	for _, p := range []*person{heather, rowan} {
		p.until("the session was made anew", func() bool { return p.contact().Paused })
		if c := p.contact(); c.Verified != "recovered, not compared" {
			t.Errorf("%+v", c)
		}
		p.run("", "contact", "resume", "1")
	}
	heather.until("the text of before came", func() bool { return heather.state("To one who is away.") == "here" })
	heather.run("Here I am again.", "send", "1")
	heather.until("it is delivered", func() bool { return heather.state("Here I am again.") == "delivered" })
	if r := heather.route(); r.Route != "relayed" || r.Direct || !r.Agreed {
		t.Errorf("after the reunion: %+v", r)
	}
}

// known is somebody who has a home.
func (v *village) known(t *testing.T, home string) *person {
	p := &person{village: v, T: t, home: filepath.Join(v.dir, home)}
	p.client = control.NewClient(filepath.Join(p.home, "run", "node.sock"))
	return p
}

func (p *person) contact() control.Contact {
	var c control.ContactAnswer
	p.ask(&c, "contact/show", control.NameRequest{Name: "1"})
	return c.Contact
}
