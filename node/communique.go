package node

import (
	"context"
	"time"

	"github.com/backchannel/backchannel/node/channel"
)

// Communique returns how drafts and signings in a channel with a contact stand.
func (n *Node) Communique(ctx context.Context, name string, number uint32) (contact channel.View, w channel.CommuniqueView, err error) {
	err = n.do(ctx, func(d *desk) error {
		p, err := d.find(name)
		if err != nil {
			return err
		}
		contact = p.conversation.View()
		w, err = p.conversation.Communique(d.cfg.Now(), number)
		return err
	})
	return contact, w, err
}

// AgreePublishing says that this person agrees that something may be published
// together with the contact.
func (n *Node) AgreePublishing(ctx context.Context, name string, number uint32) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) { return c.Agree(now, number) })
}

// DraftCommunique sends a further version of a text that both may sign.
func (n *Node) DraftCommunique(ctx context.Context, name string, number uint32, text string) (d channel.DraftView, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		d, out, err = c.Draft(now, number, text)
		return out, err
	})
	return d, err
}

// SignCommunique goes on with the signing of the draft that the person was shown: see
// [channel.Conversation.Sign].
func (n *Node) SignCommunique(ctx context.Context, name string, number uint32, shown channel.ShownDraft, until time.Time, agreed bool) (s channel.SigningView, err error) {
	err = n.with(ctx, name, func(c *channel.Conversation, now time.Time) (out *channel.Output, err error) {
		s, out, err = c.Sign(now, number, shown.Version, shown.Digest, until, agreed)
		return out, err
	})
	return s, err
}

// LeaveSigning ends the signing under way, while this side can.
func (n *Node) LeaveSigning(ctx context.Context, name string, number uint32) error {
	return n.with(ctx, name, func(c *channel.Conversation, now time.Time) (*channel.Output, error) {
		return c.LeaveSigning(now, number)
	})
}

// CommuniqueFile returns what is published of a version that both signed; 0 stands
// for the latest one.
func (n *Node) CommuniqueFile(ctx context.Context, name string, number, version uint32) (file []byte, err error) {
	err = n.look(ctx, name, func(c *channel.Conversation) error {
		file, err = c.CommuniqueFile(n.cfg.Now(), number, version)
		return err
	})
	return file, err
}
