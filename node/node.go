package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime/debug"
	"sync"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/route"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/cadence"
)

// Store is what a node needs of its store. [store.Store] is one.
type Store interface {
	channel.Records
	ScanKind(kind store.Kind) iter.Seq2[store.Record, error]
	Online() error
	Stage(writes ...store.Write) (ticket uint64, err error)
	Durable() uint64
	Tick() error
	Beneath() []*store.View
	RolledBack() bool
	AcceptRollback(giveUp func(*store.View) error) error
	Purge() error
	Rotate() error
	Rekey(passphrases ...[]byte) error
	TakeKeyFile(path string) error
	Usage() store.Usage
	Size() int64
	Match(passphrase []byte, keyFile string) (store.Match, error)
	Close() error
}

// Network is what a node needs of the network. [p2p.Network] is one.
type Network interface {
	Run(ctx context.Context) error
	Accept() <-chan p2p.Incoming
	Add(p p2p.Pair) error
	Remove(h p2p.Handle)
	Dial(ctx context.Context, h p2p.Handle, address string) (p2p.Conn, error)
}

// Config is what a node runs on. OpenStore and OpenNetwork are required.
type Config struct {
	OpenStore   func(passphrase []byte, keyFile string) (Store, error) // keyFile is empty if there is none
	OpenNetwork func(Settings) (Network, error)
	OpenRelays  func(Settings) (Relays, error) // nil, or it returns nil: the machine has joined no relay network
	Settings    func() (Settings, error)       // read at every unlock; nil: the zero Settings

	Now    func() time.Time // nil: time.Now
	Random io.Reader        // nil: crypto/rand
	Rest   time.Duration    // without a command until faces lock, unless Settings say; zero: 15 min
	Pace   Pace

	// MeetingSlots are the slots of a meeting time; zero: 12. All machines of a network
	// have to have the same, so that nothing but a test sets it.
	MeetingSlots int

	// BoxPeriod is how many slots there are to a contact's box, which two machines agree on
	// when they agree on drops; zero: 2. Nothing but the demo sets it.
	BoxPeriod cadence.Period

	BackupCost backup.Cost // of a backup's passphrase; zero: as of a vault's

	Channel channel.Config // its Records, Known and Random are set by the node
	Route   route.Config
}

// Settings belong to the machine, whoever is unlocked on it.
type Settings struct {
	Listen  string `toml:"listen,omitempty"`   // "host:port" to listen on; empty: off
	Address string `toml:"address,omitempty"`  // "host:port" under which others reach it
	Proxy   string `toml:"proxy,omitempty"`    // "socks5://host:port"; empty: none
	KeyFile string `toml:"key-file,omitempty"` // path of the second secret; empty: none

	Rest int `toml:"rest,omitempty"` // minutes without a command until faces lock, 1 to 120; zero: Config.Rest
}

// Errors that a person meets; package control gives each an exit code and a hint.
var (
	ErrLocked      = errors.New("the node is locked")
	ErrOffline     = errors.New("the vault is open for reading only; nothing is written, sent or received")
	ErrInMemory    = errors.New("the disk is full; what you did is in memory only until there is room")
	ErrResting     = errors.New("the node is locked after a rest; it still receives")
	ErrStopped     = errors.New("the node is stopping")
	ErrNameTaken   = errors.New("there is a contact with this name already")
	ErrBadName     = errors.New("a name has 1 to 64 characters, at least one letter among them, and no control characters")
	ErrOwn         = errors.New("this invitation was made on this machine")
	ErrTakenUp     = errors.New("this invitation was taken up on this machine already")
	ErrExpired     = errors.New("the invitation has expired, by this machine's clock")
	ErrNoPlace     = errors.New("nobody could reach this machine: it does not listen and has no address to hand out")
	ErrInvitedOnly = errors.New("this is not an open invitation")
	ErrUnreachable = errors.New("the invitation names no place to reach")
)

// NoContactError says that no contact has the name, and which come near.
type NoContactError struct{ Nearest string }

// Error implements error. The name that was asked for is not repeated.
func (e *NoContactError) Error() string { return "there is no contact of this name" }

// Node is one machine. Its methods may be called from several goroutines.
type Node struct {
	cfg     Config
	journal *journal.Journal
	cover   *cover

	opening sync.Mutex // held while a passphrase is tried: one Argon2 at a time
	wrong   int        // passphrases since the last right one; guarded by opening

	mu      sync.Mutex // guards all below
	desk    *desk      // nil: locked
	touched time.Time
	rest    time.Duration // of the desk
	rested  bool          // written down since touched
	failed  error         // why the last desk ended by itself

	start chan *desk // to Run
	done  chan struct{}
}

