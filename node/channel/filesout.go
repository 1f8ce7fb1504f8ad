package channel

import (
	"errors"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Errors that a sender of files meets.
var (
	ErrFileName   = errors.New("the file's name is empty, not valid UTF-8, or longer than 255 bytes")
	ErrFileSize   = errors.New("the file is larger than 4 GiB")
	ErrManyFiles  = errors.New("too many files are under way to this contact")
	errFileSource = errors.New("channel: a file without its sums")
)

// A FileSource describes a file on this machine as it is when it is offered.
type FileSource struct {
	Path  string // where it is, for as long as it is being sent
	Name  string // what the receiver is told
	Size  uint64
	Sum   [32]byte // SHA-256
	Piece uint32   // bytes that one of Sums covers
	Sums  []byte   // SHA-256 of each piece in turn
}

// MaxSums bounds the list of a [FileSource], in bytes.
const MaxSums = 32 << 10

// SendFile offers a file. Its content follows when the other side wants it: see
// [Conversation.Demand].
func (v *Conversation) SendFile(now time.Time, src FileSource) (Message, *Output, error) {
	return v.SendFileIn(now, Open, src)
}

// SendFileIn is SendFile in a channel.
func (v *Conversation) SendFileIn(now time.Time, channel uint32, src FileSource) (Message, *Output, error) {
	v.Lapse(now)
	v.now = now
	if err := v.mayOffer(channel, src.Size); err != nil {
		return Message{}, nil, err
	}
	name := file.Offer{Size: src.Size, Key: secret.New(&[32]byte{1}), Name: src.Name}
	switch {
	case src.Size > file.MaxSize:
		return Message{}, nil, ErrFileSize
	case !name.Valid():
		return Message{}, nil, ErrFileName
	case v.suspect():
		return Message{}, nil, ErrUsedTwice
	case v.open(Out) >= maxFiles:
		return Message{}, nil, ErrManyFiles
	case src.Piece == 0 || len(src.Sums) > MaxSums || uint64(len(src.Sums)/32) != (src.Size+uint64(src.Piece)-1)/uint64(src.Piece):
		return Message{}, nil, errFileSource
	}
	v.begin(now)
	// The ID is of the content, too: the cells' key follows from it, and must be
	// another one for another file, even if the source of randomness repeats.
	m := Message{
		Direction: Out, Channel: channel, State: Waiting, Minute: minute(now), Text: src.Name, File: true,
		ID: v.messageID(v.nextSeq, src.Name+string(src.Sum[:])),
	}
	t := &transfer{key: v.draw(), size: src.Size, sum: src.Sum, state: FileOffered, path: src.Path, piece: src.Piece}
	v.random(t.object[:])
	v.keyed(t, m.ID)
	seq := v.nextSeq
	v.files[seq] = t
	v.moving = append(v.moving, seq)
	i := v.add(m)
	v.out.Writes = append(v.out.Writes, store.Write{Key: store.Key{Kind: KindSums, Object: t.object}, Value: src.Sums})
	v.bytes += store.SealedSize(len(src.Sums)) + 32
	v.saveTransfer(seq)
	v.queue = append(v.queue, seq)
	out := v.end()
	out.More = true
	return v.messages[i], out, nil
}

func (t *transfer) offer(name string) []byte {
	return file.Offer{Size: t.size, Key: t.key, Sum: t.sum, Name: name}.Append(nil)
}

// offered takes note that the peer has an offer, in this session.
func (v *Conversation) offered(seq uint64) {
	if t := v.files[seq]; t != nil && !t.final() {
		t.told, t.agreed = v.s.epoch, max(t.agreed, v.mail.at)
		v.saveTransfer(seq)
		if i, ok := v.find(seq); ok && !v.silent(v.messages[i]) {
			v.changed(i)
		}
	}
}

// flow is how a file that is sent gets on, on one connection. Its window follows
// the time until a cell is acknowledged: it grows while that is short, so that a
// text that comes up meanwhile does not wait behind the file.
type flow struct {
	link   LinkID
	live   bool // the peer wants it, and has said so on this connection
	next   uint64
	acked  uint64
	entry  file.Entry // of the last report
	window uint64
	base   time.Duration // the shortest time seen
	probe  uint64        // cell whose time is taken; 0: none
	probed time.Time
	rewind uint64    // acked at the last rewind, plus one
	moved  time.Time // when something was last sent or acknowledged
	after  time.Time // no demand before that: the file could not be read
}

const (
	firstWindow = 64
	leastWindow = 32
	// slack is how much longer than the shortest an acknowledgement may take.
	slack = 2 * time.Millisecond
	// batch is how many cells are sealed at once, and how much a window grows.
	batch = 16
)

// reported takes note of a report, and works out the window.
func (f *flow) reported(link LinkID, e file.Entry, now time.Time) {
	if !f.live || f.link != link {
		*f = flow{link: link, live: true, next: e.Received, window: firstWindow, acked: e.Received, base: time.Hour, after: f.after}
	}
	f.entry = e
	f.moved = now
	if e.Received < f.acked { // the peer was put back
		f.next = e.Received
	}
	f.acked, f.next = e.Received, max(f.next, e.Received)
	if f.probe != 0 && e.Received >= f.probe {
		took := now.Sub(f.probed)
		f.base, f.probe = min(f.base, took), 0
		if took > 2*f.base+slack {
			f.window = max(leastWindow, f.window*3/4)
		} else {
			f.window = min(file.Window, f.window+batch)
		}
	}
	if e.Bitmap[2] != 0 && f.rewind != f.acked+1 { // much came after what is missing
		f.next, f.rewind, f.probe = f.acked, f.acked+1, 0
	}
}

// A Demand is what the owner is to read of a file and to hand to
// [Conversation.Pieces].
type Demand struct {
	Seq    uint64
	Path   string
	Size   uint64
	Piece  uint32 // bytes that one sum covers: see Sums
	Index  uint64 // of the first cell
	Offset uint64 // of its content
	Length int    // in bytes
	Boxed  bool   // it waits for a box at a drop
}

// Demand reports what of a file can be sent now, or in the next boxes.
func (v *Conversation) Demand(now time.Time) (Demand, bool) {
	v.Lapse(now)
	v.now = now
	if !v.canSend() {
		return v.boxDemand()
	}
	if !v.maySpeak() {
		return Demand{}, false
	}
	for _, seq := range v.moving {
		t := v.files[seq]
		if t.state != FileMoving || !t.flow.live || t.flow.link != v.link.id || now.Before(t.flow.after) || !v.contentMayLeave(seq) {
			continue // not wanted now; of one that comes in, the flow is never live
		}
		f, cells := &t.flow, file.Cells(t.size)
		for f.next < cells && f.entry.Has(f.next) {
			f.next++
		}
		if f.next >= cells || f.next >= f.acked+f.window {
			continue
		}
		n := uint64(1)
		for n < batch && f.next+n < cells && f.next+n < f.acked+f.window && !f.entry.Has(f.next+n) {
			n++
		}
		offset := f.next * file.ContentSize
		length := int(min(n*file.ContentSize, t.size-offset))
		return Demand{Seq: seq, Path: t.path, Size: t.size, Piece: t.piece, Index: f.next, Offset: offset, Length: length}, true
	}
	return Demand{}, false
}

// Sums returns the sums of a file's pieces, as they were when it was offered.
func (v *Conversation) Sums(seq uint64) ([]byte, error) {
	t := v.files[seq]
	if t == nil || t.final() {
		return nil, ErrNoFile
	}
	return v.cfg.Records.Get(store.Key{Kind: KindSums, Object: t.object})
}

// Pieces seals and sends what a demand asked for, or keeps it ready for a box. The content
// must have been held against the sums.
func (v *Conversation) Pieces(now time.Time, d Demand, content []byte) *Output {
	v.begin(now)
	t := v.files[d.Seq]
	switch {
	case t == nil || t.state != FileMoving || len(content) != d.Length || !v.contentMayLeave(d.Seq):
		return v.end()
	case d.Boxed:
		v.makeReady(t, d, content)
		return v.end()
	case !v.canSend() || t.flow.link != v.link.id || t.flow.next != d.Index:
		return v.end() // meanwhile something else was agreed
	}
	t.trouble = ""
	f := &t.flow
	for piece := range slices.Chunk(content, file.ContentSize) {
		var random [32]byte
		v.random(random[:])
		v.sendBox(wire.FlagFile, file.Seal(t.cells, &random, f.next, piece))
		f.next++
	}
	if f.moved = now; f.probe == 0 {
		f.probe, f.probed = f.next, now
	}
	return v.end()
}

// FileUnreadable takes note that a file cannot be read now. It is tried again.
func (v *Conversation) FileUnreadable(now time.Time, seq uint64, why string) {
	if t := v.files[seq]; t != nil && !t.final() {
		t.trouble, t.flow.after = why, now.Add(v.cfg.ResendAfter)
	}
}

// FileIsOther ends a file that is not what it was when it was offered. Nothing of
// it is sealed under the old key.
func (v *Conversation) FileIsOther(now time.Time, seq uint64) *Output {
	v.begin(now)
	v.settle(seq, FileChanged)
	v.unseal(seq)
	v.tellOf(seq)
	out := v.end()
	out.More = true
	return out
}

// tellOf has the next report speak of a file.
func (v *Conversation) tellOf(seq uint64) {
	if i, ok := v.find(seq); ok {
		v.sayHow(v.messages[i].ID)
	}
}

// askFiles begins a connection: it asks how far the own files have come, and
// tells of those that come and of those whose end the sender may not know.
func (v *Conversation) askFiles() {
	for id := range v.endings {
		v.sayHow(id)
	}
	for _, seq := range v.moving {
		if !v.files[seq].final() {
			v.tellOf(seq)
		}
	}
	v.link.asked = v.now
}

// sendReport speaks of the files of which there is something to say.
func (v *Conversation) sendReport() {
	if len(v.tell) == 0 || v.link == nil || !v.link.resumeGot {
		return
	}
	var entries []file.Entry
	for id, say := range v.tell {
		if !v.mayReport(id, false) {
			continue // until it may
		}
		if len(entries) == file.MaxEntries {
			v.out.More = true
			break
		}
		delete(v.tell, id)
		if e, ok := v.entryOf(id, say); ok {
			entries = append(entries, e)
		}
	}
	if len(entries) > 0 {
		v.sendBox(wire.FlagReport, file.Report(entries))
	}
}

// reportCame handles a report. It is the peer's word about its own side.
func (v *Conversation) reportCame(cell *wire.Cell, from said) {
	entries, err := file.ParseReport(cell)
	if err != nil {
		return
	}
	for _, e := range entries {
		switch e.State {
		case file.Asking:
			v.sayHow(e.ID)
		case file.Gone:
			if seq, t := v.fileOf(e.ID, In); t != nil && !t.final() {
				v.settle(seq, FileEnded)
			}
			v.endingKnown(e.ID)
		default:
			if seq, t := v.fileOf(e.ID, Out); t != nil {
				v.answered(seq, t, e, from)
			} else if e.State != file.Unknown { // the line is gone, and the peer may wait for it
				v.sayGone(e.ID)
			}
		}
	}
}

// answered handles what the peer says of a file that is sent from here.
func (v *Conversation) answered(seq uint64, t *transfer, e file.Entry, from said) {
	if t.final() {
		if e.State != file.Unknown {
			v.sayGone(e.ID) // it may not know yet, or not know that this side does
		}
		return
	}
	if from.boxed && from.at < t.heard && (e.State != file.Coming || e.Received < t.flow.acked || t.told != v.s.epoch) {
		return // a newer box was read before it
	}
	if e.Received > file.Cells(t.size) {
		return
	}
	was, newer := t.state, from.at > t.heard // boxes have the network's time; this machine's may be another
	t.heard = max(t.heard, from.at)
	switch e.State {
	case file.Held:
		t.state = FileOffered
	case file.Coming:
		t.state = FileMoving
		if from.boxed {
			v.comingInBox(seq, t, e, from.at)
			break
		}
		t.flow.reported(v.link.id, e, v.now)
		t.posting.arrived(e)
	case file.Whole:
		v.settle(seq, FileWhole)
		v.sayGone(e.ID)
	case file.Declined:
		v.settle(seq, FileDeclined)
		v.sayGone(e.ID)
	case file.Damaged:
		v.settle(seq, FileDamaged)
		v.sayGone(e.ID)
	case file.Asking, file.Gone: // a sender's words
		return
	case file.Unknown:
		if t.told == v.s.epoch { // it was put back: the offer goes out again
			t.told, t.state, t.flow, t.posting, t.done, t.posted = 0, FileOffered, flow{}, posting{}, 0, 0
			v.saveTransfer(seq)
			v.requeue()
		}
		return
	}
	i, ok := v.find(seq)
	if !ok || t.final() {
		return
	}
	if newer || t.state != was {
		v.saveTransfer(seq)
	}
	if t.state != was && !v.silent(v.messages[i]) {
		v.changed(i)
	}
}

// tickFiles asks again about files of which nothing was heard for long, and
// begins again after what the peer has.
func (v *Conversation) tickFiles(l *link) {
	if v.open(Out) == 0 || v.now.Sub(l.asked) < v.cfg.ResendAfter {
		return
	}
	l.asked = v.now
	for _, seq := range v.moving {
		t := v.files[seq]
		if i, ok := v.find(seq); t.final() || !ok || v.messages[i].Direction != Out || v.now.Sub(t.flow.moved) < v.cfg.ResendAfter {
			continue
		}
		t.flow.next, t.flow.probe = t.flow.acked, 0
		v.tellOf(seq)
	}
}
