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
				file, proxy = l.file, l.settings.Proxy
				all = append(all, finding{"files", true, "key, settings and network file are in order, and founders vouch for this relay", ""})
				all = append(all, l.ends(time.Now()))
			}
			all = append(all, a.reach(cmd.Context(), file, proxy, only)...)
			return a.showFindings(all)
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
		return finding{"voucher", false, text, "ask the founders for a new network file"}
	}
	return finding{"voucher", true, text, ""}
}

// reach links with the relays of a network.
func (a *app) reach(ctx context.Context, f *directory.File, proxy, operator string) []finding {
	now := f.Network.EpochAt(time.Now())
	var relays []*directory.Voucher
	for _, v := range f.Vouchers() {
		if !v.Revoked && v.Until > now && (operator == "" || v.Operator == operator) {
			relays = append(relays, v)
		}
	}
	if len(relays) == 0 {
		return []finding{{"relays", false, "the network file names no such relay", "backchannel-relay network show network.pem"}}
	}
	all := make([]finding, len(relays))
	slots := make(chan struct{}, checksAtOnce)
	var tasks sync.WaitGroup
	for i, v := range relays {
		tasks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			all[i] = a.reachOne(ctx, f, proxy, v)
		})
	}
	tasks.Wait()
	return all
}

func (a *app) reachOne(ctx context.Context, f *directory.File, proxy string, v *directory.Voucher) finding {
	name := "relay of " + v.Operator + " at " + v.Place.Address()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	members, err := question(ctx, f, proxy, v)
	switch {
	case errors.Is(err, link.ErrRefused):
		return finding{name, false, "something answers there, but not this relay", "is it running? backchannel-relay status"}
	case err != nil:
		return finding{name, false, "it is not reached", "is it running, and its port open? backchannel-relay status"}
	}
	return finding{name, true, fmt.Sprintf("it answers, and knows %s of this epoch", plural(members, "relay")), ""}
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

func (a *app) showFindings(all []finding) error {
	ans := checkAnswer{V: answerVersion, Findings: all}
	for _, f := range all {
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
	}); err != nil {
		return err
	}
	if ans.Failed > 0 {
		return &fault{"check_failed", exitCheckFailed, plural(ans.Failed, "check") + " failed", "mend what stands after FAIL, then: backchannel-relay check"}
	}
	return nil
}