// Open returns a locked node. It starts nothing and opens nothing.
func Open(cfg Config) *Node {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Rest == 0 {
		cfg.Rest = 15 * time.Minute
	}
	cfg.Pace = cfg.Pace.withDefaults()
	if !cfg.BoxPeriod.Valid() {
		cfg.BoxPeriod = contactPeriod
	}
	if cfg.Settings == nil {
		cfg.Settings = func() (Settings, error) { return Settings{}, nil }
	}
	n := &Node{cfg: cfg, journal: journal.New(cfg.Now), cover: newCover(cfg), rest: cfg.Rest, start: make(chan *desk), done: make(chan struct{})}
	n.journal.Add(journal.Started)
	return n
}

// Run serves until ctx is done, and returns when all goroutines have ended. It
// is called once. If the machine has joined a relay network, as much leaves for it from
// here on whatever is unlocked.
func (n *Node) Run(ctx context.Context) error {
	defer close(n.done)
	n.cover.running.Store(true)
	go n.cover.run(ctx)
	defer func() { <-n.cover.ended }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-n.start:
			err := d.run(ctx)
			n.mu.Lock()
			n.desk, n.failed = nil, err
			n.mu.Unlock()
			n.endTold(err)
			debug.FreeOSMemory() // before the next unlocking, which would take longer for it
			close(d.ended)
		}
	}
}

// Unlock opens the store with the passphrase, for reading: not one byte of it
// changes until [Node.GoOnline]. On a node that is resting, or open, any passphrase
// that opens something has it lock first and open that, for reading:
// if the one that opened it did less than another, who asks for the other would
// learn that it is another. A wrong one changes nothing.
func (n *Node) Unlock(ctx context.Context, passphrase []byte) error {
	return n.UnlockWith(ctx, passphrase, "")
}

// UnlockWith is Unlock with a key file at another place than the settings say.
func (n *Node) UnlockWith(ctx context.Context, passphrase []byte, keyFile string) error {
	n.opening.Lock()
	defer n.opening.Unlock()
	// Memory is given back by the store, before the moment that its answer is kept for:
	// here it would take longer the more lies in levels beneath.
	began := n.cfg.Now()
	err := n.closeFor(passphrase, keyFile)
	if err == nil {
		err = n.open(ctx, passphrase, keyFile)
	}
	n.unlockTold(began, err)
	return err
}

// closeFor closes what is open, if the passphrase opens anything.
func (n *Node) closeFor(passphrase []byte, keyFile string) error {
	d := n.current()
	if d == nil {
		return nil
	}
	m, err := d.store.Match(passphrase, keyFile)
	if err != nil {
		return err
	}
	if m == store.Nothing {
		return store.ErrPassphrase
	}
	d.stop()
	<-d.ended
	return nil
}

// open makes a desk and hands it to Run.
func (n *Node) open(ctx context.Context, passphrase []byte, keyFile string) error {
	if err := n.lastEnded(ctx); err != nil {
		return err
	}
	if keyFile == "" {
		settings, err := n.cfg.Settings()
		if err != nil {
			return fmt.Errorf("%w: %w", errSettings, err)
		}
		keyFile = settings.KeyFile
	}
	s, err := n.cfg.OpenStore(passphrase, keyFile)
	if err != nil {
		return err
	}
	d, err := newDesk(n.cfg, n.journal, s)
	if err == nil {
		d.keyed, d.cover = keyFile != "", n.cover
	}
	if err != nil {
		_ = s.Close()
		return err
	}
	select {
	case n.start <- d:
	case <-ctx.Done():
		d.abandon()
		return ctx.Err()
	case <-n.done:
		d.abandon()
		return ErrStopped
	}
	n.mu.Lock()
	n.desk, n.failed, n.touched, n.rested, n.rest = d, nil, n.cfg.Now(), false, d.rest()
	n.mu.Unlock()
	return nil
}

