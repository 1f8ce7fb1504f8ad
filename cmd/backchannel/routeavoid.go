package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
)

// leastLeft is how many relays are left at least: two guards, and two drops. With one, a
// machine would name the same to every contact, and would have none of its own to name
// to those whom it meets there.
const leastLeft = 4

// vouchedRelay is a relay of the network file.
type vouchedRelay struct {
	Operator string `json:"operator"`
	Address  string `json:"address"`
	Avoided  bool   `json:"avoided,omitempty"` // for itself or for its operator
}

// avoidAnswer is what this machine avoids.
type avoidAnswer struct {
	V         int            `json:"v"`
	Operators []string       `json:"operators"`
	Relays    []vouchedRelay `json:"relays"`      // that are avoided for themselves
	Network   []vouchedRelay `json:"network"`     // all that there are
	Left      int            `json:"relays_left"` // from which guards and own drops are drawn
	Taken     bool           `json:"taken,omitempty"`
	Restart   bool           `json:"takes_effect_at_next_online,omitempty"`
}

func (a *app) routeAvoid() *cobra.Command {
	return &cobra.Command{
		Use: "avoid [OPERATOR | HOST:PORT]", Short: "Choose no guard and no drop among some relays",
		Long: `Avoid the relays of an operator, or the relay at an address. Without an
argument, say which relays there are, and which are avoided.

It holds where this machine chooses alone: for its guards, which see its network
address, and for the drop that its side names to a contact from now on. A guard
that is avoided is replaced at once; the relay that takes its place learns this
machine's address. Drops that are agreed stay until the two machines agree anew,
and the others' choice is theirs.

What stands on the ways between guard and drop is drawn from all relays, by
everybody alike. Nobody can leave out some there: who did would be known by it.
Those see relays alone, never a machine and a box of its owner's.

What is left shows over time: contacts learn the drops that this side names, and
who sees many of them can tell which it never names. The fewer are left, the
sooner.

Take it back with "backchannel route allow".`,
		Example: "  backchannel route avoid north\n  backchannel route avoid 203.0.113.7:4129", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.avoid(cmd, args, true) },
	}
}

func (a *app) routeAllow() *cobra.Command {
	return &cobra.Command{
		Use: "allow OPERATOR | HOST:PORT", Short: "Avoid some relays no longer", Long: "Take back what was avoided. Guards that are in use stay.",
		Example: "  backchannel route allow north", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.avoid(cmd, args, false) },
	}
}

// avoid shows what is avoided, after a change if one is named.
func (a *app) avoid(cmd *cobra.Command, args []string, more bool) error {
	p, err := a.paths()
	if err != nil {
		return err
	}
	f, err := p.joined()
	if err != nil {
		return err
	}
	if f == nil {
		return node.ErrNoRelays
	}
	all := inUse(f, f.Network.EpochAt(time.Now()))
	now, err := p.avoided()
	if err != nil {
		return err
	}
	ans := avoidAnswer{V: control.Version}
	if len(args) == 1 {
		which, ok := named(all, args[0])
		if !more {
			which, ok = allowing(f.Vouchers(), now, args[0])
		}
		if !ok {
			return &control.Error{Code: "no_such_relay", Exit: control.ExitUsage, Message: "the network file names no such operator, and no relay at that address", Hint: "see whom it names: backchannel route avoid"}
		}
		now = with(now, which, more)
		if more && len(chosenFrom(all, now)) < leastLeft {
			return &control.Error{Code: "too_few_left", Exit: control.ExitRefused, Message: "too few relays would be left for two guards and a drop; nothing was changed", Hint: "avoid fewer: backchannel route allow OPERATOR"}
		}
		if err := p.keepAvoided(now); err != nil {
			return err
		}
		var taken control.AvoidAnswer
		if a.call(cmd, "route/avoid", control.Empty{}, &taken) == nil {
			ans.Taken, ans.Restart = taken.Taken, !taken.Taken
		}
	}
	ans.Operators, ans.Left = append([]string{}, now.Operators...), len(chosenFrom(all, now))
	ans.Relays = []vouchedRelay{}
	for _, v := range all {
		id := v.Relay.ID()
		r := vouchedRelay{v.Operator, v.Place.Address(), now.Has(id, v.Operator)}
		if ans.Network = append(ans.Network, r); slices.Contains(now.Relays, id) {
			ans.Relays = append(ans.Relays, r)
		}
	}
	return a.answer(ans, func() {
		if len(args) == 0 {
			for _, r := range ans.Network {
				a.say("%s %-24s %s", map[bool]string{true: "avoided", false: "       "}[r.Avoided], clean(r.Operator), r.Address)
			}
		}
		a.printAvoided(ans)
	})
}

// chosenFrom are the relays that are not avoided.
func chosenFrom(all []*directory.Voucher, not relayed.Avoided) (left []*directory.Voucher) {
	for _, v := range all {
		if !not.Has(v.Relay.ID(), v.Operator) {
			left = append(left, v)
		}
	}
	return left
}

func (a *app) printAvoided(ans avoidAnswer) {
	if len(ans.Operators)+len(ans.Relays) == 0 {
		a.say("No relay is avoided: guards and drops are drawn from all %d.", ans.Left)
		return
	}
	a.say("This machine takes for a guard, or names as a drop, no relay")
	for _, name := range ans.Operators {
		a.say("  of %s", clean(name))
	}
	for _, r := range ans.Relays {
		a.say("  at %s (%s)", r.Address, clean(r.Operator))
	}
	a.say("%s left. All others may stand between guard and drop, those above too: who\nleft some out there would be known by it.", plural(ans.Left, "relay")+is(ans.Left))
	a.say("Drops that are agreed with a contact stay, and so do those that others chose.")
	switch {
	case ans.Taken:
		a.advise("The node goes by it from now on. Its guard: %s", a.here("backchannel network show"))
	case ans.Restart:
		a.advise("The node goes by it when it is next online.")
	}
}

func is(n int) string {
	if n == 1 {
		return " is"
	}
	return " are"
}
