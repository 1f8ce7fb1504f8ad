package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/screen"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	known "github.com/backchannel/backchannel/relay/directory"
)

// A finding is one thing that check looked at.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`

	early bool // the relay that was reached is in no view yet
}

type checkAnswer struct {
	V        int       `json:"v"`
	Failed   int       `json:"failed"`
	Findings []finding `json:"findings"`
}

// checksAtOnce is how many relays are dialled at one time.
const checksAtOnce = 8

func (a *app) checkCommand() *cobra.Command {
	var only string
	c := &cobra.Command{
		Use:   "check [NETWORK-FILE]",
		Short: "Look for what is wrong with this relay, and reach the others",
		Long: `Look for what is wrong with this relay's files, then link with each relay of its
network as a principal does: TLS 1.3 with X25519MLKEM768, the key that founders
vouch for, and a question about the directory. Given a network file, check only
the relays in it; so one relay is checked from another, or from anywhere.`,
		Example: "  backchannel-relay check\n  backchannel-relay check network.pem --operator alpha",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []finding
			var file *directory.File
			var own directory.Identity // none in a file that is looked at from outside
			proxy := ""
			if len(args) == 1 {
				f, err := readNetwork(args[0])
				if err == nil {
					err = f.Verify()
				}
				if err != nil {
					return err
				}
				file = f
			} else {
				l, err := a.load()
				if err != nil {
					return err
				}
				file, proxy, own = l.file, l.settings.Proxy, l.identity()
				all = append(all, finding{Check: "files", OK: true, Text: "key, settings and network file are in order, and founders vouch for this relay"})
				all = append(all, l.ends(time.Now()))
			}
			all = append(all, a.reach(cmd.Context(), file, proxy, only, own)...)
			return a.showFindings(all, file.Network)
		},
	}
	c.Flags().StringVar(&only, "operator", "", "check only the relays of this operator")
	return c
}

// ends says for how long founders vouch for this relay.
func (l loaded) ends(now time.Time) finding {
	end := l.file.Network.Begins(l.voucher.Until)
	text := "the founders' voucher ends on " + end.Format("2 Jan 2006")
	if end.Sub(now) < 14*24*time.Hour {
		return finding{Check: "voucher", Text: text, Hint: "ask the founders for a new network file"}
	}
	return finding{Check: "voucher", OK: true, Text: text}
}

// reach links with the relays of a network, of which own is this one.
func (a *app) reach(ctx context.Context, f *directory.File, proxy, operator string, own directory.Identity) []finding {
	now := f.Network.EpochAt(time.Now())
	var relays []*directory.Voucher
	for _, v := range f.Vouchers() {
		if !v.Revoked && v.Until > now && (operator == "" || v.Operator == operator) {
			relays = append(relays, v)
		}
	}
	if len(relays) == 0 {
		return []finding{{Check: "relays", Text: "the network file names no such relay", Hint: "backchannel-relay network show network.pem"}}
	}
	all := make([]finding, len(relays))
	slots := make(chan struct{}, checksAtOnce)
	var tasks sync.WaitGroup
	for i, v := range relays {
		tasks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			all[i] = a.reachOne(ctx, f, proxy, v, v.Relay == own)
		})
	}
	tasks.Wait()
	return all
}

func (a *app) reachOne(ctx context.Context, f *directory.File, proxy string, v *directory.Voucher, own bool) finding {
	name, hint := "relay of "+v.Operator+" at "+v.Place.Address(), "is it running, and its port open? Ask its operator"
	if own {
		hint = a.whyNot(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	members, err := question(ctx, f, proxy, v)
	switch {
	case errors.Is(err, link.ErrRefused):
		return finding{Check: name, Text: "something answers there, but not this relay", Hint: hint}
	case err != nil:
		return finding{Check: name, Text: "it is not reached", Hint: hint}
	}
	return finding{Check: name, OK: true, Text: fmt.Sprintf("it answers, and knows %s of this epoch", plural(members, "relay")), early: members == 0}
}

// whyNot says what may be wrong if this relay itself is not reached.
func (a *app) whyNot(ctx context.Context) string {
	var why *fault
	if _, err := a.ask(ctx); errors.As(err, &why) && why.Code == "not_running" {
		return "it does not run yet: backchannel-relay run"
	}
	return "it runs; a firewall, or a router that leads nobody back inside: check it from another machine, too"
}

// question links with a relay and asks for its directory. It returns how many relays of
// this epoch the answer names.
func question(ctx context.Context, f *directory.File, proxy string, v *directory.Voucher) (int, error) {
	dialer, err := p2p.NewDialer(proxy)
	if err != nil {
		return 0, err
	}
	guard, err := link.DialGuard(ctx, link.GuardConfig{
		Relay: v.Relay, Address: v.Place.Address(), Dialer: dialer, Packet: f.Network.Constants.Suite.Geometry().Packet,
	})
	if err != nil {
		return 0, err
	}
	defer guard.Close()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return 0, err
	}
	set := known.Open(known.Config{Network: f.Network, Items: f.Items(), Key: key})
	asked, err := set.Question()
	if err != nil {
		return 0, err
	}
	answer, err := guard.Ask(ctx, asked)
	if err != nil {
		return 0, err
	}
	if _, err := set.Take(answer); err != nil {
		return 0, link.ErrRefused
	}
	return len(set.View(f.Network.EpochAt(time.Now())).Members()), nil
}

func (a *app) showFindings(all []finding, n *directory.Network) error {
	ans, early := checkAnswer{V: answerVersion, Findings: all}, false
	for _, f := range all {
		early = early || f.early
		if !f.OK {
			ans.Failed++
		}
	}
	if err := a.answer(ans, func() {
		for _, f := range all {
			mark := "ok   "
			if !f.OK {
				mark = "FAIL "
			}
			a.say("%s %s: %s", mark, screen.CleanLine(f.Check), f.Text)
			if f.Hint != "" {
				a.advise("      %s", a.here(f.Hint))
			}
		}
		if early {
			a.advise("Relays come into use with an epoch; the next begins at %s UTC.", n.Begins(n.EpochAt(time.Now())+1).Format("15:04:05"))
		}
	}); err != nil {
		return err
	}
	if ans.Failed > 0 {
		return &fault{"check_failed", exitCheckFailed, plural(ans.Failed, "check") + " failed", "mend what stands after FAIL, then: backchannel-relay check"}
	}
	return nil
}
