package directory

import "fmt"

// A Verdict says what a set did with something that came.
type Verdict byte

// The verdicts.
const (
	Accepted     Verdict = iota // new, and kept
	Known                       // held already
	Older                       // of a relay that a newer one is held of; a descriptor is kept as evidence
	Contradicted                // a relay has signed two of one epoch and sequence: it is dropped
	Invalid                     // malformed, or a signature that does not verify
	Foreign                     // of another network
	Unvouched                   // of a relay that founders do not vouch for, or too few of them
	Dropped                     // of a relay that contradicted itself, or that founders revoked
	Expired                     // counts no more
	Early                       // of an epoch that has not begun
	Full                        // of one relay more than a network may have

	verdicts
)

var verdictNames = [verdicts]string{
	"accepted", "known", "older", "contradicted", "invalid", "foreign", "unvouched", "dropped", "expired", "early", "full",
}

// String returns the verdict as one word.
func (v Verdict) String() string {
	if v >= verdicts {
		return fmt.Sprintf("verdict %d", byte(v))
	}
	return verdictNames[v]
}

// Blame reports whether nobody who keeps to the rules would have sent it, whatever
// he knows and however his clock goes.
func (v Verdict) Blame() bool { return v == Invalid || v == Foreign }

// A Tally counts verdicts.
type Tally [verdicts]int
