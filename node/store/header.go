package store

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/protocol/label"
)

// The header; docs/spec/store.md, section Header:
//
//	version 1 ‖ store 32 ‖ checksum 32
//
// Store is random: the name of the store inside every seal, and the salt of every
// passphrase. Nothing here tells a right passphrase from a wrong one. Every
// version begins with its number and ends with the checksum over all that comes
// before, so that an old program knows a whole newer header from a damaged one.
const (
	formatVersion = 2
	storeSize     = 32
	headerSize    = 1 + storeSize + sha256.Size
	maxHeaderSize = 4096 // of any version
)

func headerPath(dir string) string { return filepath.Join(dir, "header") }

func appendHeader(b []byte, store *[storeSize]byte) []byte {
	start := len(b)
	b = append(b, formatVersion)
	b = append(b, store[:]...)
	sum := label.Hash(label.StoreCheck, b[start:])
	return append(b, sum[:]...)
}

// headerVersion checks a header of any version and returns its number: ErrDamaged
// for what no version wrote.
func headerVersion(b []byte) (byte, error) {
	if len(b) < 1+sha256.Size || len(b) > maxHeaderSize {
		return 0, ErrDamaged
	}
	body := b[:len(b)-sha256.Size]
	sum := label.Hash(label.StoreCheck, body)
	if subtle.ConstantTimeCompare(sum[:], b[len(body):]) != 1 || b[0] == 0 {
		return 0, ErrDamaged
	}
	return b[0], nil
}

// parseHeader is the inverse of appendHeader. ErrNewer and ErrOlder are for whole
// headers of other versions.
func parseHeader(b []byte) (store [storeSize]byte, err error) {
	version, err := headerVersion(b)
	switch {
	case err != nil:
		return store, err
	case version > formatVersion:
		return store, ErrNewer
	case version < formatVersion:
		return store, ErrOlder
	case len(b) != headerSize:
		return store, ErrDamaged
	}
	return [storeSize]byte(b[1:]), nil
}

// readHeader reads the header file; a folder of ours without one is damaged.
func readHeader(dir string) ([]byte, error) {
	f, err := os.Open(headerPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(recordsDir(dir)); err == nil {
			return nil, ErrDamaged
		}
		return nil, ErrMissing
	}
	if err != nil {
		return nil, fmt.Errorf("reading header: %w", readError(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHeaderSize+1))
	if err != nil {
		return nil, ErrDamaged
	}
	return b, nil
}
