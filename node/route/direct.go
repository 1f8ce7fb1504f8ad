// Package route decides how and when a contact is reached. This version knows
// the direct route: when to dial, and how long to wait after a failure. It is a
// state machine with one owner; it dials nothing itself.
//
// Dialling follows the clock, never what a person types: a connection that
// appeared whenever somebody had something to say would tell an observer so.
package route

import (
	"math/rand/v2"
	"time"
)

// State says what the direct route to a contact is doing.
type State byte

// The states.
//
//	idle ──(address known)──> due ──Dial──> dialling ──Up──> up
//	                           ^               │             │
//	                           └──(back-off)───┴── Failed ───┴── Down
const (
	Idle     State = 1 + iota // no address: the other side must come
	Due                       // waits for its time to dial
	Dialling                  // a dial is under way
	Up                        // there is a connection
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Due:
		return "due"
	case Dialling:
		return "dialling"
	case Up:
		return "up"
	default:
		return "no state"
	}
}

// Config sets the pace. The zero values are those of the network.
type Config struct {
	First time.Duration // wait after a first failure; zero: 1 s
	Most  time.Duration // longest wait; zero: 1 min
	// Random jitters the waits, so that two machines that lose one another do
	// not dial at the same moments for ever. Nil: the runtime's.
	Random *rand.Rand
}

// stable is how long a connection must have stood to count as a success.
const stable = 10 * time.Second

// Direct is the direct route to one contact.
type Direct struct {
	cfg     Config
	state   State
	address string
	fails   int
	next    time.Time
	since   time.Time
}

// NewDirect returns a route without an address.
func NewDirect(cfg Config) *Direct {
	if cfg.First == 0 {
		cfg.First = time.Second
	}
	if cfg.Most == 0 {
		cfg.Most = time.Minute
	}
	return &Direct{cfg: cfg, state: Idle}
}

// State returns what the route is doing.
func (d *Direct) State() State { return d.state }

// SetAddress tells where the contact can be reached; empty: nowhere. A new
// address is tried at once.
func (d *Direct) SetAddress(now time.Time, address string) {
	if address == d.address {
		return
	}
	d.address, d.fails = address, 0
	if d.state == Idle || d.state == Due {
		d.wait(now, 0)
	}
}

// Dial reports whether a dial is due now, and where to; the route is then
// dialling until Up or Failed is called.
func (d *Direct) Dial(now time.Time) (address string, due bool) {
	if d.state != Due || now.Before(d.next) {
		return "", false
	}
	d.state = Dialling
	return d.address, true
}

// Next returns when a dial will be due; ok is false if none will.
func (d *Direct) Next() (at time.Time, ok bool) { return d.next, d.state == Due }

// Up tells that a connection stands, whoever dialled it.
func (d *Direct) Up(now time.Time) { d.state, d.since = Up, now }

// Down tells that the connection has ended.
func (d *Direct) Down(now time.Time) {
	if d.state != Up {
		return
	}
	if now.Sub(d.since) >= stable {
		d.fails = 0
	}
	d.wait(now, d.backOff())
}

// Failed tells that the dial came to nothing.
func (d *Direct) Failed(now time.Time) {
	if d.state == Dialling {
		d.wait(now, d.backOff())
	}
}

func (d *Direct) wait(now time.Time, pause time.Duration) {
	d.state, d.next = Due, now.Add(pause)
	if d.address == "" {
		d.state = Idle
	}
}

// backOff doubles with each failure, up to the most, less up to a half at random.
func (d *Direct) backOff() time.Duration {
	pause := min(d.cfg.First<<min(d.fails, 20), d.cfg.Most)
	d.fails++
	half := int64(pause / 2)
	if half <= 0 {
		return pause
	}
	if d.cfg.Random != nil {
		return pause - time.Duration(d.cfg.Random.Int64N(half))
	}
	return pause - time.Duration(rand.Int64N(half))
}
