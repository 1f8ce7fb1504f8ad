//go:build unix

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
	known "github.com/backchannel/backchannel/relay/directory"
)

// An envoy is a principal with one guard, who makes packets by hand.
type envoy struct {
	*testing.T
	file  *directory.File
	ids   [relays]onion.ID
	set   *known.Directory
	guard *link.Guard
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu      sync.Mutex
	keys    map[onion.Tag]*onion.ReplyKeys // guarded by mu
	answers map[onion.Tag]onion.Answer     // guarded by mu
}

// A sealed packet is one that an envoy made, and by what it knows the reply.
type sealed struct {
	packet []byte
	tag    onion.Tag
}

// envoy links with a relay and learns the others from it.
func (w *town) envoy(at int) *envoy {
	w.Helper()
	f, err := readNetwork(filepath.Join(w.dir, "network.pem"))
	if err != nil {
		w.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	e := &envoy{
		T: w.T, file: f, set: known.Open(known.Config{Network: f.Network, Items: f.Items(), Key: key}),
		keys: map[onion.Tag]*onion.ReplyKeys{}, answers: map[onion.Tag]onion.Answer{},
	}
	var guard *directory.Voucher
	for i := range relays {
		s, ok := w.status(i)
		if !ok {
			w.Fatal("a relay does not answer")
		}
		for _, v := range f.Vouchers() {
			if v.Place.Address() == s.Address {
				e.ids[i] = v.Relay.ID()
				if i == at {
					guard = v
				}
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.end = cancel
	e.guard, err = link.DialGuard(ctx, link.GuardConfig{Relay: guard.Relay, Address: guard.Place.Address(), Packet: f.Network.Constants.Suite.Geometry().Packet})
	if err != nil {
		w.Fatal(err)
	}
	e.tasks.Go(func() { _ = e.guard.Run(ctx, e.take) })
	return e
}

func (e *envoy) close() {
	e.end()
	e.tasks.Wait()
}

func (e *envoy) take(packet []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	tag, err := onion.ReplyTag(e.file.Network.Constants.Suite, packet)
	if k := e.keys[tag]; err == nil && k != nil {
		if a, err := k.Open(packet); err == nil {
			e.answers[tag] = a
		}
	}
}

// create makes a packet by the newest keys that the guard knows; nothing if it does not
// know them all.
func (e *envoy) create(c onion.Command, out, back []int, key [onion.KeySize]byte, box *wire.Box) sealed {
	e.Helper()
	question, err := e.set.Question()
	if err != nil {
		e.Fatal(err)
	}
	answer, err := e.guard.Ask(e.Context(), question)
	if err != nil {
		e.Fatal(err)
	}
	if _, err := e.set.Take(answer); err != nil {
		e.Fatal(err)
	}
	v := e.set.View(e.file.Network.EpochAt(time.Now()))
	hops := func(way []int) (all []onion.Hop) {
		for _, i := range way {
			m, ok := v.Member(e.ids[i])
			if !ok {
				return nil
			}
			all = append(all, onion.Hop{ID: m.ID, Key: m.Key})
		}
		return all
	}
	if box == nil {
		box = new(wire.Box)
	}
	coins, err := secret.Read(rand.Reader)
	if err != nil {
		e.Fatal(err)
	}
	r := onion.Request{Suite: e.file.Network.Constants.Suite, Out: hops(out), Back: hops(back), Home: e.guard.Name(), Command: c, Key: key, Box: box}
	if r.Out == nil || r.Back == nil {
		return sealed{}
	}
	packet, keys, err := onion.Create(coins, r)
	if err != nil {
		e.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys[keys.Tag] = keys
	return sealed{packet, keys.Tag}
}

func (e *envoy) send(s sealed) {
	e.Helper()
	if s.packet == nil {
		return
	}
	if err := e.guard.Send(append([]byte{}, s.packet...)); err != nil {
		e.Fatal(err)
	}
}

func (e *envoy) answer(s sealed) (onion.Answer, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.answers[s.tag]
	return a, ok
}

// exchange sends a packet, anew now and then, and others so that a reply can come, until
// there is one or eight seconds have passed. A status of zero: none came.
func (e *envoy) exchange(c onion.Command, out, back []int, key [onion.KeySize]byte, box *wire.Box) (drop.Status, *drop.Box) {
	e.Helper()
	var sent []sealed
	filler := e.create(onion.Loop, []int{0, 1}, []int{0}, key, nil) // it counts once, and is an envelope for a reply each time
	for i := range 80 {
		if i%5 == 0 {
			sent = append(sent, e.create(c, out, back, key, box))
			e.send(sent[len(sent)-1])
		}
		e.send(filler)
		<-time.After(100 * time.Millisecond)
		for _, s := range sent {
			if a, ok := e.answer(s); ok {
				status, got, err := drop.Read(c, a)
				if err != nil {
					e.Fatal(err)
				}
				if status != drop.Failed {
					return status, got
				}
			}
		}
	}
	return 0, nil
}

// pause stops a process: what comes for it waits.
func pause(w *town, i int) {
	w.Helper()
	if err := w.running[i].Process.Signal(syscall.SIGSTOP); err != nil {
		w.Fatal(err)
	}
}

// wantOneGroup knocks at a running relay by hand: one key exchange, one security protocol.
func (w *town) wantOneGroup(i int) {
	w.Helper()
	s, _ := w.status(i)
	if group, err := knock(s.Listens, tls.X25519MLKEM768, tls.X25519); err != nil || group != tls.X25519MLKEM768 {
		w.Errorf("the key exchange is %v, %v", group, err)
	}
	for _, g := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.SecP256r1MLKEM768} {
		if group, err := knock(s.Listens, g); err == nil {
			w.Errorf("a relay agrees to %v", group)
		}
	}
	if c, got := selectProtocol(w, s.Listens, "/noise"); got != "na" {
		w.Errorf("a relay answers %q to another security protocol", got)
	} else {
		_ = c.Close()
	}
}

// knock makes a TLS handshake with these groups, and returns which one it took.
func knock(address string, groups ...tls.CurveID) (tls.CurveID, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, "\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n"); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c, make([]byte, 20+12)); err != nil {
		return 0, err
	}
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, CurvePreferences: groups, NextProtos: []string{"/yamux/1.0.0"}})
	if err := t.Handshake(); err != nil {
		return 0, err
	}
	return t.ConnectionState().CurveID, nil
}

func selectProtocol(w *town, address, name string) (net.Conn, string) {
	w.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		w.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, "\x13/multistream/1.0.0\n"+string(rune(len(name)+1))+name+"\n")
	answer := make([]byte, 20+4)
	if _, err := io.ReadFull(c, answer); err != nil {
		w.Fatal(err)
	}
	return c, string(answer[21:23])
}
