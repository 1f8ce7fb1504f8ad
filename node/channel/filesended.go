package channel

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/file"
)

// An ending is how a file ended that came in and whose line is gone. It is kept
// until its sender has said that it knows: a sender that does not would offer the
// file again, and what was burned would stand there anew.
type ending struct {
	state file.State // what a report says: whole, declined or damaged
	until uint32     // minute; by then the offer has ended at its sender's, too
}

const (
	endingsVersion = 1
	// maxEndings bounds the list. Beyond it the ending goes that matters least: that
	// of a file which came, then that of the oldest.
	maxEndings = 256
	// lateClock is how much longer than an offer's life its ending is kept.
	lateClock = 24 * time.Hour
)

// endFiles has the peer told of files that end on this side before they are whole.
func (v *Conversation) endFiles() {
	for seq, t := range v.files {
		v.endFile(seq, t)
	}
}

func (v *Conversation) endFile(seq uint64, t *transfer) {
	i, ok := v.find(seq)
	if !ok {
		return
	}
	m := v.messages[i]
	switch over := t.final(); {
	case m.Direction == Out && !over:
		v.sayGone(m.ID)
	case m.Direction != In || over && t.known:
	case over:
		v.keepEnding(m, v.standing(m.ID).State)
	default:
		v.keepEnding(m, file.Declined)
		v.tellOf(seq)
	}
}

func (v *Conversation) keepEnding(m Message, s file.State) {
	until := minute(fromMinute(m.Stored).Add(v.cfg.Life + lateClock))
	if until <= minute(v.now) {
		return
	}
	if _, there := v.endings[m.ID]; !there && len(v.endings) >= maxEndings {
		delete(v.endings, v.leastEnding())
	}
	v.endings[m.ID], v.endingsNew = ending{s, until}, true
}

func (v *Conversation) leastEnding() (least file.ID) {
	rank := func(e ending) uint64 {
		if e.state == file.Declined {
			return 1<<32 | uint64(e.until)
		}
		return uint64(e.until)
	}
	lowest := uint64(1 << 63)
	for id, e := range v.endings {
		if r := rank(e); r < lowest {
			least, lowest = id, r
		}
	}
	return least
}

// endingKnown takes note that the sender of a file knows how it ended.
func (v *Conversation) endingKnown(id file.ID) {
	if v.mail.telling[id].say != file.Gone {
		delete(v.mail.telling, id)
	}
	if _, ok := v.endings[id]; ok {
		delete(v.endings, id)
		v.endingsNew = true
	}
	if _, t := v.fileOf(id, In); t != nil && t.final() {
		t.known = true
	}
}

// expireEndings forgets the endings of offers that have ended by themselves.
func (v *Conversation) expireEndings() {
	for id, e := range v.endings {
		if e.until <= minute(v.now) {
			delete(v.endings, id)
			v.endingsNew = true
		}
	}
}

// saveEndings is part of every commit that changes the list.
func (v *Conversation) saveEndings() {
	if !v.endingsNew {
		return
	}
	v.endingsNew = false
	if len(v.endings) == 0 {
		v.drop(KindEnded, 0)
		return
	}
	e := encoder{}
	e.u8(endingsVersion)
	e.u32(uint32(len(v.endings)))
	byID := func(a, b file.ID) int { return bytes.Compare(a[:], b[:]) }
	for _, id := range slices.SortedFunc(maps.Keys(v.endings), byID) { // in which order they came says something
		e.fixed(id[:])
		e.u8(byte(v.endings[id].state))
		e.u32(v.endings[id].until)
	}
	v.put(KindEnded, 0, e.b)
}

func (v *Conversation) loadEndings() error {
	key := store.Key{Kind: KindEnded, Object: v.id}
	raw, err := v.cfg.Records.Get(key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case v.c.stage == Leaving:
		v.stale = append(v.stale, key)
		return nil
	}
	d := decoder{b: raw}
	if err := d.version(endingsVersion); err != nil {
		return err
	}
	for n := d.u32(); n > 0 && !d.bad; n-- {
		id, end := file.ID(d.fixed(8)), ending{file.State(d.u8()), d.u32()}
		d.bad = d.bad || end.state != file.Whole && end.state != file.Declined && end.state != file.Damaged
		v.endings[id] = end
	}
	return d.end()
}

// maxTell bounds the files that reports have to speak of. It is more than all endings and
// all files under way of a contact; what a peer names beside these may be anything.
const maxTell = 8 * file.MaxEntries

// sayGone has the next report say that a file will not come.
func (v *Conversation) sayGone(id file.ID) { v.toTell(id, file.Gone) }

// sayHow has the next report say how a file stands.
func (v *Conversation) sayHow(id file.ID) {
	if _, there := v.tell[id]; !there {
		v.toTell(id, 0)
	}
}

// toTell notes what is to be told. At the bound something goes that a peer asked for, and of
// which nothing is known here; its machine asks again.
func (v *Conversation) toTell(id file.ID, as file.State) {
	if _, there := v.tell[id]; !there && len(v.tell) >= maxTell {
		for other := range v.tell {
			if !v.knows(other) {
				delete(v.tell, other)
				break
			}
		}
		if len(v.tell) >= maxTell {
			return
		}
	}
	v.tell[id] = as
}

// knows reports whether there is anything here of a file.
func (v *Conversation) knows(id file.ID) bool {
	_, in := v.fileOf(id, In)
	_, out := v.fileOf(id, Out)
	_, ended := v.endings[id]
	return in != nil || out != nil || ended
}
