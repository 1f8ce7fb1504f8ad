package store

// A step is a point in a commit at which a crash is interesting. The tests of
// this package kill the process at each of them.
type step int

const (
	stepBegin        step = iota // nothing written
	stepBadger                   // before Badger's commit
	stepBadgerDone               // Badger has committed, the counter has not
	stepCounterWrite             // before the counter's bytes
	stepCounterSync              // the bytes are written and not yet fsynced
	stepCounterDone              // durable in both, not yet told to the caller
	stepTidy                     // before compaction and the next memtable's file
	stepEnd                      // before Commit returns
	stepCount                    // of a commit

	stepUpgradeWhole    // the new store is written, and not yet in its folder
	stepUpgradeReady    // in its folder, not in use
	stepUpgradeSwitched // in use, its files not in their places
	stepUpgradeMove     // before each file
	stepUpgradeMoved    // the old file is gone, the new one not in its place
)

// The steps of a purge.
const (
	stepPurgeBuilt   = stepCount + 1 + iota // the fresh records are whole, beside the old ones
	stepPurgeAside                          // the old ones are out of their place
	stepPurgeInPlace                        // the fresh ones are in it, the counter is behind
	stepPurgeCounted                        // the old ones are still in the folder
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
