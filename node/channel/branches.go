package channel

import (
	"cmp"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// With each session that is rolled the boxes of two people move to a chain of its own, so
// that who has stolen a day key loses them (docs/spec/drop.md). Each side moves for itself:
//
//	reader                                 writer
//	in the session: watches its chain,
//	too, and says so         ────────────> knows that both chains are watched
//	                                       moves with the second day after, for good
//	watches that one alone   <──────────── says from which day on
//	says in every box that it does
//
// So no box is ever written where nobody looks. A writer that was put back to before its move
// finds in the boxes of the other side that it has moved, and recovers. Who waits for long for a
// session that it began looks on the chain of that one, too: it may have been in it, and have
// been put back.

// branch is a chain on which boxes of the contact may lie.
type branch struct {
	drop.Branch
	name drop.BranchName // zeros: of the first chain, which needs none
}

const (
	// maxBranches bounds the chains that are kept. A session that finds no room goes on with
	// those that there are: the other side does not move to what it is not told of.
	maxBranches = 4
	// moveDays is how long before it moves a writer says so: its reader hears of it until
	// then, as a rule, and looks at one chain only.
	moveDays = 2
	// boxDays is for how long boxes lie at drops, at most, rounded up with a day more.
	boxDays = 6
)

// Branches returns the chains on which boxes lie; none: the first alone.
func (v *Conversation) Branches() (all drop.Branches) {
	for _, b := range v.drops.branches {
		all = append(all, b.Branch)
	}
	return all
}

// NextBranch returns from what the chain of the session in use begins, or of the one that this
// side waits for, if it is not among Branches and should be. [Conversation.Branches] is all
// that may be kept of chains then: an older one of that session is of none that came about.
// Once it is kept, [Conversation.Watch] is called.
func (v *Conversation) NextBranch() (session uint32, root secret.Key, first drop.Day, ok bool) {
	switch {
	case !v.overDrops() || len(v.drops.branches) >= maxBranches:
	case v.s.chained && !v.s.drops.IsZero() && v.branchInUse() == nil:
		return v.s.epoch, v.s.drops.Clone(), v.firstOfBranch(), true
	case v.overdue() && v.branchOf(v.s.epoch+1) == nil:
		if u := v.upcoming(); u != nil {
			return v.s.epoch + 1, u.hs.Drops.Clone(), drop.Day(v.c.attempt.hour / 24), true
		}
	}
	return 0, secret.Key{}, 0, false
}

func (v *Conversation) firstOfBranch() drop.Day { return drop.Day(v.s.hour / 24) }

// overdue reports whether this side has waited for days for a box of a session that it began,
// and has heard nothing. Maybe it was in that session and was put back to before it: then the
// boxes lie on the chain of that session.
func (v *Conversation) overdue() bool {
	a, life := &v.c.attempt, int64(formerLife/time.Hour)
	return a.ended() && !v.now.IsZero() && a.age(v.now) > life && int64(handshake.Hour(v.now))-int64(v.c.heard) > life
}

// branchOf is that of a session, or nil.
func (v *Conversation) branchOf(session uint32) *branch {
	all := v.drops.branches
	if i := slices.IndexFunc(all, func(b branch) bool { return b.Session == session }); i >= 0 {
		return &all[i]
	}
	return nil
}

// branchInUse is that of the session in use, or nil.
func (v *Conversation) branchInUse() *branch {
	if v.s == nil || !v.s.chained {
		return nil
	}
	return v.branchOf(v.s.epoch)
}

// endBranch forgets the chain of the session that this side waited for: it has come, and is
// watched like any other, or does not come.
func (v *Conversation) endBranch() {
	o := &v.drops
	if n := len(o.branches); n > 0 && v.s != nil && o.branches[n-1].Session > v.s.epoch {
		o.branches = o.branches[:n-1]
		v.saveDrops()
	}
}

// Watch tells that the chain that NextBranch returned is kept: from now on its boxes are looked
// for. If it is of the session in use the other side is told so.
func (v *Conversation) Watch(now time.Time) *Output {
	v.begin(now)
	session, root, _, ok := v.NextBranch()
	defer root.Wipe()
	if !ok {
		return v.end()
	}
	o := &v.drops
	if len(o.branches) == 0 {
		o.branches = []branch{{}}
	}
	o.branches = append(o.branches, branch{drop.Branch{Session: session}, drop.NameBranch(root)})
	slices.SortFunc(o.branches, func(a, b branch) int { return cmp.Compare(a.Session, b.Session) })
	if v.saveDrops(); session == v.s.epoch {
		v.tellBranches()
	}
	return v.end()
}

// Move does what a day brings about: it moves the own boxes to the chain of the session in
// use, when the other side watches it, and forgets chains on which no box is of use any more.
// Boxes are written on today, and read from oldest on. The Output is nil if there was nothing
// to do.
func (v *Conversation) Move(now time.Time, today, oldest drop.Day) *Output {
	if !v.overDrops() {
		return nil
	}
	moves, left := v.moves(), v.left(oldest)
	if !moves && len(left) == 0 {
		return nil
	}
	v.begin(now)
	if moves {
		v.branchInUse().Writes = max(today+moveDays, v.firstOfBranch()+1)
		v.tellBranches()
	}
	v.drops.branches = slices.DeleteFunc(v.drops.branches, func(b branch) bool { return slices.Contains(left, b.Session) })
	v.saveDrops()
	v.settleBranch()
	return v.end()
}

// moves reports whether the own boxes are to move to the chain of the session in use.
func (v *Conversation) moves() bool {
	b := v.branchInUse()
	return b != nil && b.Writes == 0 && v.drops.theirs == b.name
}

// left are the sessions on whose chains neither side has a box of a day from one on.
func (v *Conversation) left(oldest drop.Day) (sessions []uint32) {
	all := v.Branches()
	for i := range all[:min(len(all), all.Reading(oldest)[0])] {
		if i != all.Writing(oldest) && all[i].Writes <= oldest {
			sessions = append(sessions, all[i].Session)
		}
	}
	return sessions
}

// settleBranch wipes what the chain of the session in use began with, once both sides have
// moved to it: it would lead back to days whose keys are gone.
func (v *Conversation) settleBranch() {
	if b := v.branchInUse(); b != nil && b.Writes != 0 && b.Told != 0 && !v.s.drops.IsZero() {
		v.s.drops.Wipe()
		v.s.drops = secret.Key{}
		v.saveSession()
	}
}

// tellBranches says which chain is watched, and which is written on. The frame is all of it,
// so the last one counts. In a session whose chain finds no room it is said once that none is
// watched: the other side then forgets chains in between, and both have room again.
func (v *Conversation) tellBranches() {
	var m drop.Move
	if b := v.branchInUse(); b != nil {
		m.Watches = b.name
	}
	for _, b := range v.drops.branches {
		if b.Writes != 0 {
			m.Writes, m.From = b.name, b.Writes
		}
	}
	v.control(wire.FrameBranch, m.Append(nil))
	v.saveDrops()
	v.saveSession()
	v.out.More = true
}

// branchCame takes what the other side says of its chains in the session in use.
func (v *Conversation) branchCame(content []byte) {
	m, err := drop.ParseMove(content)
	if err != nil || !v.overDrops() || !v.s.chained {
		return
	}
	o, at := &v.drops, 0
	if m.Watches != (drop.BranchName{}) {
		o.theirs = m.Watches
	}
	if m.From != 0 {
		at = slices.IndexFunc(o.branches, func(b branch) bool { return b.name == m.Writes })
	}
	if at >= 0 {
		if m.From != 0 && o.branches[at].Told == 0 {
			o.branches[at].Told = m.From
		}
		// It moves to the chain of a session in that session alone. So it is on none of those
		// in between, and will not be.
		for i := len(o.branches) - 1; i > at; i-- {
			if b := o.branches[i]; b.Session < v.s.epoch && b.Told == 0 && v.wroteLast(i) {
				o.branches = slices.Delete(o.branches, i, i+1)
			}
		}
	}
	v.saveDrops()
	v.settleBranch()
}

// wroteLast reports whether no own box on a chain can be got any more, nor will one be written
// there: this side never moved to it, or left it long ago. It is none of the session in use.
func (v *Conversation) wroteLast(i int) bool {
	all := v.Branches()
	today := drop.DayAt(time.Duration(v.now.UnixNano()))
	return all[i].Writes == 0 || slices.ContainsFunc(all[i+1:], func(b drop.Branch) bool {
		return b.Writes != 0 && b.Writes+boxDays < today
	})
}

// toldMove reports whether the other side is known to have moved to the chain of the session
// in use. Every box says so.
func (v *Conversation) toldMove() bool {
	b := v.branchInUse()
	return b != nil && b.Told != 0
}

// hasMoved reports whether this side has.
func (v *Conversation) hasMoved() bool {
	b := v.branchInUse()
	return b != nil && b.Writes != 0
}

// appendBranches appends their record: the chain that the other side watches 8, number 1, and
// of each session 4, name 8, writes 4, told 4.
func (o *drops) appendBranches(e *encoder) {
	e.fixed(o.theirs[:])
	e.u8(byte(len(o.branches)))
	for _, b := range o.branches {
		e.u32(b.Session)
		e.fixed(b.name[:])
		e.u32(uint32(b.Writes))
		e.u32(uint32(b.Told))
	}
}

func (o *drops) parseBranches(d *decoder) {
	o.theirs = drop.BranchName(d.fixed(drop.BranchNameSize))
	n := int(d.u8())
	d.bad = d.bad || n > maxBranches
	for i := 0; i < n && !d.bad; i++ {
		b := branch{drop.Branch{Session: d.u32()}, drop.BranchName(d.fixed(drop.BranchNameSize))}
		b.Writes, b.Told = drop.Day(d.u32()), drop.Day(d.u32())
		// The first chain has neither name nor days, and sessions rise.
		if i > 0 {
			d.bad = d.bad || b.Session <= o.branches[i-1].Session
		}
		d.bad = d.bad || b.Session == 0 && b != (branch{}) || b.Session != 0 && b.name == (drop.BranchName{})
		o.branches = append(o.branches, b)
	}
}
