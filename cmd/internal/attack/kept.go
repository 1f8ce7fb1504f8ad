package attack

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

// A record is what an attacker keeps of one network: features of its pairs, and the truth.
// It is what stands in a file of Experiment.Dir.
type record struct {
	Features [][]float64 `json:"features"`
	Talks    []bool      `json:"talks"`
}

// featuresVersion is raised when features change: kept ones of another version are not
// taken.
const featuresVersion = 2

// name is that of the file of a network: its seed, and a hash of all else that makes it.
func (e Experiment) name(cfg sim.Config) string {
	plain := struct {
		Version, Users, Relays, Operators, Pairs int
		Duration, Online, Loss                   float64
		Unprotected, Contacts                    bool
		Weaken                                   sim.Control
		Constants                                any
		Watch, Guard                             int
	}{
		featuresVersion, cfg.Users, cfg.Relays, cfg.Operators, cfg.TalkingPairs, cfg.Duration.Seconds(), cfg.OnlineHours, cfg.Loss,
		cfg.Unprotected, e.Contacts, cfg.Weaken, cfg.Constants, cfg.Watch, e.Guard,
	}
	b, err := json.Marshal(plain)
	if err != nil {
		panic(err) // numbers alone
	}
	some := ""
	if e.Pairs > 0 {
		some = fmt.Sprintf("-%d", e.Pairs)
	}
	return fmt.Sprintf("%x%s-%06d.json", sha256.Sum256(b), some, cfg.Seed)[48:]
}

// load returns what was kept of a network, or nil.
func (e Experiment) load(cfg sim.Config) (*record, error) {
	if e.Dir == "" {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join(e.Dir, e.name(cfg)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := new(record)
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err == nil && len(r.Features) != len(r.Talks) {
		err = errors.New("features and truth differ in number")
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was kept in %s: %w", e.name(cfg), err)
	}
	return r, nil
}

// kept returns all that is kept in a directory.
func kept(dir string) (features [][]float64, talks []bool, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err == nil && len(names) == 0 {
		err = fs.ErrNotExist
	}
	for _, name := range names {
		r := new(record)
		b, e := os.ReadFile(name)
		if e == nil {
			e = json.Unmarshal(b, r)
		}
		if e == nil && len(r.Features) != len(r.Talks) {
			e = errors.New("features and truth differ in number")
		}
		err = errors.Join(err, e)
		features, talks = append(features, r.Features...), append(talks, r.Talks...)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading what is to be learnt from: %w", err)
	}
	return features, talks, nil
}

// keep writes it, so that a run that was cut goes on behind it.
func (e Experiment) keep(cfg sim.Config, r *record) error {
	if e.Dir == "" {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("keeping features: %w", err)
	}
	path := filepath.Join(e.Dir, e.name(cfg))
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("keeping features: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keeping features: %w", err)
	}
	return nil
}
