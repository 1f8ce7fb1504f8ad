package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/file"
)

// Errors that a person meets who takes a file.
var (
	ErrPlaceTaken = errors.New("there is something of this name already; nothing was overwritten")
	ErrLongName   = errors.New("the name is longer than the disk there allows")
	ErrNoFolder   = errors.New("the folder does not exist, or nothing can be written there")
	ErrNoRoom     = errors.New("there is not enough room for the file there")
	ErrFileSlow   = errors.New("over relays alone the file would take longer than the 14 days for which it is offered")
)

// SendFile offers a file of this machine to a contact, under a name: the file's
// own if it is empty. The path is absolute. The file stays where it is, and must
// stay as it is until it has arrived. One that goes over relays alone is refused if it
// could not be there before its offer ends.
func (n *Node) SendFile(ctx context.Context, name, path, as string) (f channel.FileView, err error) {
	return n.SendFileIn(ctx, name, channel.Open, path, as)
}

// SendFileIn is SendFile in a channel.
func (n *Node) SendFileIn(ctx context.Context, name string, number uint32, path, as string) (f channel.FileView, err error) {
	r, err := n.Route(ctx, name)
	if err != nil {
		return f, err
	}
	src, err := describe(ctx, path, as)
	if err != nil {
		return f, err
	}
	if r.tooSlow(src.Size) {
		return f, ErrFileSlow
	}
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) {
		m, out, err := c.SendFileIn(now, number, src)
		f.Message = m
		return out, err
	})
	if err != nil {
		return f, err
	}
	return n.File(ctx, name, f.Seq)
}

// offerLife is how long a file is offered, as a message lives: see [channel.Config].
const offerLife = 14 * 24 * time.Hour

// FileTime returns how long a file that needs so many boxes takes over relays, about, if
// both machines stay on and nothing is lost; false, if what is sent now goes directly, or
// nowhere.
func (s RouteState) FileTime(boxes uint64) (time.Duration, bool) {
	if s.Direct || !s.Agreed || s.Policy == channel.DirectRoute || s.Box == 0 {
		return 0, false
	}
	return s.Rule + time.Duration(min(boxes, file.Cells(file.MaxSize)))*s.Box, true
}

// tooSlow reports whether a file of so many bytes can go over relays alone, and would not
// be there before its offer ends.
func (s RouteState) tooSlow(size uint64) bool {
	takes, ok := s.FileTime(file.Cells(size))
	return ok && s.Policy == channel.RelayRoute && takes > offerLife
}

// Files returns what is known of a contact's files, oldest first: those in the conversation
// without a charter, and those in channels that may be shown.
func (n *Node) Files(ctx context.Context, name string) (list []channel.FileView, err error) {
	err = n.look(ctx, name, func(c *channel.Conversation) error {
		now := n.cfg.Now()
		for _, f := range c.Files() {
			if shown, err := c.FileIn(now, f.Seq); err == nil {
				list = append(list, shown)
			}
		}
		return nil
	})
	return list, err
}

// FilesIn returns what is known of the files of a channel, oldest first.
func (n *Node) FilesIn(ctx context.Context, name string, number uint32) (list []channel.FileView, err error) {
	err = n.look(ctx, name, func(c *channel.Conversation) error {
		list, err = c.FilesIn(n.cfg.Now(), number)
		return err
	})
	return list, err
}

// File returns what is known of one file.
func (n *Node) File(ctx context.Context, name string, seq uint64) (f channel.FileView, err error) {
	err = n.look(ctx, name, func(c *channel.Conversation) error {
		f, err = c.FileIn(n.cfg.Now(), seq)
		return err
	})
	return f, err
}

// TakeFile lets a file come that waits for its person, and be written under an
// absolute path. Nothing is overwritten: if there is something of that name when
// it is whole, it gets another one; see [channel.FileView]. If all those are taken,
// too, it waits to be taken under a name that is free.
func (n *Node) TakeFile(ctx context.Context, name string, seq uint64, path string) error {
	f, err := n.File(ctx, name, seq)
	if err != nil {
		return err
	}
	size := f.Size
	if f.State == channel.FileUnnamed && filepath.Dir(f.Place) == filepath.Dir(path) {
		size = 0 // it lies there already
	}
	if err := roomFor(path, size); err != nil {
		return err
	}
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) {
		return c.TakeFile(now, seq, path)
	})
}

// roomFor makes sure that a file can be made under a name that is free, and that
// there is room for it there.
func roomFor(path string, size uint64) error {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || !info.IsDir() || !filepath.IsAbs(path) {
		return ErrNoFolder
	}
	// Under the name itself: a file system may not take it, for its length or a
	// character, and that should not be found when all has come.
	probe, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return ErrPlaceTaken
	case errors.Is(err, syscall.ENAMETOOLONG):
		return ErrLongName
	case err != nil:
		return ErrNoFolder
	}
	_ = probe.Close()
	if err := os.Remove(path); err != nil {
		return ErrNoFolder
	}
	if free, ok := store.Room(filepath.Dir(path)); ok && free < size {
		return ErrNoRoom
	}
	return nil
}

// RemoveFile ends a file that is on its way and deletes what is kept here of its
// content.
func (n *Node) RemoveFile(ctx context.Context, name string, seq uint64) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.RemoveFile(now, seq) })
}
