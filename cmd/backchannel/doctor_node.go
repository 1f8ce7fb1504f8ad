package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func (d *doctor) checkNode() {
	s := d.status
	if s == nil {
		d.note("node", "backchannel node run", "no node is running here")
		return
	}
	switch s.State {
	case "locked":
		d.ok("node", "the node runs (process %d), locked; nothing is received until it is unlocked", s.PID)
	case "resting":
		d.ok("node", "the node runs (process %d) and receives; its screens are locked", s.PID)
	default:
		d.ok("node", "the node runs (process %d), open; its screens lock at %s", s.PID, localTime(s.LocksAt))
	}
	if s.Version != version {
		d.warn("node", "backchannel node stop; then: backchannel node run", "the node that runs is of another version (%s) than this program", cleanLine(s.Version))
	}
	if s.Failed != "" {
		d.warn("node", "backchannel log show", "the node locked by itself: %s", cleanLine(s.Failed))
	}
	if s.DiskFull {
		d.warn("disk", "free some space", "the node found the disk full; nothing is received or sent")
	}
	if s.VaultFull {
		d.warn("vault", "backchannel burn", "the vault is full; what is new is neither received nor sent")
	}
}

// checkClock compares with what contacts' machines said of theirs. No server is
// asked.
func (d *doctor) checkClock() {
	if d.status == nil || d.status.State != "open" {
		d.note("clock", "backchannel online", "the clock could not be compared: only contacts' machines are asked, and the node is not online")
		return
	}
	met, off := 0, 0
	for _, c := range d.status.Contacts {
		if c.HeardFrom == "" {
			continue
		}
		met++
		if c.ClockOff != 0 {
			off++
		}
	}
	switch {
	case met == 0:
		d.note("clock", "", "the clock could not be compared: no contact's machine was heard yet")
	case off == 0:
		d.ok("clock", "the clock is within two minutes of what contacts' machines say")
	case off*2 > met:
		d.warn("clock", "set date, time and zone of this machine", "the clock differs from most contacts' machines by more than two minutes")
	default:
		d.note("clock", "backchannel status", "the clock differs from some contacts' machines by more than two minutes")
	}
}

func (d *doctor) checkListening() {
	s := d.settings
	if !d.readable {
		return
	}
	if s.Listen == "" {
		d.note("listening", "", "this machine does not listen; it reaches out itself")
		return
	}
	open := d.status != nil && d.status.Listening
	switch taken := portTaken(s.Listen); {
	case open && taken:
		d.ok("listening", "the port to listen on is open")
	case open:
		d.warn("listening", "backchannel lock; backchannel online", "the node should listen, but the port is not taken: settings have changed since it went online")
	case taken:
		d.warn("listening", "backchannel node listen --help", "another program has the port to listen on")
	default:
		d.note("listening", "backchannel online", "the port to listen on is free; it is opened when the node goes online")
	}
	d.checkAddress()
}

// portTaken reports whether somebody listens at an address of this machine, by
// trying to take it. Nothing is sent.
func portTaken(listen string) bool {
	l, err := net.Listen("tcp", listen)
	if err == nil {
		_ = l.Close()
	}
	return errors.Is(err, syscall.EADDRINUSE) || err != nil && runtime.GOOS == "windows"
}

// carrierGrade is shared among customers of one provider (RFC 6598).
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

func (d *doctor) checkAddress() {
	const check, hint = "address", "backchannel node listen on --address 203.0.113.7:4127"
	host, _, err := net.SplitHostPort(d.settings.Address)
	if err != nil {
		d.warn(check, hint, "the machine listens, but has no address to hand out")
		return
	}
	if strings.HasSuffix(host, ".onion") {
		if at, _, err := net.SplitHostPort(d.settings.Listen); err == nil && !loopback(at) {
			d.warn(check, "backchannel node listen on --bind 127.0.0.1", "an onion address is handed out, but the port is open on all the machine's addresses")
			return
		}
		d.ok(check, "an onion address is handed out, and only this machine reaches the port")
		return
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		d.note(check, "", "a host name is handed out; it was not looked up, which would be network traffic")
	case ip.IsLoopback():
		d.warn(check, hint, "the address that is handed out is of this machine alone: nobody else can reach it")
	case ip.IsPrivate(), ip.IsLinkLocalUnicast():
		d.warn(check, hint, "the address that is handed out is private: only the same local network reaches it")
	case carrierGrade.Contains(ip):
		d.warn(check, hint, "the address that is handed out is shared by a provider's customers: nobody can reach it")
	case ownAddress(ip):
		d.ok(check, "the address that is handed out is one of this machine")
	default:
		d.note(check, "", "the address that is handed out is not one of this machine: a router must pass the port on")
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func ownAddress(ip netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok && own.Unmap() == ip.Unmap() {
				return true
			}
		}
	}
	return false
}

// checkProxy asks a proxy on this machine for its greeting. It is the one thing
// that the doctor sends, and it does not leave the machine.
func (d *doctor) checkProxy(ctx context.Context) {
	u, err := url.Parse(d.settings.Proxy)
	switch {
	case d.settings.Proxy == "" || err != nil:
		return
	case !loopback(u.Hostname()):
		d.note("proxy", "", "the proxy is on another machine; it was not tried")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := greet(ctx, u.Host); err != nil {
		d.warn("proxy", "start it (Tor, for example), or take it out: backchannel config unset proxy", "the proxy does not answer: nobody can be reached")
		return
	}
	d.ok("proxy", "the proxy answers; every connection out goes through it")
}

// greet makes the first exchange of SOCKS5: which ways of showing who one is the
// other side knows.
func greet(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	if _, err := conn.Write([]byte{5, 2, 0, 2}); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil || answer[0] != 5 {
		return errors.New("not a SOCKS5 proxy")
	}
	return nil
}
