package sim

import (
	"errors"
	"io"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Config says what is simulated. The same Config gives the same trace.
type Config struct {
	Users        int           // at least 2
	Relays       int           // 4 to 250
	Operators    int           // of the relays, in turn
	Duration     time.Duration // of the trace
	TalkingPairs int           // pairs of users who talk; other users have a contact with whom they do not
	OnlineHours  float64       // a day, at hours that are each user's own; 24: always
	Loss         float64       // of packets, on each link
	Seed         uint64

	Unprotected bool    // no cover and no delay; links are not padded
	Fast        bool    // packets and boxes by reference
	Weaken      Control // one protection that is left out; zero: none

	// Cut reports whether a user's line is cut at a moment: what he sends and what is sent to
	// him gets lost then. nil: no line ever is.
	Cut func(user int, at time.Duration) bool

	Constants directory.Constants // zero: those of a new network
	Trace     io.Writer           // nil: none is written
	Each      bool                // a row for each frame of padded links, not one for a slot of them
	Rows      func(Row)           // nil, or called for each row, in the order of time
	Watch     int                 // the relay whose drop is watched, from 1; 0: none
	WatchAll  bool                // all of them are
	Seen      func(Sight)         // what the drops that are watched see
	Passed    func(Passing)       // nil, or called with what guards see of their clients' packets
	Chains    bool                // a Sight says whose box it is, which the drop does not see
	Bits      func(float64)       // nil, or called with the entropy of each packet of users that comes to its drop
	Progress  func(time.Duration) // nil, or called for each hour that has passed
}

// A Control leaves out one protection, to see whether an attacker notices.
type Control int

// The controls.
const (
	None       Control = iota
	ZeroDelay          // relays keep a packet for a millisecond
	AddedCover         // who writes sends more than others
	OnDemand           // who has found something looks for more at once
)

// String names the control.
func (c Control) String() string {
	return [...]string{"protected", "zero delay", "cover added", "catch-up on demand"}[c]
}

// A Sight is what a drop sees of one packet.
type Sight struct {
	At      time.Duration
	Command onion.Command
	Address [16]byte // the beginning of it
	Found   bool
	From    int // the relay before, from 0
	To      int // the relay that the reply goes to
	Drop    int // the drop itself

	// What the drop does not see: whose box it is, one side of a pair by its number from 1 on,
	// the period, and who writes it. Zero: that of no contact.
	Chain  int
	Period uint64
	Writer int // from 0
}

// A Passing is a packet of a client that leaves its guard, as that sees it.
type Passing struct {
	At    time.Duration
	User  int // from 0
	Guard int // from 0
	To    int // the next relay, from 0
}

// ErrConfig is returned for numbers that cannot be.
var ErrConfig = errors.New("sim: wants 2 to 60,000 users, 4 to 250 relays of 2 operators or more, and some time")

func (c Config) check() error {
	switch {
	case c.Users < 2 || c.Users > 60_000, c.Relays < 4 || c.Relays > 250, c.Operators < 2 || c.Operators > c.Relays,
		c.Duration < time.Minute || c.Duration > 60*24*time.Hour, c.TalkingPairs < 0, c.TalkingPairs > c.Users*(c.Users-1)/2,
		c.OnlineHours <= 0 || c.OnlineHours > 24, c.Loss < 0 || c.Loss >= 1, c.Watch < 0 || c.Watch > c.Relays:
		return ErrConfig
	}
	return nil
}

// Frames is about how many frames padded links carry.
func (c Config) Frames() int64 {
	if c.Unprotected || c.check() != nil {
		return 0
	}
	w := &World{cfg: c, places: map[onion.ID]uint8{}}
	if w.found() != nil {
		return 0
	}
	level, mean := w.expected()
	slots := c.Duration.Seconds() / w.network.Constants.Slot.Seconds()
	return int64(float64(w.rate(level, mean)) * float64(c.Relays) * w.neighbours() * slots)
}
