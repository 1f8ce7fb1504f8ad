package store

// A step is a point at which a crash is interesting. The tests of this package
// kill the process at each of them.
type step int

// The steps of a tick.
const (
	stepBegin        step = iota // nothing written
	stepBadger                   // before Badger's commit
	stepBadgerDone               // Badger has committed, the counter has not
	stepCounterWrite             // before the counter's bytes
	stepCounterSync              // the bytes are written and not yet fsynced
	stepCounterDone              // durable in both, not yet told to the caller
	stepTidy                     // before the next memtable's file
	stepEnd                      // before Tick returns
	stepCount                    // of a tick
)

// The steps of a rebuild, which a refresh goes through as well.
const (
	stepBuilding     = stepCount + 1 + iota // some of the fresh slots are written
	stepBuilt                               // they are whole, beside the old ones
	stepNextCounter                         // a refresh: its counter lies ready
	stepDeclared                            // the fresh ones are the ones that count
	stepOldClosed                           // Badger has let the old ones go
	stepAside                               // the old ones are out of their place
	stepInPlace                             // the fresh ones are in it
	stepOldGone                             // the old ones are removed
	stepRefreshEnd                          // the counters are in order
	stepRebuildCount                        // of a rebuild or refresh
	stepSecret                              // a new secret lies behind the old one in the key file
	stepSecretOld                           // the store opens with it, and the old one is there still
	stepSecretGone                          // the old one is gone
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

func (f *faults) wrap(c counterFile) counterFile {
	if f == nil || f.counter == nil {
		return c
	}
	return f.counter(c)
}

func (f *faults) beforeBadger(attempt int) error {
	if f == nil || f.badger == nil {
		return nil
	}
	return f.badger(attempt)
}
