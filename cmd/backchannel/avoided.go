package main

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// avoidedFile stands beside config.toml, like that of the guards: who are this machine's
// guards is not a matter of one vault. It holds a line for each operator, "operator NAME",
// and for each relay, "relay" and its ID in hexadecimal.
func (p paths) avoidedFile() string { return filepath.Join(filepath.Dir(p.config), "avoided") }

// maxAvoided bounds what is read of the file, in bytes: every relay of a network, and as
// many operators.
const maxAvoided = 64 << 10

func badAvoided() error {
	return &control.Error{
		Code: "bad_avoided", Exit: control.ExitFailed, Message: "the file avoided, beside config.toml, cannot be read",
		Hint: "delete it, then: backchannel route avoid",
	}
}

// avoided reads which relays this machine avoids. A missing file names none.
func (p paths) avoided() (a relayed.Avoided, err error) {
	info, err := os.Stat(p.avoidedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil || info.Size() > maxAvoided || !info.Mode().IsRegular() {
		return a, badAvoided()
	}
	raw, err := os.ReadFile(p.avoidedFile())
	if err != nil {
		return a, badAvoided()
	}
	for line := range strings.Lines(string(raw)) {
		kind, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		id, err := hex.DecodeString(name)
		switch {
		case kind == "operator" && directory.ValidName(name):
			a.Operators = append(a.Operators, name)
		case kind == "relay" && err == nil && len(id) == onion.IDSize:
			a.Relays = append(a.Relays, onion.ID(id))
		default:
			return relayed.Avoided{}, badAvoided()
		}
	}
	return a, nil
}

func (p paths) keepAvoided(a relayed.Avoided) error {
	var text strings.Builder
	for _, name := range a.Operators {
		text.WriteString("operator " + name + "\n")
	}
	for _, id := range a.Relays {
		text.WriteString("relay " + hex.EncodeToString(id[:]) + "\n")
	}
	if err := replaceFile(p.avoidedFile(), []byte(text.String())); err != nil {
		return &control.Error{Code: "no_config", Exit: control.ExitFailed, Message: "what is avoided cannot be kept", Hint: "check that the folder can be written, then: backchannel route avoid"}
	}
	return nil
}

// Avoided stays as it was if the file cannot be read any more: the commands say that.
func (r *relays) Avoided() relayed.Avoided {
	if a, err := r.paths.avoided(); err == nil {
		r.avoid = a
	}
	return r.avoid
}

// inUse are the vouchers of the relays that may be used now.
func inUse(f *directory.File, e directory.Epoch) (all []*directory.Voucher) {
	for _, v := range f.Vouchers() {
		if !v.Revoked && v.Until > e {
			all = append(all, v)
		}
	}
	return all
}

// named finds what a person means in a network file: an operator, or a relay by its
// address. The answer holds one or the other.
func named(all []*directory.Voucher, name string) (a relayed.Avoided, ok bool) {
	for _, v := range all {
		if v.Place.Address() == name {
			return relayed.Avoided{Relays: []onion.ID{v.Relay.ID()}}, true
		}
		ok = ok || v.Operator == name
	}
	if !ok {
		return a, false
	}
	return relayed.Avoided{Operators: []string{name}}, true
}

// allowing finds what a person means to avoid no longer: also what has left the network
// file since, or is not in use any more.
func allowing(all []*directory.Voucher, now relayed.Avoided, name string) (a relayed.Avoided, ok bool) {
	if slices.Contains(now.Operators, name) {
		return relayed.Avoided{Operators: []string{name}}, true
	}
	return named(all, name)
}

// with adds b to what is avoided, or takes it away.
func with(a, b relayed.Avoided, avoid bool) relayed.Avoided {
	a.Operators = slices.DeleteFunc(a.Operators, func(n string) bool { return slices.Contains(b.Operators, n) })
	a.Relays = slices.DeleteFunc(a.Relays, func(id onion.ID) bool { return slices.Contains(b.Relays, id) })
	if avoid {
		a.Operators, a.Relays = append(a.Operators, b.Operators...), append(a.Relays, b.Relays...)
	}
	return a
}
