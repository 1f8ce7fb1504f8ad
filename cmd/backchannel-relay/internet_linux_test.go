package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An internet is a router and machines around it, each a network namespace of its own.
// Operators' machines have addresses that it leads to. Those of people stand behind a gate
// that rewrites where their connections come from, and lets none in: the router does not
// know that there is anything behind it.
type internet struct {
	*testing.T
	dir  string // of all homes
	name string // what the names of the namespaces begin with
	nat  func(machine) string
}

// A machine is a namespace, and the home of who sits at it.
type machine struct {
	*internet
	who string
}

// newInternet makes the router. It skips the test where namespaces or the rewriting of
// addresses are not to be had.
func newInternet(t *testing.T) *internet {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip here: apt-get install iproute2")
	}
	w := &internet{T: t, dir: t.TempDir(), name: fmt.Sprintf("walk-%d-", os.Getpid())}
	switch {
	case found("nft"):
		w.nat = byNft
	case found("iptables"):
		w.nat = byIptables
	default:
		t.Skip("nothing here rewrites addresses: apt-get install nftables")
	}
	if said, err := exec.Command("ip", "netns", "add", w.name+"probe").CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, said)
	}
	_ = exec.Command("ip", "netns", "del", w.name+"probe").Run()
	w.machine("router").shell("sysctl -qw net.ipv4.ip_forward=1")
	return w
}

func found(tool string) bool {
	_, err := exec.LookPath(tool)
	return err == nil
}

// byNft returns what a gate is set up with: the router sees one address of it, and what
// nobody inside has asked for does not come in.
func byNft(machine) string {
	return `nft -f - <<'END'
table ip gate {
	chain out { type nat hook postrouting priority 100; oifname "outside" masquerade; }
	chain through { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "inside" accept; }
}
END`
}

func byIptables(machine) string {
	return `iptables -t nat -A POSTROUTING -o outside -j MASQUERADE
iptables -P FORWARD DROP
iptables -A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT
iptables -A FORWARD -i inside -j ACCEPT`
}

// machine makes a namespace and an empty home.
func (w *internet) machine(who string) machine {
	w.Helper()
	m := machine{w, who}
	if said, err := exec.Command("ip", "netns", "add", m.space()).CombinedOutput(); err != nil {
		w.Fatalf("%v %s", err, said)
	}
	w.Cleanup(func() { _ = exec.Command("ip", "netns", "del", m.space()).Run() })
	if err := os.Mkdir(m.home(), 0o700); err != nil {
		w.Fatal(err)
	}
	m.shell("ip link set lo up")
	return m
}

// public makes a machine at address 10 of a network of the router, "192.0.2" for instance.
func (w *internet) public(who, network string) machine {
	w.Helper()
	m := w.machine(who)
	w.cable(machine{w, "router"}, m, who, "outside", network, "10")
	m.shell("ip route add default via " + network + ".1")
	return m
}

// behind makes a machine behind a gate, which the router sees at address 10 of the first
// network; the other is that inside.
func (w *internet) behind(who, network, inside string) machine {
	w.Helper()
	gate := w.public("gate-"+who, network)
	m := w.machine(who)
	w.cable(gate, m, "inside", "outside", inside, "2")
	m.shell("ip route add default via " + inside + ".1")
	gate.shell("sysctl -qw net.ipv4.ip_forward=1\n" + w.nat(gate))
	return m
}

// cable connects two machines; near has address 1.
func (w *internet) cable(near, far machine, nearEnd, farEnd, network, address string) {
	w.Helper()
	near.shell(fmt.Sprintf(`ip link add %[1]s type veth peer name %[2]s netns %[3]s
ip addr add %[4]s.1/24 dev %[1]s
ip link set %[1]s up`, nearEnd, farEnd, far.space(), network))
	far.shell(fmt.Sprintf("ip addr add %s.%s/24 dev %s\nip link set %[3]s up", network, address, farEnd))
}

func (m machine) space() string { return m.name + m.who }
func (m machine) home() string  { return filepath.Join(m.dir, m.who) }

// command makes a program that runs at this machine, in its home.
func (m machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", m.space()}, args...)...)
	cmd.Dir = m.home()
	cmd.Env = append(os.Environ(), "HOME="+m.home(), homeVariable+"=", "BACKCHANNEL_HOME=", "XDG_DATA_HOME=", "GOLOG_LOG_LEVEL=debug")
	return cmd
}

// shell runs commands, which must succeed, and returns what they print.
func (m machine) shell(commands string) string {
	m.Helper()
	return m.types("", "sh", "-ec", commands)
}

// types runs a program to which somebody types what it asks for.
func (m machine) types(input string, args ...string) string {
	m.Helper()
	cmd := m.command(args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		m.Fatalf("%s: %v: %v\n%s%s", m.who, args, err, out.String(), errOut.String())
	}
	return out.String()
}

// keeps runs a program until the test ends; what it prints is in a file of the home.
func (m machine) keeps(args ...string) {
	m.Helper()
	cmd := m.command(args...)
	out, err := os.Create(filepath.Join(m.home(), "printed"))
	if err != nil {
		m.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	_ = out.Close()
	m.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// page reads a page from a server on this machine's loopback.
func (m machine) page(address, path string) string {
	m.Helper()
	inside := make(chan net.Conn, 1)
	go func() {
		defer close(inside)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		space, err := os.Open("/run/netns/" + m.space())
		if err != nil {
			return
		}
		defer space.Close()
		if unix.Setns(int(space.Fd()), unix.CLONE_NEWNET) != nil {
			return
		}
		if c, err := net.DialTimeout("tcp", address, patience); err == nil {
			inside <- c
		}
	}()
	c, ok := <-inside
	if !ok {
		m.Fatalf("%s: %s is not reached", m.who, address)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.0\r\nHost: here\r\n\r\n"); err != nil {
		m.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		m.Fatal(err)
	}
	return string(answer)
}

// until waits for something, and says in the log when it came.
func (m machine) until(what string, holds func() bool) {
	m.Helper()
	begun := time.Now()
	for end := begun.Add(8 * patience); !holds(); <-time.After(100 * time.Millisecond) {
		if time.Now().After(end) {
			m.Fatalf("not in time: %s: %s", m.who, what)
		}
	}
	m.Logf("%s: %s, after %.1f s", m.who, what, time.Since(begun).Seconds())
}
