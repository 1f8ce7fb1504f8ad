package main

import (
	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "Say how the node stands",
		Example: "  backchannel status\n  backchannel status --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return a.watchStatus(cmd)
			}
			var s control.StatusAnswer
			if err := a.call(cmd, "status", control.Empty{}, &s); err != nil {
				return err
			}
			return a.answer(s, func() { a.printStatus(s) })
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "go on showing what changes; screens lock all the same")
	return c
}

func (a *app) printStatus(s control.StatusAnswer) {
	switch s.State {
	case "locked":
		a.say("The node runs (process %d), locked. Nothing is received until: %s", s.PID, a.here("backchannel online"))
	case "resting":
		a.say("The node runs (process %d) and receives; its screens are locked after a rest: %s", s.PID, a.here("backchannel online"))
	case "open":
		a.say("The node runs (process %d), open; its screens lock at %s.", s.PID, localTime(s.LocksAt))
		if !s.Online && s.Cover {
			a.say("It is offline. Nothing is written or received, and nothing of yours is sent, until: %s", a.here("backchannel online"))
		} else if !s.Online {
			a.say("It is offline. Nothing is written, sent or received until: %s", a.here("backchannel online"))
		}
	}
	if s.Failed != "" {
		a.say("It locked by itself: %s.", s.Failed)
	}
	if s.DiskFull {
		a.say("THE DISK IS FULL. Nothing was lost. Nothing is received or sent until there is space.")
	}
	if s.VaultFull {
		a.say("THE VAULT IS FULL. Nothing was lost. What is new is neither received nor sent until\nthere is room: remove messages that you do not need, or burn a conversation.")
	}
	switch {
	case !s.Online:
	case s.Listening:
		a.say("It listens, and hands out %s.", s.Address)
	default:
		a.say("It does not listen; it reaches out itself.")
	}
	if s.RelayNetwork != nil {
		a.say("Relay network %s:", clean(s.RelayNetwork.Name))
		a.sayRelayNetwork(*s.RelayNetwork)
		a.sayCover(s.Cover, *s.RelayNetwork)
	}
	if s.State == "open" {
		a.printContacts(s.Contacts)
		a.statusBackup(s)
	}
}

// printContacts prints a line or two for each contact.
func (a *app) printContacts(list []control.Contact) {
	if len(list) == 0 {
		a.say("No contacts yet: %s", a.here("backchannel invite new, or backchannel invite accept"))
		return
	}
	for _, c := range list {
		a.say("%3d  %-24s  %s", c.Number, cleanLine(c.Name), contactLine(c))
		for _, w := range warnings(c) {
			a.say("     ! %s", a.here(w))
		}
	}
}

// contactLine says in a few words how a contact stands.
func contactLine(c control.Contact) string {
	line := verifiedLine(c)
	switch {
	case c.Stage != "met":
		line += " · invitation: " + string(c.Invitation)
	case c.Connected:
		line += " · connected"
	case c.HeardFrom != "":
		line += " · last heard from between " + localTime(c.HeardFrom) + " and " + localTime(c.HeardTo)
	}
	if c.Waiting > 0 {
		line += " · " + plural(c.Waiting, "message") + " not confirmed"
	}
	return line
}

func verifiedLine(c control.Contact) string {
	if c.VerifiedAt != "" {
		return string(c.Verified) + " " + localTime(c.VerifiedAt)
	}
	switch {
	case c.Verified == control.Word(channel.NotVerified.String()) && c.IntroducedBy != "":
		return "introduced by " + cleanLine(c.IntroducedBy) + ", not compared"
	case c.Verified == control.Word(channel.NotVerified.String()) && c.Introduced:
		return "introduced, not compared"
	default:
		return string(c.Verified)
	}
}

// warnings says what a person should act on.
func warnings(c control.Contact) []string {
	var w []string
	if c.UsedTwice {
		w = append(w, "the invitation was USED TWICE. Trust this contact only after comparing words by voice.")
	}
	if c.Paused && !c.OwnConsent {
		w = append(w, "sending is paused after a recovery: backchannel contact verify "+itoa(int(c.Number))+", or: backchannel contact resume "+itoa(int(c.Number)))
	}
	if c.Paused && c.OwnConsent && !c.PeerConsent {
		w = append(w, "sending is paused until they say to go on, too.")
	}
	if c.Proposed > 0 {
		w = append(w, plural(c.Proposed, "charter")+" of theirs to be answered: backchannel channel list "+itoa(int(c.Number)))
	}
	if c.WindowFull {
		w = append(w, "200 messages are not confirmed; further ones wait here.")
	}
	if c.OtherRelays {
		w = append(w, "your machine and theirs see different relays: one of you may be shown a false network. Compare by voice what both read: backchannel network show")
	}
	if c.ClockOff != 0 {
		ahead := "ahead of"
		if c.ClockOff < 0 {
			ahead, c.ClockOff = "behind", -c.ClockOff
		}
		w = append(w, "their clock is "+itoa(int(c.ClockOff/60))+" minutes "+ahead+" yours: one of the two is wrong. Messages go through; deadlines and expiry may be off.")
	}
	return w
}
