package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `Plays a network of relays in virtual time, with the code of this repository, and writes
what somebody sees who taps every link (--trace) and what was true (--truth).

  backchannel-sim --users 10 --relays 6 --operators 3 --hours 24 --talking-pairs 3 \
      --seed 1 --fast --trace trace.csv --truth truth.json

The formats are in docs/simulator.md. Flags:
`

// The collector saves time rather than memory until there is so much.
const (
	memoryLimit = 6 << 30
	garbage     = 200 // percent of what is alive
)

// options are the flags of one call.
type options struct {
	cfg          sim.Config
	hours        float64
	frames       string
	trace, truth string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	f := flag.NewFlagSet("backchannel-sim", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.cfg.Users, "users", 10, "people with a machine each")
	f.IntVar(&o.cfg.Relays, "relays", 6, "relays, 4 to 250")
	f.IntVar(&o.cfg.Operators, "operators", 3, "operators of the relays, in turn")
	f.Float64Var(&o.hours, "hours", 24, "hours that are simulated")
	f.IntVar(&o.cfg.TalkingPairs, "talking-pairs", 3, "pairs of people who talk; others have contacts, too, and do not")
	f.Float64Var(&o.cfg.OnlineHours, "online-hours", 24, "hours a day that each machine is on")
	f.Float64Var(&o.cfg.Loss, "loss", 0, "part of the packets that is lost on each link, 0 to 1")
	f.Uint64Var(&o.cfg.Seed, "seed", 1, "all chance follows from it")
	f.StringVar(&o.trace, "trace", "", "`file` for the trace (CSV)")
	f.StringVar(&o.truth, "truth", "", "`file` for the truth (JSON)")
	f.BoolVar(&o.cfg.Unprotected, "unprotected", false, "for comparison: no cover, no delay, no padding of links")
	f.BoolVar(&o.cfg.Fast, "fast", false, "leave out the cryptography of packets and boxes; the trace is the same")
	f.StringVar(&o.frames, "frames", "auto", "rows of padded links: each frame (each), all of a slot in one row (slot), or the first up to 50 million (auto)")
	f.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || !slices.Contains([]string{"auto", "each", "slot"}, o.frames) {
		return nil, sim.ErrConfig
	}
	o.cfg.Duration = time.Duration(o.hours * float64(time.Hour))
	o.cfg.Each = o.frames == "each" || o.frames == "auto" && o.cfg.Frames() <= 50_000_000
	return o, nil
}

// run runs one simulation and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "backchannel-sim:", err)
		return exitUsage
	}
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(garbage)
	if err := o.simulate(stdout, stderr); err != nil {
		_, _ = fmt.Fprintln(stderr, "backchannel-sim:", err)
		if errors.Is(err, sim.ErrConfig) {
			return exitUsage
		}
		return exitFailed
	}
	return exitDone
}

func (o *options) simulate(stdout, stderr io.Writer) (err error) {
	begun := time.Now()
	o.cfg.Progress = func(t time.Duration) {
		_, _ = fmt.Fprintf(stderr, "%d h simulated in %v\n", int(t.Hours()), time.Since(begun).Round(time.Second))
	}
	if o.trace != "" {
		file, err := os.Create(o.trace)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		o.cfg.Trace = file
	}
	w, err := sim.New(o.cfg)
	if err != nil {
		return err
	}
	truth, err := w.Run()
	if err != nil {
		return err
	}
	_, _ = fmt.Fprint(stdout, truth.Summary())
	if o.truth == "" {
		return nil
	}
	file, err := os.Create(o.truth)
	if err != nil {
		return err
	}
	return errors.Join(truth.Write(file), file.Close())
}
