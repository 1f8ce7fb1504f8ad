package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/file"
)

// Errors that a person meets who sends a file.
var (
	ErrNotRegular = errors.New("this is not a file that can be sent: a folder, a device or a pipe")
	ErrUnreadable = errors.New("the file cannot be read")
	errOther      = errors.New("node: the file is not what it was")
)

// feed reads what a conversation wants of a file, and hands it over. It is a step
// of the contact's reader, who owns src.
func (d *desk) feed(id channel.ContactID, src *source) (worked bool, err error) {
	want, sums, err := d.demand(id, src.seq)
	if err != nil || want.Length == 0 {
		return false, err
	}
	content, err := src.read(want, sums)
	return true, d.fed(id, want, content, err)
}

// demand asks the conversation what it wants; sums come along for another file
// than the one that is open.
func (d *desk) demand(id channel.ContactID, open uint64) (want channel.Demand, sums []byte, err error) {
	err = d.of(id, func(d *desk, p *person) error {
		var ok bool
		if !p.roomy() {
			return nil
		}
		if want, ok = p.conversation.Demand(d.cfg.Now()); !ok || want.Seq == open {
			return nil
		}
		var err error
		if sums, err = p.conversation.Sums(want.Seq); err != nil {
			p.conversation.FileUnreadable(d.cfg.Now(), want.Seq, ErrUnreadable.Error())
			want = channel.Demand{}
		}
		return nil
	})
	return want, sums, err
}

// roomy reports whether more pieces of files can be queued. The windows of several
// files together are longer than a queue, and a queue that runs full ends its
// connection. The reports on what leaves it wake the reader again.
func (p *person) roomy() bool {
	for _, l := range p.links {
		if len(l.bulk) > cap(l.bulk)/2 {
			return false
		}
	}
	return true
}

// fed hands over what was read, or why it was not.
func (d *desk) fed(id channel.ContactID, want channel.Demand, content []byte, read error) error {
	return d.of(id, func(d *desk, p *person) error {
		now := d.cfg.Now()
		switch {
		case read == nil:
			return d.apply(p, p.conversation.Pieces(now, want, content))
		case errors.Is(read, errOther):
			return d.apply(p, p.conversation.FileIsOther(now, want.Seq))
		default:
			p.conversation.FileUnreadable(now, want.Seq, ErrUnreadable.Error())
			return nil
		}
	})
}

// source is a file that is open, and the piece of it that was checked last.
type source struct {
	seq  uint64
	f    *os.File
	sums []byte

	piece []byte
	at    uint64 // offset of piece
}

func (s *source) close() {
	if s.f != nil {
		_ = s.f.Close()
	}
	*s = source{}
}

// read returns content that is what it was when the file was offered.
func (s *source) read(want channel.Demand, sums []byte) ([]byte, error) {
	if want.Seq != s.seq {
		s.close()
		f, err := openRegular(want.Path)
		if err != nil {
			return nil, err
		}
		*s = source{seq: want.Seq, f: f, sums: sums}
	}
	out := make([]byte, 0, want.Length)
	for len(out) < want.Length {
		offset := want.Offset + uint64(len(out))
		if s.piece == nil || offset < s.at || offset >= s.at+uint64(len(s.piece)) {
			if err := s.load(want, offset/uint64(want.Piece)); err != nil {
				s.close()
				return nil, err
			}
		}
		rest := s.piece[offset-s.at:]
		out = append(out, rest[:min(len(rest), want.Length-len(out))]...)
	}
	return out, nil
}

// load reads the piece with the given number and holds it against its sum.
func (s *source) load(want channel.Demand, n uint64) error {
	info, err := s.f.Stat()
	if err != nil {
		return ErrUnreadable
	}
	if uint64(info.Size()) != want.Size || uint64(len(s.sums)) < (n+1)*sha256.Size {
		return errOther
	}
	at := n * uint64(want.Piece)
	piece := make([]byte, min(uint64(want.Piece), want.Size-at))
	if _, err := s.f.ReadAt(piece, int64(at)); err != nil {
		return ErrUnreadable
	}
	if sha256.Sum256(piece) != [32]byte(s.sums[n*sha256.Size:]) {
		return errOther
	}
	s.piece, s.at = piece, at
	return nil
}

// openRegular opens a file to read it. It does not wait for a pipe.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path) // first: some devices do something when they are opened
	if err != nil {
		return nil, ErrUnreadable
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	return openAtOnce(path)
}

// openAtOnce opens a file that may be a pipe by now. A reader that waited for one
// would keep the desk from ending.
func openAtOnce(path string) (*os.File, error) {
	f, err := os.OpenFile(path, readAtOnce, 0)
	if err != nil {
		return nil, ErrUnreadable
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, ErrNotRegular
	}
	return f, nil
}

const mebi = 1 << 20

// describe reads a file once and adds up what is needed to offer it.
func describe(ctx context.Context, path, name string) (channel.FileSource, error) {
	f, err := openRegular(path)
	if err != nil {
		return channel.FileSource{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return channel.FileSource{}, ErrUnreadable
	}
	size := uint64(info.Size())
	if size > file.MaxSize {
		return channel.FileSource{}, channel.ErrFileSize
	}
	const most = channel.MaxSums / sha256.Size
	src := channel.FileSource{Path: path, Name: name, Size: size, Piece: uint32((size/most/mebi + 1) * mebi)}
	if name == "" {
		src.Name = filepath.Base(path)
	}
	whole, piece := sha256.New(), make([]byte, min(uint64(src.Piece), size))
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return channel.FileSource{}, err
		}
		part := piece[:min(uint64(len(piece)), left)]
		if _, err := io.ReadFull(f, part); err != nil {
			return channel.FileSource{}, ErrUnreadable
		}
		_, _ = whole.Write(part)
		sum := sha256.Sum256(part)
		src.Sums = append(src.Sums, sum[:]...)
		left -= uint64(len(part))
	}
	src.Sum = [32]byte(whole.Sum(nil))
	return src, nil
}
