package mix

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Config is what a Machine is made with.
type Config struct {
	Network *directory.Network
	ID      onion.ID // the relay's name in packets

	Pool      int           // most packets held; zero: what fits 256 MiB
	PerClient int           // most packets held of one client, if there is room; zero: 4 slots' worth, 40
	Tags      int           // most packets remembered of one epoch key; zero: 8,000,000, up to 400 MB
	LoopEvery time.Duration // between own loops, on average; zero: half a slot; negative: none
	Failed    byte          // status of an answer that the drop did not give in time; zero: 7

	Random io.Reader // nil: crypto/rand
	Onion  Onion     // nil: package onion
}

// Least times and shares.
const (
	poolBytes   = 256 << 20
	ownPart     = 64 // of the pool, for own loops: one part in so many
	clientPart  = 4  // of the pool, for all clients
	clientShare = 64 // of what is left of that, for one client
	answerAfter = 250 * time.Millisecond
	maxTags     = 8_000_000
	failed      = 7
	clientSlots = 4
	// graceParts is how long a key is still accepted after its epoch, and before it: one
	// part of an epoch in so many. Ten minutes of an hour.
	graceParts = 6
)

func (c Config) withDefaults() Config {
	constants := c.Network.Constants
	if c.Pool <= 0 {
		c.Pool = poolBytes / constants.Suite.Geometry().Packet
	}
	if c.PerClient <= 0 {
		c.PerClient = clientSlots * cadence.Packets
	}
	if c.Tags <= 0 {
		c.Tags = maxTags
	}
	if c.LoopEvery == 0 {
		c.LoopEvery = constants.Slot / 2
	}
	if c.Failed == 0 {
		c.Failed = failed
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Onion == nil {
		c.Onion = packets{}
	}
	return c
}

// Onion is the cryptography of packets. A simulator may leave it out.
type Onion interface {
	// Relay opens packets with a key; fresh is called once for each header that verifies.
	Relay(id onion.ID, key *onion.PrivateKey, fresh func(onion.Tag) bool) Opener
	// Reply makes the reply to a packet.
	Reply(s onion.SURB, a onion.Answer) []byte
	// Create makes a packet, the tag of its reply, and what checks that reply.
	Create(coins secret.Key, r onion.Request) (packet []byte, tag onion.Tag, check func(reply []byte) error, err error)
	// Tag finds the tag of a reply.
	Tag(reply []byte) (onion.Tag, error)
}

// An Opener takes one layer off packets. [*onion.Relay] is one.
type Opener interface {
	Unwrap(packet []byte, from onion.ID) (onion.Unwrapped, error)
}

// packets is package onion, in one suite.
type packets struct{}

func (packets) Relay(id onion.ID, key *onion.PrivateKey, fresh func(onion.Tag) bool) Opener {
	return onion.NewRelay(id, key, fresh)
}

func (packets) Reply(s onion.SURB, a onion.Answer) []byte { return s.Use(a) }

func (packets) Create(coins secret.Key, r onion.Request) ([]byte, onion.Tag, func([]byte) error, error) {
	packet, keys, err := onion.Create(coins, r)
	if err != nil {
		return nil, onion.Tag{}, nil, err
	}
	check := func(reply []byte) error {
		_, err := keys.Open(reply)
		keys.Wipe()
		return err
	}
	return packet, keys.Tag, check, nil
}

func (packets) Tag(reply []byte) (onion.Tag, error) {
	if len(reply) < 2 {
		return onion.Tag{}, onion.ErrFormat
	}
	return onion.ReplyTag(onion.Suite(reply[1]), reply)
}

// Links carry what leaves a Mix. Neither method waits: a link that has no room
// refuses.
type Links interface {
	Send(relay onion.ID, packet []byte) error
	Deliver(client onion.ID, packet []byte) error
}

// What Links may answer; other errors count as ErrNoLink.
var (
	// ErrNoLink: there is no link to the relay, or no such client.
	ErrNoLink = errors.New("mix: no link")
	// ErrLinkFull: as many packets wait for the link as may.
	ErrLinkFull = errors.New("mix: link is full")
)

// A Drop does what packets ask for at their exit. When ctx ends it returns at once.
type Drop interface {
	Answer(ctx context.Context, body onion.Body) onion.Answer
}

// A View is the relays of an epoch. [*directory.View] is one.
type View interface {
	Members() []directory.Member
	Member(id onion.ID) (directory.Member, bool)
	Way(random io.Reader, from, to onion.ID, avoid ...onion.ID) ([]onion.ID, error)
}
