package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/control"
)

// TestWalk goes the way of docs/deploy/relay.md and README.md with the real programs:
// three operators, each at a machine of its own, found a network and run a relay each, and
// two people behind gates that let nobody in meet in it and talk. Then nothing that a
// relay has written may hold an address of theirs.
func TestWalk(t *testing.T) {
	if os.Getenv("WALK_TEST") == "" {
		t.Skip("it builds both programs and takes minutes; .ci/run plays it: WALK_TEST=1 go test ./cmd/backchannel-relay -run TestWalk -v")
	}
	w := newInternet(t)
	begun := time.Now()
	w.install()
	t.Logf("both programs: built in %.1f s", time.Since(begun).Seconds())
	operators := []machine{w.public("alpha", "192.0.2"), w.public("beta", "198.51.100"), w.public("gamma", "203.0.113")}
	larch, alder := w.behind("larch", "198.18.1", "10.81.1"), w.behind("alder", "198.18.2", "10.81.2")
	if out, err := (machine{w, "router"}).command("ip", "route", "get", "10.81.1.2").CombinedOutput(); err == nil {
		t.Fatalf("a way leads behind the gate: %s", out)
	}

	begun = time.Now()
	w.found(operators)
	t.Logf("operators: from nothing to three relays that run, checked one from another: %.1f s", time.Since(begun).Seconds())
	for _, o := range operators {
		o.until("the relay is in use", func() bool { return o.relay().State == stateInUse && o.relay().Members == len(operators) })
	}

	begun = time.Now()
	people := []principal{{larch, "Alder desk"}, {alder, "Larch"}}
	w.meet(people)
	t.Logf("people: from nothing to having met: %.1f s", time.Since(begun).Seconds())
	begun = time.Now()
	for _, p := range people {
		p.types(p.text(), "backchannel", "send", "1")
	}
	for i, p := range people {
		p.delivered(people[1-i], p.text())
	}
	t.Logf("people: a text each, delivered: %.1f s", time.Since(begun).Seconds())

	addresses := []string{"10.81.1.2", "10.81.2.2", "198.18.1.10", "198.18.2.10"}
	w.wantSeen(operators, addresses)
	for _, o := range operators {
		o.keepFigures()
	}
	w.wantNoAddress(operators, addresses)
}

// install builds both programs, and puts them into the PATH of every machine.
func (w *internet) install() {
	w.Helper()
	bin := filepath.Join(w.dir, "bin")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", bin+"/", "./cmd/backchannel", "./cmd/backchannel-relay")
	cmd.Dir = "../.."
	if said, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%v: %s", err, said)
	}
	w.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

// found lets the operators, who are the founders, too, go the way of relay.md.
func (w *internet) found(operators []machine) {
	w.Helper()
	args := []string{"backchannel-relay", "network", "new", "network.pem", "--name", "talks.example", "--threshold", "2", "--slot", "1s", "--delay", "100ms", "--pool", "1", "--epoch", soon().String()}
	for _, o := range operators {
		args = append(args, "--founder", o.who+"="+strings.TrimSpace(o.types("", "backchannel-relay", "--quiet", "network", "key", "founder.key")))
	}
	first := operators[0]
	first.types("", args...)
	for _, o := range operators {
		said := o.types("", "backchannel-relay", "init", "--address", o.address()+":4129", "--operator", o.who)
		_, line, _ := strings.Cut(said, "\n  backchannel-relay network add ")
		line, _, _ = strings.Cut(line, "\n")
		first.types("", append([]string{"backchannel-relay", "network", "add"}, strings.Fields(line)...)...)
	}
	file := first
	for _, o := range operators {
		o.takes(file, "network.pem")
		o.types("", "backchannel-relay", "network", "sign", "network.pem", "--key", "founder.key")
		file = o
	}
	for _, o := range operators {
		o.takes(file, "network.pem")
		o.types("", "cp", "network.pem", ".local/share/backchannel-relay/")
		o.shell(`echo 'metrics = "127.0.0.1:9129"' >>.local/share/backchannel-relay/relay.toml`)
		o.types("", "backchannel-relay", "network", "verify", "network.pem")
		o.keeps("backchannel-relay", "run")
	}
	for _, o := range operators {
		o.until("it reaches itself and the others", func() bool { return o.command("backchannel-relay", "check").Run() == nil })
		o.until("it is well", func() bool { return o.command("backchannel-relay", "health").Run() == nil })
		for _, other := range operators {
			o.types("", "backchannel-relay", "check", "network.pem", "--operator", other.who)
		}
	}
}

