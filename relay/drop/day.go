package drop

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

const (
	nameSize  = 16
	nonceSize = 12
	valueSize = nonceSize + len(drop.Box{}) + 16

	dayPrefix = "day-"
)

// A day is the boxes that were put on one day.
type day struct {
	number dayNumber
	key    secret.Key
	db     *badger.DB
	boxes  int64    // how many there are
	log    *os.File // the value log that is written now; see sync
}

func dayDir(dir string, n dayNumber) string {
	return filepath.Join(dir, dayPrefix+strconv.FormatUint(uint64(n), 10))
}

func damagedDir(dir string, n dayNumber) string {
	return filepath.Join(dir, "damaged-"+strconv.FormatUint(uint64(n), 10))
}

// daysIn lists the days that have a folder.
func daysIn(dir string) ([]dayNumber, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var days []dayNumber
	for _, e := range entries {
		if text, ok := strings.CutPrefix(e.Name(), dayPrefix); ok {
			if n, err := strconv.ParseUint(text, 10, 32); err == nil {
				days = append(days, dayNumber(n))
			}
		}
	}
	return days, nil
}

// sizes of Badger's files. Boxes lie in its value log, which is only ever appended to
// and goes with its day: nothing is compacted, and nothing written twice.
func (c Config) badgerOptions(dir string, today bool) badger.Options {
	memTable, valueLog := int64(8<<20), int64(64<<20)
	if !today || c.small {
		memTable, valueLog = 1<<20, 1<<20
	}
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithMemTableSize(memTable).
		WithNumMemtables(2).
		WithValueThreshold(1 << 10).
		WithValueLogFileSize(valueLog).
		WithBaseTableSize(memTable).
		WithNumLevelZeroTables(1 << 20). // never compacted
		WithNumLevelZeroTablesStall(1 << 21).
		WithNumCompactors(0).
		WithCompactL0OnClose(false).
		WithNumVersionsToKeep(1).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithLogger(nil)
}

// guard runs f and turns a panic, or a fault on a mapped file, into ErrDamaged. It
// reaches the calling goroutine only.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = ErrDamaged
		}
	}()
	return f()
}

// openDay opens a day's records and counts them.
func openDay(c Config, n dayNumber, key secret.Key, today bool) (*day, error) {
	d := &day{number: n, key: key}
	dir := dayDir(c.Dir, n)
	err := guard(func() (err error) {
		d.db, err = badger.Open(c.badgerOptions(dir, today))
		return err
	})
	if err != nil {
		if strings.Contains(err.Error(), "Cannot acquire directory lock") {
			return nil, ErrInUse
		}
		return nil, ErrDamaged
	}
	err = guard(func() error {
		return d.db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{})
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				d.boxes++
			}
			return nil
		})
	})
	if err != nil {
		return nil, errors.Join(ErrDamaged, d.close())
	}
	return d, syncDir(c.Dir)
}

func (d *day) close() error {
	err := guard(d.db.Close)
	if d.log != nil {
		err = errors.Join(err, d.log.Close())
	}
	return err
}

// followLog opens the value log that the next commit goes to.
func (d *day) followLog(dir string) error {
	folder, newest := dayDir(dir, d.number), ""
	entries, _ := os.ReadDir(folder) // where nothing can be listed there is no log
	for _, e := range entries {      // by rising name
		if filepath.Ext(e.Name()) == ".vlog" {
			newest = filepath.Join(folder, e.Name())
		}
	}
	if newest == "" {
		return ErrDamaged
	}
	if d.log != nil && d.log.Name() == newest {
		return nil
	}
	f, err := os.Open(newest)
	if err != nil {
		return err
	}
	if d.log != nil {
		_ = d.log.Close() // nothing is written to it any more
	}
	d.log = f
	return nil
}

// record is where a box lies in a day, and the key under which it lies there.
func (d *day) record(a drop.Address) (name []byte, key []byte) {
	out := label.Derive(label.DropRecord, d.key.Bytes(), nil, nameSize+secret.Size, a[:])
	return out[:nameSize], out[nameSize:]
}

// get returns the box at an address, or nil.
func (d *day) get(a drop.Address) (box *drop.Box, err error) {
	name, key := d.record(a)
	defer clear(key)
	err = guard(func() error {
		return d.db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(name)
			if errors.Is(err, badger.ErrKeyNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			return item.Value(func(v []byte) error {
				box, err = open(key, v)
				return err
			})
		})
	})
	return box, err
}

// put adds a box to a transaction.
func (d *day) put(txn *badger.Txn, a drop.Address, box *drop.Box, random io.Reader) error {
	name, key := d.record(a)
	defer clear(key)
	value, err := seal(key, box, random)
	if err != nil {
		return err
	}
	return txn.Set(name, value)
}

func aead(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("drop: a record's key is not one of AES")
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("drop: AES without GCM")
	}
	return gcm
}

func seal(key []byte, box *drop.Box, random io.Reader) ([]byte, error) {
	value := make([]byte, nonceSize, valueSize)
	if _, err := io.ReadFull(random, value); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	return aead(key).Seal(value, value[:nonceSize], box[:], nil), nil
}

func open(key, value []byte) (*drop.Box, error) {
	if len(value) != valueSize {
		return nil, ErrDamaged
	}
	plain, err := aead(key).Open(nil, value[:nonceSize], value[nonceSize:], nil)
	if err != nil {
		return nil, ErrDamaged
	}
	return (*drop.Box)(plain), nil
}
