package channel

import (
	"maps"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/wire"
)

// NoteBurned is what a person reads whose peer has burned the conversation. It is
// a wish and no more: a peer who is hostile, or was turned, must not be able to
// destroy what somebody else keeps.
const NoteBurned = "The other side has burned this conversation and asks you to do the same. Nothing was deleted here; that is for you to decide: backchannel burn"

// Burn deletes the conversation here and asks the peer's node to do the same. The
// contact, its mark and its session stay, and numbers go on from where they were.
// It is done with the commit of its Output: what is left of the records is deleted
// by [Conversation.Sweep], and not read by anybody.
func (v *Conversation) Burn(now time.Time) *Output {
	v.begin(now)
	v.endFiles()
	v.lapsed = slices.AppendSeq(v.lapsed, maps.Keys(v.charters))
	v.discard()
	if v.blank() {
		v.lapsed = nil
	}
	v.c.burned, v.c.next = v.nextSeq-1, v.nextSeq
	if v.used != (used{}) {
		v.saveUsed()
	}
	if v.s != nil {
		v.c.tellBurn = true
		if !v.s.dead {
			v.control(wire.FrameBurn, nil)
		}
		v.s.partSeq, v.s.partNext = 0, 0
		v.saveSession()
	}
	v.saveContact()
	out := v.end()
	out.More = true
	return out
}

// burnCame tells the person that the peer has burned its side.
func (v *Conversation) burnCame() {
	if n := len(v.messages); n > 0 && v.messages[n-1].Direction == Notice && v.messages[n-1].Text == NoteBurned {
		return // asked twice: said once
	}
	v.note(NoteBurned)
}

// discard lets all lines and what belongs to them be deleted bit by bit. Frames
// that came before their turn stay: they are not lines yet, and could not come
// again.
func (v *Conversation) discard() {
	for _, m := range v.messages {
		v.discardLine(m)
	}
	for n, cell := range v.sealed {
		if cell.message != 0 {
			v.discardCell(n, cell)
		}
	}
	for seq := range v.held {
		v.dropHeld(seq)
	}
	for seq := range v.signings {
		v.dropSigning(seq)
	}
	for n := range v.charters {
		v.used.mark(n)
		delete(v.charters, n)
		v.drop(KindCharter, uint64(n))
	}
	for _, n := range v.ending {
		v.drop(KindCharter, uint64(n))
	}
	v.ending = nil
	for n := range v.introductions {
		v.dropIntroduction(n)
	}
	for n := range v.errands {
		v.dropErrand(n)
	}
	for at := range v.sounded {
		v.dropSounding(at)
	}
	v.messages, v.queue = nil, nil
	clear(v.byID)
	clear(v.named)
}

func (v *Conversation) discardLine(m Message) {
	v.stale = append(v.stale, store.Key{Kind: KindMessage, Object: v.id, Seq: m.Seq})
	if m.Direction == Out {
		v.stale = append(v.stale, store.Key{Kind: KindState, Object: v.id, Seq: m.Seq})
	}
	v.discardFile(m.Seq)
}

// discardFile lets what is kept of a file be deleted, its record last: whoever is
// cut off in between finds in it what is left to be deleted.
func (v *Conversation) discardFile(seq uint64) {
	t := v.files[seq]
	if t == nil {
		return
	}
	v.dropSums(t)
	v.orphan(t)
	v.unmove(seq)
	v.stale = append(v.stale, store.Key{Kind: KindFile, Object: v.id, Seq: seq})
	t.key.Wipe()
	t.cells.Wipe()
	delete(v.files, seq)
}

func (v *Conversation) discardCell(n uint32, cell *sealedCell) {
	cell.sealed.Message.Wipe()
	delete(v.sealed, n)
	v.s.gaps.add(n)
	v.gapsNew = true
	v.stale = append(v.stale, store.Key{Kind: KindSealed, Object: v.id, Seq: v.cellKey(n)})
}

// Sweep deletes some of what was burned or replaced and is read by nobody, and
// reports whether that was all.
func (v *Conversation) Sweep(now time.Time) (out *Output, done bool) {
	v.begin(now)
	if len(v.ending) > 0 {
		v.burnLapsed() // before their lines
	}
	v.dropStale()
	out = v.end()
	out.More = false
	return out, len(v.stale) == 0
}

// Forget deletes the contact with all that is kept of it. The peer is not told.
// With the first commit its keys are gone, and it is of no more use; Forget is
// called again until it reports that it is done. The contact's record goes last,
// so that the next run finds what is left to be deleted: see [Leaving].
func (v *Conversation) Forget(now time.Time) (out *Output, done bool) {
	v.begin(now)
	if v.c.stage != Leaving {
		v.leave()
	}
	v.dropStale()
	if done = len(v.stale) == 0 && !v.full(); done {
		v.drop(KindContact, 0)
	}
	out = v.end()
	out.More = false
	return out, done
}

// leave ends the use of a contact.
func (v *Conversation) leave() {
	v.discard()
	if v.s != nil {
		for n, cell := range v.sealed {
			v.discardCell(n, cell)
		}
		for n := range v.inbound {
			v.stale = append(v.stale, store.Key{Kind: KindInbound, Object: v.id, Seq: v.cellKey(n)})
		}
		clear(v.inbound)
		v.s.wipe()
		v.s = nil
		v.drop(KindSession, 0)
	}
	v.dropFormer()
	v.next.wipe()
	v.stale = append(v.stale, store.Key{Kind: KindEnded, Object: v.id}, store.Key{Kind: KindDrops, Object: v.id}, store.Key{Kind: KindCharter, Object: v.id}, store.Key{Kind: KindIntroduction, Object: v.id}, store.Key{Kind: KindSounding, Object: v.id}, store.Key{Kind: KindMembership, Object: v.id})
	v.endings, v.endingsNew = nil, false
	if v.link != nil {
		v.closeLink()
	}
	for _, g := range v.guests {
		v.out.Close = append(v.out.Close, g.id)
	}
	v.guests = nil
	v.c.wipe()
	v.c = &contact{stage: Leaving, number: v.c.number, name: v.c.name}
	v.saveContact()
}

// gone reports whether a line is kept only because its turn to be deleted has not
// come yet.
func (v *Conversation) gone(seq uint64) bool { return v.c.stage == Leaving || seq <= v.c.burned }
