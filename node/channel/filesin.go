package channel

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Errors that a person meets with a file.
var (
	ErrNoFile     = errors.New("there is no file under this number")
	ErrNotOffered = errors.New("the file does not wait to be saved")
	ErrFileOver   = errors.New("the file is not on its way any more")
)

// maxFiles is how many files of a contact may be under way in each direction.
const maxFiles = 16

// offerCame takes note of a file that the peer offers. One that comes again in a
// later session is known by its ID; the answer tells how far it has come.
func (v *Conversation) offerCame(f wire.Frame, content string) {
	o, err := file.ParseOffer([]byte(content))
	if err != nil {
		return // acknowledged, and set aside
	}
	if _, ended := v.endings[f.ID]; ended || v.byID[f.ID] {
		v.sayHow(f.ID)
		return
	}
	if !v.takesOffer(f, o.Size) {
		return
	}
	m := Message{Direction: In, Channel: f.Channel, ID: f.ID, Minute: f.Minute, Text: o.Name, File: true}
	t := &transfer{key: o.Key, size: o.Size, sum: o.Sum, state: FileOffered, in: newArrival()}
	t.adding = t.in.sum.State()
	v.random(t.object[:])
	v.keyed(t, f.ID)
	seq := v.nextSeq
	v.files[seq] = t
	v.moving = append(v.moving, seq)
	v.add(m)
	v.saveTransfer(seq)
	if v.open(In) > maxFiles {
		v.settle(seq, FileDeclined)
	}
	v.sayHow(f.ID)
}

// open counts the files of a direction that are not settled.
func (v *Conversation) open(d Direction) (n int) {
	for _, seq := range v.moving {
		if i, ok := v.find(seq); ok && v.messages[i].Direction == d && !v.files[seq].final() {
			n++
		}
	}
	return n
}

// TakeFile lets a file come that waits for its person, and be written under the
// absolute path that the person gave. What has come of it lies beside that place,
// under another name, until it is whole. One that is whole and needs another name
// gets it in the folder where it lies; to another folder it comes anew.
func (v *Conversation) TakeFile(now time.Time, seq uint64, path string) (*Output, error) {
	v.Lapse(now) // before there is an index
	i, ok := v.find(seq)
	t := v.files[seq]
	switch {
	case !ok || t == nil || v.messages[i].Direction != In:
		return nil, ErrNoFile
	case t.state != FileOffered && t.state != FileUnnamed:
		return nil, ErrNotOffered
	}
	if v.now = now; v.withheld(v.messages[i].Channel) {
		return nil, charter.ErrClock
	}
	v.begin(now)
	if t.state == FileUnnamed && filepath.Dir(path) != filepath.Dir(t.path) {
		v.orphan(t)
		t.anew()
	}
	t.state, t.path = FileMoving, path
	v.saveTransfer(seq)
	v.changed(i)
	v.tellOf(seq)
	out := v.end()
	out.More = true
	return out, nil
}

// RemoveFile ends a file that is on its way, in either direction. What has come
// of it is deleted; its line stays in the conversation.
func (v *Conversation) RemoveFile(now time.Time, seq uint64) (*Output, error) {
	v.Lapse(now) // before there is an index
	i, ok := v.find(seq)
	t := v.files[seq]
	switch {
	case !ok || t == nil:
		return nil, ErrNoFile
	case t.final():
		return nil, ErrFileOver
	}
	if v.now = now; v.withheld(v.messages[i].Channel) {
		return nil, charter.ErrClock
	}
	v.begin(now)
	if v.messages[i].Direction == In {
		v.settle(seq, FileDeclined)
	} else {
		v.settle(seq, FileEnded)
		v.unseal(seq)
	}
	v.tellOf(seq)
	out := v.end()
	out.More = true
	return out, nil
}

// arrival is how far a file that comes has come, in this run.
type arrival struct {
	written uint64            // cells that were handed over and written
	sum     *file.Sum         // of them
	held    map[uint64][]byte // cells from written on, at most a window
	kept    map[uint64]bool   // cells from written on that are on the disk, and to be added up yet
	since   int               // cells that came since the last report
	boxed   map[uint64]bool   // of held: those that came in boxes
	after   time.Time         // no task before that: the place could not be written to
}

func newArrival() arrival {
	return arrival{sum: file.NewSum(), held: map[uint64][]byte{}, kept: map[uint64]bool{}, boxed: map[uint64]bool{}}
}

// anew lets a file come from its beginning.
func (t *transfer) anew() {
	t.in, t.done, t.early = newArrival(), 0, nil
	t.adding = t.in.sum.State()
}

func resumeArrival(t *transfer) (arrival, error) {
	sum, err := file.ResumeSum(t.adding)
	if err != nil {
		return arrival{}, ErrRecord
	}
	in := newArrival()
	in.written, in.sum = t.done, sum
	for i := range uint64(len(t.early)) * 8 {
		switch {
		case t.early[i/8]>>(i%8)&1 == 0:
		case t.done+i >= file.Cells(t.size):
			return arrival{}, ErrRecord
		default:
			in.kept[t.done+i] = true
		}
	}
	return in, nil
}

// earlySize is how many bytes name the cells that may be on the disk before their turn.
const earlySize = file.Window/8 + 1

// here reports whether a cell is here that was not handed on in its turn.
func (a *arrival) here(index uint64) bool { return a.held[index] != nil || a.kept[index] }

// ahead names all cells in a report that are here beyond the next one.
func (a *arrival) ahead(e *file.Entry) {
	for i := range a.held {
		e.Set(i)
	}
	for i := range a.kept {
		e.Set(i)
	}
}

// reportAfter is how many cells may come without one that is next: then the sender
// is told what is missing.
const reportAfter = 16

// fileCell takes a piece of a file, until a task hands it on. One that was in a box comes
// only once, and is to be on the disk for good soon.
func (v *Conversation) fileCell(cell *wire.Cell, boxed bool) {
	for _, seq := range v.moving {
		t := v.files[seq]
		if i, ok := v.find(seq); t.state != FileMoving || !ok || v.messages[i].Direction != In || !v.mayCome(v.messages[i]) {
			continue
		}
		index, content, err := file.Open(t.cells, t.size, cell)
		if err != nil {
			continue
		}
		if index >= t.in.written && index < t.in.written+file.Window+1 && !t.in.kept[index] {
			t.in.held[index] = content
			if boxed {
				t.in.boxed[index] = true
			}
		}
		if t.in.since++; t.in.since >= reportAfter && !t.in.here(t.in.written) {
			v.tellOf(seq)
		}
		return
	}
}

// standing is what a report says of a file that the peer sends.
func (v *Conversation) standing(id file.ID) file.Entry {
	e := file.Entry{ID: id, State: file.Unknown}
	_, t := v.fileOf(id, In)
	if t == nil {
		return e
	}
	t.in.since = 0
	switch t.state {
	case FileOffered:
		e.State = file.Held
	case FileMoving, FileUnnamed:
		e.State, e.Received = file.Coming, t.in.written
		if t.in.here(t.in.written) {
			break // nothing is missing: the disk is behind
		}
		t.in.ahead(&e)
	case FileWhole:
		e.State = file.Whole
	case FileDamaged:
		e.State = file.Damaged
	default:
		e.State = file.Declined
	}
	return e
}
