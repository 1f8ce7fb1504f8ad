package node_test

import (
	"bytes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/salsa20"
)

// An evidenceRecording is what one connection after another said on TCP, and every
// key that was drawn at random while they ran. With the draws, all of libp2p's
// Noise can be opened afterwards: nothing is changed on the way.
type evidenceRecording struct {
	Streams [][2][]byte // what the dialler said, what the listener said
	Draws   [][]byte
}

// evidenceLayers are one connection's bytes, layer by layer.
type evidenceLayers struct {
	plain    [2][]byte // below the private network
	payloads [2][]byte // inside libp2p's Noise handshake
	statics  [2][]byte // of libp2p's Noise
	secured  [2][]byte // inside libp2p's Noise: yamux
	headers  [2][]byte // of yamux
	streams  map[uint32]*[2][]byte
}

// evidenceKeys finds private keys by public ones.
func evidenceKeys(draws [][]byte) map[[32]byte]*ecdh.PrivateKey {
	keys := map[[32]byte]*ecdh.PrivateKey{}
	for _, d := range draws {
		if k, err := ecdh.X25519().NewPrivateKey(d); err == nil {
			keys[[32]byte(k.PublicKey().Bytes())] = k
		}
	}
	return keys
}

const evidenceMultistream = "\x13/multistream/1.0.0\n"

// openEvidenceNetwork takes the private network's encryption off one direction.
func openEvidenceNetwork(network, b []byte) []byte {
	if len(b) < 24 {
		return nil
	}
	out := make([]byte, len(b)-24)
	salsa20.XORKeyStream(out, b[24:], b[:24], (*[32]byte)(network))
	return out
}

// openEvidenceLayers opens a connection with one of the network keys; without any it is
// taken as it is.
func openEvidenceLayers(said [2][]byte, networks [][]byte, keys map[[32]byte]*ecdh.PrivateKey) (*evidenceLayers, error) {
	l := &evidenceLayers{plain: said, streams: map[uint32]*[2][]byte{}}
	for _, n := range networks {
		l.plain = [2][]byte{openEvidenceNetwork(n, said[0]), openEvidenceNetwork(n, said[1])}
		if bytes.HasPrefix(l.plain[0], []byte(evidenceMultistream)) {
			break
		}
	}
	var rest [2][]byte
	for i, b := range l.plain {
		if !bytes.HasPrefix(b, []byte(evidenceMultistream+"\x07/noise\n")) {
			return nil, fmt.Errorf("direction %d: no choice of Noise: %.32q", i, b)
		}
		rest[i] = b[len(evidenceMultistream)+8:]
	}
	if err := l.openNoise(rest, keys); err != nil {
		return nil, err
	}
	for i := range l.secured {
		l.openYamux(i)
	}
	return l, nil
}

// evidenceNoise is the state of a Noise handshake with ChaChaPoly and SHA-256.
type evidenceNoise struct {
	ck   []byte
	h    [32]byte
	aead cipher.AEAD
	n    uint64
	err  error
}

func (s *evidenceNoise) mixHash(b []byte) { s.h = sha256.Sum256(append(s.h[:], b...)) }

func (s *evidenceNoise) mixKey(private *ecdh.PrivateKey, public []byte) {
	if s.err != nil {
		return
	}
	pk, err := ecdh.X25519().NewPublicKey(public)
	if err == nil && private == nil {
		err = errors.New("a key of Noise was not drawn here")
	}
	if err != nil {
		s.err = err
		return
	}
	shared, err := private.ECDH(pk)
	if err == nil {
		var out []byte
		out, err = hkdf.Key(sha256.New, shared, s.ck, "", 64)
		if err == nil {
			s.ck, s.n = out[:32], 0
			s.aead, err = chacha20poly1305.New(out[32:])
		}
	}
	s.err = err
}

func evidenceNonce(n uint64) []byte { return binary.LittleEndian.AppendUint64(make([]byte, 4), n) }

func (s *evidenceNoise) open(b []byte) []byte {
	if s.err != nil {
		return nil
	}
	out, err := s.aead.Open(nil, evidenceNonce(s.n), b, s.h[:])
	s.err = err
	s.n++
	s.mixHash(b)
	return out
}

// evidenceFrames cuts a direction into libp2p's frames. What was cut off is left.
func evidenceFrames(b []byte) (frames [][]byte) {
	for len(b) >= 2 {
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			break
		}
		frames = append(frames, b[2:2+n])
		b = b[2+n:]
	}
	return frames
}

// openNoise opens Noise_XX with the private keys of both ends.
func (l *evidenceLayers) openNoise(b [2][]byte, keys map[[32]byte]*ecdh.PrivateKey) error {
	d, a := evidenceFrames(b[0]), evidenceFrames(b[1])
	if len(d) < 2 || len(a) < 1 || len(d[0]) != 32 || len(a[0]) < 32+48+16 || len(d[1]) < 48+16 {
		return errors.New("no whole Noise handshake")
	}
	s := &evidenceNoise{}
	copy(s.h[:], "Noise_XX_25519_ChaChaPoly_SHA256")
	s.ck = bytes.Clone(s.h[:])
	s.mixHash(nil) // no prologue
	ephemeral := [2][]byte{d[0], a[0][:32]}
	s.mixHash(ephemeral[0])
	s.mixHash(nil)
	s.mixHash(ephemeral[1])
	s.mixKey(keys[[32]byte(ephemeral[0])], ephemeral[1])
	l.statics[1] = s.open(a[0][32:80])
	if s.err != nil {
		return s.err
	}
	s.mixKey(keys[[32]byte(ephemeral[0])], l.statics[1])
	l.payloads[1] = s.open(a[0][80:])
	l.statics[0] = s.open(d[1][:48])
	if s.err != nil {
		return s.err
	}
	s.mixKey(keys[[32]byte(ephemeral[1])], l.statics[0])
	l.payloads[0] = s.open(d[1][48:])
	if s.err != nil {
		return s.err
	}
	out, err := hkdf.Key(sha256.New, nil, s.ck, "", 64)
	if err != nil {
		return err
	}
	for i, frames := range [2][][]byte{d[2:], a[1:]} {
		aead, err := chacha20poly1305.New(out[32*i:][:32])
		if err != nil {
			return err
		}
		for n, f := range frames {
			plain, err := aead.Open(nil, evidenceNonce(uint64(n)), f, nil)
			if err != nil {
				return err
			}
			l.secured[i] = append(l.secured[i], plain...)
		}
	}
	return nil
}

// openYamux sorts a direction into streams.
func (l *evidenceLayers) openYamux(direction int) {
	for b := l.secured[direction]; len(b) >= 12 && b[0] == 0; {
		l.headers[direction] = append(l.headers[direction], b[:12]...)
		id, n := binary.BigEndian.Uint32(b[4:]), 0
		if b[1] == 0 { // data
			n = min(int(binary.BigEndian.Uint32(b[8:])), len(b)-12)
		}
		if l.streams[id] == nil {
			l.streams[id] = new([2][]byte)
		}
		l.streams[id][direction] = append(l.streams[id][direction], b[12:12+n]...)
		b = b[12+n:]
	}
}