// address is the one that the router leads to.
func (m machine) address() string {
	m.Helper()
	for _, f := range strings.Fields(m.shell("ip -4 -o addr show outside")) {
		if p, err := netip.ParsePrefix(f); err == nil {
			return p.Addr().String()
		}
	}
	m.Fatalf("%s has no address", m.who)
	return ""
}

// takes copies a file that another one hands over.
func (m machine) takes(from machine, name string) {
	m.Helper()
	if from == m {
		return
	}
	raw, err := os.ReadFile(filepath.Join(from.home(), name))
	if err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.home(), name), raw, 0o600); err != nil {
		m.Fatal(err)
	}
}

// relay is how the relay of this machine stands.
func (m machine) relay() (s statusAnswer) {
	if out, err := m.command("backchannel-relay", "--json", "status").Output(); err == nil {
		_ = json.Unmarshal(out, &s)
	}
	return s
}

// principal is somebody at a machine, who has one contact.
type principal struct {
	machine
	contact string
}

// ask asks the node what a screen would show, by a process less for each time.
func (p principal) ask(into any, call string, request any) bool {
	client := control.NewClient(p.home() + "/.local/share/backchannel/run/node.sock")
	return client.Call(p.Context(), call, request, into) == nil
}

// meet lets two people set up, join the network and meet at a relay.
func (w *internet) meet(people []principal) {
	w.Helper()
	for _, p := range people {
		p.takes(machine{w, "alpha"}, "network.pem")
		p.types("six words of "+p.who+"\n", "backchannel", "setup")
		p.types("", "backchannel", "network", "join", "network.pem")
		p.keeps("backchannel", "node", "run")
		p.until("the node answers", func() bool { return p.ask(&control.StatusAnswer{}, "status", control.Empty{}) })
		p.types("six words of "+p.who+"\n", "backchannel", "online")
	}
	for _, p := range people {
		p.until("the relay network is in use", func() bool {
			var s control.StatusAnswer
			return p.ask(&s, "status", control.Empty{}) && s.RelayNetwork != nil && s.RelayNetwork.State == "running"
		})
	}
	invitation := strings.TrimSpace(people[0].types(people[0].contact+"\n", "backchannel", "--quiet", "invite", "new"))
	people[1].types(invitation+"\n"+people[1].contact+"\n", "backchannel", "invite", "accept")
	for _, p := range people {
		p.until("they have met", func() bool {
			var c control.ContactAnswer
			return p.ask(&c, "contact/show", control.NameRequest{Name: "1"}) && c.Contact.Stage == "met" && c.Contact.WordsReady
		})
		var r control.RouteAnswer
		if !p.ask(&r, "route/show", control.NameRequest{Name: "1"}) || r.Direct || r.Route != "relayed" || !r.Agreed {
			w.Errorf("%s after the meeting: %+v", p.who, r)
		}
	}
}

// text is what somebody has to say.
func (p principal) text() string { return fmt.Sprintf("A text of %s.", p.who) }

// delivered waits until a text is delivered, and wants it to be there then.
func (p principal) delivered(to principal, text string) {
	p.Helper()
	p.until("the text is delivered", func() bool { return p.has(text, "out", "delivered") })
	if !to.has(text, "in", "") {
		p.Errorf("%s does not have what is delivered", to.who)
	}
}

