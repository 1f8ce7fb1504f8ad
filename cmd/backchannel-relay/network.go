package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

func (a *app) networkCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "network", Short: "Make, sign and look at the file of a network",
		Long: `A network is made by its founders: each makes a key, one of them writes the
file, relays are added to it, and each founder looks at it and signs. The file
goes from founder to founder; when enough have signed, everybody who is to use
the network gets it. Compare its fingerprint by another way than the file came.`,
	}
	c.AddCommand(a.networkKey(), a.networkNew(), a.networkAdd(), a.networkSign(), a.networkShow(), a.networkVerify())
	return c
}

type keyAnswer struct {
	V   int    `json:"v"`
	Key string `json:"key"`
}

func (a *app) networkKey() *cobra.Command {
	return &cobra.Command{
		Use: "key FILE", Short: "Make a founder's key",
		Long: `Make a founder's key in a file that only its owner can read, and print what
others may know of it. Keep the file off machines that are online, and a copy
elsewhere: keys of founders cannot be replaced.`,
		Example: "  backchannel-relay network key founder.key", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			public, err := newKey(args[0], founderKey)
			if err != nil {
				return err
			}
			ans := keyAnswer{answerVersion, keyText([32]byte(public), founderKey)}
			return a.answer(ans, func() {
				a.say("%s", ans.Key)
				a.advise("That is public. Hand it to who writes the network file:  --founder NAME=%s", ans.Key)
			})
		},
	}
}

func (a *app) networkNew() *cobra.Command {
	var name string
	var founders []string
	var threshold, suite int
	var k directory.Constants
	c := &cobra.Command{
		Use: "new FILE", Short: "Write the file of a new network",
		Long: `Write the file of a new network, unsigned. What stands in it never changes:
other founders or constants are another network.`,
		Example: "  backchannel-relay network new network.pem --name talks.example --threshold 2 --founder alpha=KEY --founder beta=KEY --founder gamma=KEY",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k.Suite = onion.Suite(suite)
			n, err := newNetwork(name, k, threshold, founders)
			if err != nil {
				return err
			}
			f := directory.NewFile(n)
			if err := create(args[0], []byte(f.Text()), 0o644); err != nil {
				return err
			}
			return a.showNetwork(args[0], f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&name, "name", "", "name of the network")
	flags.StringArrayVar(&founders, "founder", nil, "a founder, as NAME=KEY; once for each")
	flags.IntVar(&threshold, "threshold", 0, "founders who vouch together (default: over half)")
	flags.IntVar(&suite, "suite", int(onion.Hybrid), "1: X25519; 2: X25519 and ML-KEM-768")
	flags.DurationVar(&k.Slot, "slot", 30*time.Second, "time for ten packets of a machine")
	flags.DurationVar(&k.Mean, "delay", 20*time.Second, "mean delay of a relay")
	flags.DurationVar(&k.Epoch, "epoch", time.Hour, "life of a relay's packet keys")
	flags.DurationVar(&k.Expiry, "expiry", 96*time.Hour, "how long boxes are kept")
	flags.IntVar(&k.Pool, "pool", 15, "packets that a relay holds at least")
	flags.IntVar(&k.PerOperator, "per-operator", 8, "most relays of an operator")
	flags.IntVar(&k.PerBlock, "per-block", 4, "most relays of an address block")
	return c
}

func newNetwork(name string, k directory.Constants, threshold int, founders []string) (*directory.Network, error) {
	const example = "backchannel-relay network new --help"
	if !directory.ValidName(name) {
		return nil, badName("--name")
	}
	var list []directory.Founder
	for _, f := range founders {
		who, text, ok := strings.Cut(f, "=")
		if !ok || !directory.ValidName(who) {
			return nil, usage("a founder is a name, an equals sign and the key", example)
		}
		key, err := parseKey(text, founderKey)
		if err != nil {
			return nil, err
		}
		list = append(list, directory.Founder{Key: key, Name: who})
	}
	if len(list) == 0 {
		return nil, usage("a network needs a founder", example)
	}
	if threshold == 0 {
		threshold = len(list)/2 + 1
	}
	if threshold < 0 || threshold > len(list) {
		return nil, usage("the threshold is from 1 to the number of founders", example)
	}
	n, err := directory.NewNetwork(name, k, threshold, list)
	if err != nil {
		return nil, usage("a founder is named twice, or a constant is out of its bounds", example)
	}
	return n, nil
}

func (a *app) networkAdd() *cobra.Command {
	var relay, operator, address string
	var life time.Duration
	var revoke bool
	c := &cobra.Command{
		Use: "add FILE", Short: "Add a relay to a network file, or revoke one",
		Long: `Add a relay to a network file, with a voucher that founders sign afterwards. A
relay that is in it gets a new voucher, with a higher serial. With --revoke the
new voucher ends the relay.`,
		Example: "  backchannel-relay network add network.pem --relay KEY --operator alpha --address 203.0.113.7:4129\n" +
			"  backchannel-relay network add network.pem --relay KEY --revoke",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := readNetwork(args[0])
			if err != nil {
				return missing(err)
			}
			key, err := parseKey(relay, relayKey)
			if err != nil {
				return err
			}
			old := voucherOf(f, directory.Identity(key))
			var v *directory.Voucher
			if revoke {
				if old == nil {
					return usage("the file names no such relay", "backchannel-relay network show network.pem")
				}
				v = old.Revoke()
			} else if v, err = newVoucher(f, key, operator, address, life); err != nil {
				return err
			}
			f.Put(v)
			if err := replace(args[0], []byte(f.Text()), 0o644); err != nil {
				return err
			}
			return a.showNetwork(args[0], f)
		},
	}
	c.Flags().StringVar(&relay, "relay", "", "the relay's key, as init printed it")
	c.Flags().StringVar(&operator, "operator", "", "name of who runs it")
	c.Flags().StringVar(&address, "address", "", "host:port where it is reached")
	c.Flags().DurationVar(&life, "life", 365*24*time.Hour, "for how long the founders vouch")
	c.Flags().BoolVar(&revoke, "revoke", false, "end this relay")
	return c
}

