package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
)

// Errors of a vault that moves.
var (
	ErrMoved      = errors.New("this vault was moved to another machine; here it stays off the network")
	ErrNotMoved   = errors.New("this vault was not moved away")
	ErrRolledBack = errors.New("this vault was put back to an older state, and its sessions have to be recovered before it can move")
)

// Records returns all that a vault holds, to be moved. It is not for a vault that
// is found rolled back: the machine that takes the records could not tell.
func Records(s Store) ([]backup.Record, error) {
	if s.RolledBack() {
		return nil, ErrRolledBack
	}
	var list []backup.Record
	for kind := store.Kind(1); kind != 0; kind++ { // every kind that there can be
		if kind == kindMoved {
			continue
		}
		for r, err := range s.ScanKind(kind) {
			if err != nil {
				return nil, err
			}
			list = append(list, backup.Record{Kind: byte(r.Key.Kind), Object: r.Key.Object, Seq: r.Key.Seq, Value: r.Value})
		}
	}
	return list, nil
}

// TakeRecords writes the records of a vault that moved into one that is new and empty.
func TakeRecords(s Store, list []backup.Record) error {
	var batch []store.Write
	size := 0
	for _, r := range list {
		w := store.Write{Key: store.Key{Kind: store.Kind(r.Kind), Object: r.Object, Seq: r.Seq}, Value: r.Value}
		more := store.SealedSize(len(r.Value)) + 32
		if len(batch) > 0 && (size+more > store.MaxCommit || len(batch) == store.MaxWrites) {
			if err := stage(s, batch...); err != nil {
				return err
			}
			batch, size = batch[:0], 0
		}
		batch, size = append(batch, w), size+more
	}
	return errors.Join(stage(s, batch...), s.Purge())
}

// MarkMoved makes a vault one that is never unlocked again, but for [Unmark].
// Marking it again changes nothing but the time.
func MarkMoved(s Store, now time.Time) error {
	return commit(s, store.Write{Key: store.Key{Kind: kindMoved}, Value: binary.BigEndian.AppendUint32([]byte{1}, uint32(now.Unix()/60))})
}

// Unmark takes the mark of [MarkMoved] back, or returns ErrNotMoved.
func Unmark(s Store) error {
	err := notMoved(s)
	switch {
	case err == nil:
		return ErrNotMoved
	case !errors.Is(err, ErrMoved):
		return err
	}
	return commit(s, store.Write{Key: store.Key{Kind: kindMoved}, Delete: true})
}

// notMoved returns ErrMoved for a vault that was moved away.
func notMoved(s Store) error {
	switch _, err := s.Get(store.Key{Kind: kindMoved}); {
	case err == nil:
		return ErrMoved
	case errors.Is(err, store.ErrNotFound):
		return nil
	default:
		return fmt.Errorf("looking whether the vault was moved: %w", err)
	}
}
