package channel

import (
	"errors"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Errors that a person meets who sends a file in a channel.
var (
	ErrCharterFiles = errors.New("the channel was agreed to have no files")
	ErrCharterSize  = errors.New("the file is larger than the channel was agreed to take")
)

// NoteFileTerms is the program's line about a file that a charter does not allow.
const NoteFileTerms = "A file was offered that the charter does not allow. Their machine does not keep to it, or has lost what was agreed. It was declined."

// fitsTerms says what a charter has against a file of a size, in bytes.
func fitsTerms(d *charter.Draft, size uint64) error {
	const million = 1_000_000
	switch {
	case d == nil || d.Files == 0:
		return ErrCharterFiles
	case size > uint64(d.Files)*million:
		return ErrCharterSize
	}
	return nil
}

// mayOffer reports whether this person may send a file of a size in a channel.
func (v *Conversation) mayOffer(n uint32, size uint64) error {
	if err := v.mayFlow(n); err != nil || n == Open {
		return err
	}
	return fitsTerms(v.charters[n].Agreed(), size)
}

// contentMayLeave reports whether content of the file of a line may leave now: only
// while its offer might.
func (v *Conversation) contentMayLeave(seq uint64) bool {
	i, ok := v.find(seq)
	return ok && v.mayLeave(v.messages[i])
}

// mayReport reports whether a report may speak of a file now: not while its channel is
// withheld, nor on a connection if the charter wants relays. Unlike its content, how it
// ended may leave when the channel is closed; and no way is more hidden than a box.
func (v *Conversation) mayReport(id file.ID, boxed bool) bool {
	for _, d := range []Direction{In, Out} {
		seq, t := v.fileOf(id, d)
		i, ok := v.find(seq)
		if t == nil || !ok {
			continue
		}
		c, n := v.charters[v.messages[i].Channel], v.messages[i].Channel
		if v.withheld(n) || !boxed && c != nil && c.Agreed() != nil && c.Agreed().Route != charter.RouteDirect && v.drops.policy != RelayRoute {
			return false
		}
	}
	return true
}

// mayCome reports whether content of a file that the peer sends has its place here now.
func (v *Conversation) mayCome(m Message) bool {
	c := v.charters[m.Channel]
	return c == nil || !v.withheld(m.Channel) && c.Phase() == charter.Open
}

// takesOffer reports whether an offer of the peer's has its place in the channel that it
// names. One that a charter does not allow is declined, so that it does not come again.
func (v *Conversation) takesOffer(f wire.Frame, size uint64) bool {
	c := v.charters[f.Channel]
	if f.Channel == Open || c != nil && c.Phase() == charter.Open && fitsTerms(c.Agreed(), size) == nil {
		return true
	}
	v.keepEnding(Message{ID: f.ID, Stored: minute(v.now)}, file.Declined)
	v.sayHow(f.ID)
	last := slices.IndexFunc(v.messages, func(m Message) bool {
		return m.Channel == f.Channel && m.Direction == Notice && m.Text == NoteFileTerms
	})
	if c != nil && c.Phase() == charter.Open && last < 0 {
		v.noteIn(f.Channel, NoteFileTerms)
	}
	return false
}

// endForbidden ends files under way in a channel that is open no more, or whose charter
// does not allow them any more.
func (v *Conversation) endForbidden(n uint32) {
	c := v.charters[n]
	for _, seq := range slices.Clone(v.moving) {
		i, ok := v.find(seq)
		t := v.files[seq]
		if !ok || v.messages[i].Channel != n || t.final() || c.Phase() == charter.Open && fitsTerms(c.Agreed(), t.size) == nil {
			continue
		}
		if v.messages[i].Direction == In {
			v.settle(seq, FileDeclined)
		} else {
			v.settle(seq, FileEnded)
			v.unseal(seq)
		}
		v.tellOf(seq)
	}
	v.requeue()
}

// unseen reports whether a file of a channel that has no receipts has come to what its
// sender is not told.
func (v *Conversation) unseen(m Message) bool {
	t := v.files[m.Seq]
	return t != nil && m.State != Waiting && v.silent(m) && (t.state == FileOffered || t.state == FileMoving || t.state == FileWhole)
}

// FilesIn returns what is known of the files of a channel, oldest first.
func (v *Conversation) FilesIn(now time.Time, n uint32) ([]FileView, error) {
	v.Lapse(now)
	v.now = now
	if err := v.mayShow(n); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(v.Files(), func(f FileView) bool { return !f.in(n) }), nil
}

// FileIn returns what is known of one file, if its channel may be shown.
func (v *Conversation) FileIn(now time.Time, seq uint64) (FileView, error) {
	v.Lapse(now)
	v.now = now
	f, ok := v.File(seq)
	if !ok {
		return f, ErrNoFile
	}
	return f, v.mayShow(max(f.Channel, Open))
}
