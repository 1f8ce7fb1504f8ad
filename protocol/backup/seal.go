package backup

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/text/unicode/norm"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

const (
	oldest = 1

	saltSize   = 32
	headerSize = 16
	commitSize = 32
	preamble   = saltSize + headerSize + commitSize
	blockSize  = 64 << 10
	tagSize    = chacha20poly1305.Overhead
	lengthSize = 4
)

// newest is the version of a kind of file that is written. Version 1 of an identity is one
// whose contacts have none of the later flags.
func newest(kind Kind) byte {
	if kind == Identity {
		return 2
	}
	return 1
}

// A Cost is the price of one guess at the passphrase.
type Cost int

const (
	// Standard is Argon2id with 256 MiB, 4 passes and 4 lanes, as for a vault. It is
	// fixed by the format and written nowhere.
	Standard Cost = iota
	// Cheap is for tests: 64 KiB, one pass. A file made with it opens only with it.
	Cheap
)

// Secrets are what opens a file.
type Secrets struct {
	Passphrase []byte
	Second     secret.Key // kept apart from file and passphrase; zero: none
	Cost       Cost       // the zero value is Standard
}

// Seal makes a file. Its size is the smallest one that holds the content. Files of
// the same content differ; on a machine whose source of randomness repeats, files
// of different content do not share a key.
func Seal(random io.Reader, s Secrets, kind Kind, content []byte) ([]byte, error) {
	class, err := classOf(len(content))
	if err != nil {
		return nil, err
	}
	coins, err := secret.Read(random)
	if err != nil {
		return nil, err
	}
	defer coins.Wipe()
	salt := label.MAC(label.BackupSalt, coins.Bytes(), []byte{byte(kind)}, content)
	root, err := s.root(salt[:])
	if err != nil {
		return nil, err
	}
	defer root.Wipe()
	header := [headerSize]byte{newest(kind), byte(kind), class}
	commit := commitment(root, &header)

	file := make([]byte, 0, MinSize<<class)
	file = append(file, salt[:]...)
	file = append(file, header[:]...)
	mask(file[saltSize:], root)
	file = append(file, commit[:]...)
	plain := make([]byte, capacity(class))
	defer clear(plain)
	binary.BigEndian.PutUint32(plain, uint32(len(content)))
	copy(plain[lengthSize:], content)
	aead := blockCipher(root)
	for i, rest := uint64(0), plain; len(rest) > 0; i++ {
		n := blockSize - tagSize
		if i == 0 {
			n -= preamble
		}
		file = aead.Seal(file, nonce(i), rest[:n], nil)
		rest = rest[n:]
	}
	return file, nil
}

// Open opens a file and returns its content, which the caller clears. It takes as
// long for a wrong passphrase as for the right one, less the content.
func Open(s Secrets, file []byte) (Kind, []byte, error) {
	if !ValidSize(int64(len(file))) {
		return 0, nil, ErrSize
	}
	root, err := s.root(file[:saltSize])
	if errors.Is(err, ErrPassphrase) {
		return 0, nil, ErrSecret
	} else if err != nil {
		return 0, nil, err
	}
	defer root.Wipe()
	header := [headerSize]byte(file[saltSize:])
	mask(header[:], root)
	commit := commitment(root, &header)
	if subtle.ConstantTimeCompare(commit[:], file[saltSize+headerSize:preamble]) != 1 {
		return 0, nil, ErrSecret
	}
	kind := Kind(header[1])
	switch {
	case header[0] > newest(kind):
		return 0, nil, ErrNewer
	case header[0] < oldest, header != [headerSize]byte{header[0], byte(kind), header[2]}, kind < Identity, kind > Authority:
		return 0, nil, ErrFormat
	case bits.TrailingZeros64(uint64(len(file)/MinSize)) != int(header[2]):
		return 0, nil, ErrDamaged // cut, or more behind it, by the measure of the sizes
	}
	content, err := openBlocks(root, file)
	return kind, content, err
}

