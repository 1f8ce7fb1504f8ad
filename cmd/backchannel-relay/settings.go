package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"reflect"

	"github.com/BurntSushi/toml"

	"github.com/backchannel/backchannel/cmd/internal/screen"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/protocol/identity"
)

// settings are what relay.toml says. Nothing secret is among them.
type settings struct {
	Listen  string `toml:"listen"`  // host:port of this machine
	Address string `toml:"address"` // host:port under which others reach it
	Proxy   string `toml:"proxy"`   // socks5://host:port for all links out; empty: none
	Boxes   int    `toml:"boxes"`   // GiB of boxes that are kept; 0: none
	Free    int    `toml:"free"`    // GiB that they leave free on the disk
	Keys    string `toml:"keys"`    // file of the keys of days; empty: beside the boxes
	Work    int    `toml:"work"`    // bits of work that puts need when room is short, at most
	Clients int    `toml:"clients"` // principals at once, at most
	Metrics string `toml:"metrics"` // loopback host:port; empty: off
}

// usual is what a setting is without a line.
func usual() settings { return settings{Boxes: 16, Free: 1, Work: 16, Clients: 4096} }

// maxSettings bounds what is read of relay.toml, in bytes.
const maxSettings = 64 << 10

// badSettings says what is wrong in relay.toml.
func badSettings(format string, args ...any) error {
	return &fault{"bad_config", exitFailed, "relay.toml: " + fmt.Sprintf(format, args...), "mend that line, then: backchannel-relay check"}
}

// settings reads relay.toml.
func (h home) settings() (settings, error) {
	text, err := readBounded(h.settingsFile(), maxSettings)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return settings{}, &fault{"no_relay", exitFailed, "there is no relay in this home yet", "backchannel-relay init --address 203.0.113.7:4129 --operator alpha"}
	case err != nil:
		return settings{}, err
	}
	return parseSettings(string(text))
}

func parseSettings(text string) (settings, error) {
	s := usual()
	meta, err := toml.Decode(text, &s)
	var parse toml.ParseError
	switch {
	case errors.As(err, &parse):
		return s, badSettings("line %d cannot be read", parse.Position.Line)
	case err != nil:
		return s, badSettings("%s: this value is of another kind than it should be", wrongKind(text))
	case len(meta.Undecoded()) > 0:
		return s, badSettings("there is no setting %s", screen.CleanLine(meta.Undecoded()[0].String()))
	}
	return s, s.check()
}

// wrongKind names the first setting that is a text where a number should be, or the
// other way round: the library does not tell.
func wrongKind(text string) string {
	var values map[string]any
	if _, err := toml.Decode(text, &values); err != nil {
		return "a setting"
	}
	t := reflect.TypeFor[settings]()
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("toml")
		_, number := values[key].(int64)
		_, words := values[key].(string)
		if want := t.Field(i).Type.Kind(); values[key] != nil && (want == reflect.Int && !number || want == reflect.String && !words) {
			return key
		}
	}
	return "a setting"
}

// check finds what is wrong with settings.
func (s settings) check() error {
	host, port, err := net.SplitHostPort(s.Listen)
	_, notIP := netip.ParseAddr(host)
	if err != nil || port == "" || host != "" && notIP != nil {
		return badSettings(`listen must be an address of this machine and a port, such as "0.0.0.0:4129"`)
	}
	if _, err := identity.PlaceOf(s.Address); err != nil {
		return badSettings(`address must be host and port, such as "203.0.113.7:4129"`)
	}
	if _, err := p2p.NewDialer(s.Proxy); err != nil {
		return badSettings(`proxy must be "socks5://host:port"`)
	}
	for _, n := range []struct {
		name        string
		value       int
		least, most int
	}{{"boxes", s.Boxes, 0, 1 << 20}, {"free", s.Free, 1, 1 << 20}, {"work", s.Work, 0, 20}, {"clients", s.Clients, 1, 1 << 16}} {
		if n.value < n.least || n.value > n.most {
			return badSettings("%s must be a number from %d to %d", n.name, n.least, n.most)
		}
	}
	if s.Metrics == "" {
		return nil
	}
	if at, err := netip.ParseAddrPort(s.Metrics); err != nil || !at.Addr().IsLoopback() {
		return badSettings(`metrics must be an address that nobody else reaches, such as "127.0.0.1:9129"`)
	}
	return nil
}
