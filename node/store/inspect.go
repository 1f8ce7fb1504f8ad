package store

import (
	"errors"
	"math"
)

// Format is the version of the format that this program writes.
const Format = formatVersion

// FormatOf returns the version of the format of a store, without a passphrase:
// ErrMissing, ErrDamaged or ErrNewer if that cannot be said.
func FormatOf(dir string) (int, error) {
	b, err := readHeader(dir)
	if err != nil {
		return 0, err
	}
	version, err := headerVersion(b)
	if err == nil && version > formatVersion {
		err = ErrNewer
	}
	if err != nil {
		return 0, err
	}
	return int(version), nil
}

// FreeSpace returns how many bytes are free on the disk of a folder, or
// errors.ErrUnsupported.
func FreeSpace(dir string) (int64, error) {
	n, err := freeSpace(dir)
	if n == math.MaxInt64 {
		err = errors.ErrUnsupported
	}
	return n, err
}
