package channel

import (
	"errors"
	"fmt"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Open is the number of the channel that a contact has from the start and that needs
// no charter. Others have numbers from 2 on: see package charter.
const Open uint32 = 1

// Errors that a person meets.
var (
	ErrTooLong   = fmt.Errorf("the text is longer than %d bytes", wire.MaxText)
	ErrEmptyText = errors.New("the text is empty")
	ErrNotText   = errors.New("the text is not valid UTF-8")
	ErrUsedTwice = errors.New("the invitation was used twice")
	ErrTooLate   = errors.New("it has left or may have left already")
	ErrNoMessage = errors.New("there is no such message")
	ErrNoWords   = errors.New("there are no words to compare yet")
	ErrManyDraws = errors.New("the words were drawn too often today; further ones can be drawn tomorrow")
	ErrNotPaused = errors.New("nothing waits for consent")
	ErrNoSession = errors.New("there is no session with this contact yet")
)

// A Conversation is the state machine of one contact. Its methods are called by
// one owner.
type Conversation struct {
	cfg Config
	id  ContactID

	c        *contact
	s        *session // nil before the first
	sealed   map[uint32]*sealedCell
	inbound  map[uint32]wire.Frame
	messages []Message               // ordered by Seq; texts of all
	byID     map[wire.MessageID]bool // of In
	nextSeq  uint64
	queue    []uint64               // Out messages that have parts to be sealed
	stale    []store.Key            // cells of former sessions, to be deleted bit by bit
	files    map[uint64]*transfer   // by the sequence of the message
	named    map[fileName]uint64    // the sequence of files; some may be gone
	moving   []uint64               // those of files that something is still to be done for, in order
	tell     map[file.ID]file.State // files of which the next report speaks: that they are gone, or how they stand
	orphans  []FileTask             // part files of files whose records go
	endings  map[file.ID]ending     // of files that came in and whose line is gone
	ackedTo  uint32                 // what the peer acknowledged; v.s.acked follows it

	drops drops
	mail  mail

	compared   compared  // which relays the peer sees, see membership.go
	comparedAt time.Time // in this run

	former  *former   // nil: none is kept
	reading *former   // while frames of the former are taken
	next    *upcoming // see upcoming
	byDrop  bool      // the flight at hand came over drops
	boxed   uint32    // when the reunion box was put that it came in, seconds since 1970; 0: in none

	link       *link
	clockOff   time.Duration         // the peer's clock less ours, from its last box
	clockAt    time.Time             // when that came, by the own clock; zero: not in this run
	knocked    uint32                // the hour that the last knock named
	unanswered int                   // times that the m1 under way was sent in this run
	answeredAt time.Time             // when m2 was last sent in this run
	guests     []*link               // under the invitation, at the inviter's: until one shows a card
	recent     map[[36]byte][24]byte // header name to nonce of cells opened in this run
	order      uint64                // of the last write to a connection

	endingsNew bool // endings differ from what is stored
	gapsNew    bool // gaps of the session in use differ from what is stored

	held     map[uint64]*held // as an envoy: by number
	signings map[uint64]*signing
	charters map[uint32]*charter.Charter // by number of the channel
	used     used                        // numbers of channels that were burned
	lapsed   []uint32                    // channels that are gone, and whose records are not yet
	ending   []uint32                    // those of them of which not even that is stored
	burning  bool                        // among stale is what was a channel's

	introductions map[uint64]*introducing
	introducer    *ContactID // who introduced this contact; nil: nobody

	errands map[uint64]*errand  // exchanges of sealed offers, by number
	sounded map[uint32]*sounded // by the agreed minute
	lastAt  uint32              // the agreed minute of the last sounding; 0: there was none

	listener *listener // as a listener: read once in an event, and forgotten after it

	out   *Output
	bytes int // what the writes of out take on disk
	now   time.Time
}

// Introduction is what a contact begins with.
type Introduction struct {
	Number     uint32 // this machine's next
	Name       string // only this person sees it
	Side       identity.Side
	Invitation identity.Invitation // own, or the one that was pasted
	Place      identity.Place      // where this machine can be reached

	// Of an invitation that names a drop: the own choice, and slots to a box.
	Drop   onion.ID
	Period cadence.Period

	Introducer *ContactID // who introduced the two; nil: nobody
}

// New makes the contact of a fresh invitation. The id is random.
func New(cfg Config, id ContactID, intro Introduction, now time.Time) (*Conversation, *Output, error) {
	inv := intro.Invitation
	static, err := secret.Read(cfg.Random)
	if err != nil {
		return nil, nil, err
	}
	public, err := handshake.PublicKey(static.Bytes())
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	c := &contact{
		stage: Invited, number: intro.Number, name: intro.Name, side: intro.Side, mode: handshake.Mutual, made: minute(now), static: static,
		ownCard:    identity.Card{Strict: inv.Strict, Static: public, Network: inv.Network, Place: intro.Place},
		invitation: inv.Append(nil), ownPlace: intro.Place,
	}
	if inv.Strict {
		c.mode = handshake.Strict
	}
	if intro.Side == identity.Accepter {
		c.stage = Accepting
	}
	v := empty(cfg, id)
	v.c = c
	v.begin(now)
	if _, ok := inv.Place.Drop(); ok {
		c.ownCard.Drop, c.ownCard.Period = identity.RelayID(intro.Drop), byte(intro.Period)
		v.drops.policy = RelayRoute
		v.saveDrops()
	}
	v.saveContact()
	v.saveIntroducer(intro.Introducer)
	out := v.end()
	return v, out, nil
}

// ID returns the contact's name on this machine.
func (v *Conversation) ID() ContactID { return v.id }
