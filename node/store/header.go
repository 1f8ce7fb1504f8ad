package store

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/vault"
)

// The header; docs/spec/store.md, section Header:
//
//	version 1 ‖ slots 4 ‖ store 32 ‖ checksum 32
//
// Nothing in it depends on a passphrase or on what is stored. Every version begins
// with its number and ends with the checksum over all that comes before, so that
// an old program knows a whole newer header from a damaged one.
const (
	formatVersion = 2
	storeSize     = 32
	headerSize    = 1 + 4 + storeSize + sha256.Size
	maxHeaderSize = 4096 // of any version
)

type header struct {
	slots uint32
	store [storeSize]byte // names the store to package vault, and is the salt of Argon2id
}

func (h header) geometry() vault.Geometry { return vault.Standard(h.slots) }

func headerPath(dir string) string { return filepath.Join(dir, "header") }

// appendHeader appends h in its only encoding.
func appendHeader(b []byte, h header) []byte {
	start := len(b)
	b = append(b, formatVersion)
	b = binary.BigEndian.AppendUint32(b, h.slots)
	b = append(b, h.store[:]...)
	sum := label.Hash(label.StoreCheck, b[start:])
	return append(b, sum[:]...)
}

// parseHeader is the inverse of appendHeader: ErrDamaged for what no version
// wrote, ErrNewer and ErrOlder for what another one did.
func parseHeader(b []byte) (header, error) {
	version, err := parseVersion(b)
	switch {
	case err != nil:
		return header{}, err
	case version > formatVersion:
		return header{}, ErrNewer
	case version < formatVersion:
		return header{}, ErrOlder
	case len(b) != headerSize:
		return header{}, ErrDamaged
	}
	h := header{slots: binary.BigEndian.Uint32(b[1:]), store: [storeSize]byte(b[5:])}
	if !h.geometry().Valid() {
		return header{}, ErrDamaged
	}
	return h, nil
}

// parseVersion returns the version of a whole header of any version.
func parseVersion(b []byte) (int, error) {
	if len(b) < 1+sha256.Size || len(b) > maxHeaderSize {
		return 0, ErrDamaged
	}
	body := b[:len(b)-sha256.Size]
	sum := label.Hash(label.StoreCheck, body)
	if subtle.ConstantTimeCompare(sum[:], b[len(body):]) != 1 || b[0] == 0 {
		return 0, ErrDamaged
	}
	return int(b[0]), nil
}

// readHeader reads the bytes of a header; a folder of ours without one is damaged.
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
