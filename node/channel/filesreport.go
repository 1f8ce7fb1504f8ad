package channel

import (
	"bytes"
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/wire"
)

// tellBoxes is how many boxes that would be empty say how a file ended. The other side
// may read the newest alone.
const tellBoxes = 256

// said is where a report came from.
type said struct {
	boxed bool   // in a box at a drop
	at    uint32 // and when that was written, in seconds; zero if it came on a connection
}

// entryOf is what a report says of a file now, if anything.
func (v *Conversation) entryOf(id file.ID, say file.State) (file.Entry, bool) {
	if say == file.Gone {
		return file.Entry{ID: id, State: file.Gone}, true
	}
	if end, ok := v.endings[id]; ok {
		return file.Entry{ID: id, State: end.state}, true
	}
	_, t := v.fileOf(id, Out)
	switch {
	case t == nil:
		return v.standing(id), true
	case t.final():
		return file.Entry{ID: id, State: file.Gone}, true
	default:
		return file.Entry{ID: id, State: file.Asking}, t.told == v.s.epoch
	}
}

// retell has the first boxes of a run say how files ended that came of late: nothing that
// is stored says whether their senders know.
func (v *Conversation) retell() {
	if v.mail.retold {
		return
	}
	v.mail.retold = true
	for seq, t := range v.files {
		i, ok := v.find(seq)
		if ok && v.messages[i].Direction == In && t.final() && !t.known && v.now.Before(fromMinute(v.messages[i].Stored).Add(v.cfg.Life)) {
			v.sayHow(v.messages[i].ID)
		}
	}
}

// tellInBoxes has it said again and again how files ended, and reports whether one of
// them was not spoken of yet.
func (v *Conversation) tellInBoxes() (news bool) {
	for id, say := range v.tell {
		if !v.mayReport(id, true) {
			continue
		}
		switch e, ok := v.entryOf(id, say); {
		case !ok:
			delete(v.tell, id)
			continue
		case e.State != file.Whole && e.State != file.Declined && e.State != file.Damaged && e.State != file.Gone:
			continue
		}
		delete(v.tell, id)
		if v.mail.telling == nil {
			v.mail.telling = map[file.ID]telling{}
		}
		if _, there := v.mail.telling[id]; !there && len(v.mail.telling) >= file.MaxEntries {
			delete(v.mail.telling, v.newestTold()[len(v.mail.telling)-1])
		}
		news = news || v.mail.telling[id].left == 0
		v.mail.telling[id] = telling{say, tellBoxes}
	}
	return news
}

// telling is what is said of a file in boxes that would be empty.
type telling struct {
	say  file.State // gone, or how it stands
	left int        // boxes
}

// newestTold returns the files of whose end boxes tell, the one that was told of least
// often first.
func (v *Conversation) newestTold() []file.ID {
	return slices.SortedFunc(maps.Keys(v.mail.telling), func(a, b file.ID) int {
		return cmp.Or(cmp.Compare(v.mail.telling[b].left, v.mail.telling[a].left), bytes.Compare(a[:], b[:]))
	})
}

// reportForBox takes a report for the box: of all files that are under way, as boxes get
// lost, and of those that ended, as far as there is room.
func (v *Conversation) reportForBox() {
	v.mail.news = false
	var entries []file.Entry
	full := func() bool { return len(entries) == file.MaxEntries }
	add := func(id file.ID, say file.State) {
		e, ok := v.entryOf(id, say)
		if ok && !full() && !slices.ContainsFunc(entries, func(o file.Entry) bool { return o.ID == id }) {
			entries = append(entries, e)
		}
	}
	for _, seq := range v.moving {
		if i, ok := v.find(seq); ok && v.toReport(seq, v.messages[i]) {
			add(v.messages[i].ID, 0)
		}
	}
	for id, say := range v.tell {
		if full() || !v.mayReport(id, true) {
			continue
		}
		add(id, say)
		delete(v.tell, id)
	}
	for _, id := range v.newestTold() {
		if full() || !v.mayReport(id, true) {
			continue
		}
		t := v.mail.telling[id]
		add(id, t.say)
		if t.left--; t.left == 0 {
			delete(v.mail.telling, id)
		} else {
			v.mail.telling[id] = t
		}
	}
	for i := range entries {
		if entries[i].State == file.Coming {
			entries[i] = v.comingEntry(entries[i].ID)
		}
	}
	if len(entries) > 0 {
		v.mail.flag, v.mail.cell = wire.FlagReport, file.Report(entries)
	}
}

