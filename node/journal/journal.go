// Package journal is what a running node remembers of itself, so that its owner
// can see why it locked or does not connect: a short ring in memory, gone with the
// process. Nothing of it is ever on a disk.
//
// What may be remembered is decided by types. [Journal.Add] takes an [Event] and
// values of the few types that are a [Field]; each of them is a number of a fixed
// list or a bucket, and no other package can add one. There is no way to hand it a
// text, a name, an address or a number of a contact or a message.
package journal

import (
	"slices"
	"sync"
	"time"
)

// What a journal holds at most.
const (
	MaxEntries = 1000
	MaxAge     = time.Hour
)

// Level says how much is remembered.
type Level byte

// The levels.
const (
	Off Level = iota
	Normal
	Debug
)

// Levels lists them, in the words of String.
func Levels() []Level { return []Level{Off, Normal, Debug} }

// String returns the level in one word.
func (l Level) String() string {
	switch l {
	case Off:
		return "off"
	case Normal:
		return "normal"
	case Debug:
		return "debug"
	default:
		return "no level"
	}
}

// Entry is one thing that happened. Fields that do not apply are zero.
type Entry struct {
	At     time.Time // to the second
	Event  Event
	Reason Reason
	State  State
	Count  Count
	Took   Took
	Link   Link
}

// Journal is the ring. Its methods may be called from several goroutines.
type Journal struct {
	now func() time.Time

	mu      sync.Mutex
	level   Level
	links   uint32
	entries []Entry // oldest first
}

// New returns an empty journal at level Normal. Now is its clock.
func New(now func() time.Time) *Journal { return &Journal{now: now, level: Normal} }

// Level returns the level.
func (j *Journal) Level() Level {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.level
}

// SetLevel sets the level until the process ends. Off forgets everything.
func (j *Journal) SetLevel(l Level) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.level = l
	if l == Off {
		j.keep(func(Entry) bool { return false })
	}
}

// NewLink numbers a connection. Numbers count connections, not contacts, and begin
// anew with each process.
func (j *Journal) NewLink() Link {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.links++
	return Link{j.links}
}

// Add remembers that something happened now.
func (j *Journal) Add(e Event, fields ...Field) { j.AddAt(j.now(), e, fields...) }

// AddAt remembers that something happened at a time that has passed.
func (j *Journal) AddAt(at time.Time, e Event, fields ...Field) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.level() > j.level {
		return
	}
	entry := Entry{At: at.UTC().Truncate(time.Second), Event: e}
	for _, f := range fields {
		f.put(&entry)
	}
	j.expire()
	if len(j.entries) == MaxEntries {
		j.entries = slices.Delete(j.entries, 0, 1)
	}
	j.entries = append(j.entries, entry)
	slices.SortStableFunc(j.entries, func(a, b Entry) int { return a.At.Compare(b.At) })
}

// Entries returns what is remembered, oldest first. Those about connections are
// left out unless lines is true.
func (j *Journal) Entries(lines bool) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.expire()
	return slices.DeleteFunc(slices.Clone(j.entries), func(e Entry) bool { return !lines && e.Event.ofLine() })
}

// ForgetLines forgets what is about connections, and how many there were. What the
// machine itself did stays: it says why it locked.
func (j *Journal) ForgetLines() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.links = 0
	j.keep(func(e Entry) bool { return !e.Event.ofLine() })
}

// Expire forgets what is older than MaxAge.
func (j *Journal) Expire() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.expire()
}

func (j *Journal) expire() {
	oldest := j.now().Add(-MaxAge)
	j.keep(func(e Entry) bool { return !e.At.Before(oldest) })
}

// keep drops the other entries and clears their memory.
func (j *Journal) keep(stays func(Entry) bool) {
	j.entries = slices.DeleteFunc(j.entries, func(e Entry) bool { return !stays(e) })
}
