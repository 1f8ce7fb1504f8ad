//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/control"
)

// relayCount is how many relays a village has; their operators are three.
const relayCount = 5

// A village is a network of real relays, each a process, and two people with a node each.
type village struct {
	*testing.T
	dir    string
	relay  string // the program
	relays [relayCount]*exec.Cmd
}

// person is one of the two, by the folder of the home.
type person struct {
	*village
	home string
	node *exec.Cmd
}

func newVillage(t *testing.T, slot time.Duration) *village {
	t.Helper()
	v := &village{T: t, dir: t.TempDir()}
	v.relay = filepath.Join(v.dir, "backchannel-relay")
	if out, err := exec.Command("go", "build", "-o", v.relay, "../backchannel-relay").CombinedOutput(); err != nil {
		t.Fatalf("building the relay: %v %s", err, out)
	}
	epoch := epochThatEndsSoon()
	v.asRelay("network", "key", "founder.key")
	key := strings.TrimSpace(v.asRelay("--quiet", "network", "key", "other.key"))
	v.asRelay("network", "new", "network.pem", "--name", "talks.example", "--suite", "1", "--slot", slot.String(), "--delay", "50ms", "--pool", "1",
		"--per-block", "16", "--epoch", epoch.String(), "--founder", "alpha="+key)
	for i := range relayCount {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		var ans struct{ Relay, Address string }
		operator := []string{"one", "two", "three"}[i%3]
		v.read(&ans, "--home", relayHome(i), "init", "--address", "127.0.0.1:"+port, "--bind", "127.0.0.1", "--operator", operator)
		v.asRelay("network", "add", "network.pem", "--relay", ans.Relay, "--operator", operator, "--address", ans.Address)
	}
	v.asRelay("network", "sign", "network.pem", "--key", "other.key")
	text, err := os.ReadFile(filepath.Join(v.dir, "network.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range relayCount {
		if err := os.WriteFile(filepath.Join(v.dir, relayHome(i), "network.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		v.start(i)
	}
	t.Cleanup(v.end)
	return v
}

func relayHome(i int) string { return fmt.Sprintf("relay-%d", i) }

// epochThatEndsSoon returns the length of an epoch, ten to thirty seconds, one of which
// ends in eight seconds or little more.
func epochThatEndsSoon() time.Duration {
	now, best, least := time.Now().Unix(), int64(10), int64(1<<30)
	for s := int64(10); s <= 30; s++ {
		if left := s - now%s; left >= 8 && left < least {
			best, least = s, left
		}
	}
	return time.Duration(best) * time.Second
}

func (v *village) start(i int) {
	v.Helper()
	cmd := exec.Command(v.relay, "--home", relayHome(i), "run")
	cmd.Dir = v.dir
	if err := cmd.Start(); err != nil {
		v.Fatal(err)
	}
	v.relays[i] = cmd
}

func (v *village) end() {
	for _, cmd := range v.relays {
		if cmd != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
}

func (v *village) asRelay(args ...string) string {
	v.Helper()
	cmd := exec.Command(v.relay, args...)
	cmd.Dir = v.dir
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		v.Fatalf("%v: %v %s", args, err, errOut.String())
	}
	return string(out)
}

func (v *village) read(into any, args ...string) {
	v.Helper()
	if err := json.Unmarshal([]byte(v.asRelay(append([]string{"--json"}, args...)...)), into); err != nil {
		v.Fatal(err)
	}
}

func (v *village) until(what string, holds func() bool) {
	v.Helper()
	for end := time.Now().Add(4 * patience); !holds(); <-time.After(100 * time.Millisecond) {
		if time.Now().After(end) {
			v.Fatalf("not in time: %s", what)
		}
	}
}

// person makes a home with a vault that is in the network.
func (v *village) person(home string) *person {
	v.Helper()
	p := &person{village: v, home: filepath.Join(v.dir, home)}
	p.run("pass "+home+"\n", "setup")
	p.run("", "network", "join", filepath.Join(v.dir, "network.pem"))
	return p
}

// call runs the program for this person.
func (p *person) call(stdin string, args ...string) (string, error) {
	cmd := exec.Command("backchannel", append([]string{"--home", p.home}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		return errOut.String(), err
	}
	return string(out), nil
}

func (p *person) run(stdin string, args ...string) string {
	p.Helper()
	out, err := p.call(stdin, args...)
	if err != nil {
		p.Fatalf("%v: %v %s", args, err, out)
	}
	return out
}

// ask reads an answer; one that cannot be had leaves it as it is.
func (p *person) ask(into any, args ...string) bool {
	out, err := p.call("", append([]string{"--json"}, args...)...)
	return err == nil && json.Unmarshal([]byte(out), into) == nil
}

// runs starts the node, which stays locked.
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
	p.until("the node answers", func() bool { _, err := p.call("", "status"); return err == nil })
}

// joins starts the node, goes online and waits until the relay network is in use.
func (p *person) joins() {
	p.Helper()
	p.runs()
	p.online()
	p.until("the relay network is in use", func() bool {
		var s control.StatusAnswer
		return p.ask(&s, "status") && s.RelayNetwork != nil && s.RelayNetwork.State == "running"
	})
}

func (p *person) online()  { p.Helper(); p.run("pass "+filepath.Base(p.home)+"\n", "online") }
func (p *person) offline() { p.Helper(); p.run("", "lock") }

func (p *person) route() (r control.RouteAnswer) {
	p.ask(&r, "route", "show", "1")
	return r
}

func (p *person) messages() (r control.ReadAnswer) {
	p.ask(&r, "read", "1")
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

// wantVillage skips what starts five relays and waits for hundreds of slots, unless
// it is asked for: RELAYS_TEST=1 go test ./cmd/backchannel -run 'NeverOnline|MeetAtDrop' -timeout 30m.
func wantVillage(t *testing.T) {
	t.Helper()
	if os.Getenv("RELAYS_TEST") == "" {
		t.Skip("it takes minutes, and misses slots on a busy machine: set RELAYS_TEST=1")
	}
	t.Parallel()
}

// TestNeverOnlineTogether lets two people talk over five relays, of whom one is always
// offline: two real nodes, five real relays.
func TestNeverOnlineTogether(t *testing.T) {
	wantVillage(t)
	v := newVillage(t, time.Second)
	larch, alder := v.person("larch"), v.person("alder")
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	larch.run("", "node", "listen", "on", "--bind", "127.0.0.1", "--address", "127.0.0.1:"+port)
	for _, p := range []*person{larch, alder} {
		p.joins()
	}
	alder.run(larch.run("Alder desk\n", "invite", "new", "--direct")+"Larch\n", "invite", "accept")
	for _, p := range []*person{larch, alder} {
		v.until("drops are agreed", func() bool { r := p.route(); return r.Agreed && len(r.Relays) == 4 })
	}
	t.Log(larch.run("", "route", "show", "1"))

	alder.offline()
	larch.run("", "route", "set", "1", "relayed")
	larch.run("Two is fine.", "send", "1")
	v.until("it is in their mailbox", func() bool { return larch.state("Two is fine.") == "in their mailbox" })
	larch.offline()

	alder.online()
	v.until("the text came", func() bool { return alder.state("Two is fine.") == "here" })
	alder.run("Seven, then.", "send", "1")
	v.until("the answer is in their mailbox", func() bool { return alder.state("Seven, then.") == "in their mailbox" })
	alder.offline()

	larch.online()
	v.until("the answer came", func() bool { return larch.state("Seven, then.") == "here" })
	v.until("the first text is confirmed", func() bool { return larch.state("Two is fine.") == "delivered" })

	alder.online() // and now together, and directly
	larch.run("Relayed still.", "send", "1")
	larch.run("", "route", "set", "1", "both")
	v.until("they are connected", func() bool { return larch.route().Direct })
	larch.run("Direct now.", "send", "1")
	for _, text := range []string{"Relayed still.", "Direct now."} {
		v.until("it is delivered", func() bool { return larch.state(text) == "delivered" })
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

// TestMeetAtDrop lets two people meet of whom neither can be reached: the invitation
// names a relay, and all that follows goes over boxes.
func TestMeetAtDrop(t *testing.T) {
	wantVillage(t)
	v := newVillage(t, time.Second)
	larch, alder := v.person("larch"), v.person("alder")
	for _, p := range []*person{larch, alder} {
		p.joins()
	}
	out := strings.TrimSpace(larch.run("Alder desk\n", "invite", "new"))
	alder.run(out+"\nLarch\n", "invite", "accept")
	for _, p := range []*person{larch, alder} {
		v.until("the two have met", func() bool {
			var c control.ContactAnswer
			return p.ask(&c, "contact", "show", "1") && c.Contact.Stage == "met" && c.Contact.WordsReady
		})
		if r := p.route(); r.Route != "relayed" || r.Direct || !r.Agreed {
			t.Errorf("after the meeting: %+v", r)
		}
	}
	alder.run("We meet at last.", "send", "1")
	v.until("it is delivered", func() bool { return alder.state("We meet at last.") == "delivered" })
	if larch.state("We meet at last.") != "here" {
		t.Error("what is delivered is not there")
	}
}
