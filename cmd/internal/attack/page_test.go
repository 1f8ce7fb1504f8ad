package attack

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/cmd/internal/sim"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

var update = flag.Bool("update", false, "write the tables of docs/users-and-relays.md")

const page = "../../../docs/users-and-relays.md"

// sizes are the networks of the page.
var sizes = []sim.Config{
	{Users: 10, Relays: 6, Operators: 3},
	{Users: 50, Relays: 10, Operators: 5},
	{Users: 100, Relays: 12, Operators: 6},
	{Users: 1000, Relays: 50, Operators: 10},
	{Users: 10_000, Relays: 100, Operators: 20},
	{Users: 100_000, Relays: 250, Operators: 40},
	{Users: 1_000_000, Relays: 250, Operators: 40},
}

func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func amount(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.1f", x)
	case x < 1000:
		return fmt.Sprintf("%.0f", x)
	}
	return number(int(x))
}

func minutes(d time.Duration) string { return fmt.Sprintf("%.1f", d.Minutes()) }

// costs is the table of what networks cost.
func costs(t *testing.T, all []sim.Config) string {
	b := new(strings.Builder)
	b.WriteString("| users | relays, operators | slot, delay, lag | packets a second, held, MiB | links, frames | relay: Mbit/s, GB a day | principal: MB a day | directory, kB | text: min |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, cfg := range all {
		f, err := sim.Reckon(cfg)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(b, "| %s | %d, %d | %.0f s, %.1f s, %d | %s, %s, %s | %s, %s | %s, %s | %s | %s | %s, %s |\n",
			number(cfg.Users), cfg.Relays, cfg.Operators, f.Slot.Seconds(), f.Mean.Seconds(), f.Lag,
			amount(f.Rate), amount(f.Held), amount(f.Held*float64(f.Packet)/(1<<20)), amount(f.Links), amount(f.Frames),
			amount(f.Relay*8/1e6), amount(f.Relay*86400/1e9), amount(f.Client*86400/1e6), amount(float64(f.Directory)/1e3),
			minutes(f.Median), minutes(f.Late))
	}
	return b.String()
}

// others are networks with constants of their own.
func others() (all []sim.Config) {
	for _, o := range []struct {
		size int
		c    directory.Constants
	}{
		{0, directory.Constants{Mean: 30 * time.Second}},
		{0, directory.Constants{Suite: onion.X25519}},
		{1, directory.Constants{Mean: 15 * time.Second}},
		{3, directory.Constants{Mean: 10 * time.Second}},
		{4, directory.Constants{Mean: 10 * time.Second}},
		{5, directory.Constants{Mean: 5 * time.Second}},
		{6, directory.Constants{Mean: 1500 * time.Millisecond}},
		{6, directory.Constants{Mean: 6 * time.Second, Slot: 2 * time.Minute}},
	} {
		cfg := sizes[o.size]
		cfg.Constants = o.c
		all = append(all, cfg)
	}
	return all
}

// shows is the table of what one drop shows.
func shows() string {
	b := new(strings.Builder)
	b.WriteString("| users, relays | delay 2 s | 5 s | 10 s | 15 s | 20 s | 30 s |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, cfg := range sizes {
		fmt.Fprintf(b, "| %s, %d |", number(cfg.Users), cfg.Relays)
		for _, mean := range []float64{2, 5, 10, 15, 20, 30} {
			s := Smear{2, mean, sim.Plain().Slot.Seconds()}
			if cfg.Relays > directory.MeshLimit {
				s.Relays = 3
			}
			for i, days := range []float64{1, 7, 30} {
				fmt.Fprintf(b, "%s%.2f", []string{" ", ", ", ", "}[i], Predict(s, cfg.Users, cfg.Relays, days))
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// linked is the table of how well a drop's host tells which boxes are of one writer.
func linked(t *testing.T) string {
	b := new(strings.Builder)
	b.WriteString("| relays, operators | advantage | least that any drawing could reach |\n| --- | --- | --- |\n")
	for _, n := range []struct {
		relays, operators int
		met               bool // the aim of 0.02, as the page says
	}{
		{6, 3, false},
		{6, 6, false},
		{8, 4, false},
		{9, 9, true},
		{10, 5, false},
		{10, 10, true},
		{12, 4, false},
		{12, 6, false},
		{12, 12, true},
		{14, 14, true},
		{16, 4, false},
		{18, 9, false},
		{20, 5, false},
		{20, 10, true},
		{20, 20, true},
		{24, 12, true},
		{50, 10, false},
		{50, 14, true},
		{50, 25, true},
		{50, 50, true},
		{120, 10, false},
		{120, 12, false},
		{120, 20, true},
		{120, 30, true},
	} {
		drops := 6
		if n.relays > 24 {
			drops = 3
		}
		advantage, least, err := Links(sim.Config{Users: 10, Relays: n.relays, Operators: n.operators, Seed: 1}, drops)
		if err != nil {
			t.Fatal(err)
		}
		if (advantage <= 0.02) != n.met || n.operators >= 12 && advantage > 0.031 || n.operators >= directory.ManyOperators && advantage > 0.042 {
			t.Errorf("%d relays of %d operators: %.4f", n.relays, n.operators, advantage)
		}
		fmt.Fprintf(b, "| %d, %d | %.3f | %.3f |\n", n.relays, n.operators, advantage, least)
	}
	return b.String()
}

// TestPage: the tables of "how many users, how many relays" are what the code says.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	for place, table := range []string{costs(t, sizes), costs(t, others()), shows(), linked(t)} {
		if strings.Contains(got, table) {
			continue
		}
		if !*update {
			t.Errorf("table %d is not what is reckoned; go test ./cmd/internal/attack -run Page -update:\n%s", place+1, table)
			continue
		}
		begin := fmt.Sprintf("<!-- table %d -->\n\n", place+1)
		before, rest, ok := strings.Cut(got, begin)
		_, after, ends := strings.Cut(rest, "<!-- end -->")
		if !ok || !ends {
			t.Fatalf("no place for table %d", place+1)
		}
		got = before + begin + table + "\n<!-- end -->" + after
	}
	if got != string(text) {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
