package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/control"
)

func (a *app) routeCommand() *cobra.Command {
	c := &cobra.Command{Use: "route", Short: "Say and choose how a contact is reached, and who sees what"}
	c.AddCommand(a.routeShow(), a.routeSet(), a.routeAvoid(), a.routeAllow())
	return c
}

func (a *app) routeShow() *cobra.Command {
	return &cobra.Command{
		Use: "show [CONTACT]", Short: "Say how a contact is reached, and what each relay sees",
		Example: "  backchannel route show 1", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := a.contactArg(args)
			if err != nil {
				return err
			}
			var r control.RouteAnswer
			if err := a.call(cmd, "route/show", control.NameRequest{Name: name}, &r); err != nil {
				return err
			}
			return a.answer(r, func() { a.printRoute(r) })
		},
	}
}

func (a *app) routeSet() *cobra.Command {
	return &cobra.Command{
		Use: "set CONTACT ROUTE", Short: "Choose direct, relayed or both",
		Long: `Choose by which routes a contact is talked to:

  both      directly while there is a connection, else over relays
  relayed   over relays alone: they do not see this machine's address any more
  direct    never over relays

It can be changed at any time, also while something is under way: nothing is
lost by it, and nothing arrives twice. Files go the same way; over relays they
take long, which is said before one is sent.`,
		Example: "  backchannel route set 1 relayed", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var r control.RouteAnswer
			if err := a.call(cmd, "route/set", control.RouteRequest{Name: args[0], Route: control.Word(args[1])}, &r); err != nil {
				return err
			}
			return a.answer(r, func() { a.printRoute(r) })
		},
	}
}

func (a *app) printRoute(r control.RouteAnswer) {
	name := quoted(r.Contact.Name)
	switch r.Route {
	case "direct":
		a.say("%s is reached directly, and never over relays.", name)
	case "relayed":
		a.say("%s is reached over relays alone.", name)
	default:
		a.say("%s is reached directly while there is a connection, else over relays.", name)
	}
	switch {
	case r.Direct:
		a.say("Now: directly. %s SEES THIS MACHINE'S NETWORK ADDRESS, and when it is on.", name)
	case r.Route != "direct" && r.Agreed:
		a.say("Now: over relays.")
	default:
		a.say("Now: not connected.")
	}
	if r.Route == "direct" {
		if !r.Direct && !r.Contact.Reachable {
			a.say("! This machine cannot dial theirs. What you write waits here until theirs dials this one.")
			a.advise("  be reachable        %s", a.here("backchannel node listen on --address HOST:PORT"))
			a.advise("  or take relays, too %s", a.here("backchannel route set CONTACT both"))
		}
		return
	}
	a.printRelays(r)
}

