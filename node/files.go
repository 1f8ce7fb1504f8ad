package node

import (
	"context"
	"time"

	"github.com/backchannel/backchannel/node/channel"
)

// SendFile offers a file of this machine to a contact, under a name: the file's
// own if it is empty. The path is absolute. The file stays where it is, and must
// stay as it is until it has arrived.
func (n *Node) SendFile(ctx context.Context, name, path, as string) (f channel.FileView, err error) {
	if _, err := n.Contact(ctx, name); err != nil {
		return f, err
	}
	src, err := describe(ctx, path, as)
	if err != nil {
		return f, err
	}
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) {
		m, out, err := c.SendFile(now, src)
		if err == nil {
			f, _ = c.File(m.Seq)
		}
		return out, err
	})
	return f, err
}

// Files returns what is known of a contact's files, oldest first.
func (n *Node) Files(ctx context.Context, name string) (list []channel.FileView, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, _ time.Time) (*channel.Output, error) {
		list = c.Files()
		return nil, nil
	})
	return list, err
}

// File returns what is known of one file.
func (n *Node) File(ctx context.Context, name string, seq uint64) (f channel.FileView, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, _ time.Time) (*channel.Output, error) {
		var ok bool
		if f, ok = c.File(seq); !ok {
			return nil, channel.ErrNoFile
		}
		return nil, nil
	})
	return f, err
}

// TakeFile lets a file come that waits for its person.
func (n *Node) TakeFile(ctx context.Context, name string, seq uint64) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.TakeFile(now, seq) })
}

// RemoveFile ends a file that is on its way and deletes what is kept here of its
// content.
func (n *Node) RemoveFile(ctx context.Context, name string, seq uint64) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.RemoveFile(now, seq) })
}

// FileContent returns what lies at an offset of a file that came whole, up to
// 64,000 bytes, and nothing at its end.
func (n *Node) FileContent(ctx context.Context, name string, seq, offset uint64) (b []byte, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, _ time.Time) (_ *channel.Output, err error) {
		b, err = c.Content(seq, offset)
		return nil, err
	})
	return b, err
}
