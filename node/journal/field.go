package journal

import (
	"fmt"
	"time"
)

// Field is what an entry can carry besides its event. Its one method is not
// exported: the types below are all there are.
type Field interface{ put(*Entry) }

// Link is the number of a connection; see [Journal.NewLink].
type Link struct{ number uint32 }

func (l Link) put(e *Entry) { e.Link = l }

// Number returns the number, or 0 of no connection.
func (l Link) Number() uint32 { return l.number }

// Count is how many of something there were. Above ten only the size is kept.
type Count struct{ bucket uint32 }

// CountOf returns the count of n things.
func CountOf(n int) Count {
	b := uint32(1)
	for ; n >= 10 && b < 1000; n /= 10 {
		b *= 10
	}
	if b > 1 {
		return Count{b}
	}
	return Count{uint32(max(n, 0))}
}

func (c Count) put(e *Entry) { e.Count = c }

// String returns the count: "3", "10 or more", "100 or more".
func (c Count) String() string {
	if c.bucket >= 10 {
		return fmt.Sprintf("%d or more", c.bucket)
	}
	return fmt.Sprint(c.bucket)
}

// Took is how long something took or lasted, in one of a few buckets.
type Took byte

// The buckets.
const (
	NoTime Took = iota
	UnderSecond
	UnderTenSeconds
	UnderMinute
	UnderTenMinutes
	UnderHour
	HourOrMore
)

// TookOf returns the bucket of a duration.
func TookOf(d time.Duration) Took {
	for i, limit := range []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour} {
		if d < limit {
			return UnderSecond + Took(i)
		}
	}
	return HourOrMore
}

func (t Took) put(e *Entry) { e.Took = t }

// String returns the bucket in words.
func (t Took) String() string {
	switch t {
	case NoTime:
		return ""
	case UnderSecond:
		return "under 1 s"
	case UnderTenSeconds:
		return "under 10 s"
	case UnderMinute:
		return "under 1 min"
	case UnderTenMinutes:
		return "under 10 min"
	case UnderHour:
		return "under 1 h"
	case HourOrMore:
		return "1 h or more"
	default:
		return "no time"
	}
}

// State tells two or three forms of one event apart.
type State byte

// The states.
const (
	NoState    State = iota
	Outgoing         // begun here
	Incoming         // begun there
	Whole            // a file came to its end
	Broken           // it did not
	Listens          // the machine can be reached
	ReachesOut       // it cannot, and dials
)

func (s State) put(e *Entry) { e.State = s }

// String returns the state in words.
func (s State) String() string {
	switch s {
	case NoState:
		return ""
	case Outgoing:
		return "begun here"
	case Incoming:
		return "begun there"
	case Whole:
		return "whole"
	case Broken:
		return "not whole"
	case Listens:
		return "it listens"
	case ReachesOut:
		return "it reaches out"
	default:
		return "no state"
	}
}

// Reason says why something failed.
type Reason byte

// The reasons.
const (
	NoReason Reason = iota
	OtherReason
	NoVault
	VaultDamaged
	VaultNewer
	VaultInUse
	DiskFull
	NoMemory
	BadSettings
	PortInUse
	BadProxy
	NeedsProxy
	Unreachable
	NotThem
	TooMany
	TimedOut
	Stopping
	CommitFailed
)

func (r Reason) put(e *Entry) { e.Reason = r }

// String returns the reason in words.
func (r Reason) String() string {
	words := [...]string{
		NoReason: "", OtherReason: "another reason", NoVault: "no vault there", VaultDamaged: "the vault is damaged",
		VaultNewer: "the vault is of a newer version", VaultInUse: "another process has the vault open",
		DiskFull: "the disk is full", NoMemory: "not enough memory", BadSettings: "config.toml cannot be read",
		PortInUse: "another program uses the port", BadProxy: "the proxy is malformed", NeedsProxy: "an onion address needs a proxy",
		Unreachable: "nobody answers at the address", NotThem: "what answers is not the contact", TooMany: "too many connections",
		TimedOut: "it took too long", Stopping: "the node was stopping", CommitFailed: "the vault could not be written",
	}
	if int(r) >= len(words) {
		return "no reason"
	}
	return words[r]
}
