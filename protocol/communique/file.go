package communique

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
)

// The parts of a file that have a fixed length, in bytes.
const (
	firstLine     = "joint communique, version 1\n"
	keyLine       = len("key ") + 64 + 1
	randomLine    = len("random ") + 64 + 1
	headSize      = len(firstLine) + 2*keyLine + randomLine + 1
	signatureLine = len(signatureWord) + 128 + 1
	tailSize      = 1 + 2*signatureLine
)

// MaxFile is the longest file in bytes. Read no more than that of what claims to
// be one.
const MaxFile = headSize + MaxText + tailSize

// A Communique is what a published file says. Keys stand in the order of their
// bytes, so that the file does not tell who proposed it; each signature is that of
// the key with its index.
type Communique struct {
	Keys       [2]PublicKey
	Random     [32]byte
	Text       string
	Signatures [2][ed25519.SignatureSize]byte
}

// Verify parses a published file and checks both signatures. There is no
// communiqué with one signature, and for each one there is a single file.
func Verify(file []byte) (*Communique, error) {
	c, err := parseFile(file)
	if err != nil {
		return nil, err
	}
	signed := c.signed()
	for i, key := range c.Keys {
		if err := key.Check(); err != nil {
			return nil, err
		}
		if !verify(key, signed, c.Signatures[i]) {
			return nil, ErrSignature
		}
	}
	return c, nil
}

// verify is [ed25519.Verify] for signatures whose nonce point lies in the
// prime-order group: about these, all verifiers agree.
func verify(key PublicKey, signed []byte, sig [ed25519.SignatureSize]byte) bool {
	_, err := decodePoint([32]byte(sig[:32]))
	return err == nil && ed25519.Verify(key[:], signed, sig[:])
}

// signed returns the bytes that both sign: the file up to its signatures.
func (c *Communique) signed() []byte {
	b := []byte(firstLine)
	for _, key := range c.Keys {
		b = append(hex.AppendEncode(append(b, "key "...), key[:]), '\n')
	}
	b = append(hex.AppendEncode(append(b, "random "...), c.Random[:]), '\n', '\n')
	b = append(b, c.Text...)
	return append(b, '\n')
}

// append appends the file to b.
func (c *Communique) append(b []byte) []byte {
	b = append(b, c.signed()...)
	for _, sig := range c.Signatures {
		b = append(hex.AppendEncode(append(b, signatureWord...), sig[:]), '\n')
	}
	return b
}

// parseFile reads what stands at the places that the format gives, and then asks
// whether it would have written the same bytes. So it needs no rule for anything
// that could be written in two ways.
func parseFile(file []byte) (*Communique, error) {
	if bytes.HasPrefix(file, []byte(firstLine[:len(firstLine)-1]+"\r\n")) {
		return nil, ErrLineEndings
	}
	if len(file) <= headSize+tailSize || len(file) > MaxFile {
		return nil, ErrFormat
	}
	var c Communique
	tail := len(file) - tailSize
	field := func(dst []byte, at int) {
		_, _ = hex.Decode(dst, file[at:at+2*len(dst)]) // what is not hex would not be written
	}
	for i := range 2 {
		field(c.Keys[i][:], len(firstLine)+i*keyLine+len("key "))
		field(c.Signatures[i][:], tail+1+i*signatureLine+len(signatureWord))
	}
	field(c.Random[:], len(firstLine)+2*keyLine+len("random "))
	c.Text = string(file[headSize:tail])
	if !bytes.Equal(c.append(nil), file) {
		return nil, ErrFormat
	}
	if bytes.Compare(c.Keys[0][:], c.Keys[1][:]) >= 0 {
		return nil, ErrKey
	}
	if err := CheckText(c.Text); err != nil {
		return nil, err
	}
	return &c, nil
}
