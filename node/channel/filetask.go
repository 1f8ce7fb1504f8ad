package channel

import (
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/file"
)

// TaskKind says what the owner of a Conversation is to do on the disk.
type TaskKind byte

// The kinds.
const (
	WriteContent TaskKind = 1 + iota // write Content at Offset of the part file
	FinishFile                       // give the part file its name
	DiscardFile                      // delete the part file
	WithdrawFile                     // delete the file of size Size under Path: it was finished, and is not wanted
	KeepContent                      // as WriteContent, of what comes before its turn
	ReadContent                      // read Content at Offset of the part file; each part of it has its length
)

// String returns the kind in a word.
func (k TaskKind) String() string {
	switch k {
	case WriteContent:
		return "write"
	case FinishFile:
		return "finish"
	case DiscardFile:
		return "discard"
	case WithdrawFile:
		return "withdraw"
	case KeepContent:
		return "keep"
	case ReadContent:
		return "read"
	default:
		return "no task"
	}
}

// A FileTask is what is to be done next for a file that comes. The owner does it
// beside its other work, and tells the outcome to [Conversation.FileTaskDone].
type FileTask struct {
	Kind   TaskKind
	Seq    uint64
	Path   string // where the file is to be
	Part   string // name of the part file, in the same folder
	Size   uint64
	Sum    [32]byte
	Offset uint64
	Before uint64 // bytes that the part file has at least; zero: it is made anew
	// Content belongs at Offset. After a task with Sync all that was written so far has to
	// be on the disk for good.
	Content [][]byte
	Sync    bool
}

// Outcomes of a task, beside nil.
var (
	// ErrPartLost says that what was written before is gone: the file comes anew.
	ErrPartLost = errors.New("what had come of the file is gone")
	// ErrPlace says that the place cannot be written to now. It is tried again.
	ErrPlace = errors.New("the place cannot be written to")
	// ErrNoName says that every name is taken that a finished file could get. Its
	// person has to give another one: see [Conversation.TakeFile].
	ErrNoName = errors.New("every name that the file could get is taken")
)

const (
	// taskCells is the most that one task writes, in cells.
	taskCells = 64
	// syncCells is how much may be lost in a crash, and come again, in cells: 16 MB.
	syncCells = 4096
	// discardAgain is how long until a part file that could not be deleted is tried
	// again.
	discardAgain = time.Hour
)

func (t *transfer) task(seq uint64) FileTask {
	before := t.in.written * file.ContentSize
	for i := range t.in.kept {
		before = max(before, i*file.ContentSize+uint64(file.Piece(t.size, i)))
	}
	return FileTask{
		Seq: seq, Path: t.path, Part: "." + hex.EncodeToString(t.object[:8]) + ".part",
		Size: t.size, Sum: t.sum, Offset: t.in.written * file.ContentSize, Before: min(before, t.size),
	}
}

// orphan has the part file deleted of a file whose record goes.
func (v *Conversation) orphan(t *transfer) {
	if t.piece == 0 && t.state != FileWhole && t.path != "" { // it came in
		task := t.task(0)
		task.Kind = DiscardFile
		v.orphans = append(v.orphans, task)
	}
}

// FileTask returns what is to be done next, if anything is.
func (v *Conversation) FileTask(now time.Time) (FileTask, bool) {
	v.Lapse(now)
	v.now = now
	for _, seq := range v.moving {
		t := v.files[seq]
		i, ok := v.find(seq)
		if !ok || v.messages[i].Direction != In || now.Before(t.in.after) {
			continue
		}
		task := t.task(seq)
		switch {
		case t.leftover():
			task.Kind = DiscardFile
		case t.state != FileMoving, v.withheld(v.messages[i].Channel):
			continue
		case t.in.written == file.Cells(t.size):
			task.Kind = FinishFile
		default:
			if !t.content(&task) {
				continue
			}
		}
		return task, true
	}
	return FileTask{}, false
}

