package channel

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
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

// LinkID names a connection for as long as it lives.
type LinkID uint64

// An Output is what an event leads to. The owner commits Writes; only then it
// sends Boxes, in order, on the connection Link, closes Close, and tells Changed.
type Output struct {
	Writes  []store.Write
	Link    LinkID
	Boxes   []*wire.Box
	Bulk    []*wire.Box // pieces of files: they leave when none of Boxes waits
	Close   []LinkID
	Changed []Message  // messages that are new or have another state
	Discard []FileTask // part files that are to be deleted after the commit
	Linked  bool       // the contact has new link secrets: see Conversation.Links
	More    bool       // call Flush again after the commit

	Burned     bool // a channel came to its end, and the last of it is deleted: purge the store after the commit
	Introduced bool // there is something to do for an introduction: see Conversation.Introducing
}

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

// Load reads a conversation back from its records.
func Load(cfg Config, id ContactID) (*Conversation, error) {
	v := empty(cfg, id)
	raw, err := v.cfg.Records.Get(store.Key{Kind: KindContact, Object: id})
	if err != nil {
		return nil, err
	}
	if v.c, err = parseContact(raw); err != nil {
		return nil, err
	}
	switch raw, err = v.cfg.Records.Get(store.Key{Kind: KindSession, Object: id}); {
	case err == nil:
		if v.s, err = parseSession(raw); err != nil {
			return nil, err
		}
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	switch raw, err = v.cfg.Records.Get(store.Key{Kind: KindDrops, Object: id}); {
	case err == nil:
		if err := v.loadDrops(raw); err != nil {
			return nil, err
		}
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	default: // of a backup: two who met at drops do not show each other where they are
		if _, ok := v.setOfCards(); ok {
			v.drops.policy = RelayRoute
		}
	}
	switch raw, err = v.cfg.Records.Get(store.Key{Kind: KindFormer, Object: id}); {
	case err == nil && v.s != nil:
		if err := v.loadFormer(raw); err != nil {
			return nil, err
		}
	case err == nil:
		v.stale = append(v.stale, store.Key{Kind: KindFormer, Object: id})
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	if err := errors.Join(v.loadCompared(), v.loadCharters(), v.loadLists()); err != nil {
		return nil, err
	}
	v.requeue()
	return v, nil
}

func (v *Conversation) loadLists() error {
	for r, err := range v.cfg.Records.Scan(KindSealed, v.id) {
		if err != nil {
			return err
		}
		cell, err := parseSealed(r.Value)
		if err != nil {
			return err
		}
		switch {
		case cell.message != 0 && (v.gone(cell.message) || v.ofBurned(cell)):
			v.stale, v.burning = append(v.stale, r.Key), v.burning || v.ofBurned(cell)
		case !v.current(r.Key):
		case v.s.gaps.has(uint32(r.Key.Seq)):
			v.stale = append(v.stale, r.Key) // the peer may have passed over it: its text goes under another number
		default:
			v.sealed[uint32(r.Key.Seq)] = cell
		}
	}
	for r, err := range v.cfg.Records.Scan(KindInbound, v.id) {
		if err != nil {
			return err
		}
		f, err := wire.ParseFrame(r.Value)
		if err != nil || uint64(f.Number) != r.Key.Seq&(1<<32-1) {
			return ErrRecord
		}
		if v.former != nil && r.Key.Seq>>32 == uint64(v.former.s.epoch) {
			v.former.inbound[uint32(r.Key.Seq)] = f
			continue
		}
		if !v.current(r.Key) {
			continue
		}
		v.inbound[uint32(r.Key.Seq)] = f
		if v.used.has(f.Channel) && len(f.Content) > 0 && !slices.Contains(v.lapsed, f.Channel) {
			v.lapsed, v.burning = append(v.lapsed, f.Channel), true // to be blanked
		}
	}
	for r, err := range v.cfg.Records.Scan(KindMessage, v.id) {
		if err != nil {
			return err
		}
		if v.gone(r.Key.Seq) {
			v.stale = append(v.stale, r.Key)
			continue
		}
		m, err := ParseMessage(r.Key.Seq, r.Value)
		if err != nil {
			return err
		}
		if m.Channel > Open && v.used.has(m.Channel) {
			v.stale, v.burning = append(v.stale, r.Key), true
			v.nextSeq = m.Seq + 1
			continue
		}
		v.index(m)
	}
	for r, err := range v.cfg.Records.Scan(KindState, v.id) {
		if err != nil {
			return err
		}
		if len(r.Value) != 1 || State(r.Value[0]) < Waiting || State(r.Value[0]) > Expired {
			return ErrRecord
		}
		if i, ok := v.find(r.Key.Seq); ok {
			v.messages[i].State = State(r.Value[0])
		} else {
			v.stale = append(v.stale, r.Key)
		}
	}
	v.nextSeq = max(v.nextSeq, v.c.next)
	if err := v.loadEndings(); err != nil {
		return err
	}
	if err := errors.Join(v.loadHeld(), v.loadSignings(), v.loadIntroductions(), v.loadSoundings(), v.loadErrands()); err != nil {
		return err
	}
	return v.loadFiles()
}

// current reports whether a cell's record belongs to the session in use; one of
// a former session is put aside to be deleted.
func (v *Conversation) current(k store.Key) bool {
	if v.s != nil && k.Seq>>32 == uint64(v.s.epoch) {
		return true
	}
	v.stale = append(v.stale, k)
	return false
}

func empty(cfg Config, id ContactID) *Conversation {
	return &Conversation{
		cfg: cfg.withDefaults(), id: id,
		sealed: map[uint32]*sealedCell{}, inbound: map[uint32]wire.Frame{}, byID: map[wire.MessageID]bool{}, nextSeq: 1,
		recent: map[[36]byte][24]byte{}, files: map[uint64]*transfer{}, tell: map[file.ID]file.State{}, endings: map[file.ID]ending{}, named: map[fileName]uint64{},
		held: map[uint64]*held{}, signings: map[uint64]*signing{}, charters: map[uint32]*charter.Charter{},
		introductions: map[uint64]*introducing{}, sounded: map[uint32]*sounded{}, errands: map[uint64]*errand{},
	}
}

// begin and end bracket the handling of one event.
func (v *Conversation) begin(now time.Time) {
	v.Lapse(now)
	v.now = now
	v.out, v.bytes, v.listener = &Output{}, 0, nil
	if v.link != nil {
		v.out.Link = v.link.id
	}
}

func (v *Conversation) end() *Output {
	v.saveEndings()
	if v.gapsNew && v.s != nil {
		v.saveSession() // before a box says that these numbers are owed no more
	}
	v.gapsNew = false
	out := v.out
	out.Discard, v.orphans = v.orphans, nil
	v.out = nil
	return out
}

// A commit has limits. Whatever can grow asks full before it goes on, and is
// taken up again by Flush. The worst single step after that is one long text and
// one session with all the skipped keys that it may hold.
const (
	maxBytes  = 32 << 10
	maxWrites = 100
)

func (v *Conversation) full() bool {
	if v.bytes > maxBytes || len(v.out.Writes) > maxWrites {
		v.out.More = true
		return true
	}
	return false
}

// cellKey is the Seq of a cell's record: a former session's records can stay for
// a while and are not taken for this one's.
func (v *Conversation) cellKey(n uint32) uint64 { return uint64(v.s.epoch)<<32 | uint64(n) }

func (v *Conversation) put(kind store.Kind, seq uint64, value []byte) {
	v.putAt(store.Key{Kind: kind, Object: v.id, Seq: seq}, value)
}

func (v *Conversation) putAt(key store.Key, value []byte) {
	v.bytes += store.SealedSize(len(value)) + 32
	switch key.Kind {
	case KindContact, KindSession, KindFile, KindDrops, KindMandate, KindCommunique, KindListener, KindCharter, KindIntroduction, KindSounding, KindShuttle, KindFormer, KindMembership: // written again and again: the last counts
		for i, w := range v.out.Writes {
			if w.Key == key {
				v.bytes -= store.SealedSize(len(w.Value)) + 32
				v.out.Writes[i] = store.Write{Key: key, Value: value}
				return
			}
		}
	}
	v.out.Writes = append(v.out.Writes, store.Write{Key: key, Value: value})
}

func (v *Conversation) drop(kind store.Kind, seq uint64) {
	v.out.Writes = append(v.out.Writes, store.Write{Key: store.Key{Kind: kind, Object: v.id, Seq: seq}, Delete: true})
}

func (v *Conversation) saveContact() { v.put(KindContact, 0, v.c.append(nil)) }
func (v *Conversation) saveSession() { v.put(KindSession, 0, v.s.append(nil)) }

// setState records what became of a message.
func (v *Conversation) setState(i int, s State) {
	m := &v.messages[i]
	m.State = s
	v.put(KindState, m.Seq, []byte{byte(s)})
	v.changed(i)
}

// changed tells of a message that is new or has another state.
func (v *Conversation) changed(i int) {
	m := v.messages[i]
	told := !v.silent(m) || m.State != Delivered && m.State != InMailbox
	if told && !v.withheld(m.Channel) && !m.hidden() {
		v.out.Changed = append(v.out.Changed, v.shown(m))
	}
}

// shown is a message with how far its file has come.
func (v *Conversation) shown(m Message) Message {
	if t := v.files[m.Seq]; t != nil {
		m.FileState, m.Offered = t.state, t.told != 0
		if v.unseen(m) {
			m.FileState = FileMoving
		}
	}
	if m.State == InMailbox && !v.isSealed(m.Seq) {
		m.State = OnItsWay // it was in a box of a session that is over
	}
	if (m.State == Delivered || m.State == InMailbox) && v.silent(m) {
		m.State = OnItsWay
	}
	return m
}

// index adds a message to the list in memory.
func (v *Conversation) index(m Message) int {
	v.messages = append(v.messages, m)
	v.nextSeq = m.Seq + 1
	if m.Direction == In {
		v.byID[m.ID] = true
	}
	if m.File {
		v.named[fileName{m.ID, m.Direction}] = m.Seq
	}
	return len(v.messages) - 1
}

// add numbers a new message, stores it and returns its index.
func (v *Conversation) add(m Message) int {
	m.Seq, m.Stored = v.nextSeq, minute(v.now)
	i := v.index(m)
	v.put(KindMessage, m.Seq, m.append(nil))
	if m.Direction == Out {
		v.setState(i, m.State)
	} else {
		v.changed(i)
	}
	return i
}

// note adds a line of the program's own to the transcript.
func (v *Conversation) note(text string) {
	v.add(Message{Direction: Notice, Minute: minute(v.now), Text: text})
}

// Links returns the link secrets under which the peer can reach this machine and
// be reached. The first is the one to dial with. An inviter listens on the
// invitation's, too, until it ends, so that a second use is seen.
func (v *Conversation) Links(now time.Time) []LinkSecrets {
	var links []LinkSecrets
	if !v.c.dial.IsZero() {
		links = append(links, LinkSecrets{Link: identity.DialLink(v.c.dial), Side: v.c.side})
	}
	if inv, ok := v.invitationLink(); ok && v.invitationOfUse(inv, now) {
		links = append(links, LinkSecrets{Link: inv.Link(), Side: v.c.side, Invitation: true})
	}
	return links
}

// lateAnswer is how long after its end an accepter still asks: the inviter may
// have taken its card just in time, and been cut off.
const lateAnswer = 7 * 24 * time.Hour

// invitationOfUse reports whether connections are made under the invitation: till
// its end, and beyond it until the first session is confirmed.
func (v *Conversation) invitationOfUse(inv identity.Invitation, now time.Time) bool {
	switch {
	case now.Before(inv.Expiry):
		return true
	case v.s != nil && v.s.confirmed:
		return false
	case v.c.side == identity.Accepter:
		return v.c.hasPeer || now.Before(inv.Expiry.Add(lateAnswer))
	default:
		return v.c.hasPeer
	}
}

// LinkSecrets are the keys of one way to connect to a contact.
type LinkSecrets struct {
	Link       identity.Link
	Side       identity.Side // own
	Invitation bool          // the invitation's, not the contact's own
}

// invitationLink returns the invitation while it is of use.
func (v *Conversation) invitationLink() (identity.Invitation, bool) {
	if len(v.c.invitation) == 0 {
		return identity.Invitation{}, false
	}
	inv, err := identity.ParseBinary(v.c.invitation)
	return inv, err == nil
}

// ID returns the contact's name on this machine.
func (v *Conversation) ID() ContactID { return v.id }
