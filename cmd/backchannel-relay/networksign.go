package main

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/cmd/internal/screen"
	"github.com/backchannel/backchannel/protocol/directory"
)

type founderAnswer struct {
	Name   string `json:"name"`
	Key    string `json:"key"`
	Signed bool   `json:"signed"`
}

type voucherAnswer struct {
	Relay    string   `json:"relay"`
	Operator string   `json:"operator"`
	Address  string   `json:"address"`
	Serial   uint32   `json:"serial"`
	Revoked  bool     `json:"revoked"`
	From     string   `json:"from"`
	Until    string   `json:"until"`
	SignedBy []string `json:"signed_by"`
	Complete bool     `json:"complete"`
	Crowded  bool     `json:"crowded"`
}

// networkAnswer is what a network file says.
type networkAnswer struct {
	V           int             `json:"v"`
	Name        string          `json:"name"`
	Fingerprint string          `json:"fingerprint"`
	Complete    bool            `json:"complete"`
	Threshold   int             `json:"threshold"`
	Founders    []founderAnswer `json:"founders"`
	Suite       int             `json:"suite"`
	Slot        int64           `json:"slot_seconds"`
	Delay       int64           `json:"delay_milliseconds"`
	Epoch       int64           `json:"epoch_seconds"`
	Expiry      int64           `json:"expiry_hours"`
	Pool        int             `json:"pool"`
	PerOperator int             `json:"per_operator"`
	PerBlock    int             `json:"per_block"`
	BytesPerDay int64           `json:"bytes_per_day"`
	Relays      []voucherAnswer `json:"relays"`
	Few         bool            `json:"few_operators"`
}

func answerOf(f *directory.File) networkAnswer {
	n, k := f.Network, f.Network.Constants
	ans := networkAnswer{
		V: answerVersion, Name: n.Name, Fingerprint: n.Fingerprint(), Complete: f.Verify() == nil, Threshold: n.Threshold, Founders: founderLines(f),
		Suite: int(k.Suite), Slot: int64(k.Slot / time.Second), Delay: k.Mean.Milliseconds(), Epoch: int64(k.Epoch / time.Second), Expiry: int64(k.Expiry / time.Hour),
		Pool: k.Pool, PerOperator: k.PerOperator, PerBlock: k.PerBlock, BytesPerDay: k.BytesPerDay(), Relays: []voucherAnswer{},
		Few: f.Count(n.EpochAt(time.Now())).FewOperators(),
	}
	crowded := f.Crowded(n.EpochAt(time.Now()))
	for _, v := range f.Vouchers() {
		ans.Relays = append(ans.Relays, voucherAnswer{
			Relay: keyText(v.Relay, relayKey), Operator: v.Operator, Address: v.Place.Address(), Serial: v.Serial, Revoked: v.Revoked,
			From: stamp(n.Begins(v.From)), Until: stamp(n.Begins(v.Until)), SignedBy: append([]string{}, v.SignedBy(n)...), Complete: v.Complete(n),
			Crowded: slices.Contains(crowded, v.Relay),
		})
	}
	return ans
}

// showNetwork prints what a network file says.
func (a *app) showNetwork(path string, f *directory.File) error {
	ans := answerOf(f)
	return a.answer(ans, func() {
		a.say("network      %s", ans.Name)
		a.say("fingerprint  %s", ans.Fingerprint)
		a.say("constants    suite %d, slot %d s, delay %d ms, epoch %d s, boxes for %d h", ans.Suite, ans.Slot, ans.Delay, ans.Epoch, ans.Expiry)
		a.say("             a machine that is on sends %s a day, and receives as much", bytesADay(ans.BytesPerDay))
		a.say("founders     %d, of whom %d vouch together", len(ans.Founders), ans.Threshold)
		for _, w := range ans.Founders {
			state := "has not signed"
			if w.Signed {
				state = "has signed"
			}
			a.say("  %-32s %s", w.Name, state)
		}
		a.say("relays       %d", len(ans.Relays))
		for _, r := range ans.Relays {
			a.say("  %-32s %s", r.Operator+" "+r.Address, relayLine(r))
		}
		if slices.ContainsFunc(ans.Relays, func(r voucherAnswer) bool { return r.Crowded }) {
			a.say("left out     at most %d of one operator and %d of one block of addresses count", ans.PerOperator, ans.PerBlock)
		}
		if ans.Few {
			a.say("operators    under %d: a drop's host can guess which boxes are one writer's", directory.ManyOperators)
		}
		if !ans.Complete {
			a.say("This is a draft: founders have to sign it.")
			a.advise("  %s", a.here("backchannel-relay network sign "+screen.Quote(path)+" --key founder.key"))
		}
	})
}

