package channel

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// formerLife is how long boxes of a session that was replaced are read after the peer is
// seen to have the next one: drops keep them for 96 hours, and at most a quarter longer.
const formerLife = 5 * 24 * time.Hour

// former is the session before the one in use. What the peer wrote in it may still lie at
// drops, and is read. Nothing is sent in it, and it acknowledges nothing: what is owed goes
// anew in the session in use, under the same message IDs.
type former struct {
	until   uint32 // minute; 0 while the peer may still be in it
	s       *session
	inbound map[uint32]wire.Frame
	// peerSent is the highest number that the peer says it sent in it.
	peerSent uint32
	late     []lateMessage // whole, and to be acted on
}

type lateMessage struct {
	frame   wire.Frame // the last
	content string
}

func (v *Conversation) saveFormer() {
	e := encoder{}
	e.u32(v.former.until)
	e.u32(v.former.peerSent)
	v.put(KindFormer, 0, v.former.s.append(e.b))
}

func (v *Conversation) loadFormer(raw []byte) error {
	d := decoder{b: raw}
	f := &former{until: d.u32(), peerSent: d.u32(), inbound: map[uint32]wire.Frame{}}
	if d.bad {
		return ErrRecord
	}
	var err error
	if f.s, err = parseSession(d.b); err != nil {
		return err
	}
	v.former = f
	return nil
}

// keepFormer keeps the session in use, which another one replaces. If the peer never had
// it, the one before is still the former.
func (v *Conversation) keepFormer() {
	if v.former != nil && !v.s.confirmed && v.s.role == handshake.Initiator {
		v.staleInbound(v.s.epoch, v.inbound)
		v.s.wipe()
		v.former.until = 0
		v.saveFormer()
		return
	}
	v.dropFormer()
	v.s.words.nonce.Wipe()
	v.s.drops.Wipe() // no chain begins with it any more
	v.s.drops = secret.Key{}
	v.s.words, v.s.controls, v.s.starts, v.s.gaps = words{}, nil, starts{}, gaps{}
	v.former = &former{s: v.s, inbound: v.inbound, peerSent: v.mail.peerSent}
	v.saveFormer()
}

func (v *Conversation) staleInbound(epoch uint32, inbound map[uint32]wire.Frame) {
	for n := range inbound {
		v.stale = append(v.stale, store.Key{Kind: KindInbound, Object: v.id, Seq: uint64(epoch)<<32 | uint64(n)})
	}
}

// dropFormer ends the reading of the session before: all its boxes have expired, or it is
// of no use.
func (v *Conversation) dropFormer() {
	if v.former == nil {
		return
	}
	v.staleInbound(v.former.s.epoch, v.former.inbound)
	v.former.s.wipe()
	v.former = nil
	v.drop(KindFormer, 0)
}

// expireFormer drops it in time.
func (v *Conversation) expireFormer() {
	if f := v.former; f != nil && f.until != 0 && minute(v.now) >= f.until {
		v.dropFormer()
	}
}

// leftFormer takes note that the peer is in the session in use.
func (v *Conversation) leftFormer() {
	if f := v.former; f != nil && f.until == 0 {
		f.until = minute(v.now.Add(formerLife))
		v.saveFormer()
	}
}

// formerBox handles a box of the session before. Of its counters one counts: how much there
// is to be read.
func (v *Conversation) formerBox(control wire.Control, cell *wire.Cell) {
	f := v.former
	if control.Sent > f.peerSent {
		f.peerSent = control.Sent
		v.saveFormer()
	}
	if control.Flags&wire.FlagCell == 0 {
		return
	}
	next, body, err := f.s.ratchet.Open(cell, handshake.Day(v.now))
	if err != nil {
		return
	}
	frame, err := wire.ParseFrame(body[:])
	if err != nil || frame.Number > f.s.received+wire.Window {
		return
	}
	f.s.ratchet = next
	if _, twice := f.inbound[frame.Number]; frame.Number > f.s.received && !twice {
		f.inbound[frame.Number] = frame
		stored := frame
		if v.used.has(frame.Channel) {
			stored.Content = nil
		}
		v.inFormer(func() { v.put(KindInbound, v.cellKey(frame.Number), stored.Append(nil)) })
	}
	v.advanceFormer()
	v.saveFormer()
}

// advanceFormer takes the frames of the session before whose turn it is.
func (v *Conversation) advanceFormer() {
	if v.former == nil {
		return
	}
	before := v.former.s.received
	v.inFormer(v.advance)
	late := v.former.late
	v.former.late = nil
	for _, m := range late {
		v.deliverLate(m)
	}
	if v.former != nil && v.former.s.received != before {
		v.saveFormer()
	}
}

// inFormer has something done to the session before, as if it were the one in use.
func (v *Conversation) inFormer(do func()) {
	s, inbound := v.s, v.inbound
	v.s, v.inbound, v.reading = v.former.s, v.former.inbound, v.former
	do()
	v.s, v.inbound, v.reading = s, inbound, nil
}

// deliverLate acts on a message of the session before. Its peer says it again in the one in
// use, unless it is gone: whichever comes first counts. What is said of a session itself
// (words, places, drops) is of that one, and passed over.
func (v *Conversation) deliverLate(m lateMessage) {
	counts := []wire.FrameKind{wire.FrameText, wire.FrameFile, wire.FrameCharter, wire.FrameMandate, wire.FrameShuttle, wire.FrameCommunique, wire.FrameConsent}
	if slices.Contains(counts, m.frame.Kind) {
		v.deliver(m.frame, m.content)
	}
}
