package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/protocol/directory"
)

// ErrWait is returned by a relay that has begun too often in this epoch.
var ErrWait = errors.New("directory: started six times in this epoch, wait for the next one")

// errUnwritten is of a relay whose disk does not take what has to be on it before the relay
// says anything of itself.
var errUnwritten = errors.New("directory: the sequence could not be written")

// ErrNotVouched is returned by a relay that founders do not vouch for, or not any more.
var ErrNotVouched = errors.New("directory: founders do not vouch for this relay")

// sequenceFile holds the epoch 4 and the sequence 1 of the last descriptor.
const sequenceFile = "descriptor"

// next returns the sequence of the next descriptor of an epoch. It is on the disk before it
// is returned: a relay that made two descriptors with one sequence would be dropped by all.
func (d *Directory) next(e directory.Epoch) (byte, error) {
	path := filepath.Join(d.cfg.Dir, sequenceFile)
	var sequence byte
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return 0, fmt.Errorf("reading the last sequence: %w", err)
	case len(old) != 5:
		return 0, errors.New("directory: the file with the last sequence is damaged; this relay needs a new identity")
	default:
		last := directory.Epoch(binary.BigEndian.Uint32(old))
		if last > e {
			return 0, errors.New("directory: the clock was set back into an epoch that is over")
		}
		if last == e {
			sequence = old[4] + 1
		}
	}
	if sequence >= directory.Sequences {
		return 0, ErrWait
	}
	if err := replace(path, append(binary.BigEndian.AppendUint32(nil, uint32(e)), sequence)); err != nil {
		return 0, errors.Join(errUnwritten, err)
	}
	return sequence, nil
}

// replace writes a file as a whole, and syncs it and its name: a sequence that a loss of
// power takes back would be used twice.
func replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}
