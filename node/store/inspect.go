package store

import (
	"errors"
	"math"
)

// Format is the version of the format that this program reads and writes.
const Format = formatVersion

// FormatOf returns the version of the format of a store, without a passphrase:
// ErrMissing, ErrDamaged or ErrNewer if that cannot be said.
func FormatOf(dir string) (int, error) {
	raw, err := readHeader(dir)
	if err != nil {
		return 0, err
	}
	switch _, err := parseHeader(raw); {
	case errors.Is(err, ErrOlder):
		return parseVersion(raw)
	case err != nil:
		return 0, err
	}
	return Format, nil
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