func voucherOf(f *directory.File, id directory.Identity) *directory.Voucher {
	for _, v := range f.Vouchers() {
		if v.Relay == id {
			return v
		}
	}
	return nil
}

// newVoucher makes a voucher that counts over the one in the file. A later one must not
// end sooner than an earlier one.
func newVoucher(f *directory.File, key [32]byte, operator, address string, life time.Duration) (*directory.Voucher, error) {
	if !directory.ValidName(operator) {
		return nil, badName("--operator")
	}
	place, err := identity.PlaceOf(address)
	if err != nil {
		return nil, err
	}
	now := f.Network.EpochAt(time.Now())
	epochs := life / f.Network.Constants.Epoch
	if epochs < 2 || epochs > 1<<31 {
		return nil, usage("the life of a voucher is at least two epochs", "backchannel-relay network add --help")
	}
	v := &directory.Voucher{Relay: directory.Identity(key), From: now, Until: now + directory.Epoch(epochs), Operator: operator, Place: place}
	if old := voucherOf(f, v.Relay); old != nil {
		v.Serial, v.From, v.Until = old.Serial+1, min(old.From, v.From), max(old.Until, v.Until)
	}
	return v, nil
}

// founderLines is who founded a network, and who has signed.
func founderLines(f *directory.File) (all []founderAnswer) {
	signed := map[string]bool{}
	for _, name := range f.Consents() {
		signed[name] = true
	}
	for _, w := range f.Network.Founders {
		all = append(all, founderAnswer{w.Name, keyText(w.Key, founderKey), signed[w.Name]})
	}
	return all
}

func bytesADay(n int64) string { return fmt.Sprintf("%d MB", (n+500_000)/1_000_000) }
