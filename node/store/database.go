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
)

// Badger's sizes. A transaction may fill 15 % of a memtable, and ValueThreshold
// must lie under that and over the largest sealed value, so that the value log
// stays empty for ever.
const (
	memTableSize   = 1 << 20
	valueThreshold = 128 << 10
	memFileSize    = 2 * memTableSize // what Badger maps for a memtable's log
	compactAt      = 4                // level-0 tables that Commit compacts away
	refuseAt       = 8                // level-0 tables at which Commit gives up
	stallAt        = 16               // level-0 tables at which Badger would stop
)

func badgerOptions(dir string, compactOnClose bool) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithMemTableSize(memTableSize).
		WithNumMemtables(2).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(1 << 20). // never written beyond its header
		WithBaseTableSize(1 << 20).
		WithBaseLevelSize(4 << 20).
		WithNumLevelZeroTables(compactAt).
		WithNumLevelZeroTablesStall(stallAt).
		WithNumCompactors(0). // compaction runs inside Commit; see tidy
		WithCompactL0OnClose(compactOnClose).
		WithNumVersionsToKeep(1).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithChecksumVerificationMode(options.OnTableRead).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithBypassLockGuard(true). // the store has its own lock, with a name in it
		WithLogger(nil)
}

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

// openBadger opens the database, and tries once more if the first attempt fails:
// after a crash Badger may put things right in the attempt that it gives up. It
// may have begun to flush logs in it, and goes on with that after it returned; a
// second attempt meanwhile would take the new tables for lost ones.
func openBadger(dir string, f *faults) (db *badger.DB, err error) {
	for attempt := range 2 {
		if attempt > 0 && !flushed(dir, flushWait) {
			break
		}
		err = guard(func() error {
			if err := f.beforeBadger(attempt); err != nil {
				return err
			}
			var err error
			db, err = badger.Open(badgerOptions(dir, false))
			return err
		})
		if err == nil {
			return db, nil
		}
		if noMemory(err) {
			return nil, ErrMemory
		}
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("opening records: %w", os.ErrPermission)
	}
	return nil, ErrDamaged
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
		return err
	case <-ctx.Done():
		return errStuck
	}
}

// settle compacts what the last close flushed, so that replaced and deleted
// values of the session leave Badger's files. A failure loses nothing.
func settle(dir string) {
	_ = guard(func() error {
		db, err := badger.Open(badgerOptions(dir, true))
		if err != nil {
			return err
		}
		return db.Close()
	})
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

// tableBytes is the size of all tables, and zeroTables how many are in level 0.
func tableBytes(db *badger.DB) (total int64, zeroTables int) {
	for _, t := range db.Tables() {
		total += int64(t.OnDiskSize)
		if t.Level == 0 {
			zeroTables++
		}
	}
	return total, zeroTables
}

func recordsDir(dir string) string { return filepath.Join(dir, "records") }
