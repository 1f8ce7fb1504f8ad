package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/harden"
	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/identity"
)

const defaultPort = "4127"

// pace is how often the vault is written, timing how long conversations wait for one
// another, wall what the node takes for the time, rest how long it waits for a command,
// and boxPeriod how many slots there are to a contact's box. Only tests and the demo set
// them.
var (
	wall   func() time.Time
	rest   time.Duration
	pace   node.Pace
	timing channel.Config

	meetingSlots int
	boxPeriod    uint8
)

// cost is what trying a passphrase costs. Only tests change it.
var cost = store.Standard

func (a *app) nodeCommand() *cobra.Command {
	c := &cobra.Command{Use: "node", Short: "Run and stop the node, and say whether it listens"}
	c.AddCommand(
		a.runCommand(),
		&cobra.Command{
			Use:     "stop",
			Short:   "Stop the running node",
			Example: "  backchannel node stop",
			Args:    cobra.NoArgs,
			RunE:    func(cmd *cobra.Command, _ []string) error { return a.nodeStop(cmd) },
		},
		a.listenCommand(),
	)
	return c
}

func (a *app) runCommand() *cobra.Command {
	var moved bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the node in this terminal, locked, until it is stopped",
		Long: `Run the node in this terminal until Ctrl-C or "backchannel node stop". It starts
locked: open it from another terminal with "backchannel online".`,
		Example: "  backchannel node run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if moved {
				clock := new(demoClock)
				wall, rest = clock.now, demoRest
				go clock.follow(cmd.InOrStdin(), cmd.OutOrStdout()) // until the process ends
			}
			if err := harden.Overwrite(); err != nil {
				return &control.Error{Code: "not_anew", Exit: control.ExitFailed, Message: "the program cannot begin anew, and without that it would not overwrite what it frees of its memory", Hint: "say so in its environment: GODEBUG=clobberfree=1 backchannel node run"}
			}
			return a.nodeRun(cmd.Context())
		},
	}
	// The demo has no time to lose, and nothing to hide: it has its vaults written faster.
	c.Flags().DurationVar(&pace.Attached, "write-every", pace.Attached, "how often the vault is written while somebody is there")
	_ = c.Flags().MarkHidden("write-every")
	// It cannot wait for days either, and has the clocks of its nodes set ahead.
	c.Flags().Uint8Var(&boxPeriod, "box-period", 0, "slots to a contact's box: 1, 2, 4 or 8")
	_ = c.Flags().MarkHidden("box-period")
	c.Flags().BoolVar(&moved, "clock-from-input", false, "read on standard input how far the clock is to be set ahead")
	_ = c.Flags().MarkHidden("clock-from-input")
	return c
}

func (a *app) nodeRun(ctx context.Context) error {
	p, err := a.paths()
	if err != nil {
		return err
	}
	if !store.Exists(p.vault) {
		if err := p.halfVault(); err != nil {
			return err
		}
		return store.ErrMissing
	}
	harden.LockMemory()
	n := node.Open(node.Config{
		OpenStore: func(pass []byte, keyFile string) (node.Store, error) {
			s, err := store.Open(store.Config{Dir: p.vault, Cost: cost, KeyFile: keyFile}, pass)
			if err != nil {
				return nil, err // not a typed nil
			}
			return s, nil
		},
		OpenNetwork: func(s node.Settings) (node.Network, error) {
			network, err := p2p.Open(p2p.Config{Listen: s.Listen, Proxy: s.Proxy})
			if err != nil {
				return nil, err
			}
			return network, nil
		},
		OpenRelays: p.openRelays,
		Settings:   p.settings, BackupCost: backupCost(),
		Now: wall, Rest: rest, Pace: pace, MeetingSlots: meetingSlots, BoxPeriod: cadence.Period(boxPeriod),
		Channel: timing,
	})
	server, err := control.Listen(n, p.socket, version)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	if !a.quiet {
		a.note("The node runs, locked. Open it from another terminal: %s", a.here("backchannel online"))
	}
	err = server.Run(ctx) // until Ctrl-C or node stop
	stop()
	if err = errors.Join(err, <-ended); err == nil && !a.quiet {
		a.note("Stopped.")
	}
	return err
}

