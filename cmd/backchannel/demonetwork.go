package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// demoOperators run the relays of the demo: two of them run two each.
var demoOperators = []string{"north", "east", "south", "north", "east"}

// A station is a relay of the demo: a process of its own.
type station struct {
	number   int // as it is shown
	operator string
	address  string
	dir      string
	seed     []byte
	cmd      *exec.Cmd
	ask      io.WriteCloser
	answers  *json.Decoder
	met      []string // whose machine was linked with it while no other one was on
}

// epochThatEndsSoon returns the length of an epoch, ten to thirty seconds, one of which
// ends in seven seconds or little more: until then relays that start now have to know one
// another, for they are in use from the next epoch on.
func epochThatEndsSoon(now time.Time) time.Duration {
	best, least := int64(10), int64(1<<30)
	for s := int64(10); s <= 30; s++ {
		if left := s - now.Unix()%s; left >= 7 && left < least {
			best, least = s, left
		}
	}
	return time.Duration(best) * time.Second
}

// found makes the network of the demo: its founders sign what it is and which relays are
// in it. Each relay has that file, and nothing else. Slots are the shortest that there are,
// and packets the smaller ones: nobody has to wait, and five relays run on one machine.
func (d *demo) found() (stations []*station, file string, err error) {
	founders := make([]ed25519.PrivateKey, 2)
	var known []directory.Founder
	for i, name := range []string{"alpha", "beta"} {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, "", err
		}
		founders[i] = private
		known = append(known, directory.Founder{Key: [32]byte(public), Name: name})
	}
	n, err := directory.NewNetwork("demo.example", directory.Constants{
		Suite: onion.X25519, Slot: time.Second, Mean: 20 * time.Millisecond, Epoch: epochThatEndsSoon(time.Now()), Pool: 1, PerBlock: 16,
	}, len(founders), known)
	if err != nil {
		return nil, "", err
	}
	f := directory.NewFile(n)
	for i := range demoOperators {
		s, v, err := d.newStation(n, i)
		if err != nil {
			return nil, "", err
		}
		f.Put(v)
		stations = append(stations, s)
	}
	for _, key := range founders {
		if err := f.Sign(key); err != nil {
			return nil, "", err
		}
	}
	file = filepath.Join(d.dir, "network.pem")
	for _, path := range append([]string{file}, networkFiles(stations)...) {
		if err := os.WriteFile(path, []byte(f.Text()), 0o600); err != nil {
			return nil, "", err
		}
	}
	return stations, file, nil
}

func networkFiles(stations []*station) (all []string) {
	for _, s := range stations {
		all = append(all, filepath.Join(s.dir, "network.pem"))
	}
	return all
}

func (d *demo) newStation(n *directory.Network, i int) (*station, *directory.Voucher, error) {
	s := &station{number: i + 1, operator: demoOperators[i], dir: filepath.Join(d.dir, fmt.Sprintf("relay-%d", i+1))}
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	s.address = "127.0.0.1:" + port
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	s.seed = private.Seed()
	place, err := identity.PlaceOf(s.address)
	if err != nil {
		return nil, nil, err
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, nil, err
	}
	now := n.EpochAt(time.Now())
	return s, &directory.Voucher{Relay: directory.Identity(public), From: now, Until: now + 1000, Operator: s.operator, Place: place}, nil
}

// start runs the relay in a process of its own.
func (s *station) start(ctx context.Context, program string) error {
	s.cmd = exec.CommandContext(ctx, program, "demo", "--one-relay")
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ask, s.answers = in, json.NewDecoder(out)
	return json.NewEncoder(s.ask).Encode(demoOrder{Dir: s.dir, Listen: s.address, Seed: s.seed})
}

// look asks the relay what it has seen.
func (s *station) look() (seen demoSight, err error) {
	if s.cmd == nil {
		return seen, errors.New("this relay does not run")
	}
	if _, err := io.WriteString(s.ask, "{}\n"); err != nil {
		return seen, fmt.Errorf("relay %d has ended: %w", s.number, err)
	}
	if err := s.answers.Decode(&seen); err != nil {
		return seen, fmt.Errorf("relay %d has ended: %w", s.number, err)
	}
	return seen, nil
}

// kill ends the relay as a power cut does.
func (s *station) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	s.cmd = nil
}
