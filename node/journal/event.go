package journal

// Event is what happened.
type Event byte

// What happens to the machine.
const (
	Started Event = 1 + iota
	Unlocked
	WrongPassphrase
	NotUnlocked
	Rested
	Locked
	LockedItself
	Network
	Full
	FullNoMore
	NotStored
)

// What happens on connections. It is forgotten when the node locks.
const (
	DialBegan Event = 100 + iota
	DialFailed
	LinkRefused
	LinkUp
	LinkDown
	SessionBegan
	SessionResumed
	Recovered
	ClockOff
	FileBegan
	FileEnded
	OtherRelays
	RolledBack // of one level, perhaps
)

// ofLine reports whether an event is about a connection.
func (e Event) ofLine() bool { return e >= DialBegan }

// level is from which level on the event is remembered.
func (e Event) level() Level {
	switch e {
	case DialBegan, LinkRefused:
		return Debug
	default:
		return Normal
	}
}

// String returns the event in words. Scripts may rely on them.
func (e Event) String() string {
	words := map[Event]string{
		Started: "node started", Unlocked: "unlocked", WrongPassphrase: "wrong passphrase", NotUnlocked: "could not be unlocked",
		Rested: "screens locked after a rest", Locked: "locked", LockedItself: "locked by itself",
		Network: "network ready", Full: "disk full", FullNoMore: "disk has room again", NotStored: "could not be stored",
		RolledBack: "vault was put back to an older state",

		DialBegan: "dialling", DialFailed: "dial failed", LinkRefused: "connection came to nothing", LinkUp: "link up",
		LinkDown: "link down", SessionBegan: "session begun", SessionResumed: "session resumed",
		Recovered: "session recovered", ClockOff: "clocks differ", FileBegan: "file transfer begun", FileEnded: "file transfer ended",
		OtherRelays: "a contact sees other relays",
	}[e]
	if words == "" {
		return "no event"
	}
	return words
}
