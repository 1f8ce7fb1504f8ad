package channel

import (
	"io"
	"iter"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Records is what a Conversation reads of the store. It never writes: its owner
// commits what an Output holds.
type Records interface {
	Get(k store.Key) ([]byte, error)
	Scan(kind store.Kind, object [16]byte) iter.Seq2[store.Record, error]
}

// Config is what a Conversation runs on. Random and Records are required.
type Config struct {
	Random  io.Reader
	Records Records

	// Stated returns what others say the time is, see charter.CheckClock. Nil: nobody does.
	Stated func(now time.Time) []time.Duration

	// Memberships is what relays this machine sees. Nil: it is in no network of relays.
	Memberships Memberships

	// Gone reports whether this machine sees that a relay left its network for good. Nil: it
	// sees that of none.
	Gone func(n identity.NetworkID, relay onion.ID) bool

	// Known reports whether another contact has this static key. Nil: none has.
	Known func(static [32]byte) bool

	// Name returns the name of another contact, or nothing. Nil: there is no other.
	Name func(ContactID) string

	Life     time.Duration // of a message; zero: 14 days
	AckDelay time.Duration // acknowledgements leave on this grid; zero: 1 s
	// A peer that nobody is at writes its store once a minute, and answers after that.
	KeepAlive     time.Duration // a box at least this often; zero: 40 s
	ResendAfter   time.Duration // unacknowledged on a live connection; zero: 90 s
	AnswerTimeout time.Duration // for a handshake or a resume; zero: 45 s
	SessionLife   time.Duration // then a new handshake; zero: 30 days
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		v *time.Duration
		z time.Duration
	}{
		{&c.Life, 14 * 24 * time.Hour},
		{&c.AckDelay, time.Second},
		{&c.KeepAlive, 40 * time.Second},
		{&c.ResendAfter, 90 * time.Second},
		{&c.AnswerTimeout, 45 * time.Second},
		{&c.SessionLife, 30 * 24 * time.Hour},
	} {
		if *d.v == 0 {
			*d.v = d.z
		}
	}
	if c.Stated == nil {
		c.Stated = func(time.Time) []time.Duration { return nil }
	}
	if c.Gone == nil {
		c.Gone = func(identity.NetworkID, onion.ID) bool { return false }
	}
	if c.Known == nil {
		c.Known = func([32]byte) bool { return false }
	}
	if c.Name == nil {
		c.Name = func(ContactID) string { return "" }
	}
	return c
}
