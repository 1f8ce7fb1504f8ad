package drop

import (
	"fmt"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
)

// AnswerAfter is the least time from a packet's arrival at its exit to its answer, which
// enters the mix when this and the packet's own delay have passed: hit, miss, put and
// error alike.
const AnswerAfter = 250 * time.Millisecond

// A Status is a drop's word on what it was asked. It stands in [onion.Answer].
type Status byte

// The statuses.
const (
	Stored  Status = 1 // put: it is on the drop's disk
	Taken   Status = 2 // put: another box was there first, and stays
	Found   Status = 3 // get: here it is
	None    Status = 4 // get: there is no such box
	Full    Status = 5 // put: there is no room at present
	Refused Status = 6 // put: more work is wanted, or the token is unknown
	Failed  Status = 7 // put, get: it could not be done, or not in time
	Looped  Status = 8 // loop
)

// String is the status in words.
func (s Status) String() string {
	switch s {
	case Stored:
		return "stored"
	case Taken:
		return "taken"
	case Found:
		return "found"
	case None:
		return "none"
	case Full:
		return "full"
	case Refused:
		return "refused"
	case Failed:
		return "failed"
	case Looped:
		return "loop"
	}
	return fmt.Sprintf("status %d", byte(s))
}

// Answers reports whether a drop may answer a command so.
func (s Status) Answers(c onion.Command) bool {
	switch c {
	case onion.Put:
		return s == Stored || s == Taken || s == Full || s == Refused || s == Failed
	case onion.Get:
		return s == Found || s == None || s == Failed
	case onion.Loop:
		return s == Looped
	}
	return false
}

// Read returns the status of an answer to a command, and the box if it is [Found].
func Read(c onion.Command, a onion.Answer) (Status, *Box, error) {
	s := Status(a.Status)
	switch {
	case !s.Answers(c):
		return 0, nil, ErrFormat
	case s == Found:
		return s, a.Box, nil
	default:
		return s, nil, nil
	}
}
