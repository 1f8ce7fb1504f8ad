package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/screen"
)

// maxStatus bounds what is read of an answer.
const maxStatus = 1 << 20

// ask asks the relay that runs in this home.
func (a *app) ask(ctx context.Context) (s statusAnswer, err error) {
	h, err := a.place()
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", h.socket())
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://relay/v1/status", http.NoBody)
	if err != nil {
		return s, err
	}
	answer, err := client.Do(r)
	var dial *net.OpError
	switch {
	case ctx.Err() != nil:
		return s, ctx.Err()
	case errors.As(err, &dial) && dial.Op == "dial":
		return s, &fault{"not_running", exitNotRunning, "no relay is running here", "backchannel-relay run"}
	case err != nil || answer.StatusCode != http.StatusOK:
		if err == nil {
			_ = answer.Body.Close()
		}
		return s, &fault{"stopping", exitNotRunning, "the relay is starting or stopping", "repeat the command in a moment"}
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxStatus)).Decode(&s); err != nil {
		return s, &fault{"failed", exitFailed, "the answer of the relay cannot be read", "restart it: backchannel-relay run"}
	}
	return s, nil
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say how the running relay stands",
		Long: `Say how the running relay stands. Numbers of packets and of clients are rounded
down, on purpose: exact ones would be a record of traffic.`,
		Example: "  backchannel-relay status\n  backchannel-relay status --json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.ask(cmd.Context())
			if err != nil {
				return err
			}
			return a.answer(s, func() { a.printStatus(s) })
		},
	}
}

func (a *app) printStatus(s statusAnswer) {
	ends, _ := time.Parse(time.RFC3339, s.EpochEnds)
	switch s.State {
	case stateInUse:
		a.say("The relay runs (process %d) and is in use.", s.PID)
	case stateRevoked:
		a.say("The relay runs (process %d), BUT THE FOUNDERS HAVE REVOKED IT, or their voucher has ended.", s.PID)
	case stateCrowded:
		a.say("The relay runs (process %d), and is not in use.", s.PID)
	default:
		a.say("The relay runs (process %d), and is not in use before the next epoch: %s UTC.", s.PID, ends.UTC().Format("15:04:05"))
	}
	a.say("network    %s   %s", screen.CleanLine(s.Network), s.Fingerprint)
	a.say("relay      %s of %s, at %s", s.Relay, screen.CleanLine(s.Operator), screen.CleanLine(s.Address))
	a.say("view       %s of %s; linked with %d of %d", plural(s.Members, "relay"), plural(s.Operators, "operator"), s.Linked, s.Neighbours)
	a.say("clients    %s", roughly(s.Clients))
	a.say("packets    %s", packetsLine(s.Packets))
	a.say("loops      %s came back, %s lost", roughly(s.Loops.Returned), roughly(s.Loops.Lost))
	if s.Boxes != nil {
		a.say("boxes      %s kept; %d%% of today's room is taken", roughly(s.Boxes.Kept), s.Boxes.Full)
	} else {
		a.say("boxes      none are kept here")
	}
	for _, w := range s.faults(time.Now()) {
		a.say("     ! %s", w)
	}
}

// roughly shows a number that was rounded down.
func roughly(n uint64) string {
	if n == 0 {
		return "fewer than 10"
	}
	return fmt.Sprintf("about %d", n)
}

func packetsLine(p map[string]uint64) string {
	var dropped uint64
	for reason, n := range p {
		switch reason {
		case "forwarded", "delivered", "answered", "own_loop":
		default:
			dropped += n
		}
	}
	var parts []string
	for _, reason := range []string{"forwarded", "delivered", "answered"} {
		parts = append(parts, roughly(p[reason])+" "+reason)
	}
	return strings.Join(append(parts, roughly(dropped)+" refused or lost"), ", ")
}

// faults says what an operator should act on.
func (s statusAnswer) faults(now time.Time) (all []string) {
	started, _ := time.Parse(time.RFC3339, s.Started)
	late := now.Sub(started) > time.Minute
	switch s.State {
	case stateRevoked:
		all = append(all, "the founders have revoked this relay, or their voucher has ended")
	case stateWaiting, stateInUse:
	case stateCrowded:
		all = append(all, "it is left out: as many relays as the network allows of one operator, or of one block of addresses, were admitted before it")
	case stateLeftOut:
		all = append(all, "the other relays do not know this one: is its port open to them?")
	}
	if late && 2*s.Linked < s.Neighbours {
		all = append(all, fmt.Sprintf("it is linked with %d of %d relays: is its port open to them?", s.Linked, s.Neighbours))
	}
	if s.Loops.Alarm {
		all = append(all, "half of its last loops were lost: somebody near it may be holding packets back, or most links are down")
	}
	if s.Boxes != nil && s.Boxes.Damaged > 0 {
		all = append(all, plural(s.Boxes.Damaged, "day")+" of boxes could not be read, and are lost")
	}
	if s.Muted {
		all = append(all, "its disk takes nothing: others use this relay for an epoch or two from what it said before. Free some space")
	}
	if s.Boxes != nil && s.Boxes.NoSpace {
		all = append(all, "no boxes are taken: the disk has less room than is to stay free (free in relay.toml)")
	}
	if s.Boxes != nil && s.Boxes.Broken {
		all = append(all, "no boxes are taken: the disk has failed. Look at it, then start the relay anew")
	}
	if s.Boxes != nil && s.Boxes.Full >= 100 {
		all = append(all, "there is no room for boxes now")
	}
	return all
}

// healthAnswer is what a supervisor asks.
type healthAnswer struct {
	V       int        `json:"v"`
	Healthy bool       `json:"healthy"`
	State   relayState `json:"state"`
	Faults  []string   `json:"faults"`
}

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Say whether the running relay is well, by the exit code",
		Long: `Say whether the running relay is well: exit code 0 if it is, 10 if it needs
somebody, 3 if none runs.`,
		Example: "  backchannel-relay health --quiet", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.ask(cmd.Context())
			if err != nil {
				return err
			}
			ans := healthAnswer{V: answerVersion, State: s.State, Faults: append([]string{}, s.faults(time.Now())...)}
			if ans.Healthy = len(ans.Faults) == 0; !ans.Healthy {
				return &fault{"not_well", exitCheckFailed, strings.Join(ans.Faults, "; "), "backchannel-relay check"}
			}
			return a.answer(ans, func() { a.advise("The relay is well.") })
		},
	}
}
