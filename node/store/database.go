package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/backchannel/backchannel/protocol/vault"
)

// Badger's sizes. A transaction may fill 15 % of a memtable, which a tick of 128
// slots does to 85 %. ValueThreshold lies over the size of a slot, so that the
// value log stays empty for ever.
const (
	memTableSize   = 4 << 20
	valueThreshold = 64 << 10
	memFileSize    = 2 * memTableSize // what Badger maps for a memtable's log
	tableSize      = 4 << 20
)

// badgerOptions are the same for every store. Compaction is off: what ticks leave
// behind goes when the store is rebuilt, see rebuild.go.
func badgerOptions(dir string) badger.Options {
	opt := badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithMemTableSize(memTableSize).
		WithNumMemtables(2).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(1 << 20). // never written beyond its header
		WithBaseTableSize(tableSize).
		WithBlockSize(64 << 10).
		WithBloomFalsePositive(0). // nothing is ever looked up
		WithNumLevelZeroTables(1 << 20).
		WithNumLevelZeroTablesStall(2 << 20).
		WithNumCompactors(0).
		WithCompactL0OnClose(false).
		WithNumVersionsToKeep(1).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithBypassLockGuard(true). // the store has its own lock, with a name in it
		WithLogger(nil)
	opt.TableSizeMultiplier = 1 // or a rebuild makes one table of everything, in memory
	return opt
}

func recordsDir(dir string) string { return filepath.Join(dir, "records") }
func freshDir(dir string) string   { return recordsDir(dir) + ".new" }
func formerDir(dir string) string  { return recordsDir(dir) + ".old" }

// guard runs f and turns a panic, or a fault on a mapped file, into ErrDamaged.
// It reaches the calling goroutine only.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = ErrDamaged // the value of a panic of Badger's may hold data
		}
	}()
	return f()
}

// openBadger opens a database that was read and checked before, or an empty
// folder. It tries once more if the first attempt fails.
func openBadger(dir string, f *faults) (db *badger.DB, err error) {
	for attempt := range 2 {
		err = guard(func() error {
			if err := f.beforeBadger(attempt); err != nil {
				return err
			}
			var err error
			db, err = badger.Open(badgerOptions(dir))
			return err
		})
		if err == nil {
			return db, nil
		}
		if noMemory(err) {
			return nil, ErrMemory
		}
	}
	return nil, fmt.Errorf("opening records: %w", writeError(err))
}

// noMemory reports whether a file could not be mapped for want of memory. Badger
// passes most errors of the system on, and some only as text.
func noMemory(err error) bool {
	return errors.Is(err, syscall.ENOMEM) || strings.Contains(err.Error(), syscall.ENOMEM.Error())
}

// closeWait bounds how long Close waits for Badger, which tries a flush that
// cannot be written for ever.
const closeWait = 20 * time.Second

var errStuck = errors.New("store: closing: records cannot be flushed; they are safe in the log")

// closeBadger closes the database. If it returns errStuck, Badger still runs.
func closeBadger(db *badger.DB) error {
	done := make(chan error, 1)
	go func() { done <- guard(db.Close) }()
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	select {
	case err := <-done:
		return writeError(err)
	case <-ctx.Done():
		return errStuck
	}
}

// writeSlots commits the changes of a tick in one synced transaction.
func writeSlots(db *badger.DB, changes []vault.Change) error {
	err := guard(func() error {
		txn := db.NewTransaction(true)
		defer txn.Discard()
		for _, c := range changes {
			if err := txn.SetEntry(badger.NewEntry(slotKey(c.Index), c.Slot[:])); err != nil {
				return err
			}
		}
		return txn.Commit()
	})
	if err != nil {
		return fmt.Errorf("committing: %w", writeError(err))
	}
	return nil
}

// isLog reports whether name is a memtable's log.
func isLog(name string) bool { return strings.HasSuffix(name, ".mem") }

// files returns Badger's files by name.
func files(dir string) (map[string]os.FileInfo, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := make(map[string]os.FileInfo, len(list))
	for _, entry := range list {
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // Badger removed it meanwhile
		}
		if err != nil {
			return nil, err
		}
		found[entry.Name()] = info
	}
	return found, nil
}

// flushWait bounds the wait for a memtable's flush, which takes milliseconds.
const flushWait = 5 * time.Second

// flushed waits until the active memtable's log is the only one, so that nothing
// of Badger's wants disk space behind our back. It reports false if that did not
// happen within limit.
func flushed(dir string, limit time.Duration) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; {
		found, err := files(dir)
		if err != nil {
			return false
		}
		logs := 0
		for name, info := range found {
			if isLog(name) && info.Size() > 0 {
				logs++
			}
		}
		if logs <= 1 {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		<-tick.C
	}
}