// lastEnded waits until a desk that is ending by itself has given its store back.
func (n *Node) lastEnded(ctx context.Context) error {
	n.mu.Lock()
	d := n.desk
	n.mu.Unlock()
	if d == nil {
		return nil
	}
	select {
	case <-d.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Lock wipes the keys and closes store and network. Nothing is received until
// the next Unlock. Locking a locked node does nothing.
func (n *Node) Lock() {
	n.opening.Lock()
	defer n.opening.Unlock()
	n.mu.Lock()
	d := n.desk // also one that is ending by itself
	n.mu.Unlock()
	if d == nil {
		return
	}
	d.stop()
	<-d.ended
}

// Quit is Lock for a machine of which nothing is to be left: no more is sent for it, nor
// written beside the vault. What is left to do is to end Run.
func (n *Node) Quit() {
	n.Lock()
	n.cover.stop()
}

// current returns the desk, or nil if the node is locked.
func (n *Node) current() *desk {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.desk != nil && n.desk.over() {
		return nil
	}
	return n.desk
}

// touch tells that a person is there.
func (n *Node) touch() {
	n.mu.Lock()
	n.touched, n.rested = n.cfg.Now(), false
	n.mu.Unlock()
}

// resting reports whether nobody gave a command for the time of rest, and when
// that will be.
func (n *Node) resting() (bool, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	until := n.touched.Add(n.rest)
	rest := n.desk != nil && !n.cfg.Now().Before(until)
	if rest && !n.rested {
		n.rested = true
		n.journal.AddAt(until, journal.Rested)
	}
	return rest, until
}

// GoOnline has what is open written, and messages sent and received, from here on.
// Doing it again does nothing.
func (n *Node) GoOnline(ctx context.Context) error {
	return n.do(ctx, (*desk).goOnline)
}

// do runs f on the desk for a person's command, and waits for it.
func (n *Node) do(ctx context.Context, f func(*desk) error) error {
	d := n.current()
	if d == nil {
		return ErrLocked
	}
	if rest, _ := n.resting(); rest {
		return ErrResting
	}
	n.touch()
	return d.do(ctx, func(d *desk) error {
		d.attach()
		return f(d)
	})
}

// act is do for a command that changes something: it takes a desk that is online,
// and returns when what was changed is on the disk.
func (n *Node) act(ctx context.Context, f func(*desk) error) error {
	done := make(chan error, 1)
	var on *desk
	err := n.do(ctx, func(d *desk) error {
		if !d.online {
			return ErrOffline
		}
		before := d.staged
		err := f(d)
		if err != nil && !errors.Is(err, ErrKept) && !errors.Is(err, ErrKeyAway) {
			return err
		}
		on = d
		if d.staged == before || d.staged <= d.store.Durable() {
			done <- err
			return nil
		}
		d.waiters = append(d.waiters, waiter{d.staged, done, err})
		return nil
	})
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-on.ended:
		select {
		case err := <-done: // with its last writes
			return err
		default:
			return ErrLocked
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Condition says whether a node can be talked to.
type Condition byte

// The conditions.
const (
	Locked Condition = 1 + iota
	Resting
	Unlocked
)

// String returns the condition in one word.
func (c Condition) String() string {
	switch c {
	case Locked:
		return "locked"
	case Resting:
		return "resting"
	case Unlocked:
		return "open"
	default:
		return "no condition"
	}
}

// Status is what a node says of itself, also when it is locked.
type Status struct {
	Condition Condition
	LocksAt   time.Time // when it will rest; zero unless open
	Failed    error     // why it locked by itself, if it did
	Online    bool      // it writes, sends and receives
	Full      bool      // the disk is full: nothing is received or sent
	Crammed   bool      // only when open: the vault is full: what is new is neither received nor sent
	Settings  Settings
	Listening bool
	Contacts  []channel.View // only when open
	Backup    BackupState    // only when open
	Mail      *MailState     // nil: no relay network
	Cover     bool           // as much goes to relays as when it is online, and nothing is received
}

// Status reports on the node. It does not count as a command.
func (n *Node) Status(ctx context.Context) (Status, error) {
	s := Status{Condition: Locked}
	n.mu.Lock()
	s.Failed = n.failed
	n.mu.Unlock()
	d := n.current()
	if d == nil {
		s.covered(n.cover.state())
		return s, nil
	}
	rest, until := n.resting()
	if s.Condition = Resting; !rest {
		s.Condition, s.LocksAt = Unlocked, until
	}
	err := d.do(ctx, func(d *desk) error {
		s.Online, s.Full, s.Settings, s.Listening = d.online, d.full, d.settings, d.online && d.settings.Listen != ""
		if d.mail != nil {
			s.Mail = d.mail.state()
		} else if !d.online {
			s.covered(n.cover.state())
		}
		if s.Condition == Unlocked {
			s.Contacts, s.Backup, s.Crammed = d.views(), d.backupState(), d.crammed
		}
		return nil
	})
	if errors.Is(err, ErrLocked) {
		s = Status{Condition: Locked}
		s.covered(n.cover.state())
		return s, nil
	}
	return s, err
}

// covered tells of a line on which loops alone leave.
func (s *Status) covered(m *MailState) { s.Mail, s.Cover = m, m != nil }
