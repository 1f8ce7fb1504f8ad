package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/harden"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/relay"
	"github.com/backchannel/backchannel/relay/drop"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the relay in this terminal until it is stopped",
		Long: `Run the relay until Ctrl-C, or until the system stops it. It is in use from the
next epoch on. It writes no log; ask it with "backchannel-relay status".`,
		Example: "  backchannel-relay run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := harden.Overwrite(); err != nil {
				return &fault{"not_anew", exitFailed, "the program cannot begin anew, and without that it would not overwrite what it frees of its memory", "say so in its environment: GODEBUG=clobberfree=1 backchannel-relay run"}
			}
			l, err := a.load()
			if err != nil {
				return err
			}
			return a.runRelay(cmd.Context(), l)
		},
	}
}

// loaded is a relay's home, read and checked.
type loaded struct {
	home     home
	settings settings
	file     *directory.File
	key      ed25519.PrivateKey
	voucher  *directory.Voucher // the founders' word on this relay
}

// load reads all that a relay needs to start.
func (a *app) load() (l loaded, err error) {
	if l.home, err = a.place(); err != nil {
		return l, err
	}
	if l.settings, err = l.home.settings(); err != nil {
		return l, err
	}
	if l.key, err = readKey(l.home.keyFile(), relayKey); err != nil {
		return l, err
	}
	if l.file, err = l.home.network(); err != nil {
		return l, err
	}
	self := l.identity()
	for _, v := range l.file.Vouchers() {
		if v.Relay == self {
			l.voucher = v
		}
	}
	return l, l.vouched(time.Now())
}

func (l loaded) identity() directory.Identity {
	return directory.Identity(l.key.Public().(ed25519.PublicKey))
}

// vouched says why founders' words do not let this relay in.
func (l loaded) vouched(now time.Time) error {
	n := l.file.Network
	switch v := l.voucher; {
	case v == nil:
		return &fault{"not_vouched", exitRefused, "the network file does not name this relay: the founders have not vouched for it", "hand them its line: backchannel-relay network add network.pem --relay " + keyText(l.identity(), relayKey) + " --operator alpha --address " + l.settings.Address}
	case v.Revoked:
		return &fault{"revoked", exitRefused, "the founders have revoked this relay", "ask the founders"}
	case v.Until <= n.EpochAt(now):
		return &fault{"voucher_ended", exitClosed, "the founders' voucher for this relay has ended, or the clock of this machine is wrong", "check the clock, or ask the founders for a new network file"}
	}
	return nil
}

func (a *app) runRelay(ctx context.Context, l loaded) (err error) {
	if err := l.home.free(); err != nil {
		return err
	}
	place, err := identity.PlaceOf(l.settings.Address)
	if err != nil {
		return err
	}
	dialer, err := p2p.NewDialer(l.settings.Proxy)
	if err != nil {
		return err
	}
	cfg := relay.Config{
		Network: l.file.Network, Items: l.file.Items(), Key: l.key, Listen: l.settings.Listen, Places: []identity.Place{place},
		Dir: string(l.home), Dialer: dialer, MaxClients: l.settings.Clients,
	}
	boxes, err := l.boxes()
	if err != nil {
		return err
	}
	if boxes != nil {
		cfg.Drop = boxes
		defer func() { err = errors.Join(err, boxes.Close()) }()
	}
	r, err := relay.Open(cfg)
	if err != nil {
		return err
	}
	s, err := listenLocally(l, r, boxes)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var tasks sync.WaitGroup
	var failed [3]error
	for i, task := range []func(context.Context) error{r.Run, s.run, s.notify} {
		tasks.Go(func() {
			defer cancel()
			failed[i] = task(ctx)
		})
	}
	a.note("The relay runs, and listens on %s. It is in use from the next epoch on.", r.Address())
	a.note("See how it stands: %s", a.here("backchannel-relay status"))
	tasks.Wait()
	return errors.Join(failed[:]...)
}

// boxes opens the drop; nil if this relay keeps none.
func (l loaded) boxes() (*drop.Store, error) {
	if l.settings.Boxes == 0 {
		return nil, nil //nolint:nilnil // no drop is no error
	}
	keys := l.settings.Keys
	if keys != "" && !filepath.IsAbs(keys) {
		keys = filepath.Join(string(l.home), keys)
	}
	return drop.Open(drop.Config{
		Dir: l.home.drop(), ID: l.identity().ID(), KeyFile: keys, Expiry: l.file.Network.Constants.Expiry,
		Limit: int64(l.settings.Boxes) << 30, MinFree: int64(l.settings.Free) << 30, Policy: drop.Work{Most: l.settings.Work},
	})
}