func relayLine(r voucherAnswer) string {
	state := "until " + r.Until[:10]
	if r.Revoked {
		state = "revoked"
	}
	if r.Crowded {
		state += ", LEFT OUT"
	}
	signed := "signed by nobody"
	if len(r.SignedBy) > 0 {
		signed = "signed by " + strings.Join(r.SignedBy, ", ")
	}
	return state + ", " + signed
}

// missing says of a network file that it is not there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &fault{"no_network", exitFailed, "there is no such network file", "backchannel-relay network new --help"}
	}
	return err
}

func (a *app) networkSign() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "sign FILE --key KEY-FILE", Short: "Sign a network file as a founder",
		Long: `Sign the network and every voucher in the file. Look at all of them first, with
network show: whoever signs vouches for each relay, its operator and address.`,
		Example: "  backchannel-relay network sign network.pem --key founder.key", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := readNetwork(args[0])
			if err != nil {
				return missing(err)
			}
			if key == "" {
				return usage("a founder signs with a key", "backchannel-relay network sign network.pem --key founder.key")
			}
			private, err := readKey(key, founderKey)
			if err != nil {
				return err
			}
			defer clear(private)
			if err := f.Sign(private); err != nil {
				return err
			}
			if err := replace(args[0], []byte(f.Text()), 0o644); err != nil {
				return err
			}
			return a.showNetwork(args[0], f)
		},
	}
	c.Flags().StringVar(&key, "key", "", "file of the founder's key")
	return c
}

func (a *app) networkShow() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Show what a network file says, and who has signed it",
		Example: "  backchannel-relay network show network.pem", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := readNetwork(args[0])
			if err != nil {
				return missing(err)
			}
			return a.showNetwork(args[0], f)
		},
	}
}

type verifyAnswer struct {
	V           int    `json:"v"`
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Relays      int    `json:"relays"`
	Operators   int    `json:"operators"`
	Ended       int    `json:"ended"`
	Few         bool   `json:"few_operators"`
	Crowded     int    `json:"crowded"`
}

func (a *app) networkVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Say whether enough founders have signed a network file",
		Long: `Say whether every signature in a network file fits, and whether enough founders
have signed it and each relay. It cannot say whether the founders are who they
say: compare the fingerprint with somebody whom you know.`,
		Example: "  backchannel-relay network verify network.pem", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := readNetwork(args[0])
			if err == nil {
				err = f.Verify()
			}
			if err != nil {
				return missing(err)
			}
			c := f.Count(f.Network.EpochAt(time.Now()))
			ans := verifyAnswer{answerVersion, f.Network.Name, f.Network.Fingerprint(), c.Relays, c.Operators, c.Ended, c.FewOperators(), len(f.Crowded(f.Network.EpochAt(time.Now())))}
			return a.answer(ans, func() {
				a.say("Enough founders of %s have signed it: %s of %s.", ans.Name, plural(ans.Relays, "relay"), plural(ans.Operators, "operator"))
				a.say("Compare the fingerprint by voice:  %s", ans.Fingerprint)
				if ans.Crowded > 0 {
					k := f.Network.Constants
					a.say("%s left out: at most %d of one operator and %d of one block of addresses count.", plural(ans.Crowded, "relay"), k.PerOperator, k.PerBlock)
				}
				if c.Relays-ans.Crowded < directory.MinRelays || c.Operators < directory.MinOperators {
					a.say("That is too few to hide in: at least %d relays of %d operators are needed.", directory.MinRelays, directory.MinOperators)
				} else if ans.Few {
					a.say("Under %d operators: a drop's host can guess which boxes are one writer's.", directory.ManyOperators)
				}
			})
		},
	}
}
