package channel

import "time"

// Standing is how a conversation stands, less everything that says with whom.
type Standing struct {
	Sessions uint32        // how many there were
	Resumed  bool          // both sides go on with the present one on a connection
	ClockOff time.Duration // see View

	OtherRelays bool // see View
}

// Standing returns how the conversation stands. It is cheap, unlike View.
func (v *Conversation) Standing() Standing {
	st := Standing{Resumed: v.link != nil && v.link.resumeGot, ClockOff: v.clockOff, OtherRelays: v.OtherRelays()}
	if v.s != nil {
		st.Sessions = v.s.epoch
	}
	return st
}