func (a *app) nodeStop(cmd *cobra.Command) error {
	d := control.Done{V: control.Version}
	// It breaks the call off if another one has stopped it in the same moment.
	broken := a.call(cmd, "stop", control.Empty{}, &d)
	if broken != nil && !errors.Is(broken, control.ErrBrokenOff) {
		return broken
	}
	for end := time.Now().Add(a.timeout); time.Now().Before(end); {
		var s control.StatusAnswer
		if err := a.call(cmd, "status", control.Empty{}, &s); err != nil {
			return a.answer(d, func() { a.say("Stopped.") })
		}
		select {
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return cmp.Or(broken, context.DeadlineExceeded)
}

// listenAnswer says how the machine listens and dials.
type listenAnswer struct {
	V       int    `json:"v"`
	Listen  string `json:"listen,omitempty"`
	Address string `json:"address,omitempty"`
	Proxy   string `json:"proxy,omitempty"`
	Restart bool   `json:"takes_effect_at_next_unlock"`
}

func (a *app) listenCommand() *cobra.Command {
	var address, bind, proxy string
	var port uint16
	c := &cobra.Command{
		Use:   "listen [on|off]",
		Short: "Say whether and where this machine can be reached",
		Long: `Without on or off, show how it stands. One of two people must be reachable, or
have an onion address. A direct contact sees the address, and two contacts can
compare what they see. The port answers nobody who does not hold a contact's
keys.`,
		Example: "  backchannel node listen on --address 203.0.113.7:4127\n" +
			"  backchannel node listen on --bind 127.0.0.1 --address ABC.onion:4127 --proxy socks5://127.0.0.1:9050\n" +
			"  backchannel node listen off",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: []string{"on", "off"},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.paths()
			if err != nil {
				return err
			}
			s, err := p.settings()
			if err != nil {
				return err
			}
			before := s
			if cmd.Flags().Changed("proxy") {
				if err := checkProxy(proxy); err != nil {
					return err
				}
				s.Proxy = proxy
			}
			switch {
			case len(args) == 0:
			case args[0] == "off":
				s.Listen, s.Address = "", ""
			case args[0] == "on":
				if !cmd.Flags().Changed("bind") {
					bind = boundTo(s, bind)
				}
				if s, err = listenOn(s, address, bind, port); err != nil {
					return err
				}
			default:
				return usage("say on or off", "backchannel node listen --help")
			}
			if s != before {
				if err := p.write(s); err != nil {
					return err
				}
			}
			return a.showListen(cmd, s, s != before)
		},
	}
	c.Flags().StringVar(&address, "address", "", "host:port under which others reach this machine")
	c.Flags().StringVar(&bind, "bind", "0.0.0.0", "own address to listen on")
	c.Flags().Uint16Var(&port, "port", 0, "port to listen on (default: that of --address)")
	c.Flags().StringVar(&proxy, "proxy", "", "socks5://host:port for all connections out; empty: none")
	return c
}

func checkProxy(proxy string) error {
	if proxy == "" {
		return nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Scheme != "socks5" || u.Port() == "" {
		return p2p.ErrProxy
	}
	if u.User != nil {
		return usage("a password for the proxy does not belong on a command line", "write it into config.toml, as proxy")
	}
	return nil
}

// boundTo keeps the address that the machine listens on already: a second call
// must not open to all the world a port that only a Tor process should reach.
func boundTo(s node.Settings, otherwise string) string {
	if host, _, err := net.SplitHostPort(s.Listen); err == nil {
		return host
	}
	return otherwise
}

func listenOn(s node.Settings, address, bind string, port uint16) (node.Settings, error) {
	if address == "" {
		address = s.Address
	}
	if address == "" {
		return s, usage("others need an address to reach this machine at", "give this machine's own: backchannel node listen on --address 203.0.113.7:"+defaultPort)
	}
	if !strings.Contains(strings.TrimSuffix(address, "]"), ":") {
		address += ":" + defaultPort
	}
	place, err := identity.PlaceOf(address)
	if err != nil {
		return s, err
	}
	s.Address = place.Address()
	_, at, err := net.SplitHostPort(s.Address)
	if err != nil {
		return s, identity.ErrPlace
	}
	if port != 0 {
		at = strconv.Itoa(int(port))
	}
	s.Listen = net.JoinHostPort(bind, at)
	return s, nil
}

// showListen says how it stands, and whether a running node knows it yet.
func (a *app) showListen(cmd *cobra.Command, s node.Settings, changed bool) error {
	ans := listenAnswer{V: control.Version, Listen: s.Listen, Address: s.Address, Proxy: s.Proxy}
	ans.Restart = changed && a.takesLater(cmd)
	return a.answer(ans, func() {
		if s.Listen == "" {
			a.say("This machine does not listen. It can reach others who do, and accept their invitations.")
		} else {
			a.say("This machine listens on %s and hands out %s.", s.Listen, s.Address)
			a.say("Direct contacts see this address; two of them can compare it.")
		}
		if s.Proxy != "" {
			a.say("Every connection out goes through the proxy; names are not looked up here.")
		}
		a.sayWhen(ans.Restart)
	})
}
