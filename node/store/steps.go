package store

// A step is a point at which a crash is interesting. The tests of this package
// kill the process at each of them.
type step int

const (
	stepBegin        step = iota // of a tick: nothing written
	stepBadger                   // before Badger's commit
	stepBadgerDone               // Badger has committed, the counter has not
	stepCounterWrite             // before the counter's bytes
	stepCounterSync              // the bytes are written and not yet fsynced
	stepCounterDone              // durable in both, not yet told to the caller
	stepTidy                     // before the next memtable's file
	stepEnd                      // before Tick returns
	stepCount                    // of a tick

	stepRebuilt      // the fresh records are whole, beside the old ones
	stepCounters     // those of a refresh stand beside the old ones, too
	stepAside        // the old records are out of their place
	stepInPlace      // the fresh ones are in it
	stepCounted      // and their counters
	stepCleared      // the old ones are gone, Badger is not open yet
	stepRebuildCount // of a rebuild or refresh
)

// faults are what tests inject; nil everywhere else.
type faults struct {
	at      func(step)
	counter func(counterFile) counterFile
	badger  func(attempt int) error // makes an attempt to open Badger fail
}

func (f *faults) hook(s step) {
	if f != nil && f.at != nil {
		f.at(s)
	}
}

func (f *faults) wrap() func(counterFile) counterFile {
	if f == nil {
		return nil
	}
	return f.counter
}

func (f *faults) beforeBadger(attempt int) error {
	if f == nil || f.badger == nil {
		return nil
	}
	return f.badger(attempt)
}
