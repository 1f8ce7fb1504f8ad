package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
)

// networkFile and guardsFile stand beside config.toml: they belong to the machine, and
// say nothing of what is in a vault.
func (p paths) networkFile() string { return filepath.Join(filepath.Dir(p.config), "network.pem") }
func (p paths) guardsFile() string  { return filepath.Join(filepath.Dir(p.config), "guards") }

func badNetwork(message string) error {
	return &control.Error{Code: "bad_network", Exit: control.ExitCheckFailed, Message: message, Hint: "ask for the file once more, then: backchannel network join network.pem"}
}

// maxNetworkFile bounds what is read of a network file, in bytes: see network.md.
const maxNetworkFile = 2 * directory.MaxFile

// readNetwork reads a network file that enough founders have signed.
func readNetwork(path string) (*directory.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxNetworkFile || !info.Mode().IsRegular() {
		return nil, badNetwork("this is no network file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := directory.ParseFileText(text)
	if err != nil {
		return nil, badNetwork("this is no network file, or it was altered: a signature in it does not fit")
	}
	if f.Verify() != nil {
		return nil, badNetwork("this network file is a draft: too few founders have signed it")
	}
	return f, nil
}

// joined returns the network that this machine has joined, or nil.
func (p paths) joined() (*directory.File, error) {
	f, err := readNetwork(p.networkFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no network, and no error
	}
	if err != nil {
		return nil, &control.Error{
			Code: "bad_network", Exit: control.ExitFailed, Message: "the network file that this machine keeps cannot be read",
			Hint: "backchannel network leave",
		}
	}
	return f, nil
}

// relays is the relay network of this machine, for a node.
type relays struct {
	paths  paths
	file   *directory.File
	dialer *p2p.Dialer

	avoid relayed.Avoided // as it was last read
}

// openRelays opens the network that this machine has joined.
func (p paths) openRelays(s node.Settings) (node.Relays, error) {
	f, err := p.joined()
	if err != nil || f == nil {
		return nil, err
	}
	// Who avoids a relay is not to get it as a guard because a file cannot be read.
	avoid, err := p.avoided()
	if err != nil {
		return nil, err
	}
	d, err := p2p.NewDialer(s.Proxy)
	if err != nil {
		return nil, err
	}
	return &relays{p, f, d, avoid}, nil
}

func (r *relays) File() *directory.File { return r.file }

func (r *relays) Dial(ctx context.Context, relay directory.Identity, address string) (node.RelayLink, error) {
	g, err := link.DialGuard(ctx, link.GuardConfig{
		Relay: relay, Address: address, Dialer: r.dialer, Packet: r.file.Network.Constants.Suite.Geometry().Packet,
	})
	if err != nil {
		return nil, err // not a typed nil
	}
	return g, nil
}

// maxGuards bounds what is read of the record of guards, in bytes.
const maxGuards = 1 << 10

// Guards returns nothing of a record that cannot be read: guards are then drawn anew.
func (r *relays) Guards() []byte {
	info, err := os.Stat(r.paths.guardsFile())
	if err != nil || info.Size() > maxGuards {
		return nil
	}
	b, err := os.ReadFile(r.paths.guardsFile())
	if err != nil {
		return nil
	}
	root := r.file.Network.Root()
	if len(b) < len(root) || [32]byte(b) != root {
		return nil // those of another network
	}
	return b[len(root):]
}

func (r *relays) KeepGuards(b []byte) error {
	root := r.file.Network.Root()
	return replaceFile(r.paths.guardsFile(), append(root[:], b...))
}

// newFilePrefix begins the name of a file that is being written.
const newFilePrefix = ".new-"

// replaceFile writes a file beside its place and moves it there.
func replaceFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), newFilePrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
