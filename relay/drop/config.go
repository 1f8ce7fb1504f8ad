package drop

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// Errors of Open.
var (
	// ErrInUse: another process has the folder open.
	ErrInUse = errors.New("drop: the folder is in use by another process")
	// ErrExpiry: the folder was made for a network whose boxes live another time.
	ErrExpiry = errors.New("drop: the folder belongs to a network with another expiry")
	// ErrFull: the disk has not the room that opening needs.
	ErrFull = errors.New("drop: the disk is full")
	// ErrDamaged: the records of a day cannot be read.
	ErrDamaged = errors.New("drop: the records are damaged")
)

// Config says where and how much. Only Dir and ID have no default.
type Config struct {
	Dir string   // the folder; made if it does not exist
	ID  onion.ID // of this relay: work is done for one drop

	// KeyFile is where the days' keys lie; empty: the file keys in Dir. On flash memory
	// overwriting does not erase: a path on a memory file system then loses all boxes
	// with the power, and leaves none.
	KeyFile string
	Expiry  time.Duration // how long boxes are kept at least; zero: 96 h
	Limit   int64         // of all boxes together in bytes; zero: 16 GiB
	MinFree int64         // what puts leave free on the disk; zero: 1 GiB
	Policy  Policy        // who may put; nil: everybody

	Now    func() time.Time // nil: time.Now
	Random io.Reader        // nil: crypto/rand

	small bool                 // tests: Badger's files are small
	sync  func(*os.File) error // tests: a disk that fails
}

const defaultExpiry = 96 * time.Hour

func (c Config) withDefaults() Config {
	if c.Expiry == 0 {
		c.Expiry = defaultExpiry
	}
	if c.Limit == 0 {
		c.Limit = 16 << 30
	}
	if c.MinFree == 0 {
		c.MinFree = 1 << 30
	}
	if c.Policy == nil {
		c.Policy = Free{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.sync == nil {
		c.sync = (*os.File).Sync
	}
	return c
}

// A day is a fourth of the expiry, counted from 1970; 24 hours by default.
type dayNumber uint32

const (
	daysKept   = 5    // the day of a put and the four after it
	recordSize = 4400 // of one box on the disk, about
)

func (c Config) span() time.Duration { return c.Expiry / 4 }

func (c Config) dayAt(t time.Time) dayNumber { return dayNumber(t.UnixNano() / int64(c.span())) }

// passed is how much of a day has gone at t, between 0 and 1.
func (c Config) passed(t time.Time) float64 {
	return float64(t.UnixNano()%int64(c.span())) / float64(c.span())
}

// quota is how many boxes a day may hold.
func (c Config) quota() int64 { return c.Limit / daysKept / recordSize }
