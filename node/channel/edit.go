package channel

import (
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// ErrBusy is returned for a message of which a part has been sealed and another
// has not.
var ErrBusy = errors.New("the message is being sent just now")

// Rename gives the contact another name on this machine.
func (v *Conversation) Rename(now time.Time, name string) *Output {
	v.begin(now)
	v.c.name = name
	v.saveContact()
	return v.end()
}

// Edit puts another text in the place of a line's, whoever wrote it, and nothing
// of what is stored shows it. Of a file the name that is shown is changed. What
// waits here is sent as edited; what has left is only changed here, but for this:
// if the peer recovers from a loss, the text that stands here is what goes out
// again.
//
// The line is returned as it was, with its state.
func (v *Conversation) Edit(now time.Time, seq uint64, text string) (Message, *Output, error) {
	i, err := v.editable(now, seq)
	if err != nil {
		return Message{}, nil, err
	}
	m := v.shown(v.messages[i])
	switch name := (file.Offer{Key: secret.New(&[32]byte{1}), Name: text}); {
	case m.Craft != NoCraft:
		return m, nil, ErrNoText
	case m.File && !name.Valid():
		return m, nil, ErrFileName
	case m.File:
	case text == "":
		return m, nil, ErrEmptyText
	case len(text) > wire.MaxText:
		return m, nil, ErrTooLong
	case !utf8.ValidString(text):
		return m, nil, ErrNotText
	}
	v.begin(now)
	v.messages[i].Text = text
	v.put(KindMessage, seq, v.messages[i].append(nil))
	v.changed(i)
	return m, v.end(), nil
}

// Remove deletes a line, whoever wrote it. One that was not confirmed is not sent
// again; a file that is under way ends. The peer is told nothing else, and its
// copy stays. If the peer recovers from a loss, it may send a line of its own
// anew, and that is then shown again.
//
// The line is returned as it was, with its state. [Conversation.Sweep] deletes
// what the commit could not hold.
func (v *Conversation) Remove(now time.Time, seq uint64) (Message, *Output, error) {
	i, err := v.editable(now, seq)
	if err != nil {
		return Message{}, nil, err
	}
	m := v.shown(v.messages[i])
	if m.Craft == CharterCraft {
		return m, nil, ErrCharterLine
	}
	v.begin(now)
	if t := v.files[seq]; t != nil && m.State != Waiting {
		v.endFile(seq, t)
	}
	v.removeLine(i)
	out := v.end()
	out.More = true
	return m, out, nil
}

// editable finds a line that can be changed now. Deadlines pass before: they would
// move its index.
func (v *Conversation) editable(now time.Time, seq uint64) (int, error) {
	v.Lapse(now)
	i, ok := v.find(seq)
	switch {
	case !ok || v.messages[i].hidden():
		return 0, ErrNoMessage
	case v.s != nil && v.s.partSeq == seq:
		return 0, ErrBusy
	}
	return i, nil
}

// removeLine deletes the line at an index, and what is owed of it. Its number is
// not given out again.
func (v *Conversation) removeLine(i int) {
	m := v.messages[i]
	v.unseal(m.Seq)
	v.drop(KindMessage, m.Seq)
	if m.Direction == Out {
		v.drop(KindState, m.Seq)
	} else {
		delete(v.byID, m.ID)
	}
	v.discardFile(m.Seq)
	if v.messages = slices.Delete(v.messages, i, i+1); i == len(v.messages) {
		v.c.next = v.nextSeq
		v.saveContact()
	}
	v.requeue()
}
