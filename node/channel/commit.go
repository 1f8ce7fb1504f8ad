package channel

import (
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/wire"
)

// LinkID names a connection for as long as it lives.
type LinkID uint64

// An Output is what an event leads to. The owner commits Writes; only then it
// sends Boxes, in order, on the connection Link, closes Close, and tells Changed.
type Output struct {
	Writes  []store.Write
	Link    LinkID
	Boxes   []*wire.Box
	Bulk    []*wire.Box // pieces of files: they leave when none of Boxes waits
	Close   []LinkID
	Changed []Message  // messages that are new or have another state
	Discard []FileTask // part files that are to be deleted after the commit
	Linked  bool       // the contact has new link secrets: see Conversation.Links
	More    bool       // call Flush again after the commit

	Burned     bool // a channel came to its end, and the last of it is deleted: purge the store after the commit
	Introduced bool // there is something to do for an introduction: see Conversation.Introducing
}

// begin and end bracket the handling of one event.
func (v *Conversation) begin(now time.Time) {
	v.Lapse(now)
	v.now = now
	v.out, v.bytes, v.listener = &Output{}, 0, nil
	if v.link != nil {
		v.out.Link = v.link.id
	}
}

func (v *Conversation) end() *Output {
	v.saveEndings()
	if v.gapsNew && v.s != nil {
		v.saveSession() // before a box says that these numbers are owed no more
	}
	v.gapsNew = false
	out := v.out
	out.Discard, v.orphans = v.orphans, nil
	v.out = nil
	return out
}

// A commit has limits. Whatever can grow asks full before it goes on, and is
// taken up again by Flush. The worst single step after that is one long text and
// one session with all the skipped keys that it may hold.
const (
	maxBytes  = 32 << 10
	maxWrites = 100
)

func (v *Conversation) full() bool {
	if v.bytes > maxBytes || len(v.out.Writes) > maxWrites {
		v.out.More = true
		return true
	}
	return false
}

// cellKey is the Seq of a cell's record: a former session's records can stay for
// a while and are not taken for this one's.
func (v *Conversation) cellKey(n uint32) uint64 { return uint64(v.s.epoch)<<32 | uint64(n) }

func (v *Conversation) put(kind store.Kind, seq uint64, value []byte) {
	v.putAt(store.Key{Kind: kind, Object: v.id, Seq: seq}, value)
}

func (v *Conversation) putAt(key store.Key, value []byte) {
	v.bytes += store.SealedSize(len(value)) + 32
	switch key.Kind {
	case KindContact, KindSession, KindFile, KindDrops, KindMandate, KindCommunique, KindListener, KindCharter, KindIntroduction, KindSounding, KindShuttle, KindFormer, KindMembership: // written again and again: the last counts
		for i, w := range v.out.Writes {
			if w.Key == key {
				v.bytes -= store.SealedSize(len(w.Value)) + 32
				v.out.Writes[i] = store.Write{Key: key, Value: value}
				return
			}
		}
	}
	v.out.Writes = append(v.out.Writes, store.Write{Key: key, Value: value})
}

func (v *Conversation) drop(kind store.Kind, seq uint64) {
	v.out.Writes = append(v.out.Writes, store.Write{Key: store.Key{Kind: kind, Object: v.id, Seq: seq}, Delete: true})
}

func (v *Conversation) saveContact() { v.put(KindContact, 0, v.c.append(nil)) }
func (v *Conversation) saveSession() { v.put(KindSession, 0, v.s.append(nil)) }