func openBlocks(root secret.Key, file []byte) ([]byte, error) {
	aead := blockCipher(root)
	plain := make([]byte, 0, len(file))
	fail := func(err error) ([]byte, error) {
		clear(plain[:cap(plain)])
		return nil, err
	}
	for i := range len(file) / blockSize {
		block := file[i*blockSize : (i+1)*blockSize]
		if i == 0 {
			block = block[preamble:]
		}
		var err error
		if plain, err = aead.Open(plain, nonce(uint64(i)), block, nil); err != nil {
			return fail(ErrDamaged)
		}
	}
	n := int64(binary.BigEndian.Uint32(plain))
	if n > int64(len(plain)-lengthSize) || !allZero(plain[lengthSize+n:]) {
		return fail(ErrFormat)
	}
	if class, err := classOf(int(n)); err != nil || MinSize<<class != len(file) {
		return fail(ErrFormat) // it would have fitted into a smaller one
	}
	return plain[lengthSize : lengthSize+n : lengthSize+n], nil
}

// ValidSize reports whether a whole file can have so many bytes.
func ValidSize(n int64) bool { return n >= MinSize && n <= MaxSize && n&(n-1) == 0 }

// capacity is how many bytes a file of a class has room for.
func capacity(class byte) int {
	return MinSize<<class - preamble - tagSize*(MinSize<<class/blockSize)
}

// classOf returns the least class that content of n bytes fits into.
func classOf(n int) (byte, error) {
	for class := byte(0); MinSize<<class <= MaxSize; class++ {
		if n+lengthSize <= capacity(class) {
			return class, nil
		}
	}
	return 0, ErrTooLarge
}

// root stretches the secrets.
func (s Secrets) root(salt []byte) (secret.Key, error) {
	p, err := normalize(s.Passphrase)
	if err != nil {
		return secret.Key{}, err
	}
	defer clear(p)
	passes, kib, lanes := uint32(4), uint32(256<<10), uint8(4)
	if s.Cost == Cheap {
		passes, kib, lanes = 1, 64, 1
	}
	stretched := argon2.IDKey(p, salt, passes, kib, lanes, secret.Size)
	defer clear(stretched)
	var second []byte
	if !s.Second.IsZero() {
		second = s.Second.Bytes()
	}
	root := label.Derive(label.BackupRoot, stretched, salt, secret.Size, second)
	defer clear(root)
	return secret.FromBytes(root), nil
}

// normalize is the rule of docs/spec/store.md: Unicode NFC, 1 to 1024 bytes.
func normalize(p []byte) ([]byte, error) {
	// Composing shortens text at most threefold, so what is longer cannot fit.
	if len(p) == 0 || len(p) > 4*MaxPassphrase {
		return nil, ErrPassphrase
	}
	n := norm.NFC.Append(make([]byte, 0, 4*len(p)), p...)
	if len(n) > MaxPassphrase {
		clear(n)
		return nil, ErrPassphrase
	}
	return n, nil
}

// mask hides the header, or takes the mask off: the root is used for one file.
func mask(header []byte, root secret.Key) {
	m := label.Derive(label.BackupHeader, root.Bytes(), nil, headerSize)
	subtle.XORBytes(header, header[:headerSize], m)
}

// commitment binds a file to one root: the cipher alone would not, and a file could
// be made that opens differently with two passphrases.
func commitment(root secret.Key, header *[headerSize]byte) [commitSize]byte {
	return label.MAC(label.BackupCommit, root.Bytes(), header[:])
}

func blockCipher(root secret.Key) cipher.AEAD {
	key := label.DeriveKey(label.BackupBlock, root)
	defer key.Wipe()
	aead, err := chacha20poly1305.New(key.Bytes())
	if err != nil {
		panic(fmt.Sprintf("backup: %v", err)) // the key has its length
	}
	return aead
}

func nonce(block uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, chacha20poly1305.NonceSize-8, chacha20poly1305.NonceSize), block)
}

func allZero(b []byte) bool {
	var x byte
	for _, v := range b {
		x |= v
	}
	return x == 0
}
