package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/protocol/directory"
)

func (a *app) networkCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "network", Short: "Join a relay network, show and leave it",
		Long: `A relay network hides who talks with whom. Its founders write a network file,
and hand it over. In a network two people can talk who are never online at once.`,
	}
	c.AddCommand(a.networkJoin(), a.networkShow(), a.networkLeave())
	return c
}

// networkAnswer is what is known of the network that this machine has joined.
type networkAnswer struct {
	V           int    `json:"v"`
	Joined      bool   `json:"joined"`
	Name        string `json:"name,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Founders    int    `json:"founders,omitempty"`
	Threshold   int    `json:"threshold,omitempty"`
	Signed      int    `json:"signed_by,omitempty"`
	Relays      int    `json:"relays,omitempty"` // that founders vouch for
	Operators   int    `json:"operators,omitempty"`
	Few         bool   `json:"few_operators,omitempty"`
	Crowded     int    `json:"crowded,omitempty"` // of Relays, so many are left out
	Slot        int64  `json:"slot_seconds,omitempty"`
	KeptFor     int64  `json:"boxes_kept_hours,omitempty"`
	BytesPerDay int64  `json:"bytes_per_day,omitempty"`
	Restart     bool   `json:"takes_effect_at_next_unlock,omitempty"`

	State *control.RelayNetwork `json:"state,omitempty"` // of a node that runs
	Cover bool                  `json:"cover,omitempty"` // it is not online: what goes to relays is cover
}

func networkOf(f *directory.File) networkAnswer {
	if f == nil {
		return networkAnswer{V: control.Version}
	}
	n := f.Network
	count := f.Count(n.EpochAt(time.Now()))
	return networkAnswer{
		V: control.Version, Joined: true, Name: n.Name, Fingerprint: n.Fingerprint(), Founders: len(n.Founders), Threshold: n.Threshold,
		Signed: len(f.Consents()), Relays: count.Relays, Operators: count.Operators, Few: count.FewOperators(), Crowded: len(f.Crowded(n.EpochAt(time.Now()))), Slot: int64(n.Constants.Slot / time.Second),
		KeptFor: int64(n.Constants.Expiry / time.Hour), BytesPerDay: n.Constants.BytesPerDay(),
	}
}

func (a *app) networkJoin() *cobra.Command {
	return &cobra.Command{
		Use: "join FILE", Short: "Join the relay network of a network file",
		Long: `Join the relay network of a network file. Its founders' signatures are checked.
That the founders are those whom you mean, only you can check: compare the
fingerprint by another way than the file came. A newer file of the same network
adds and ends relays.

From then on this machine sends the same amount whether anybody writes or not,
and whether the node is online or locked, for as long as it runs.`,
		Example: "  backchannel network join alpine.pem", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.joinNetwork(cmd, args[0]) },
	}
}

func (a *app) joinNetwork(cmd *cobra.Command, path string) error {
	p, err := a.paths()
	if err != nil {
		return err
	}
	f, err := readNetwork(path)
	if err != nil {
		var known *control.Error
		if errors.As(err, &known) {
			return err
		}
		return usage("the network file cannot be read", "check its name, then: backchannel network join network.pem")
	}
	old, err := p.joined()
	if err != nil {
		return err
	}
	if old != nil {
		if old.Network.Root() != f.Network.Root() {
			return &control.Error{Code: "other_network", Exit: control.ExitRefused, Message: "this machine is in another network", Hint: "backchannel network leave"}
		}
		for _, v := range f.Vouchers() {
			old.Put(v)
		}
		if f = old; f.Verify() != nil {
			return badNetwork("the two files do not fit together")
		}
	}
	if err := replaceFile(p.networkFile(), []byte(f.Text())); err != nil {
		return &control.Error{Code: "no_config", Exit: control.ExitFailed, Message: "the network file cannot be kept", Hint: "check that the folder can be written, then: backchannel network join network.pem"}
	}
	ans := networkOf(f)
	ans.Restart = a.takesLater(cmd)
	return a.answer(ans, func() {
		a.sayNetwork(ans)
		a.say("Compare the fingerprint by another way than the file came: it is all that tells this\nnetwork from one of the same name.")
		a.sayWhen(ans.Restart)
	})
}

// sayNetwork prints what a network file says.
func (a *app) sayNetwork(n networkAnswer) {
	a.say("Network %s: %s of %s vouched for, signed by %d of %s.", clean(n.Name), plural(n.Relays, "relay"), plural(n.Operators, "operator"), n.Signed, plural(n.Founders, "founder"))
	a.say("  fingerprint   %s", n.Fingerprint)
	a.say("  every %d s     10 packets leave and 10 come, whether anybody writes or not", n.Slot)
	a.say("  in a day      %d MB out, and as much in", (n.BytesPerDay+500_000)/1_000_000)
	a.say("  a box waits   %d h for its reader", n.KeptFor)
	if n.Crowded > 0 {
		a.say("  left out      %s: of one operator or one block of addresses more than count", plural(n.Crowded, "relay"))
	}
	if n.Few {
		a.say("  operators     under %d: a drop's host can guess which boxes are one writer's", directory.ManyOperators)
	}
}

func (a *app) networkShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Say which relay network this machine is in, and how it stands",
		Example: "  backchannel network show", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.paths()
			if err != nil {
				return err
			}
			f, err := p.joined()
			if err != nil {
				return err
			}
			ans := networkOf(f)
			var s control.StatusAnswer
			if a.call(cmd, "status", control.Empty{}, &s) == nil {
				ans.State, ans.Cover = s.RelayNetwork, s.Cover
				ans.Restart = s.State != "locked" && s.Online && ans.Joined != (s.RelayNetwork != nil)
			}
			return a.answer(ans, func() { a.printNetwork(ans) })
		},
	}
}

func (a *app) printNetwork(ans networkAnswer) {
	if !ans.Joined {
		a.say("This machine is in no relay network. Its contacts are reached directly, and see its\naddress.")
		a.advise("  join one   %s", a.here("backchannel network join network.pem"))
		a.sayWhen(ans.Restart)
		return
	}
	a.sayNetwork(ans)
	if ans.State != nil {
		a.sayRelayNetwork(*ans.State)
		a.sayCover(ans.Cover, *ans.State)
	} else if !ans.Restart {
		a.say("The node is not online; nothing is sent.")
	}
	a.sayWhen(ans.Restart)
}

// sayCover says what a node that is not online sends, and that it receives nothing.
func (a *app) sayCover(cover bool, s control.RelayNetwork) {
	switch {
	case !cover:
	case s.State == "reading clocks" || s.State == "running":
		a.say("It is not online. It sends its guard as many packets as when it is, all of them\ncover, and receives nothing.")
	default:
		a.say("It is not online, and receives nothing.")
	}
}

// sayRelayNetwork says how a node stands in its network.
func (a *app) sayRelayNetwork(s control.RelayNetwork) {
	switch s.State {
	case "asking for relays":
		a.say("It asks for relays: too few are known yet to hide among.")
	case "reaching its guard":
		a.say("It has no link with its guard yet, %s. Nothing goes over relays until it has.", s.Guard)
	case "reading clocks":
		a.say("It is linked with its guard, %s, and reads the clocks of the others.", s.Guard)
	case "running":
		a.say("It runs: linked with its guard, %s; %s of %s.", s.Guard, plural(s.Relays, "relay"), plural(s.Operators, "operator"))
	}
	if s.Losing {
		a.say("! Many packets are lost, and no relay alone explains it. Somebody may be holding back\n  all but yours. Say nothing that cannot wait.")
	}
	if s.LosingNow {
		a.say("! At present they are lost at its guard, %s, or on the line to it.", s.Guard)
		a.adviseGuard(s.Guard, s.LosingAll)
	}
	for _, w := range s.Losers {
		a.say("! The relay at %s (%s) loses packets. Ways go around it where they can.", w.Address, clean(w.Operator))
	}
	if s.ClockOff {
		a.say("! The relays' clocks are days away from this machine's. Nothing is read or written\n  until one of them is set.")
	}
	if s.Others {
		a.say("! A contact's machine sees other relays than yours, and did so again after both had\n  asked anew. One of you may be shown a false network. Compare by voice the fingerprint,\n  and how many relays of how many operators each of you sees.")
		a.advise("  which contact        %s", a.here("backchannel status"))
		a.advise("  if you see fewer     %s", a.here("backchannel route avoid "+s.Guard))
	}
	if s.Taken > 0 {
		a.say("! A drop has said %s that somebody else wrote a box of yours first. Either\n  somebody has the keys of a contact, or that drop lies.", plural(s.Taken, "time"))
	}
}

func (a *app) networkLeave() *cobra.Command {
	return &cobra.Command{
		Use: "leave", Short: "Leave the relay network", Example: "  backchannel network leave", Args: cobra.NoArgs,
		Long: `Leave the relay network. What waits for contacts over relays stays in the vault
and goes directly, or when the network is joined again.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.paths()
			if err != nil {
				return err
			}
			removed := false
			for _, path := range []string{p.networkFile(), p.guardsFile(), p.avoidedFile()} {
				err := os.Remove(path)
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					return &control.Error{Code: "no_config", Exit: control.ExitFailed, Message: "the network file cannot be deleted", Hint: "check that the folder can be written, then: backchannel network leave"}
				}
				removed = removed || err == nil
			}
			ans := networkOf(nil)
			ans.Restart = removed && a.takesLater(cmd)
			return a.answer(ans, func() {
				if removed {
					a.say("Left. This machine is in no relay network.")
				} else {
					a.say("This machine was in no relay network.")
				}
				a.sayWhen(ans.Restart)
			})
		},
	}
}
