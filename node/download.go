package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/file"
)

// keep does what a conversation wants done on the disk for a file that comes. It is
// a step of the contact's writer, who owns s.
func (d *desk) keep(id channel.ContactID, s *sink) (worked bool, err error) {
	var task channel.FileTask
	if err := d.of(id, func(d *desk, p *person) error {
		task, worked = p.conversation.FileTask(d.cfg.Now())
		return nil
	}); err != nil || !worked {
		return false, err
	}
	path, failed := s.perform(d.ctx, task)
	if d.ctx.Err() != nil {
		return false, d.ctx.Err()
	}
	err = d.of(id, func(d *desk, p *person) error {
		return d.apply(p, p.conversation.FileTaskDone(d.cfg.Now(), task, path, failed))
	})
	if errors.Is(err, io.EOF) { // the contact was removed, and its part files before this one was made
		if task.Kind == channel.FinishFile && failed == nil {
			task.Kind, task.Path = channel.WithdrawFile, path
		} else {
			task.Kind = channel.DiscardFile
		}
		_, _ = s.perform(d.ctx, task)
	}
	return true, err
}

// discard deletes part files, as well as that goes, and tells the paths of those
// that are left.
func (d *desk) discard(tasks []channel.FileTask) <-chan []string {
	told := make(chan []string, 2) // see waitParts
	all := make([]string, len(tasks))
	for i, task := range tasks {
		all[i] = filepath.Join(filepath.Dir(task.Path), task.Part)
	}
	if len(tasks) == 0 {
		told <- nil
		return told
	}
	late := time.AfterFunc(discardWait, func() { told <- all })
	d.group.Go(func() {
		var left []string
		for i, task := range tasks {
			if _, err := new(sink).perform(d.ctx, task); err != nil {
				left = append(left, all[i])
			}
		}
		late.Stop()
		told <- left
	})
	return told
}

// discardWait is how long a person waits for part files to be deleted: a disk that
// hangs is as good as one that is out.
const discardWait = 3 * time.Second

// waitParts waits for what discard tells: once it is done, or too late.
func waitParts(told <-chan []string) []string {
	if told == nil {
		return nil
	}
	return <-told
}

// applyAndDiscard is apply, and tells the part files that could not be deleted.
func (d *desk) applyAndDiscard(p *person, out *channel.Output) (<-chan []string, error) {
	parts := out.Discard
	out.Discard = nil
	if err := d.apply(p, out); err != nil {
		return nil, err
	}
	return d.discard(parts), nil
}

// sink is the part file that is open.
type sink struct {
	seq uint64
	f   *os.File
}

func (s *sink) close() {
	if s.f != nil {
		_ = s.f.Close()
	}
	*s = sink{}
}

// perform does a task. Its errors are those that [channel.Conversation.FileTaskDone]
// knows.
func (s *sink) perform(ctx context.Context, task channel.FileTask) (path string, err error) {
	own := s.f != nil && s.seq == task.Seq // all of it was written and synced just now
	switch task.Kind {
	case channel.WriteContent, channel.KeepContent, channel.ReadContent:
		if s.seq != task.Seq {
			s.close()
		}
	default:
		s.close()
	}
	part := filepath.Join(filepath.Dir(task.Path), task.Part)
	switch task.Kind {
	case channel.WriteContent, channel.KeepContent:
		return "", s.write(part, task)
	case channel.ReadContent:
		return "", s.read(part, task)
	case channel.FinishFile:
		return finish(ctx, part, task, own)
	case channel.DiscardFile:
		if removePart(part) != nil {
			return "", channel.ErrPlace
		}
	case channel.WithdrawFile:
		info, err := os.Lstat(task.Path)
		if err != nil || !info.Mode().IsRegular() || uint64(info.Size()) != task.Size {
			return "", nil //nolint:nilerr // moved away, or another one by now: that is its person's
		}
		if os.Remove(task.Path) != nil {
			return "", channel.ErrPlace
		}
	}
	return "", nil
}

func (s *sink) write(part string, task channel.FileTask) error {
	if s.f == nil {
		f, err := openPart(part, task)
		if err != nil {
			return err
		}
		s.seq, s.f = task.Seq, f
	}
	if _, err := s.f.WriteAt(bytes.Join(task.Content, nil), int64(task.Offset)); err != nil {
		s.close()
		return channel.ErrPlace
	}
	return s.sync(task)
}

// read reads back what was written before its turn.
func (s *sink) read(part string, task channel.FileTask) error {
	if s.f == nil {
		f, err := openPart(part, task)
		if err != nil {
			return err
		}
		s.seq, s.f = task.Seq, f
	}
	at := int64(task.Offset)
	for _, content := range task.Content {
		if _, err := s.f.ReadAt(content, at); err != nil {
			s.close()
			if errors.Is(err, io.EOF) {
				return channel.ErrPartLost // it was cut short meanwhile
			}
			return channel.ErrPlace
		}
		at += int64(len(content))
	}
	return s.sync(task)
}

