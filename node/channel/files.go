package channel

import (
	"bytes"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/secret"
)

// FileState says how far a file has come.
type FileState byte

// The states of a file. Those from FileWhole to FileEnded are final.
const (
	FileOffered  FileState = 1 + iota // to a person who has not taken it yet
	FileMoving                        // taken; its content is on the way
	FileWhole                         // all of it is there, and the sum fits
	FileDeclined                      // by the one it was offered to
	FileChanged                       // it is no longer what was offered, at its sender's
	FileDamaged                       // all came, and the sum did not fit
	FileEnded                         // taken back, or its life is over
	FileUnnamed                       // all of it is there, and has no name: its person has to give another
)

// Words returns the state in the words that screens show to one of the two.
func (s FileState) Words(d Direction) string {
	words := map[FileState][2]string{ // out, in
		FileOffered:  {"offered, not taken yet", "waits for you to save it"},
		FileMoving:   {"on its way", "coming"},
		FileWhole:    {"delivered", "here"},
		FileDeclined: {"declined", "declined"},
		FileChanged:  {"changed here since; send it again", "ended by the sender"},
		FileDamaged:  {"did not arrive whole; send it again", "did not arrive whole"},
		FileEnded:    {"ended, never confirmed", "ended, not whole"},
		FileUnnamed:  {"on its way", "needs another name"},
	}[s]
	if d == Out {
		return words[0]
	}
	return words[1]
}

// FileWords returns the state of the file that a message is about.
func (m Message) FileWords() string {
	switch {
	case m.Direction != Out || m.FileState != FileOffered || m.Offered:
		return m.FileState.Words(m.Direction)
	case m.State == Waiting:
		return Waiting.String()
	default:
		return "being offered"
	}
}

// FileView is what a screen shows of a file.
type FileView struct {
	Message
	Size    uint64
	Done    uint64 // bytes that are known to be with the receiver
	Boxed   uint64 // and bytes that drops have for the receiver, as far as is known
	Rest    uint64 // boxes that a file needs that goes on over relays, if none is lost
	State   FileState
	Path    string // where it was put, of one that came whole
	Place   string // where it was to be, of one that needs another name
	Trouble string // why it does not go on here, if that is known
}

// transferVersion is 2: 1 had nothing of what boxes at drops need.
const transferVersion = 2

// A transfer is what is kept of a file, under the sequence of the message that
// offered it. Content is not kept here: it is read at its sender's, and written at
// its receiver's, where the person said.
type transfer struct {
	object [16]byte   // names the part file, or the record of sums
	key    secret.Key // empty once the state is final
	size   uint64
	sum    [32]byte
	state  FileState
	path   string // out: where the file is; in: where it is to be, or was put
	piece  uint32 // out: bytes that one sum covers
	told   uint32 // out: epoch in which the offer was acknowledged; 0: in none
	done   uint64 // in: cells that are on the disk for good; out: as the receiver has said of late
	posted uint64 // out: cells below it were in boxes, or need not be
	early  []byte // in: bit i: cell done + i is on the disk for good, too; see arrival.kept
	heard  uint32 // out: when the newest box was written that told of it, in seconds
	agreed uint32 // out: when the box was written that acknowledged the offer, in seconds; zero: none did
	adding []byte // in: state of the sum of what is on the disk for good

	// In memory only.
	cells   secret.Key // derived from key
	in      arrival
	known   bool    // in: its sender knows how it ended
	flow    flow    // out
	posting posting // out
	trouble string  // see FileView
}

func (t *transfer) final() bool { return t.state >= FileWhole && t.state != FileUnnamed }

func (t *transfer) append(b []byte) []byte {
	e := encoder{b}
	e.u8(transferVersion)
	e.fixed(t.object[:])
	e.key(t.key)
	e.u64(t.size)
	e.fixed(t.sum[:])
	e.u8(byte(t.state))
	e.bytes([]byte(t.path))
	e.u32(t.piece)
	e.u32(t.told)
	e.u64(t.done)
	e.bytes(t.adding)
	e.u64(t.posted)
	e.bytes(t.early)
	e.u32(t.heard)
	e.u32(t.agreed)
	return e.b
}

func parseTransfer(b []byte) (*transfer, error) {
	d := decoder{b: b}
	t := &transfer{}
	first := bytes.HasPrefix(b, []byte{1})
	if err := d.version(transferVersion); err != nil {
		return nil, err
	}
	copy(t.object[:], d.fixed(16))
	t.key = d.key()
	t.size = d.u64()
	copy(t.sum[:], d.fixed(32))
	t.state = FileState(d.u8())
	t.path = string(d.bytes())
	t.piece, t.told = d.u32(), d.u32()
	t.done = d.u64()
	if t.adding = d.bytes(); !first {
		t.posted, t.early, t.heard, t.agreed = d.u64(), d.bytes(), d.u32(), d.u32()
	}
	if err := d.end(); err != nil || len(t.early) > earlySize || t.size > file.MaxSize || t.state < FileOffered || t.state > FileUnnamed ||
		max(t.done, t.posted) > file.Cells(t.size) || t.key.IsZero() != t.final() {
		return nil, ErrRecord
	}
	return t, nil
}

