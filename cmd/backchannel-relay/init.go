package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
)

// initAnswer is what founders need to know of a relay.
type initAnswer struct {
	V        int    `json:"v"`
	Relay    string `json:"relay"`
	Operator string `json:"operator"`
	Address  string `json:"address"`
	Listen   string `json:"listen"`
	Add      string `json:"add"` // the founders' command
}

func (a *app) initCommand() *cobra.Command {
	var address, operator, bind string
	var port uint16
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the key and the settings of a relay",
		Long: `Make the identity key of a relay and its settings. What is printed is public,
and goes to the founders of the network: they vouch for the relay.`,
		Example: "  backchannel-relay init --address 203.0.113.7:4129 --operator alpha\n" +
			"  backchannel-relay init --address relay.example.org:4129 --bind 10.0.0.7 --operator alpha",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if address == "" || operator == "" {
				return usage("others need an address to reach this relay at, and the name of who runs it", "backchannel-relay init --address 203.0.113.7:4129 --operator alpha")
			}
			if !directory.ValidName(operator) {
				return badName("--operator")
			}
			place, err := identity.PlaceOf(address)
			if err != nil {
				return err
			}
			s := usual()
			s.Address = place.Address()
			_, at, err := net.SplitHostPort(s.Address)
			if err != nil {
				return identity.ErrPlace
			}
			if port != 0 {
				at = strconv.Itoa(int(port))
			}
			s.Listen = net.JoinHostPort(bind, at)
			if s.check() != nil {
				return usage("the address to listen on is malformed", "give one of this machine: backchannel-relay init --address 203.0.113.7:4129 --bind 0.0.0.0 --operator alpha")
			}
			return a.initialise(s, operator)
		},
	}
	c.Flags().StringVar(&address, "address", "", "host:port under which others reach this relay")
	c.Flags().StringVar(&operator, "operator", "", "name of who runs it: small letters, digits, . and -")
	c.Flags().StringVar(&bind, "bind", "0.0.0.0", "own address to listen on")
	c.Flags().Uint16Var(&port, "port", 0, "port to listen on (default: that of --address)")
	return c
}

func badName(flag string) error {
	return usage("the name of "+flag+" may hold small letters, digits, . and -, at most 32 of them", "choose another one, such as alpha")
}

func (a *app) initialise(s settings, operator string) error {
	h, err := a.place()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(h.socket()), 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(h.keyFile()); err == nil {
		return &fault{"relay_exists", exitFailed, "there is a relay in this home already; nothing was changed", "backchannel-relay status"}
	}
	if err := create(h.settingsFile(), []byte(settingsText(s)), 0o600); err != nil {
		return err
	}
	public, err := newKey(h.keyFile(), relayKey)
	if err != nil {
		return err
	}
	ans := initAnswer{V: answerVersion, Relay: keyText([32]byte(public), relayKey), Operator: operator, Address: s.Address, Listen: s.Listen}
	ans.Add = fmt.Sprintf("backchannel-relay network add network.pem --relay %s --operator %s --address %s", ans.Relay, operator, s.Address)
	return a.answer(ans, func() {
		a.say("The relay has a key. It will listen on %s and be reached at %s.", s.Listen, s.Address)
		a.say("Hand this line to the founders of the network; nothing in it is secret:")
		a.say("\n  %s\n", ans.Add)
		a.advise("Put the network file that they sign at %s", h.networkFile())
		a.advise("  start it        %s", a.here("backchannel-relay run"))
		a.advise("  see whether it is reached, and the others are, from another terminal:")
		a.advise("                  %s", a.here("backchannel-relay check"))
		a.advise("Keep a copy of %s: without it the founders have to vouch anew.", h.keyFile())
	})
}

// settingsText is a new relay.toml.
func settingsText(s settings) string {
	return fmt.Sprintf(`# Settings of a relay. It reads them when it starts.
listen = %q # address of this machine and port
address = %q # under which others reach it
# proxy = "socks5://127.0.0.1:9050" # for every link out; names are not looked up here
boxes = %d # GiB of boxes for people who are not there; 0: none
free = %d # GiB that boxes leave free on the disk
# keys = "/run/backchannel-relay/days" # keys of the boxes' days: in memory, all boxes go with the power
work = %d # bits of work that a box needs when room is short, at most
clients = %d # principals at once, at most
# metrics = "127.0.0.1:9129" # rounded figures for Prometheus; without this line there are none
`, s.Listen, s.Address, s.Boxes, s.Free, s.Work, s.Clients)
}