// sync sees to it that what was written is on the disk for good, if the task says so.
func (s *sink) sync(task channel.FileTask) error {
	if !task.Sync {
		return nil
	}
	if err := s.f.Sync(); err != nil { // nobody knows what is there: see hostile cases of fsync
		s.close()
		return channel.ErrPartLost
	}
	return nil
}

// openPart opens a part file to go on writing, or makes it. One that is shorter
// than what was written is another one.
func openPart(part string, task channel.FileTask) (*os.File, error) {
	flag := os.O_RDWR
	if task.Before == 0 {
		if removePart(part) != nil {
			return nil, channel.ErrPlace
		}
		flag |= os.O_CREATE | os.O_EXCL
	}
	info, err := os.Lstat(part)
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case task.Before == 0 && missing:
	case missing:
		if _, err := os.Stat(filepath.Dir(part)); err != nil {
			return nil, channel.ErrPlace // a stick that was taken out comes back
		}
		return nil, channel.ErrPartLost
	case err != nil:
		return nil, channel.ErrPlace
	case !info.Mode().IsRegular() || uint64(info.Size()) < task.Before:
		return nil, channel.ErrPartLost
	}
	f, err := os.OpenFile(part, flag, 0o600)
	if err != nil {
		return nil, channel.ErrPlace
	}
	if opened, err := f.Stat(); info != nil && (err != nil || !os.SameFile(info, opened)) { // put there meanwhile
		_ = f.Close()
		return nil, channel.ErrPartLost
	}
	return f, nil
}

// finish gives a part file its name. If it was given it before a crash, it is known
// by its content; and so is the part file, unless it was written by this run: what
// lies there may be something else by now.
func finish(ctx context.Context, part string, task channel.FileTask, own bool) (string, error) {
	if task.Size == 0 {
		if holds(ctx, task.Path, task) {
			_ = os.Remove(part)
			return task.Path, nil
		}
		f, err := openPart(part, task)
		if err != nil {
			return "", err
		}
		_ = f.Close()
	}
	whole, err := os.Lstat(part)
	if errors.Is(err, fs.ErrNotExist) {
		for _, path := range names(task.Path) {
			if holds(ctx, path, task) {
				return path, nil
			}
		}
		if _, err := os.Stat(filepath.Dir(part)); err != nil {
			return "", channel.ErrPlace
		}
		return "", channel.ErrPartLost
	}
	switch {
	case err != nil:
		return "", channel.ErrPlace
	case !whole.Mode().IsRegular(), uint64(whole.Size()) != task.Size, !own && !holds(ctx, part, task):
		return "", channel.ErrPartLost
	}
	return anyName(part, whole, names(task.Path))
}

// anyName gives a part file the first name that is free.
func anyName(part string, whole fs.FileInfo, list []string) (string, error) {
	for _, path := range list {
		if info, err := os.Lstat(path); err == nil && os.SameFile(info, whole) { // a crash came between the two names
			if removePart(part) != nil {
				return "", channel.ErrPlace
			}
			return path, nil
		}
		switch err := giveName(part, path); {
		case err == nil:
			syncDir(filepath.Dir(path))
			return path, nil
		case !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENAMETOOLONG):
			return "", channel.ErrPlace
		}
	}
	return "", channel.ErrNoName
}

// longName is from how many bytes on a name is not made longer by a number.
const longName = 200

// names lists the names that a file may get: its own, and others in case there is
// something of that name by now.
func names(path string) []string {
	list := []string{path}
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext)
	if len(filepath.Base(path)) > longName { // the system took this length, and may take no more
		for range len(" (2)") {
			_, size := utf8.DecodeLastRuneInString(filepath.Base(stem))
			stem = stem[:len(stem)-size]
		}
	}
	for n := 2; n < 10; n++ {
		list = append(list, stem+" ("+strconv.Itoa(n)+")"+ext)
	}
	return list
}

// giveName renames a file and overwrites nothing: a link refuses a name that is
// taken, where a rename would not.
func giveName(part, path string) error {
	err := os.Link(part, path)
	if err == nil {
		return removePart(part)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	return renameAnew(part, path)
}

// removePart deletes a part file, if it is there. A burning may have done so
// meanwhile.
func removePart(part string) error {
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// renaming is held by who renames: two contacts may save to one place.
var renaming sync.Mutex

// renameAnew is giveName on a file system without links, as sticks have it.
func renameAnew(part, path string) error {
	renaming.Lock()
	defer renaming.Unlock()
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(part, path)
}

func syncDir(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync() // not all systems have it, and the part file is on the disk
		_ = f.Close()
	}
}

// holds reports whether a file is the one that came.
func holds(ctx context.Context, path string, task channel.FileTask) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || uint64(info.Size()) != task.Size {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	sum := sha256.New()
	for buffer := make([]byte, 256*file.ContentSize); ; {
		n, err := f.Read(buffer)
		_, _ = sum.Write(buffer[:n])
		switch {
		case errors.Is(err, io.EOF):
			return [32]byte(sum.Sum(nil)) == task.Sum
		case err != nil, ctx.Err() != nil:
			return false
		}
	}
}