// toReport reports whether each report in a box speaks of a file: how far one has come
// that comes; and of one that is sent, whether there is something to say.
func (v *Conversation) toReport(seq uint64, m Message) bool {
	t := v.files[seq]
	if !v.mayReport(m.ID, true) {
		return false
	}
	if m.Direction == In {
		return t.state == FileMoving || t.state == FileUnnamed
	}
	return !t.final() && v.s != nil && t.told == v.s.epoch
}

// someOf reports whether a box may speak of one of some files now.
func (v *Conversation) someOf(ids iter.Seq[file.ID]) bool {
	for id := range ids {
		if v.mayReport(id, true) {
			return true
		}
	}
	return false
}

// underWay reports whether there is such a file.
func (v *Conversation) underWay() bool {
	return slices.ContainsFunc(v.moving, func(seq uint64) bool {
		i, ok := v.find(seq)
		return ok && v.toReport(seq, v.messages[i])
	})
}

// comingEntry is how far a file has come, as a box says it: with all that is here, be the
// disk behind or not. A sender that hears nothing for days cannot tell the one from the
// other.
func (v *Conversation) comingEntry(id file.ID) file.Entry {
	_, t := v.fileOf(id, In)
	e := file.Entry{ID: id, State: file.Coming, Received: t.in.written}
	t.in.ahead(&e)
	return e
}

// coming returns the files that come, of which the block of a box can speak: no other
// open one begins with the same byte.
func (v *Conversation) coming() (list []uint64) {
	for _, seq := range v.moving {
		i, ok := v.find(seq)
		if ok && v.messages[i].Direction == In && v.toReport(seq, v.messages[i]) && v.only(v.messages[i].ID[0], In) == seq {
			list = append(list, seq)
		}
	}
	return list
}

// only returns the one open file of a direction with this first byte of its ID; zero if
// there is none, or more than one.
func (v *Conversation) only(first byte, d Direction) (found uint64) {
	for _, seq := range v.moving {
		i, ok := v.find(seq)
		if !ok || v.messages[i].Direction != d || v.files[seq].final() || v.messages[i].ID[0] != first {
			continue
		}
		if found != 0 {
			return 0
		}
		found = seq
	}
	return found
}

// alike reports whether a file comes of which the block of a box cannot speak.
func (v *Conversation) alike() bool {
	return slices.ContainsFunc(v.moving, func(seq uint64) bool {
		i, ok := v.find(seq)
		return ok && v.messages[i].Direction == In && v.toReport(seq, v.messages[i]) && v.only(v.messages[i].ID[0], In) != seq
	})
}

// form lets the block of a box say how far a file has come, if its cell does not, one
// file after the other. Of two boxes one keeps the usual form: what was written and what
// came beyond a gap must not be missing for long.
func (v *Conversation) form(c *drop.Control) {
	list := v.coming()
	may := v.mail.usual && len(list) > 0 && !v.canSend() && v.drops.policy != DirectRoute && c.Flags != wire.FlagReport
	if v.mail.usual = !may; !may {
		return
	}
	v.mail.forms++
	i, _ := v.find(list[v.mail.forms%uint64(len(list))])
	e := v.comingEntry(v.messages[i].ID)
	e.Bitmap[0] &^= 1 // the block has no room for it, and the piece counts as under way
	c.Flags |= drop.FlagForm
	c.File = drop.Progress{ID: e.ID[0], Received: uint32(e.Received), Bitmap: e.Bitmap}
}

// formCame takes the block of a box in file form. It names a file by one byte: it is of
// this one only if this one was spoken of by its ID, or its offer acknowledged, in a box
// that is not newer. An older one may be of a file that has ended.
func (v *Conversation) formCame(c drop.Control) {
	seq := v.only(c.File.ID, Out)
	i, ok := v.find(seq)
	if t := v.files[seq]; ok && t.told == v.s.epoch && max(t.agreed, t.heard) != 0 && c.Time >= max(t.agreed, t.heard) {
		e := file.Entry{ID: v.messages[i].ID, State: file.Coming, Received: uint64(c.File.Received), Bitmap: c.File.Bitmap}
		v.answered(seq, v.files[seq], e, said{true, c.Time})
	}
}
