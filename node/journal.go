package node

import (
	"context"
	"errors"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store"
)

// Log returns what the node remembers of its last hour, oldest first. What was on
// connections is shown only while the node is open, and forgotten when it locks.
func (n *Node) Log() []journal.Entry {
	rest, _ := n.resting() // writes down that it rests
	return n.journal.Entries(n.current() != nil && !rest)
}

// LogLevel returns how much is remembered.
func (n *Node) LogLevel() journal.Level { return n.journal.Level() }

// SetLogLevel sets how much is remembered, until the process ends.
func (n *Node) SetLogLevel(l journal.Level) { n.journal.SetLevel(l) }

// reasonFor finds the reason of an error among those that the journal knows.
func reasonFor(err error) journal.Reason {
	var used *store.InUseError
	if errors.As(err, &used) {
		return journal.VaultInUse
	}
	for _, k := range []struct {
		err    error
		reason journal.Reason
	}{
		{store.ErrMissing, journal.NoVault},
		{store.ErrDamaged, journal.VaultDamaged},
		{channel.ErrRecord, journal.VaultDamaged},
		{store.ErrNewer, journal.VaultNewer},
		{store.ErrFull, journal.DiskFull},
		{store.ErrMemory, journal.NoMemory},
		{errSettings, journal.BadSettings},
		{p2p.ErrAddressInUse, journal.PortInUse},
		{p2p.ErrProxy, journal.BadProxy},
		{p2p.ErrNeedsProxy, journal.NeedsProxy},
		{p2p.ErrTooMany, journal.TooMany},
		{context.DeadlineExceeded, journal.TimedOut},
		{p2p.ErrUnreachable, journal.Unreachable},
		{p2p.ErrRefused, journal.NotThem},
		{context.Canceled, journal.Stopping},
		{ErrStopped, journal.Stopping},
		{p2p.ErrClosed, journal.Stopping},
		{errStoring, journal.CommitFailed},
	} {
		if errors.Is(err, k.err) {
			return k.reason
		}
	}
	return journal.OtherReason
}

// Marks by which reasonFor knows what an error came from.
var (
	errSettings = errors.New("reading the settings")
	errStoring  = errors.New("storing")
)

// unlockTold writes down how an attempt to unlock ended.
func (n *Node) unlockTold(began time.Time, err error) {
	switch {
	case errors.Is(err, store.ErrPassphrase):
		n.wrong++
		n.journal.Add(journal.WrongPassphrase, journal.CountOf(n.wrong))
	case errors.Is(err, ErrMoved), errors.Is(err, channel.ErrRecord):
		// The passphrase opened something, of which nothing is remembered.
	case err != nil:
		n.journal.Add(journal.NotUnlocked, reasonFor(err))
	default:
		n.wrong = 0
		n.journal.Add(journal.Unlocked, journal.TookOf(n.cfg.Now().Sub(began)))
	}
}

// endTold writes down that the desk ended, and forgets its connections.
func (n *Node) endTold(err error) {
	n.journal.ForgetLines()
	if err != nil {
		n.journal.Add(journal.LockedItself, reasonFor(err))
		return
	}
	n.journal.Add(journal.Locked)
}

// clockSlack is by how much clocks may differ without a word.
const clockSlack = 2 * time.Minute

// tell writes down what an output changed in how a contact stands.
func (d *desk) tell(p *person, out *channel.Output) {
	before, now := p.told, p.conversation.Standing()
	p.told = now
	switch {
	case now.Sessions > before.Sessions:
		d.journal.Add(journal.SessionBegan)
	case now.Resumed && !before.Resumed:
		d.journal.Add(journal.SessionResumed)
	}
	if off := now.ClockOff.Abs(); off >= clockSlack && before.ClockOff.Abs() < clockSlack {
		d.journal.Add(journal.ClockOff, journal.TookOf(off))
	}
	if now.OtherRelays && !before.OtherRelays {
		d.journal.Add(journal.OtherRelays)
	}
	for _, m := range out.Changed {
		switch {
		case m.Direction == channel.Notice && m.Text == channel.NoteRecovered:
			d.journal.Add(journal.Recovered)
		case m.File:
			d.tellFile(m)
		}
	}
}

func (d *desk) tellFile(m channel.Message) {
	way := journal.Incoming
	if m.Direction == channel.Out {
		way = journal.Outgoing
	}
	switch m.FileState {
	case channel.FileOffered: // it waits for a person
	case channel.FileMoving:
		d.journal.Add(journal.FileBegan, way)
	case channel.FileWhole:
		d.journal.Add(journal.FileEnded, journal.Whole)
	default:
		d.journal.Add(journal.FileEnded, journal.Broken)
	}
}

func (d *desk) networkTold() {
	how := journal.ReachesOut
	if d.settings.Listen != "" {
		how = journal.Listens
	}
	d.journal.Add(journal.Network, how)
}

// linkTold writes down a new connection and returns its number.
func (d *desk) linkTold(dialled bool) journal.Link {
	way := journal.Incoming
	if dialled {
		way = journal.Outgoing
	}
	number := d.journal.NewLink()
	d.journal.Add(journal.LinkUp, number, way)
	return number
}

// unlinkTold writes down the end of a connection; nil is one that never came up.
func (d *desk) unlinkTold(l *link) {
	if l == nil {
		d.journal.Add(journal.LinkRefused)
		return
	}
	d.journal.Add(journal.LinkDown, l.number, journal.TookOf(d.cfg.Now().Sub(l.up)))
}

// rest is how long nobody may give a command until faces lock.
func (d *desk) rest() time.Duration {
	if d.settings.Rest > 0 {
		return time.Duration(d.settings.Rest) * time.Minute
	}
	return d.cfg.Rest
}
