package node

import (
	"context"

	"github.com/backchannel/backchannel/node/channel"
)

// Event is a message that is new or has another state.
type Event struct {
	Contact string // the contact's name
	Message channel.Message
}

// follower is one who wants to be told. It has one queue; who lets it run full
// is cut off, and can read on from the last message seen.
type follower struct {
	contact *channel.ContactID // nil: all
	number  uint32             // of the channel, if there is a contact
	events  chan Event
}

const followQueue = 1024

// publish tells the followers of a contact.
func (d *desk) publish(p *person, changed []channel.Message) {
	id := p.conversation.ID()
	for f := range d.followers {
		if f.contact != nil && *f.contact != id {
			continue
		}
		for _, m := range changed {
			if f.contact != nil && max(m.Channel, channel.Open) != f.number {
				continue
			}
			select {
			case f.events <- Event{Contact: p.conversation.Name(), Message: m}:
				continue
			default:
			}
			close(f.events)
			delete(d.followers, f)
			break
		}
	}
}

// Follow returns the messages of a contact with a sequence above after, and a
// channel of what changes from then on. Without a name it follows all contacts
// and returns no messages. The channel is closed when ctx is done, when the node
// locks, and when the reader falls behind.
func (n *Node) Follow(ctx context.Context, name string, after uint64) ([]channel.Message, <-chan Event, error) {
	return n.FollowIn(ctx, name, channel.Open, after)
}

// FollowIn is Follow of a channel.
func (n *Node) FollowIn(ctx context.Context, name string, number uint32, after uint64) ([]channel.Message, <-chan Event, error) {
	var list []channel.Message
	f := &follower{number: number, events: make(chan Event, followQueue)}
	err := n.do(ctx, func(d *desk) error {
		if name != "" {
			p, err := d.find(name)
			if err != nil {
				return err
			}
			id := p.conversation.ID()
			if list, err = p.conversation.TranscriptIn(d.cfg.Now(), number, after); err != nil {
				return err
			}
			f.contact = &id
		}
		d.followers[f] = true
		d.group.Go(func() {
			select {
			case <-ctx.Done():
			case <-d.ctx.Done():
				return // end closes the channel
			}
			d.post(func(d *desk) {
				if d.followers[f] {
					close(f.events)
					delete(d.followers, f)
				}
			})
		})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return list, f.events, nil
}

// Resting reports whether the node has gone to rest, for those who follow it.
func (n *Node) Resting() bool {
	rest, _ := n.resting()
	return rest
}