func (v *Conversation) saveTransfer(seq uint64) { v.put(KindFile, seq, v.files[seq].append(nil)) }

// loadFiles reads the transfers back. The sums of one that ended are on their way
// out.
func (v *Conversation) loadFiles() error {
	for r, err := range v.cfg.Records.Scan(KindFile, v.id) {
		if err != nil {
			return err
		}
		t, err := parseTransfer(r.Value)
		if err != nil {
			return err
		}
		i, ok := v.find(r.Key.Seq)
		if !ok || !v.messages[i].File {
			v.dropSums(t)
			v.orphan(t)
			v.stale = append(v.stale, r.Key) // after the sums that it names
			continue
		}
		in := v.messages[i].Direction == In
		if v.keyed(t, v.messages[i].ID); in && !t.final() {
			if t.in, err = resumeArrival(t); err != nil {
				return err
			}
		}
		if !in {
			t.flow.acked, t.flow.entry.Received = t.done, t.done
		}
		v.files[r.Key.Seq] = t
		switch {
		case !t.final(), in && t.leftover():
			v.moving = append(v.moving, r.Key.Seq)
		case !in:
			v.dropSums(t)
		}
	}
	slices.Sort(v.moving)
	return nil
}

func (v *Conversation) keyed(t *transfer, id file.ID) {
	if !t.key.IsZero() {
		t.cells = file.CellKey(t.key, id)
	}
}

// dropSums lets the record of sums be deleted.
func (v *Conversation) dropSums(t *transfer) {
	v.stale = append(v.stale, store.Key{Kind: KindSums, Object: t.object})
}

// leftover reports whether a part file may lie where the file was to be.
func (t *transfer) leftover() bool { return t.final() && t.state != FileWhole && t.path != "" }

// settle brings a transfer into a final state: its keys go. What was written of a
// file that did not come whole is removed by the next task.
func (v *Conversation) settle(seq uint64, s FileState) {
	t := v.files[seq]
	i, ok := v.find(seq)
	if t == nil || !ok || t.final() {
		return
	}
	in := v.messages[i].Direction == In
	t.key.Wipe()
	t.cells.Wipe()
	t.key, t.cells, t.state, t.adding, t.early, t.trouble = secret.Key{}, secret.Key{}, s, nil, nil, ""
	t.in, t.posting, t.heard, t.agreed = arrival{}, posting{}, 0, 0
	if !in {
		t.path = ""
		v.dropSums(t)
	}
	v.saveTransfer(seq)
	if !t.leftover() {
		v.unmove(seq)
	}
	switch {
	case in:
		v.changed(i)
	case s == FileChanged || s == FileEnded:
		v.setState(i, Expired)
	default:
		v.setState(i, Delivered)
	}
}

// unmove takes a file off the list of those that something is still to be done for.
func (v *Conversation) unmove(seq uint64) {
	v.moving = slices.DeleteFunc(v.moving, func(n uint64) bool { return n == seq })
}

// A fileName is how both sides name a file.
type fileName struct {
	id        file.ID
	direction Direction
}

// fileOf finds the transfer that is known to both sides by an ID. A peer can ask
// for many at once.
func (v *Conversation) fileOf(id file.ID, d Direction) (seq uint64, t *transfer) {
	seq = v.named[fileName{id, d}]
	if _, ok := v.find(seq); !ok || v.files[seq] == nil {
		return 0, nil
	}
	return seq, v.files[seq]
}

// Files returns what is known of all files, oldest first.
func (v *Conversation) Files() []FileView {
	var list []FileView
	for _, m := range v.messages {
		if f, ok := v.File(m.Seq); ok {
			list = append(list, f)
		}
	}
	return list
}

// File returns what is known of the file of one message.
func (v *Conversation) File(seq uint64) (FileView, bool) {
	i, ok := v.find(seq)
	t := v.files[seq]
	if !ok || t == nil {
		return FileView{}, false
	}
	f := FileView{Message: v.shown(v.messages[i]), Size: t.size, State: t.state, Trouble: t.trouble, Done: t.in.written * file.ContentSize}
	switch {
	case f.Direction == Out:
		f.Done, f.Boxed = t.flow.acked*file.ContentSize, t.boxedBytes()
	case t.state == FileWhole:
		f.Path = t.path
	case t.state == FileUnnamed:
		f.Place = t.path
	}
	if f.Done = min(f.Done, f.Size); t.state == FileWhole {
		f.Done = f.Size
	}
	if !t.final() {
		f.Rest = t.rest(f.Direction)
	}
	if v.unseen(v.messages[i]) {
		f.State, f.Done, f.Boxed, f.Rest = FileMoving, 0, 0, 0
	}
	return f, true
}

// expireFiles ends files whose life is over before they were whole.
func (v *Conversation) expireFiles() {
	for _, seq := range slices.Clone(v.moving) {
		t := v.files[seq]
		i, ok := v.find(seq)
		if t.final() || !ok || v.full() || v.now.Before(fromMinute(v.messages[i].Stored).Add(v.cfg.Life+time.Minute)) {
			continue
		}
		v.settle(seq, FileEnded)
	}
}
