package channel

import (
	"errors"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Errors that a person meets with a file.
var (
	ErrNoFile     = errors.New("there is no file under this number")
	ErrNotWhole   = errors.New("the file is not here as a whole")
	ErrNotOffered = errors.New("the file does not wait to be taken")
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
	if v.byID[f.ID] {
		v.tell[f.ID] = true
		return
	}
	m := Message{Direction: In, Channel: f.Channel, ID: f.ID, Minute: f.Minute, Text: o.Name, File: true}
	t := &transfer{key: o.Key, size: o.Size, sum: o.Sum, state: FileOffered, held: map[uint64][]byte{}, adding: file.NewSum().State()}
	v.random(t.object[:])
	v.keyed(t, f.ID)
	if v.takesItself(o.Size) {
		t.state = FileMoving
	}
	v.files[v.nextSeq] = t
	i := v.add(m)
	v.saveTransfer(v.messages[i].Seq)
	if v.open(In) > maxFiles {
		v.settle(v.messages[i].Seq, FileDeclined)
	}
	v.whole(v.messages[i].Seq, t)
	v.tell[f.ID] = true
}

// takesItself reports whether a file comes without being asked for: it is small,
// and not too much of the kind lies here unsaved.
func (v *Conversation) takesItself(size uint64) bool {
	unsaved := size
	for seq, t := range v.files {
		if i, ok := v.find(seq); ok && v.messages[i].Direction == In && (t.state == FileMoving || t.state == FileWhole) {
			unsaved += t.size
		}
	}
	return !v.cfg.TakeNone && size <= v.cfg.TakeFile && unsaved <= 4*v.cfg.TakeFile
}

// open counts the files of a direction that are not settled.
func (v *Conversation) open(d Direction) (n int) {
	for seq, t := range v.files {
		if i, ok := v.find(seq); ok && v.messages[i].Direction == d && !t.final() {
			n++
		}
	}
	return n
}

// TakeFile lets a file come that waits for its person.
func (v *Conversation) TakeFile(now time.Time, seq uint64) (*Output, error) {
	t, err := v.incomingFile(seq)
	if err != nil {
		return nil, err
	}
	if t.state != FileOffered {
		return nil, ErrNotOffered
	}
	v.begin(now)
	t.state = FileMoving
	v.saveTransfer(seq)
	v.whole(seq, t)
	v.tellOf(seq)
	out := v.end()
	out.More = true
	return out, nil
}

// RemoveFile ends a file that is on its way, in either direction, and deletes
// what is kept here of its content. Its line stays in the conversation.
func (v *Conversation) RemoveFile(now time.Time, seq uint64) (*Output, error) {
	i, ok := v.find(seq)
	t := v.files[seq]
	if !ok || t == nil {
		return nil, ErrNoFile
	}
	v.begin(now)
	if in := v.messages[i].Direction == In; !t.final() && in {
		v.settle(seq, FileDeclined)
	} else if !t.final() {
		v.settle(seq, FileEnded)
		v.unseal(seq)
	} else if in && t.state == FileWhole {
		t.state = FileEnded
		v.saveTransfer(seq)
		v.dropContent(t)
	}
	v.tellOf(seq)
	out := v.end()
	out.More = true
	return out, nil
}

func (v *Conversation) incomingFile(seq uint64) (*transfer, error) {
	i, ok := v.find(seq)
	t := v.files[seq]
	if !ok || t == nil || v.messages[i].Direction != In {
		return nil, ErrNoFile
	}
	return t, nil
}

// Content returns the content of a file that came whole from an offset on, as
// much as lies in one record; nothing at its end.
func (v *Conversation) Content(seq, offset uint64) ([]byte, error) {
	t, err := v.incomingFile(seq)
	if err != nil {
		return nil, err
	}
	if t.state != FileWhole {
		return nil, ErrNotWhole
	}
	if offset >= t.size {
		return nil, nil
	}
	const chunk = chunkCells * file.ContentSize
	b, err := v.cfg.Records.Get(store.Key{Kind: KindPart, Object: t.object, Seq: offset / chunk})
	if err != nil {
		return nil, err
	}
	if offset%chunk >= uint64(len(b)) {
		return nil, ErrRecord
	}
	return b[offset%chunk:], nil
}

// Sum returns the SHA-256 of a file that came.
func (v *Conversation) Sum(seq uint64) ([32]byte, error) {
	t, err := v.incomingFile(seq)
	if err != nil {
		return [32]byte{}, err
	}
	return t.sum, nil
}

// fileCell takes a piece of a file. It is stored, added up and acknowledged when
// it completes a chunk.
func (v *Conversation) fileCell(cell *wire.Cell) {
	for seq, t := range v.files {
		if i, ok := v.find(seq); t.state != FileMoving || !ok || v.messages[i].Direction != In {
			continue
		}
		index, content, err := file.Open(t.cells, t.size, cell)
		if err != nil {
			continue
		}
		if t.since++; index >= t.done && index < t.done+file.Window+chunkCells {
			t.held[index] = content
		}
		switch {
		case v.storeChunk(seq, t):
			v.whole(seq, t)
			v.tellOf(seq)
		case t.since >= chunkCells: // a gap: the sender is told what is missing
			v.tellOf(seq)
		}
		return
	}
}

// storeChunk stores the next chunk if all of its cells are here.
func (v *Conversation) storeChunk(seq uint64, t *transfer) bool {
	end := min(t.done/chunkCells*chunkCells+chunkCells, file.Cells(t.size))
	var chunk []byte
	for i := t.done; i < end; i++ {
		piece, ok := t.held[i]
		if !ok {
			return false
		}
		chunk = append(chunk, piece...)
	}
	sum, err := file.ResumeSum(t.adding)
	if err != nil || end == t.done {
		return false
	}
	sum.Add(chunk)
	t.adding = sum.State()
	key := store.Key{Kind: KindPart, Object: t.object, Seq: t.done / chunkCells}
	v.out.Writes = append(v.out.Writes, store.Write{Key: key, Value: chunk})
	v.bytes += store.SealedSize(len(chunk)) + 32
	for i := t.done; i < end; i++ {
		delete(t.held, i)
	}
	t.done = end
	v.saveTransfer(seq)
	return true
}

// whole settles a file of which everything is here.
func (v *Conversation) whole(seq uint64, t *transfer) {
	if t.state != FileMoving || t.done < file.Cells(t.size) {
		return
	}
	sum, err := file.ResumeSum(t.adding)
	if err != nil || sum.Result() != t.sum {
		v.settle(seq, FileDamaged)
		return
	}
	v.settle(seq, FileWhole)
}

// standing is what a report says of a file that the peer sends.
func (v *Conversation) standing(id file.ID) file.Entry {
	e := file.Entry{ID: id, State: file.Unknown}
	_, t := v.fileOf(id, In)
	if t == nil {
		return e
	}
	t.since = 0
	switch t.state {
	case FileOffered:
		e.State = file.Held
	case FileMoving:
		e.State, e.Received = file.Coming, t.done
		for i := range t.held {
			e.Set(i)
		}
	case FileWhole:
		e.State = file.Whole
	case FileDamaged:
		e.State = file.Damaged
	default:
		e.State = file.Declined
	}
	return e
}