// content says what is to be written or read next: what is next in turn; else, of what
// came in boxes, and so comes only once, what is not.
func (t *transfer) content(task *FileTask) bool {
	first := t.in.written
	if !t.in.here(first) && len(t.in.boxed) > 0 {
		first = slices.Min(slices.Collect(maps.Keys(t.in.boxed)))
	}
	next, boxed := first, false
	for ; len(task.Content) < taskCells && t.in.held[next] != nil; next++ {
		task.Content = append(task.Content, t.in.held[next])
		boxed = boxed || t.in.boxed[next]
	}
	switch {
	case len(task.Content) > 0 && first == t.in.written:
		task.Kind = WriteContent
		task.Sync = next == file.Cells(t.size) || next-t.done >= syncCells || boxed
	case len(task.Content) > 0:
		task.Kind, task.Sync, task.Offset = KeepContent, true, first*file.ContentSize
	case t.in.kept[first]:
		task.Kind, task.Sync = ReadContent, true // what was written in its turn meanwhile counts from here on
		for ; len(task.Content) < taskCells && t.in.kept[next]; next++ {
			task.Content = append(task.Content, make([]byte, file.Piece(t.size, next)))
		}
	default:
		return false
	}
	return true
}

// FileTaskDone takes note of how a task went. Path is where a file that is
// finished lies: the name may have been taken meanwhile.
func (v *Conversation) FileTaskDone(now time.Time, task FileTask, path string, err error) *Output {
	v.begin(now)
	t := v.files[task.Seq]
	switch {
	case task.Kind == FinishFile && err == nil && (t == nil || t.state != FileMoving):
		// It was ended while it got its name. Whoever ended it was told that it goes.
		task.Kind, task.Path = WithdrawFile, path
		v.orphans = append(v.orphans, task)
		return v.end()
	case t == nil && (task.Kind == WriteContent || task.Kind == KeepContent): // its line is gone
		task.Kind = DiscardFile
		v.orphans = append(v.orphans, task)
	}
	if t == nil || (task.Kind == DiscardFile) != t.leftover() || task.Kind != DiscardFile && t.state != FileMoving {
		return v.end() // meanwhile it was ended
	}
	switch {
	case task.Kind == DiscardFile:
		v.discarded(now, task.Seq, t, err)
	case task.Offset != t.in.written*file.ContentSize && task.Kind != KeepContent:
	case errors.Is(err, ErrPartLost):
		t.anew()
		t.trouble, t.in.after = err.Error(), now.Add(v.cfg.ResendAfter) // it may get lost again and again
		v.saveTransfer(task.Seq)
	case errors.Is(err, ErrNoName):
		t.state = FileUnnamed
		v.saveTransfer(task.Seq)
		if i, ok := v.find(task.Seq); ok {
			v.changed(i)
		}
	case err != nil:
		t.trouble, t.in.after = err.Error(), now.Add(v.cfg.ResendAfter)
	case task.Kind == FinishFile:
		t.path = path
		v.settle(task.Seq, FileWhole)
	case task.Kind == KeepContent:
		v.keptEarly(task, t)
	default:
		v.wrote(task, t)
	}
	v.tellOf(task.Seq)
	out := v.end()
	out.More = true
	return out
}

// wrote goes on after content was written. What came is added up, and is whole or
// damaged when all of it is there.
func (v *Conversation) wrote(task FileTask, t *transfer) {
	t.trouble = ""
	for _, content := range task.Content {
		t.in.sum.Add(content)
		delete(t.in.held, t.in.written)
		delete(t.in.boxed, t.in.written)
		delete(t.in.kept, t.in.written)
		t.in.written++
	}
	if task.Sync {
		v.forGood(task.Seq, t)
	}
	if t.in.written == file.Cells(t.size) && t.in.sum.Result() != t.sum {
		v.settle(task.Seq, FileDamaged)
	}
}

// keptEarly takes note that cells are on the disk before their turn.
func (v *Conversation) keptEarly(task FileTask, t *transfer) {
	t.trouble = ""
	for i := range task.Content {
		index := task.Offset/file.ContentSize + uint64(i)
		delete(t.in.held, index)
		delete(t.in.boxed, index)
		t.in.kept[index] = true
	}
	v.forGood(task.Seq, t)
}

// forGood has it stored that all is on the disk that was handed on until now.
func (v *Conversation) forGood(seq uint64, t *transfer) {
	t.done, t.adding, t.early = t.in.written, t.in.sum.State(), nil
	if len(t.in.kept) > 0 {
		t.early = make([]byte, earlySize)
	}
	for index := range t.in.kept {
		i := index - t.done
		t.early[i/8] |= 1 << (i % 8)
	}
	v.saveTransfer(seq)
}

// discarded forgets where a part file was, once it is gone.
func (v *Conversation) discarded(now time.Time, seq uint64, t *transfer, err error) {
	if err != nil {
		t.trouble, t.in.after = err.Error(), now.Add(discardAgain)
		return
	}
	t.path, t.trouble = "", ""
	v.saveTransfer(seq)
	v.unmove(seq)
}
