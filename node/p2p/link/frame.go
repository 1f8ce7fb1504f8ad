package link

import (
	"bufio"
	"errors"
	"io"
)

// The kinds of frame.
const (
	padding byte = 0
	carries byte = 1
)

var (
	errFrame = errors.New("link: malformed frame")
	errRate  = errors.New("link: more frames than agreed")
)

// frameSize is a kind and a packet.
func frameSize(packet int) int { return 1 + packet }

// A frameReader reads frames of one size.
type frameReader struct {
	r      *bufio.Reader
	packet int
	ignore []byte
}

func newFrameReader(r io.Reader, packet int) *frameReader {
	return &frameReader{bufio.NewReaderSize(r, 4*frameSize(packet)), packet, make([]byte, packet)}
}

// next returns the next packet, in memory of its own, or nil for padding.
func (f *frameReader) next() ([]byte, error) {
	kind, err := f.r.ReadByte()
	if err != nil {
		return nil, err
	}
	into := f.ignore
	switch kind {
	case padding:
	case carries:
		into = make([]byte, f.packet)
	default:
		return nil, errFrame
	}
	if _, err := io.ReadFull(f.r, into); err != nil {
		return nil, err
	}
	if kind == padding {
		return nil, nil //nolint:nilnil // padding is no packet, and no error
	}
	return into, nil
}

// appendFrame appends a frame; nil is padding.
func appendFrame(b, packet []byte, size int) []byte {
	if packet == nil {
		return append(b, make([]byte, frameSize(size))...)
	}
	return append(append(b, carries), packet...)
}
