package channel

import (
	"encoding/hex"
	"errors"
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
	// Content belongs at Offset. After a write with Sync all that was written so far
	// has to be on the disk for good.
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
	return FileTask{
		Seq: seq, Path: t.path, Part: "." + hex.EncodeToString(t.object[:8]) + ".part",
		Size: t.size, Sum: t.sum, Offset: t.in.written * file.ContentSize,
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
	for _, seq := range v.moving {
		t := v.files[seq]
		if i, ok := v.find(seq); !ok || v.messages[i].Direction != In || now.Before(t.in.after) {
			continue
		}
		task := t.task(seq)
		switch {
		case t.leftover():
			task.Kind = DiscardFile
		case t.state != FileMoving:
			continue
		case t.in.written == file.Cells(t.size):
			task.Kind = FinishFile
		default:
			task.Kind = WriteContent
			next := t.in.written
			for len(task.Content) < taskCells && t.in.held[next] != nil {
				task.Content = append(task.Content, t.in.held[next])
				next++
			}
			if len(task.Content) == 0 {
				continue
			}
			task.Sync = next == file.Cells(t.size) || next-t.done >= syncCells || t.in.boxed
		}
		return task, true
	}
	return FileTask{}, false
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
	case t == nil && task.Kind == WriteContent: // its line is gone
		task.Kind = DiscardFile
		v.orphans = append(v.orphans, task)
	}
	if t == nil || (task.Kind == DiscardFile) != t.leftover() || task.Kind != DiscardFile && t.state != FileMoving {
		return v.end() // meanwhile it was ended
	}
	switch {
	case task.Kind == DiscardFile:
		v.discarded(now, task.Seq, t, err)
	case task.Offset != t.in.written*file.ContentSize:
	case errors.Is(err, ErrPartLost):
		t.in, t.done, t.trouble = newArrival(), 0, err.Error()
		t.adding, t.in.after = t.in.sum.State(), now.Add(v.cfg.ResendAfter) // it may get lost again and again
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
		t.in.written++
	}
	if task.Sync {
		t.in.boxed = t.in.boxed && len(t.in.held) > 0
		t.done, t.adding = t.in.written, t.in.sum.State()
		v.saveTransfer(task.Seq)
	}
	if t.in.written == file.Cells(t.size) && t.in.sum.Result() != t.sum {
		v.settle(task.Seq, FileDamaged)
	}
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