func (p principal) has(text, direction string, state control.Word) bool {
	var r control.ReadAnswer
	return p.ask(&r, "read", control.ReadRequest{Name: "1"}) && slices.ContainsFunc(r.Messages, func(m control.Message) bool {
		return m.Text == text && m.Direction == control.Word(direction) && (state == "" || m.State == state)
	})
}

// wantSeen wants the kernels of the relays' machines to have connections from both gates,
// and from nothing behind them: it was there to be written down.
func (w *internet) wantSeen(operators []machine, addresses []string) {
	w.Helper()
	var tables strings.Builder
	for _, o := range operators {
		tables.WriteString(o.shell("cat /proc/net/tcp /proc/net/tcp6"))
	}
	for _, text := range addresses {
		a := netip.MustParseAddr(text).As4()
		slices.Reverse(a[:])
		seen := strings.Contains(tables.String(), fmt.Sprintf("%X:", a[:]))
		if gate := strings.HasPrefix(text, "198."); seen != gate {
			w.Errorf("%s is in the operators' tables of connections: %v", text, seen)
		}
	}
}

// keepFigures writes down what the relay says of itself, beside its files.
func (m machine) keepFigures() {
	m.Helper()
	page := m.page("127.0.0.1:9129", "/metrics")
	if !strings.Contains(page, "\nbackchannel_relay_in_use 1\n") {
		m.Errorf("%s: metrics: %s", m.who, page)
	}
	said := page + m.types("", "backchannel-relay", "status") + m.types("", "backchannel-relay", "--json", "status")
	if err := os.WriteFile(filepath.Join(m.home(), "figures"), []byte(said), 0o600); err != nil {
		m.Fatal(err)
	}
}

// wantNoAddress looks for addresses, as text and as bytes, in every file of the relays'
// machines: keys, boxes, what was printed, figures. First it shows that it would find one.
func (w *internet) wantNoAddress(operators []machine, addresses []string) {
	w.Helper()
	planted := filepath.Join(operators[0].home(), "planted")
	for _, text := range addresses {
		for _, trace := range traces(text) {
			if err := os.WriteFile(planted, slices.Concat([]byte("a file "), trace, []byte(" with more")), 0o600); err != nil {
				w.Fatal(err)
			}
			if _, found := w.look(operators[0], addresses); !slices.Equal(found, []string{"planted holds " + text}) {
				w.Errorf("%x was planted, and found: %q", trace, found)
			}
		}
	}
	if err := os.Remove(planted); err != nil {
		w.Fatal(err)
	}
	for _, o := range operators {
		looked, found := w.look(o, addresses)
		if len(found) > 0 || looked < 8 {
			w.Errorf("%s: %d files: %q", o.who, looked, found)
		}
		w.Logf("%s: no address of a principal in %d files", o.who, looked)
	}
}

// traces are the forms in which an address is written down: text, a multiaddress, an IPv4
// address as one of IPv6, hexadecimal digits. Four bare bytes would be in any large file.
func traces(text string) [][]byte {
	a := netip.MustParseAddr(text).As4()
	return [][]byte{
		[]byte(text), slices.Concat([]byte{4}, a[:], []byte{6}), slices.Concat([]byte{0xff, 0xff}, a[:]),
		[]byte(hex.EncodeToString(a[:])), []byte(strings.ToUpper(hex.EncodeToString(a[:]))),
	}
}

func (w *internet) look(m machine, addresses []string) (looked int, found []string) {
	w.Helper()
	err := filepath.WalkDir(m.home(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		looked++
		for _, text := range addresses {
			if slices.ContainsFunc(traces(text), func(trace []byte) bool { return bytes.Contains(raw, trace) }) {
				found = append(found, filepath.Base(path)+" holds "+text)
			}
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return looked, found
}