// printRelays says what each relay sees. It is computed from the contact's own relays.
func (a *app) printRelays(r control.RouteAnswer) {
	switch {
	case !r.Joined:
		a.say("This machine is in no relay network, or not online in it.")
		a.advise("  join one   %s", a.here("backchannel network join network.pem"))
		return
	case r.Mending:
		a.say("! The keys of this conversation are lost: one of the two machines was put back to an\n  older state, or restored. New ones are made over the relays. That takes hours if both\n  machines are on, and days if they are on by turns. Then both of you say to go on.")
		return
	case r.Lost:
		a.say("! The keys of this conversation are lost: one of the two machines was put back to an\n  older state, or restored. That is mended over a direct connection alone.")
		a.advise("  allow one           %s", a.here("backchannel route set CONTACT both"))
		a.advise("  or meet once more   %s", a.here("backchannel invite new"))
		return
	case !r.Agreed && r.Route == "relayed":
		a.say("The two machines agree on keys over a relay. Nothing else goes before they have.")
		return
	case !r.Agreed:
		a.say("No drops are agreed yet: both machines have to be in the same network, and connected\ndirectly once.")
		return
	case len(r.Relays) == 0:
		a.say("Too few relays are known at present; nothing goes over them until there are more.")
		return
	}
	a.say("\n%-7s %-28s %-32s %s", "WHO", "RUN BY", "SEES", "DOES NOT SEE")
	for _, w := range r.Relays {
		sees, not := "boxes of one size, each once", "you, "+cleanLine(r.Contact.Name)+", text"
		if w.Role == "guard" {
			sees, not = "your network address, when on", "text, "+cleanLine(r.Contact.Name)+", which drop"
		}
		who := string(w.Role)
		a.say("%-7s %-28s %-32s %s", who, clean(w.Operator)+" "+w.Address, sees, not)
	}
	a.say("What stands between them is drawn anew for each packet, and sees relays alone.")
	a.sayLosing(r.Relays)
	if r.Twice {
		a.say("! ONE OPERATOR STANDS IN TWO OF THESE PLACES: it can guess by timing which boxes are\n  yours.")
	}
	a.say("\nA text is there in about %s, if their machine is on; in %s at the latest, if nothing\nis lost. It waits up to %d h for a machine that is off.",
		span(r.Expected), span(r.Latest), r.KeptHours)
	if r.FileHour > 0 {
		a.say("A file goes at about %s an hour, if both machines are on.", size(uint64(r.FileHour)))
	}
}

// sayLosing says which of a contact's own relays lose packets.
func (a *app) sayLosing(relays []control.RelaySeen) {
	for _, w := range relays {
		switch {
		case !w.Losing:
		case w.Role == "guard":
			a.say("! PACKETS ARE LOST at the guard, or on the line to it. Texts are sent again, and come\n  late. Somebody may be holding back all but yours.")
			a.adviseGuard(w.Address, w.Line)
		default:
			a.say("! THE DROP AT %s LOSES PACKETS. Each box goes to two of the three, so that texts\n  come by the others, later.", w.Address)
		}
	}
}

// adviseGuard says how to get another guard, unless the one before lost packets, too:
// then it would be no help, and one relay more would learn this machine's address.
func (a *app) adviseGuard(address string, before bool) {
	if before {
		a.say("  The guard before lost them, too. It is most likely the line: another guard would\n  not help.")
		return
	}
	a.say("  It may be the line. If other things work well over it:")
	a.advise("  another guard   %s", a.here("backchannel route avoid "+address))
}

// relayed returns how a contact is reached if what is sent now goes over relays, else
// nil.
func (a *app) relayed(cmd *cobra.Command, to control.Contact) *control.RouteAnswer {
	r := a.routeTo(cmd, to)
	if r.Direct || !r.Agreed || r.Route == "direct" || r.Expected == 0 {
		return nil
	}
	return &r
}

// routeTo returns how a contact is reached; nothing is in it if the node does not say.
func (a *app) routeTo(cmd *cobra.Command, to control.Contact) (r control.RouteAnswer) {
	_ = a.call(cmd, "route/show", control.NameRequest{Name: itoa(int(to.Number))}, &r)
	return r
}

// sayExpected says when a text that goes over relays is there, before it is written and after.
func (a *app) sayExpected(r *control.RouteAnswer, say func(string, ...any)) {
	if r == nil || a.quiet {
		return
	}
	say("Over relays: there in about %s if their machine is on, in %s at the latest\nif nothing is lost. It waits %d h for a machine that is off.", span(r.Expected), span(r.Latest), r.KeptHours)
}

// span is a time in seconds, as a person says it.
func span(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d < 2*time.Minute:
		return plural(int(d/time.Second), "second")
	case d < 2*time.Hour:
		return plural(int((d+30*time.Second)/time.Minute), "minute")
	case d < 48*time.Hour:
		return plural(int((d+30*time.Minute)/time.Hour), "hour")
	default:
		return plural(int((d+12*time.Hour)/(24*time.Hour)), "day")
	}
}
